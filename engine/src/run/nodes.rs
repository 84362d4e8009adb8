//! The nodes of a run and how far each is.
//!
//! Invariants: a node only moves forward (waiting, running, then one ending); the part that is done never shrinks; nodes that a node made
//! stand under it and do not count.

use std::collections::BTreeMap;

use crate::event::{NodeProgress, PlannedNode};
use crate::id::NodeId;
use crate::time::Timestamp;

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Its turn has not come.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Done,
    /// Its result was there already.
    Cached,
    /// It raised an exception.
    Failed,
    /// Another node kept it from running.
    Blocked,
    /// It was stopped.
    Interrupted,
    /// The run ended before its turn, or it was not needed.
    NotReached,
}

impl NodeState {
    /// Whether it can still change.
    pub fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::Running => true,
            Self::Done | Self::Cached | Self::Failed | Self::Blocked | Self::Interrupted | Self::NotReached => false,
        }
    }

    /// Whether it counts as completed.
    pub fn is_complete(self) -> bool {
        match self {
            Self::Done | Self::Cached | Self::Blocked => true,
            Self::Waiting | Self::Running | Self::Failed | Self::Interrupted | Self::NotReached => false,
        }
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its class; empty for a node that was made at run time.
    pub class: String,
    /// Its title, where the workflow has one.
    pub title: Option<String>,
    /// The node that made it.
    pub parent: Option<NodeId>,
    /// Whether it can run at all and so counts: it is in the prompt and reaches an output.
    pub counts: bool,
    /// How far it is.
    pub state: NodeState,
    /// Steps done.
    pub done: u32,
    /// Steps in all; 0 before it says.
    pub total: u32,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The first step that was seen, for the step rate.
    pub first_step: Option<(u32, Timestamp)>,
    /// The newest step that was seen.
    pub last_step: Option<(u32, Timestamp)>,
    /// What it says, or what is wrong with it.
    pub text: Option<String>,
    /// How long its class took before.
    pub expected_ms: Option<u32>,
    after: Vec<NodeId>,
}

impl Node {
    fn planned(plan: &PlannedNode) -> Self {
        Self {
            id: plan.id.clone(),
            class: plan.class.clone(),
            title: plan.title.clone(),
            parent: None,
            counts: true,
            state: NodeState::Waiting,
            done: 0,
            total: 0,
            started: None,
            ended: None,
            first_step: None,
            last_step: None,
            text: None,
            expected_ms: plan.expected_ms,
            after: plan.after.clone(),
        }
    }

    fn weight(&self) -> u64 {
        u64::from(self.expected_ms.unwrap_or(DEFAULT_WEIGHT).max(1))
    }

    /// How much of it is done, in thousandths.
    pub fn permille(&self) -> u32 {
        match self.state {
            NodeState::Done | NodeState::Cached | NodeState::Blocked => 1000,
            NodeState::Waiting | NodeState::NotReached => 0,
            NodeState::Running | NodeState::Failed | NodeState::Interrupted if self.total == 0 => 0,
            NodeState::Running | NodeState::Failed | NodeState::Interrupted => {
                let share = u64::from(self.done.min(self.total)) * 1000 / u64::from(self.total);
                u32::try_from(share).unwrap_or(1000).min(999)
            }
        }
    }
}

/// What a node weighs whose class was never timed, in milliseconds: a second, as nothing is known.
const DEFAULT_WEIGHT: u32 = 1000;

/// How many nodes that were made at run time a run takes in: a loop in a workflow makes them without end.
const MAX_MADE: usize = 5_000;
/// The longest id of such a node in bytes; each expansion inside of another adds to it.
const MAX_MADE_ID: usize = 1_024;

/// The room for nodes that are about to be made.
pub(crate) struct Room<'a> {
    nodes: &'a Nodes,
    left: usize,
}

