//! The judgement of a run: which facts an input means. Reads only.
//!
//! Requests can be refused. Observations cannot: a late, double or foreign one decides to nothing.

mod due;
mod error;
mod inputs;
mod observed;
mod outcome;
mod reconciled;
mod records;
mod request;
mod twin;

pub(crate) use observed::Ends;

use crate::time::Timestamp;

/// What a run's judgement needs to know of the world around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// The time.
    pub(crate) now: Timestamp,
    /// The limits in force.
    pub(crate) limits: &'a crate::engine::Limits,
    /// Whether the instance answers.
    pub(crate) online: bool,
    /// How often the instance was seen to restart.
    pub(crate) boot: u64,
    /// Since when the instance answers and runs nothing of ours; none while it does.
    pub(crate) idle_since: Option<Timestamp>,
}

/// The doubling wait before the `attempt`-th repeat, without jitter: the adapters add that.
pub(super) fn backoff_ms(attempt: u32) -> u64 {
    1000u64.saturating_mul(1 << attempt.min(5)).min(30_000)
}
