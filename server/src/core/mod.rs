//! The core loop: the one task that owns the engine and writes the log.
//!
//! Invariants: facts are on disk, as their class demands, before any command, view or reply that rests on them leaves; one write and at most one
//! sync pay for everything that came in meanwhile. Absent: rules; those are the engine's.

mod batch;
mod instances;
mod message;
mod recovery;
mod retreat;
mod snapshots;
mod task;
mod turn;

pub use message::{AskError, CoreHandle, Granted};
pub use recovery::{RecoverError, RecoveredCore, recover};
pub(crate) use recovery::{decode, fold_records, with_causes};
pub(crate) use task::CoreParts;
pub use task::{Core, CoreConfig};
