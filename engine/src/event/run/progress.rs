//! What happens while the instance works, and what comes of it.

use serde::{Deserialize, Serialize};

use crate::event::output::{Output, SavedFile};
use crate::id::NodeId;
use crate::time::Timestamp;

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
