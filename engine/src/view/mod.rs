//! What readers see of a run: the plan's nested JSON.
//!
//! One shape for `state.json`, the API and the live page. Invariants: made from the fold alone, so the same log gives the same view; no clock
//! and no float inside; what depends on the time of reading is filled in by [`RunView::at`].

mod estimate;
mod node;
mod output;
mod parts;

use std::collections::BTreeMap;

use serde::Serialize;

pub use node::NodeView;
pub use output::OutputView;
pub use parts::{ActionBody, ActionView, AttentionView, ErrorView, Percent, ProgressView, Time, TimingView, WarningView};

use crate::id::{InstanceId, NodeId, PromptId, RunId, Seq};
use crate::run::{Node, NodeState, Run, Status};
use crate::time::Timestamp;

/// The version of this shape.
pub const SCHEMA: u32 = 1;

/// A run as its readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "each is one question that readers ask")]
pub struct RunView {
    /// The version of this shape.
    pub schema: u32,
    /// Always `comfyui_workflow`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The place of the newest folded fact.
    pub seq: Seq,
    /// The run.
    pub run_id: RunId,
    /// Its name in the plan's shapes.
    pub workflow_id: String,
    /// The name shown to people.
    pub workflow_name: String,
    /// The file that the workflow came from.
    pub workflow_file: Option<String>,
    /// The id under which ComfyUI knows it.
    pub prompt_id: PromptId,
    /// Where it runs.
    pub instance: InstanceId,
    /// The SSH connection, without keys and passwords.
    pub ssh_connection: Option<String>,
    /// The run that this one repeats.
    pub retry_of: Option<RunId>,
    /// Where copies of the outputs go.
    pub output_dir: Option<String>,
    /// The caller's key for the request that made it.
    pub idempotency: Option<crate::event::Idempotency>,
    /// The batch that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// `queued executing completed failed cancelled`.
    pub status: Status,
    /// Where inside the status.
    pub phase: &'static str,
    /// What it waits for.
    pub attention: Option<AttentionView>,
    /// What its user should know though it goes on.
    pub warnings: Vec<WarningView>,
    /// Whether it is being stopped.
    pub stopping: bool,
    /// Whether it is over, and what it uploaded is still to be removed from its instance. Not there if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removes_inputs: bool,
    /// How far it is.
    pub progress: ProgressView,
    /// Its nodes: those of the prompt in its order, each followed by the ones that it made.
    pub nodes: Vec<NodeView>,
    /// Its times.
    pub timing: TimingView,
    /// Its outputs, in the order in which they were reported.
    pub outputs: Vec<OutputView>,
    /// Why it failed.
    pub error: Option<ErrorView>,
    /// Whether it was posted again within the last minute, so that ComfyUI is looked at for a second copy; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub twin_watch: bool,
    /// Whether the end of the instance's log is still to come; for who follows it, and not written.
    #[serde(skip)]
    pub owes_log: bool,
}

impl RunView {
    /// The view of a folded run.
    pub fn of(run: &Run) -> Self {
        let current = if run.phase().status() == Status::Executing { run.nodes().current() } else { None };
        let completed = if run.phase().status() == Status::Completed { run.nodes().total() } else { run.nodes().completed() };
        Self {
            schema: SCHEMA,
            kind: "comfyui_workflow",
            seq: run.seq(),
            run_id: run.id(),
            workflow_id: run.id().workflow_id(run.created_at()),
            workflow_name: run.spec().name.clone(),
            workflow_file: run.spec().workflow_file.clone(),
            prompt_id: run.prompt_id().clone(),
            instance: run.instance().clone(),
            ssh_connection: run.spec().ssh_connection.clone(),
            retry_of: run.spec().retry_of,
            output_dir: run.spec().output_dir.clone(),
            idempotency: run.spec().idempotency.clone(),
            batch: run.spec().batch.clone(),
            status: run.phase().status(),
            phase: run.phase().as_str(),
            attention: run.attention().map(|attention| AttentionView::of(run, attention)),
            warnings: run.warnings().iter().map(WarningView::of).collect(),
            stopping: run.is_stopping() && !run.phase().is_settled(),
            removes_inputs: run.owes_removal(),
            progress: ProgressView {
                queue_position: run.place_in_queue(),
                current_node: current.map(|node| node.class.clone()),
                current_node_id: current.map(|node| node.id.clone()),
                current_node_title: current.and_then(|node| node.title.clone()),
                total_nodes: run.nodes().total(),
                completed_nodes: completed,
                progress_percent: Percent(run.nodes().permille()),
            },
            nodes: in_order(run),
            timing: TimingView {
                queue_time: Time(run.created_at()),
                start_time: run.started_at().map(Time),
                end_time: run.ended_at().map(Time),
                last_update: Time(run.updated_at()),
                estimated_completion: estimate::completion(run).map(Time),
            },
            outputs: run.outputs().iter().map(|(output, place)| OutputView::of(output, place)).collect(),
            twin_watch: run.watches_twin(),
            owes_log: run.owes_log(),
            error: run.error().map(|error| ErrorView::of(error, run.log_lines())),
        }
    }

    /// The view as served at a time: an estimate is never in the past, and our own queue is counted in.
    #[must_use]
    pub fn at(mut self, now: Timestamp, queue_position: Option<u32>) -> Self {
        self.timing.estimated_completion = self.timing.estimated_completion.map(|Time(at)| Time(at.max(now)));
        if self.status == Status::Queued {
            self.progress.queue_position = queue_position.or(self.progress.queue_position);
        }
        self
    }

    /// The node that failed, for the plan's flat shape.
    pub fn failed_node(&self) -> Option<String> {
        let node = self.nodes.iter().find(|node| node.state == NodeState::Failed.as_str())?;
        Some(format!("{} {}", node.node_id, node.node_type).trim_end().to_owned())
    }
}

/// Each node once, those that a node made behind it. Who made whom is the instance's word: strangers and circles come last.
fn in_order(run: &Run) -> Vec<NodeView> {
    let mut made: BTreeMap<&NodeId, Vec<&Node>> = BTreeMap::new();
    for node in run.nodes().iter().rev() {
        if let Some(parent) = &node.parent {
            made.entry(parent).or_default().push(node);
        }
    }
    let mut views = Vec::new();
    let mut open: Vec<&Node> = run.nodes().iter().rev().filter(|node| node.parent.is_none()).collect();
    while let Some(node) = open.pop() {
        views.push(NodeView::of(node));
        open.extend(made.remove(&node.id).unwrap_or_default());
    }
    views.extend(made.into_values().flat_map(|nodes| nodes.into_iter().rev()).map(NodeView::of));
    views
}
