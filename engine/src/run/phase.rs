//! Where a run is in its life.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The leaf states of a run. Data that exists only in one phase lives there.
///
/// ```text
/// life ─┬─ alive ─┬─ queued ──── waiting ▶ staging ▶ submitting ▶ pending   (in_doubt: answer lost, look first)
///       │         └─ executing ─ running ▶ collecting
///       └─ settled ── completed | failed | cancelled
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waits here for its turn.
    Waiting {
        /// Not before this time, after a POST that did not arrive.
        not_before: Option<Timestamp>,
    },
    /// Files go to the instance.
    Staging {
        /// Whether all of them are there.
        progress: Staging,
    },
    /// `POST /prompt` is under way.
    Submitting,
    /// The answer to `POST /prompt` was lost.
    InDoubt {
        /// What looking for it found.
        search: Search,
    },
    /// In the instance's queue.
    Pending {
        /// 1 for the next to run there, if known.
        position: Option<u32>,
    },
    /// The instance runs it.
    Running,
    /// The instance is done; outputs are being fetched.
    Collecting,
    /// Over, well.
    Completed,
    /// Over, not well.
    Failed,
    /// Over, stopped.
    Cancelled,
}

/// How far staging is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Staging {
    /// Under way.
    Busy,
    /// Waits until this time to try again.
    Delayed(Timestamp),
    /// Done; the prompt can be posted.
    Ready,
}

/// What looking for a prompt in doubt found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// How often it was absent.
    pub absences: u32,
    /// When it was first found absent.
    pub first: Option<Timestamp>,
    /// When it was last found absent.
    pub last: Option<Timestamp>,
}

/// The user's five words, of which phases are parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not yet run by the instance.
    Queued,
    /// Run by the instance, or its outputs are being fetched.
    Executing,
    /// Ended well.
    Completed,
    /// Did not work.
    Failed,
    /// Was stopped.
    Cancelled,
}

impl Status {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Executing => "executing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it is an ending.
    pub fn is_settled(self) -> bool {
        match self {
            Self::Queued | Self::Executing => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl Phase {
    /// Where a run begins.
    pub const START: Self = Self::Waiting { not_before: None };

    /// The user's word for it.
    pub fn status(&self) -> Status {
        match self {
            Self::Waiting { .. } | Self::Staging { .. } | Self::Submitting | Self::InDoubt { .. } | Self::Pending { .. } => {
                Status::Queued
            }
            Self::Running | Self::Collecting => Status::Executing,
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    /// The phase's own word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Staging { .. } => "staging",
            Self::Submitting => "submitting",
            Self::InDoubt { .. } => "in_doubt",
            Self::Pending { .. } => "pending",
            Self::Running => "running",
            Self::Collecting => "collecting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the run has ended.
    pub fn is_settled(&self) -> bool {
        self.status().is_settled()
    }
}