impl Room<'_> {
    /// Whether a node is known or may be made; the latter takes its room.
    pub(crate) fn admits(&mut self, id: &NodeId) -> bool {
        if self.nodes.index.contains_key(id) {
            return true;
        }
        let fits = self.left > 0 && id.0.len() <= MAX_MADE_ID;
        self.left -= usize::from(fits);
        fits
    }
}

/// All nodes of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    list: Vec<Node>,
    /// How many of them are of the prompt; they come first.
    planned: usize,
    index: BTreeMap<NodeId, usize>,
    /// The best share seen so far, in thousandths; it never falls.
    permille: u32,
}

impl Nodes {
    /// The nodes of a plan; `outputs` tells which can run, without it the nodes that nothing consumes are taken for outputs.
    pub fn planned(plan: &[PlannedNode], outputs: Option<&[NodeId]>) -> Self {
        let mut nodes = Self { list: plan.iter().map(Node::planned).collect(), planned: plan.len(), ..Self::default() };
        nodes.index = nodes.list.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect();
        let sinks = nodes.sinks();
        nodes.aim(outputs.unwrap_or(&sinks));
        nodes
    }

    fn sinks(&self) -> Vec<NodeId> {
        let consumed: std::collections::BTreeSet<&NodeId> = self.list.iter().flat_map(|node| &node.after).collect();
        self.list.iter().filter(|node| !consumed.contains(&node.id)).map(|node| node.id.clone()).collect()
    }

