//! The facts of a run's stream.

use serde::{Deserialize, Serialize};

use super::macros::events;
use super::output::{Output, SavedFile};
use super::spec::RunSpec;
use crate::id::{ClientId, NodeId, PromptId, Sha256};
use crate::time::Timestamp;

events! {
    /// A fact about a run.
    RunEvent {
        /// It was accepted.
        RunCreated = "run_created", 1, Ack;
        /// Bytes that the run needs, small enough to travel in its log.
        BlobStored = "blob_stored", 1, Ack;
        /// Uploads are about to begin.
        StagingStarted = "staging_started", 1, Ack;
        /// Everything that the prompt needs is on the instance.
        Staged = "staged", 1, Ack;
        /// Staging did not work this time.
        StagingDelayed = "staging_delayed", 1, Note;
        /// The prompt is about to be posted, once.
        SubmitIntended = "submit_intended", 1, Ack;
        /// The instance has the prompt.
        Submitted = "submitted", 1, Ack;
        /// The prompt certainly did not arrive.
        SubmitNotSent = "submit_not_sent", 1, Ack;
        /// Whether the prompt arrived is not known.
        SubmitInDoubt = "submit_in_doubt", 1, Ack;
        /// The prompt was looked for and not found.
        AbsenceNoted = "absence_noted", 1, Note;
        /// The user wants the prompt posted again.
        ResubmitRequested = "resubmit_requested", 1, Ack;
        /// The instance dropped some outputs at validation and runs the others.
        OutputsRefused = "outputs_refused", 1, Note;
        /// The place in the instance's queue changed.
        QueueMoved = "queue_moved", 1, Note;
        /// The instance runs the prompt.
        ExecutionStarted = "execution_started", 1, Note;
        /// Nodes that need not run again.
        NodesCached = "nodes_cached", 1, Note;
        /// A node runs.
        NodeStarted = "node_started", 1, Note;
        /// Nodes told how far they are.
        NodesProgressed = "nodes_progressed", 1, Tick;
        /// A node shows a text.
        NodeTexted = "node_texted", 1, Tick;
        /// A node ended well.
        NodeFinished = "node_finished", 1, Note;
        /// A node was kept from running by another one.
        NodeBlocked = "node_blocked", 1, Note;
        /// Frames were missed; node times have gaps from here.
        GapNoted = "gap_noted", 1, Note;
        /// A node reported outputs.
        OutputsFound = "outputs_found", 1, Note;
        /// An output is stored here.
        OutputSaved = "output_saved", 1, Ack;
        /// An output is gone for good.
        OutputLost = "output_lost", 1, Ack;
        /// An output cannot be had now.
        OutputDelayed = "output_delayed", 1, Note;
        /// An output is tried again.
        OutputRetried = "output_retried", 1, Note;
        /// The instance ran the prompt to a good end.
        ExecutionSucceeded = "execution_succeeded", 1, Ack;
        /// The user wants it stopped.
        CancelRequested = "cancel_requested", 1, Ack;
        /// A time limit was reached; it is being stopped.
        LimitReached = "limit_reached", 1, Ack;
        /// The instance took the wish to stop.
        StopSent = "stop_sent", 1, Note;
        /// It still runs, so it is told to stop again.
        StopRepeated = "stop_repeated", 1, Ack;
        /// It cannot be stopped safely.
        CancelRefused = "cancel_refused", 1, Ack;
        /// It waits for something that a person should know.
        AttentionRaised = "attention_raised", 1, Note;
        /// It no longer waits for that.
        AttentionCleared = "attention_cleared", 1, Note;
        /// All outputs are here.
        Completed = "completed", 1, Ack;
        /// It did not work.
        Failed = "failed", 1, Ack;
        /// It was stopped.
        Cancelled = "cancelled", 1, Ack;
        /// Its log had an unsynced tail that was cut off.
        LogRepaired = "log_repaired", 1, Ack;
    }
}

/// The run was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCreated {
    /// What it is asked to do.
    pub spec: RunSpec,
}

/// Bytes that the run needs, at most 256 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobStored {
    /// Their hash, which is their name.
    pub sha256: Sha256,
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// The intent of staging: uploads may have happened from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingStarted {}

/// Everything that the prompt needs is on the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The hash of the graph that will be posted: uploaded names filled in.
    pub prompt: Sha256,
    /// The output nodes of the graph.
    pub outputs: Vec<NodeId>,
    /// The names that the instance gave to the uploads.
    #[serde(default)]
    pub uploaded: Vec<UploadedFile>,
}

