//! From a wish to a prompt that the instance has.

use serde::{Deserialize, Serialize};

use crate::event::spec::RunSpec;
use crate::id::{ClientId, NodeId, PromptId, Sha256};
use crate::time::Timestamp;

/// The run was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCreated {
    /// What it is asked to do.
    pub spec: RunSpec,
    /// How many blobs follow in the same write: a run that has fewer was cut while it was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub carried: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
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

/// The same prompt is to be posted again, under the same id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResubmitRequested {
    /// Whether nobody asked for it but the configuration (`on_unknown: resubmit`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_policy: bool,
}

/// After it was posted again the instance was seen to have it a second time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinFound {
    /// Whether the second one runs, so that the prompt runs twice; else it waits, and can be taken out.
    pub running: bool,
}

/// The second one was taken out of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinDeleted {}

/// A second one is not looked for any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinWatchEnded {}

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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
