//! What happened: the facts that are stored for ever.
//!
//! Invariants: past tense; a stored kind never changes its meaning (a new field has `#[serde(default)]`, anything else is a new version with an
//! upcast); facts, not inputs and not target states, so that a mended `decide` never rewrites history.
//! Absent: how they are written; see [`crate::journal`].

mod instance;
mod macros;
mod output;
mod run;
mod setup;
mod spec;

use serde::{Deserialize, Serialize};

pub use instance::*;
pub use output::*;
pub use run::*;
pub use setup::*;
pub use spec::*;

use crate::id::{InstanceId, RunId, Seq, StreamId};
use crate::time::Timestamp;

/// An event with its place in its stream and the time at which it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<E> {
    /// Its place in the stream.
    pub seq: Seq,
    /// When it was recorded; never earlier than the record before.
    pub at: Timestamp,
    /// What happened.
    pub event: E,
}

/// An event that `decide` wants recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum NewEvent {
    /// On a run's stream.
    Run(RunId, RunEvent),
    /// On an instance's stream.
    Instance(InstanceId, InstanceEvent),
}

impl NewEvent {
    /// The stream it belongs to.
    pub fn stream(&self) -> StreamId {
        match self {
            Self::Run(run, _) => StreamId::Run(*run),
            Self::Instance(instance, _) => StreamId::Instance(instance.clone()),
        }
    }
}

/// How soon a record must be on disk (reliability.md 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SyncClass {
    /// Progress: written with the next batch, never synced alone.
    Tick,
    /// Starts and ends of nodes: synced within a second.
    Note,
    /// Acknowledgements and intents: synced before the reply or the effect.
    Ack,
}