/// An uploaded file under the name that the instance returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedFile {
    /// The node that loads it.
    pub node: NodeId,
    /// The input that names it.
    pub input: String,
    /// The name to use, folder included.
    pub name: String,
}

/// Staging did not work this time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingDelayed {
    /// What went wrong.
    pub why: String,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// The intent of `POST /prompt` (reliability.md 5 step 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitIntended {
    /// 1 for the first.
    pub attempt: u32,
    /// The id that ComfyUI is given.
    pub prompt_id: PromptId,
    /// The socket that shall get the frames.
    pub client: ClientId,
    /// The hash of the graph that is posted.
    pub prompt: Sha256,
    /// How often the instance had been seen to restart.
    pub boot: u64,
}

/// The instance has the prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The id under which it is known there.
    pub prompt_id: PromptId,
    /// What showed it.
    pub evidence: Evidence,
}

/// What showed that the instance has a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The answer to the POST.
    Answer,
    /// A frame on the socket.
    Frame,
    /// A look into queue and history.
    Lookup,
}

/// The prompt certainly did not arrive: never connected, or the request was cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitNotSent {
    /// What went wrong.
    pub why: String,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// The answer was lost, or we crashed: the prompt may be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitInDoubt {
    /// What went wrong.
    pub why: String,
}

/// The prompt was in neither queue nor history, looked at in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsenceNoted {}

/// The user wants the same prompt posted again, under the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResubmitRequested {}

/// Some outputs were refused at validation (the `node_errors` of a 200).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputsRefused {
    /// What is wrong, one entry per node and reason.
    pub problems: Vec<NodeProblem>,
    /// The output nodes that will not run.
    pub outputs: Vec<NodeId>,
}

/// One thing that is wrong with an input of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProblem {
    /// The node.
    pub node: NodeId,
    /// Its class.
    pub class: String,
    /// The reason's name, such as `value_not_in_list`.
    pub reason: String,
    /// The input, where the reason names one.
    #[serde(default)]
    pub input: Option<String>,
    /// The value received, as text.
    #[serde(default)]
    pub value: Option<String>,
    /// What would be allowed, as text.
    #[serde(default)]
    pub allowed: Option<String>,
    /// The server's own words.
    pub message: String,
}

/// The place in the instance's queue changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMoved {
    /// 1 for the next to run there.
    pub position: u32,
}

/// The instance runs the prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionStarted {}

/// Nodes that need not run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesCached {
    /// Their ids.
    pub nodes: Vec<NodeId>,
}

/// A node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStarted {
    /// The node.
    pub node: NodeId,
    /// The node that made it, for one that is not in the prompt.
    #[serde(default)]
    pub parent: Option<NodeId>,
}

/// Nodes told how far they are; the newest figures of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesProgressed {
    /// One entry per node.
    pub nodes: Vec<NodeProgress>,
}

/// How far a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProgress {
    /// The node.
    pub node: NodeId,
    /// Steps done.
    pub done: u32,
    /// Steps in all.
    pub total: u32,
}

/// A node shows a text while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTexted {
    /// The node.
    pub node: NodeId,
    /// The text, at most 4 KiB.
    pub text: String,
}

/// A node ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFinished {
    /// The node.
    pub node: NodeId,
    /// The node that made it, for one that is not in the prompt.
    #[serde(default)]
    pub parent: Option<NodeId>,
}

/// A node was kept from running by another one; the prompt goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBlocked {
    /// The node.
    pub node: NodeId,
    /// The reason that the blocking node gave.
    pub message: String,
}

/// Frames were missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapNoted {
    /// Why.
    pub why: String,
}

/// A node reported outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputsFound {
    /// The new ones, numbered on.
    pub outputs: Vec<Output>,
}

/// An output is stored here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSaved {
    /// Its number.
    pub n: u32,
    /// The stored file.
    pub file: SavedFile,
}

/// An output is gone for good: the instance says that there is no such file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLost {
    /// Its number.
    pub n: u32,
    /// What the instance said.
    pub why: String,
}

/// An output cannot be had now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDelayed {
    /// Its number.
    pub n: u32,
    /// What went wrong.
    pub why: String,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// An output is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRetried {
    /// Its number.
    pub n: u32,
}

/// The instance ran the prompt to a good end; its history says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionSucceeded {}

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
        }
    }

    /// Whether the search for a prompt was given up, so that the user may have it posted again.
    pub fn offers_resubmit(self) -> bool {
        match self {
            Self::SubmitUnknown | Self::RemoteRestarted => true,
            Self::Unreachable | Self::CancelRefused | Self::OutputDelayed | Self::StagingDelayed | Self::DiskFull => false,
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
