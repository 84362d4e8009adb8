//! What the server says, as the command line reads it: the twin of [`comfyd_engine::RunView`], tolerant of more and of less.

use comfyd_engine::{NodeId, Seq, Status, Timestamp};
use serde::Deserialize;

use super::time;

/// A run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct RunDoc {
    pub(crate) seq: Seq,
    pub(crate) run_id: String,
    pub(crate) workflow_name: String,
    #[serde(default)]
    pub(crate) instance: String,
    #[serde(default)]
    pub(crate) output_dir: Option<String>,
    pub(crate) status: Status,
    pub(crate) phase: String,
    #[serde(default)]
    pub(crate) attention: Option<AttentionDoc>,
    #[serde(default)]
    pub(crate) warnings: Vec<WarningDoc>,
    #[serde(default)]
    pub(crate) stopping: bool,
    pub(crate) progress: ProgressDoc,
    #[serde(default)]
    pub(crate) nodes: Vec<NodeDoc>,
    pub(crate) timing: TimingDoc,
    #[serde(default)]
    pub(crate) outputs: Vec<OutputDoc>,
    #[serde(default)]
    pub(crate) error: Option<ErrorDoc>,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct AttentionDoc {
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// What its user should know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct WarningDoc {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct ProgressDoc {
    #[serde(default)]
    pub(crate) queue_position: Option<u32>,
    #[serde(default)]
    pub(crate) current_node_id: Option<NodeId>,
    #[serde(default)]
    pub(crate) total_nodes: usize,
    #[serde(default)]
    pub(crate) completed_nodes: usize,
    #[serde(default)]
    pub(crate) progress_percent: f64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct NodeDoc {
    pub(crate) node_id: NodeId,
    #[serde(default)]
    pub(crate) node_type: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) parent_node_id: Option<NodeId>,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) step: Option<u32>,
    #[serde(default)]
    pub(crate) steps: Option<u32>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) start_time: Option<String>,
    #[serde(default)]
    pub(crate) end_time: Option<String>,
}

/// The times of a run, RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct TimingDoc {
    pub(crate) queue_time: String,
    #[serde(default)]
    pub(crate) start_time: Option<String>,
    #[serde(default)]
    pub(crate) end_time: Option<String>,
    pub(crate) last_update: String,
    #[serde(default)]
    pub(crate) estimated_completion: Option<String>,
}

/// An output.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct OutputDoc {
    pub(crate) n: u32,
    pub(crate) node_id: NodeId,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) filename: String,
    #[serde(default)]
    pub(crate) downloaded: bool,
    #[serde(default)]
    pub(crate) local_name: Option<String>,
    #[serde(default)]
    pub(crate) copied_to: Option<String>,
    #[serde(default)]
    pub(crate) size: Option<u64>,
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) problem: Option<String>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ErrorDoc {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) hint: String,
    #[serde(default)]
    pub(crate) details: Option<String>,
    #[serde(default)]
    pub(crate) log_lines: Vec<String>,
}

impl RunDoc {
    /// Reads the JSON of a view.
    pub(crate) fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The running node.
    pub(crate) fn current(&self) -> Option<&NodeDoc> {
        let id = self.progress.current_node_id.as_ref()?;
        self.nodes.iter().find(|node| node.node_id == *id)
    }

    /// Whether it waits for an instance that does not answer, and was never seen there.
    pub(crate) fn waits_for_instance(&self) -> bool {
        // Whatever closes the way to it; other kinds begin after it was reached.
        let of_the_way = ["unreachable", "host_key_unknown", "host_key_changed", "host_key_refused", "auth_failed", "key_locked"];
        let unreachable = self.attention.as_ref().is_some_and(|attention| of_the_way.contains(&attention.kind.as_str()));
        unreachable && matches!(self.phase.as_str(), "waiting" | "staging" | "submitting")
    }

    /// Whether the instance has taken it, or it is over.
    pub(crate) fn has_left(&self) -> bool {
        !matches!(self.phase.as_str(), "waiting" | "staging" | "submitting")
    }
}

impl NodeDoc {
    /// `KSampler (12)`; the title where it says more than the class.
    pub(crate) fn label(&self) -> String {
        let title = self.title.as_deref().filter(|title| !title.is_empty());
        let name = title.unwrap_or(&self.node_type);
        let named = if name.is_empty() { "node" } else { name };
        format!("{named} ({})", self.node_id)
    }

    /// `step 45/100` while it runs.
    pub(crate) fn step_text(&self) -> Option<String> {
        let (step, steps) = (self.step?, self.steps?);
        (self.state == "running").then(|| format!("step {step}/{steps}"))
    }

    /// How long it took.
    pub(crate) fn took_ms(&self) -> Option<u64> {
        Some(time::parse(self.end_time.as_ref()?)?.since(time::parse(self.start_time.as_ref()?)?))
    }
}

impl TimingDoc {
    /// What is left until the estimated end.
    pub(crate) fn left_ms(&self, now: Timestamp) -> Option<u64> {
        Some(time::parse(self.estimated_completion.as_ref()?)?.since(now))
    }

    /// How long it ran, until its end or now.
    pub(crate) fn ran_ms(&self, now: Timestamp) -> Option<u64> {
        let end = match &self.end_time {
            Some(end) => time::parse(end)?,
            None => now,
        };
        Some(end.since(time::parse(self.start_time.as_ref()?)?))
    }
}
