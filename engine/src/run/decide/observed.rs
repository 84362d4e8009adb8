//! What the socket says. It is a hint: it moves nodes, never ends a run.

use crate::comfy::{ComfyEvent, NodeReport};
use crate::event::{
    Evidence, ExecutionStarted, GapNoted, NodeBlocked, NodeFinished, NodeProgress, NodeStarted, NodeTexted, RunEvent, Submitted,
};
use crate::id::NodeId;
use crate::run::{Node, NodeState, Phase, Run};

use super::records::{found, nodes_cached, progressed};

/// How the end of a node is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// `progress_state` tells it (`ComfyUI` 0.3.45 on).
    Told,
    /// The next `executing` is the only sign: older servers, and those that do not tell their version.
    Guessed,
}

impl Run {
    pub(crate) fn decide_observed(&self, event: &ComfyEvent, ends: Ends) -> Vec<RunEvent> {
        let Some(mut facts) = self.gap_to_running(Evidence::Frame) else { return vec![] };
        if !matches!(event, ComfyEvent::Started { .. }) {
            facts.extend(self.beginning_missed(&facts));
        }
        match event {
            ComfyEvent::Started { .. } => {}
            ComfyEvent::NodeStarted { node, .. }
            | ComfyEvent::NodeProgressed { node, .. }
            | ComfyEvent::NodeTexted { node, .. }
            | ComfyEvent::NodeBlocked { node, .. }
                if !self.nodes().room().admits(node) => {}
            ComfyEvent::Cached { nodes, .. } => facts.extend(self.newly_cached(nodes)),
            ComfyEvent::NodeStarted { prompt, node } => {
                // A frame without a prompt is the one on reconnect: others may run beside it.
                if prompt.is_some() && ends == Ends::Guessed {
                    facts.extend(self.ended_by_next(node));
                }
                facts.extend(self.newly_started(node, None));
            }
            ComfyEvent::NodeProgressed { node, done, total, .. } => {
                facts.extend(self.newly_started(node, None));
                facts.extend(progressed(self.moved(node, *done, *total).into_iter().collect()));
            }
            ComfyEvent::ProgressReported { nodes, .. } => facts.extend(self.reported(nodes)),
            ComfyEvent::NodeProduced { node, outputs, .. } => {
                facts.extend(found(self.outputs().fresh(node, outputs)));
            }
            ComfyEvent::NodeTexted { node, text } => {
                let known = self.nodes().get(node).and_then(|node| node.text.as_ref());
                facts.extend((known != Some(text)).then(|| NodeTexted { node: node.clone(), text: text.clone() }.into()));
            }
            ComfyEvent::NodeBlocked { node, message, .. } => {
                let open = self.nodes().get(node).is_none_or(|node| node.state.is_open());
                facts.extend(open.then(|| NodeBlocked { node: node.clone(), message: message.clone() }.into()));
            }
            // Hints for the link, which asks history; they say nothing of a running prompt, and an end must not look like a start.
            ComfyEvent::Ending { .. }
            | ComfyEvent::WentIdle { .. }
            | ComfyEvent::QueueChanged { .. }
            | ComfyEvent::Unknown { .. } => {
                return vec![];
            }
        }
        facts
    }

    /// Without `execution_start` frames were missed: nodes can have ended unseen.
    pub(super) fn beginning_missed(&self, facts: &[RunEvent]) -> Option<RunEvent> {
        let missed = !facts.is_empty() && !self.has_gap();
        missed.then(|| GapNoted { why: "the prompt ran before a frame of it was seen".into() }.into())
    }

    /// The facts that any sign of running implies, or none if the sign is too early or too late.
    pub(super) fn gap_to_running(&self, evidence: Evidence) -> Option<Vec<RunEvent>> {
        let submitted = || Submitted { prompt_id: self.prompt_id().clone(), evidence }.into();
        match self.phase {
            Phase::Submitting | Phase::InDoubt { .. } => Some(vec![submitted(), ExecutionStarted {}.into()]),
            Phase::Pending { .. } => Some(vec![ExecutionStarted {}.into()]),
            Phase::Running => Some(vec![]),
            Phase::Waiting { .. }
            | Phase::Staging { .. }
            | Phase::Collecting
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled => None,
        }
    }

    pub(super) fn newly_cached(&self, nodes: &[NodeId]) -> Vec<RunEvent> {
        let fresh = |id: &&NodeId| self.nodes().get(id).is_some_and(|node| node.state.is_open() || node.state == NodeState::Done);
        nodes_cached(nodes.iter().filter(fresh).cloned().collect())
    }

    fn newly_started(&self, node: &NodeId, parent: Option<&NodeId>) -> Option<RunEvent> {
        // Told again where only now it is known who made the node.
        let fresh = |known: &Node| {
            known.state == NodeState::Waiting || (known.parent.is_none() && known.class.is_empty() && parent.is_some())
        };
        let waits = self.nodes().get(node).is_none_or(fresh);
        waits.then(|| NodeStarted { node: node.clone(), parent: parent.cloned() }.into())
    }

    /// What runs ended when another node begins.
    fn ended_by_next(&self, next: &NodeId) -> Vec<RunEvent> {
        if self.nodes().get(next).is_some_and(|node| node.state != NodeState::Waiting) {
            return vec![];
        }
        let running = self.nodes().iter().filter(|node| node.state == NodeState::Running);
        running.map(|node| NodeFinished { node: node.id.clone(), parent: node.parent.clone() }.into()).collect()
    }

    fn moved(&self, node: &NodeId, done: u32, total: u32) -> Option<NodeProgress> {
        let known = self.nodes().get(node);
        let open = known.is_none_or(|node| node.state.is_open());
        let same = known.is_some_and(|node| (node.done, node.total) == (done, total));
        // A lower figure is a late frame, unless a full bar begins anew, as with list execution.
        let late = known.is_some_and(|node| node.total == total && done < node.done && (node.done < node.total || done > 1));
        // A bar of one step says no more than start and end do.
        (open && !same && !late && total > 1).then(|| NodeProgress { node: node.clone(), done, total })
    }

    fn reported(&self, reports: &[NodeReport]) -> Vec<RunEvent> {
        let mut facts = Vec::new();
        let mut moves = Vec::new();
        let mut room = self.nodes().room();
        for report in reports {
            if !room.admits(&report.node) {
                continue;
            }
            let open = self.nodes().get(&report.node).is_none_or(|node| node.state.is_open());
            let parent = report.parent.as_ref();
            if report.finished && open {
                facts.push(NodeFinished { node: report.node.clone(), parent: parent.cloned() }.into());
            } else if !report.finished {
                facts.extend(self.newly_started(&report.node, parent));
                moves.extend(self.moved(&report.node, report.done, report.total));
            }
        }
        facts.extend(progressed(moves));
        facts
    }
}
