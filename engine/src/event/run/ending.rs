//! Stopping, waiting, ending.

use serde::{Deserialize, Serialize};

use super::submit::NodeProblem;
use crate::id::{NodeId, Sha256};

/// The user wants it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Also where an old server may stop another prompt instead.
    #[serde(default)]
    pub force: bool,
}

/// A time limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReached {
    /// Which one.
    pub limit: Limit,
}

/// A time limit of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Waited too long in the queue of an instance that runs nothing of ours.
    QueueTimeout,
    /// Ran too long.
    TimeLimit,
}

/// The instance took the wish to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSent {}

/// It still runs, so it is told to stop again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRepeated {}

/// It cannot be stopped without danger to others' work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRefused {
    /// Why.
    pub why: String,
}

/// It waits for something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionRaised {
    /// What kind of thing.
    pub kind: AttentionKind,
    /// What is the matter, in words.
    pub message: String,
    /// The fingerprint of the host key that is to be accepted, where that is the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl AttentionRaised {
    /// Something of this kind.
    pub fn new(kind: AttentionKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), fingerprint: None }
    }
}

/// What a run waits for, beside its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    /// The instance does not answer.
    Unreachable,
    /// Whether the instance has the prompt is not known.
    SubmitUnknown,
    /// The instance was restarted.
    RemoteRestarted,
    /// Cancelling would endanger others' work.
    CancelRefused,
    /// An output cannot be fetched now.
    OutputDelayed,
    /// An upload cannot be made now.
    StagingDelayed,
    /// This machine's disk is full.
    DiskFull,
    /// The prompt cannot be posted now.
    SubmitDelayed,
    /// Nobody has accepted the key that the instance's machine presents.
    HostKeyUnknown,
    /// The instance's machine presents another key than the one that it is known by.
    HostKeyChanged,
    /// The key of the instance's machine is not to be trusted.
    HostKeyRefused,
    /// The instance's machine does not let us in.
    AuthFailed,
    /// The private key for the instance's machine needs its passphrase.
    KeyLocked,
}

impl AttentionKind {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::SubmitUnknown => "submit_unknown",
            Self::RemoteRestarted => "remote_restarted",
            Self::CancelRefused => "cancel_refused",
            Self::OutputDelayed => "output_delayed",
            Self::StagingDelayed => "staging_delayed",
            Self::DiskFull => "disk_full",
            Self::SubmitDelayed => "submit_delayed",
            Self::HostKeyUnknown => "host_key_unknown",
            Self::HostKeyChanged => "host_key_changed",
            Self::HostKeyRefused => "host_key_refused",
            Self::AuthFailed => "auth_failed",
            Self::KeyLocked => "key_locked",
        }
    }

    /// Whether the search for a prompt was given up, so that the user may have it posted again.
    pub fn offers_resubmit(self) -> bool {
        match self {
            Self::SubmitUnknown | Self::RemoteRestarted => true,
            Self::Unreachable
            | Self::CancelRefused
            | Self::OutputDelayed
            | Self::StagingDelayed
            | Self::DiskFull
            | Self::SubmitDelayed
            | Self::HostKeyUnknown
            | Self::HostKeyChanged
            | Self::HostKeyRefused
            | Self::AuthFailed
            | Self::KeyLocked => false,
        }
    }

    /// Whether something is tried again by itself, so that what stands in the way until a person acts is more to say.
    pub fn is_delay(self) -> bool {
        match self {
            Self::OutputDelayed | Self::StagingDelayed | Self::SubmitDelayed => true,
            Self::Unreachable
            | Self::SubmitUnknown
            | Self::RemoteRestarted
            | Self::CancelRefused
            | Self::DiskFull
            | Self::HostKeyUnknown
            | Self::HostKeyChanged
            | Self::HostKeyRefused
            | Self::AuthFailed
            | Self::KeyLocked => false,
        }
    }

    /// Whether it is about the way to the instance, and so over once that answers.
    pub fn is_of_the_way(self) -> bool {
        match self {
            Self::Unreachable
            | Self::HostKeyUnknown
            | Self::HostKeyChanged
            | Self::HostKeyRefused
            | Self::AuthFailed
            | Self::KeyLocked => true,
            Self::SubmitUnknown
            | Self::RemoteRestarted
            | Self::CancelRefused
            | Self::OutputDelayed
            | Self::StagingDelayed
            | Self::DiskFull
            | Self::SubmitDelayed => false,
        }
    }
}

/// It no longer waits for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionCleared {
    /// What is over.
    pub kind: AttentionKind,
}

/// All outputs are here, or known to be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {}

/// It did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Why.
    pub error: RunError,
    /// Whether the end of the instance's own log is asked for, once, as it may say more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_wanted: bool,
}

impl Failed {
    /// A failure of which the instance's log would tell nothing.
    pub fn of(error: RunError) -> Self {
        Self { error, log_wanted: false }
    }
}

/// What the instance's own log ended with after the run had failed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceLogNoted {
    /// The last lines, the oldest first; none if the instance does not tell.
    pub lines: Vec<String>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// A stable name: `node_failed invalid_prompt remote_restarted queue_timeout time_limit interrupted_remotely ...`
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The node, where one is to blame.
    #[serde(default)]
    pub node_id: Option<NodeId>,
    /// Its class.
    #[serde(default)]
    pub node_type: Option<String>,
    /// Everything else that is known, as text: a traceback, the instance's own words.
    #[serde(default)]
    pub details: Option<String>,
    /// What is wrong with which input, for a refused prompt.
    #[serde(default)]
    pub problems: Vec<NodeProblem>,
}

/// It was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {}

/// Its log had an unsynced tail that was cut off and kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRepaired {
    /// Where the tail began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
    /// Its hash.
    pub sha256: Sha256,
}
