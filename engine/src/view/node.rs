//! A node as its readers see it.

use serde::Serialize;

use super::parts::Time;
use crate::id::NodeId;
use crate::run::{Node, NodeState};

/// A node of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeView {
    /// Its id.
    pub node_id: NodeId,
    /// Its class; that of a node made at run time is not told by ComfyUI and empty.
    pub node_type: String,
    /// Its title.
    pub title: Option<String>,
    /// The node that made it.
    pub parent_node_id: Option<NodeId>,
    /// The plan's `pending executing executed failed`.
    pub status: &'static str,
    /// More exactly: `waiting running done cached failed blocked interrupted not_reached`.
    pub state: &'static str,
    /// Whether it counts: it is in the prompt and reaches an output.
    pub counts: bool,
    /// 0 to 100.
    pub progress: u32,
    /// Steps done.
    pub step: Option<u32>,
    /// Steps in all.
    pub steps: Option<u32>,
    /// What it says.
    pub message: Option<String>,
    /// When it began.
    pub start_time: Option<Time>,
    /// When it ended.
    pub end_time: Option<Time>,
}

impl NodeState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Interrupted => "interrupted",
            Self::NotReached => "not_reached",
        }
    }

    /// The plan's word.
    pub fn status(self) -> &'static str {
        match self {
            Self::Waiting | Self::NotReached | Self::Blocked | Self::Interrupted => "pending",
            Self::Running => "executing",
            Self::Done | Self::Cached => "executed",
            Self::Failed => "failed",
        }
    }
}

impl NodeView {
    pub(super) fn of(node: &Node) -> Self {
        let stepped = node.total > 0;
        Self {
            node_id: node.id.clone(),
            node_type: node.class.clone(),
            title: node.title.clone(),
            parent_node_id: node.parent.clone(),
            status: node.state.status(),
            state: node.state.as_str(),
            counts: node.counts,
            progress: node.permille() / 10,
            // A node that ended well has done all its steps, whether or not the last report was seen.
            step: stepped.then_some(if node.state == NodeState::Done { node.total } else { node.done }),
            steps: stepped.then_some(node.total),
            message: message(node),
            start_time: node.started.map(Time),
            end_time: node.ended.map(Time),
        }
    }
}

fn message(node: &Node) -> Option<String> {
    if let Some(text) = &node.text {
        return Some(text.clone());
    }
    if node.state == NodeState::Cached {
        return Some("Cached".to_owned());
    }
    let verb = if node.class.contains("Sampler") { "Sampling step" } else { "Step" };
    (node.total > 0 && node.state == NodeState::Running).then(|| format!("{verb} {}/{}", node.done, node.total))
}