    /// Counts exactly the nodes that these outputs need.
    pub(crate) fn aim(&mut self, outputs: &[NodeId]) {
        let mut reached = vec![false; self.list.len()];
        let mut open: Vec<usize> = outputs.iter().filter_map(|id| self.index.get(id).copied()).collect();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                open.extend(self.list[at].after.iter().filter_map(|id| self.index.get(id).copied()));
            }
        }
        for (node, reached) in self.list.iter_mut().zip(reached) {
            node.counts = reached && node.parent.is_none();
        }
    }

    /// Takes outputs away that the instance refused; `planned` are the outputs so far.
    pub(crate) fn refuse(&mut self, refused: &[NodeId], planned: &[NodeId]) {
        let kept: Vec<NodeId> = planned.iter().filter(|id| !refused.contains(id)).cloned().collect();
        self.aim(&kept);
    }

    /// All of them, those of the prompt first.
    pub fn iter(&self) -> std::slice::Iter<'_, Node> {
        self.list.iter()
    }

    /// The node of this id.
    pub fn get(&self, id: &NodeId) -> Option<&Node> {
        self.index.get(id).map(|at| &self.list[*at])
    }

    /// How many count.
    pub fn total(&self) -> usize {
        self.list.iter().filter(|node| node.counts).count()
    }

    /// How many of those are completed.
    pub fn completed(&self) -> usize {
        self.list.iter().filter(|node| node.counts && node.state.is_complete()).count()
    }

    /// The share that is done, in thousandths, below 1000 until the run is completed.
    pub fn permille(&self) -> u32 {
        self.permille
    }

    /// The outputs that nothing consumes, used where the instance could not be asked.
    pub fn guessed_outputs(&self) -> Vec<NodeId> {
        self.sinks()
    }

    /// The node that runs now, the one that began last.
    pub fn current(&self) -> Option<&Node> {
        let running = self.list.iter().filter(|node| node.state == NodeState::Running);
        running.max_by_key(|node| (node.started, node.parent.is_none(), &node.id))
    }

    /// The room for more nodes.
    pub(crate) fn room(&self) -> Room<'_> {
        Room { nodes: self, left: MAX_MADE.saturating_sub(self.list.len() - self.planned) }
    }

    /// The node of this id, made if need be; none if there is no room for it.
    fn entry(&mut self, id: &NodeId, parent: Option<&NodeId>) -> Option<&mut Node> {
        if !self.room().admits(id) {
            return None;
        }
        let at = *self.index.entry(id.clone()).or_insert_with(|| {
            let made = PlannedNode { id: id.clone(), class: String::new(), title: None, after: vec![], expected_ms: None };
            self.list.push(Node { parent: parent.cloned(), counts: false, ..Node::planned(&made) });
            self.list.len() - 1
        });
        let node = &mut self.list[at];
        // `executing` does not tell who made a node; the report that does may come later.
        if node.parent.is_none() && node.class.is_empty() {
            node.parent = parent.cloned();
        }
        Some(node)
    }

    pub(crate) fn start(&mut self, id: &NodeId, parent: Option<&NodeId>, at: Timestamp) {
        if let Some(node) = self.entry(id, parent).filter(|node| node.state == NodeState::Waiting) {
            node.state = NodeState::Running;
            node.started = Some(at);
        }
    }

    pub(crate) fn progress(&mut self, report: &NodeProgress, at: Timestamp) {
        let running = |node: &&mut Node| node.state == NodeState::Running;
        let Some(node) = self.entry(&report.node, None).filter(running) else { return };
        // A node that begins a new bar, as list execution does, also begins a new rate.
        if report.total != node.total || report.done < node.done || node.first_step.is_none() {
            node.first_step = Some((report.done, at));
        }
        (node.done, node.total) = (report.done, report.total);
        node.last_step = Some((report.done, at));
        self.settle_share();
    }

    pub(crate) fn text(&mut self, id: &NodeId, text: &str) {
        if let Some(node) = self.entry(id, None) {
            node.text = Some(text.to_owned());
        }
    }

    pub(crate) fn finish(&mut self, id: &NodeId, parent: Option<&NodeId>, at: Timestamp) {
        self.end(id, parent, NodeState::Done, at);
    }

    /// Cached wins over done: a visited cached node is reported as finished too.
    pub(crate) fn cache(&mut self, id: &NodeId, at: Timestamp) {
        let counts = |node: &&mut Node| node.state.is_open() || node.state == NodeState::Done;
        if let Some(node) = self.entry(id, None).filter(counts) {
            node.state = NodeState::Cached;
            node.ended = Some(at);
        }
        self.settle_share();
    }

    pub(crate) fn block(&mut self, id: &NodeId, message: &str, at: Timestamp) {
        self.text(id, message);
        self.end(id, None, NodeState::Blocked, at);
    }

    pub(crate) fn fail(&mut self, id: &NodeId, message: &str, at: Timestamp) {
        self.text(id, message);
        self.end(id, None, NodeState::Failed, at);
    }

    fn end(&mut self, id: &NodeId, parent: Option<&NodeId>, state: NodeState, at: Timestamp) {
        if let Some(node) = self.entry(id, parent).filter(|node| node.state.is_open()) {
            node.state = state;
            node.ended = Some(at);
        }
        self.settle_share();
    }

    /// Gives every open node its last state: `running` ones this, waiting ones `waiting`.
    pub(crate) fn close(&mut self, running: NodeState, waiting: NodeState, at: Timestamp) {
        for node in self.list.iter_mut().filter(|node| node.state.is_open()) {
            let last = if node.state == NodeState::Running { running } else { waiting };
            // A node of the prompt that cannot run never does, whatever became of the run.
            node.state =
                if last == NodeState::Done && !node.counts && node.parent.is_none() { NodeState::NotReached } else { last };
            if node.started.is_some() {
                node.ended = Some(at);
            }
        }
        self.settle_share();
    }

    pub(crate) fn complete(&mut self) {
        self.permille = 1000;
    }

    fn settle_share(&mut self) {
        let (mut done, mut all) = (0u64, 0u64);
        for node in self.list.iter().filter(|node| node.counts) {
            done += node.weight() * u64::from(node.permille());
            all += node.weight();
        }
        let share = done.checked_div(all).unwrap_or(0);
        self.permille = self.permille.max(u32::try_from(share).unwrap_or(999).min(999));
    }
}

impl<'a> IntoIterator for &'a Nodes {
    type Item = &'a Node;
    type IntoIter = std::slice::Iter<'a, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
