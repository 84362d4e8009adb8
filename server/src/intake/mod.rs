//! From a caller's wish to a run's spec: reads, checks, and keeps the bytes that the run will need.
//!
//! Invariants: nothing is stored for a wish that is refused, but content-addressed bytes that nobody names; paths are read only under the
//! allowed roots.

mod durations;
mod files;
mod images;
mod place;
mod prepare;
mod types;

pub(crate) use durations::Durations;
pub(crate) use prepare::{Held, Intake, Prepared, Rules, fingerprint, held, new_run_id, not_stored};
pub use types::{Execute, Image, Images, Source, Target, Validation};
