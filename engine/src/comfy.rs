//! What ComfyUI says, in typed form, whatever the wire looked like.
//!
//! Source of the meanings: ComfyUI's `server.py`, `execution.py` and `comfy_execution/progress.py`, as measured in the recorded traces.
//! Absent: JSON and frames; the adapters translate.

use crate::event::Produced;
use crate::id::{NodeId, PromptId};

/// A message from an instance's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComfyEvent {
    /// `execution_start`.
    Started {
        /// The prompt.
        prompt: PromptId,
    },
    /// `execution_cached`: every node of the prompt that is in the cache, needed or not.
    Cached {
        /// The prompt.
        prompt: PromptId,
        /// Its cached nodes.
        nodes: Vec<NodeId>,
    },
    /// `executing` with a node. On a reconnect it carries no prompt.
    NodeStarted {
        /// The prompt, if told.
        prompt: Option<PromptId>,
        /// The node.
        node: NodeId,
    },
    /// `progress` of one node.
    NodeProgressed {
        /// The prompt, if told.
        prompt: Option<PromptId>,
        /// The node.
        node: NodeId,
        /// Steps done.
        done: u32,
        /// Steps in all.
        total: u32,
    },
    /// `progress_state`: all nodes that have started in this prompt.
    ProgressReported {
        /// The prompt.
        prompt: PromptId,
        /// The nodes.
        nodes: Vec<NodeReport>,
    },
    /// `executed`: a node's ui data, or that a cached output node was visited.
    NodeProduced {
        /// The prompt.
        prompt: PromptId,
        /// The node; an inner id where a node expanded.
        node: NodeId,
        /// What it reported; empty if it has no ui data.
        outputs: Vec<Produced>,
    },
    /// A binary text frame: no prompt in it.
    NodeTexted {
        /// The node.
        node: NodeId,
        /// The text.
        text: String,
    },
    /// An `execution_error` of type `ExecutionBlocked`: the prompt goes on.
    NodeBlocked {
        /// The prompt.
        prompt: PromptId,
        /// The node that is kept from running.
        node: NodeId,
        /// The reason that the blocking node gave.
        message: String,
    },
    /// `execution_success`, `execution_error` or `execution_interrupted`: a hint that the end is near; history tells how it ended.
    Ending {
        /// The prompt.
        prompt: PromptId,
    },
    /// `executing` with no node: the prompt's history entry is there now.
    WentIdle {
        /// The prompt, if told.
        prompt: Option<PromptId>,
    },
    /// `status`: how many prompts run and wait.
    QueueChanged {
        /// Running and pending ones.
        remaining: u32,
    },
    /// A message of another type, custom nodes have their own.
    Unknown {
        /// Its type.
        kind: String,
    },
}

impl ComfyEvent {
    /// The prompt that the message names.
    pub fn prompt(&self) -> Option<&PromptId> {
        match self {
            Self::Started { prompt }
            | Self::Cached { prompt, .. }
            | Self::ProgressReported { prompt, .. }
            | Self::NodeProduced { prompt, .. }
            | Self::NodeBlocked { prompt, .. }
            | Self::Ending { prompt } => Some(prompt),
            Self::NodeStarted { prompt, .. } | Self::NodeProgressed { prompt, .. } | Self::WentIdle { prompt } => prompt.as_ref(),
            Self::NodeTexted { .. } | Self::QueueChanged { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// One node in a `progress_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node; an inner id where a node expanded.
    pub node: NodeId,
    /// The node that made it, none for nodes of the prompt.
    pub parent: Option<NodeId>,
    /// Steps done.
    pub done: u32,
    /// Steps in all.
    pub total: u32,
    /// Whether it ended.
    pub finished: bool,
}

/// What queue and history say of one prompt, read in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteStatus {
    /// In the queue.
    Pending {
        /// 1 for the next to run.
        position: u32,
    },
    /// Being run.
    Running,
    /// In history.
    Ended(Box<Ending>),
    /// In neither.
    Absent,
}

/// How a prompt ended, from its history entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How, by the last of the status messages: `status_str` can lie (`PromptExecutor`; recorded).
    pub verdict: Verdict,
    /// The nodes that were cached.
    pub cached: Vec<NodeId>,
    /// The ui data of output nodes; inner ids where a node expanded.
    pub outputs: Vec<(NodeId, Vec<Produced>)>,
    /// The inner nodes among them, with the node that made each.
    pub parents: Vec<(NodeId, NodeId)>,
}

/// How a prompt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Succeeded,
    /// By an exception.
    Failed(NodeFailure),
    /// By an interrupt.
    Interrupted {
        /// The node that ran.
        node: Option<NodeId>,
    },
}

/// An exception in a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFailure {
    /// The node of the prompt.
    pub node: Option<NodeId>,
    /// Its class.
    pub class: Option<String>,
    /// The exception's message, without the trailing newline.
    pub message: String,
    /// The exception's type.
    pub exception: String,
    /// The traceback, at most 64 KiB.
    pub traceback: String,
}
