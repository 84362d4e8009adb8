//! What waits to be told to the engine: reading the socket never waits for it.
//!
//! Invariants: what changes a state goes in order and at once; of progress and texts only the newest is kept, and passes at most ten times a
//! second per prompt; observations are bounded; what the link itself says is bounded too, and dropped only for what says more.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use comfyd_engine::{ComfyEvent, Input, InstanceId, LinkChange, NodeId, NodeReport, PromptId, RemoteStatus, Timestamp};

/// How many observations may wait: some thousand nodes' worth; more means that the engine stands still (architecture.md 11).
const MAX_WAITING: usize = 1_024;
/// How many prompts' progress is followed; only one runs at a time.
const MAX_PROMPTS: usize = 256;
/// How many nodes' texts or bars of one kind are kept.
const MAX_NODES: usize = 1_024;
/// How many changes of the way may wait; of more, those go that a newer one of their kind replaces.
const MAX_CHANGES: usize = 64;
/// How many nodes' last texts pass at an end.
const LAST_TEXTS: usize = 16;
/// How often they do at most: a prompt ends once.
const LAST_TEXTS_EVERY_MS: u64 = 1_000;
/// At most ten forwards a second.
const EVERY_MS: u64 = 100;

/// More came than may wait: the socket is to be given up, and queue and history asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// The waiting inputs of one instance.
#[derive(Debug)]
pub(super) struct Mailbox {
    instance: InstanceId,
    queue: VecDeque<Input>,
    observed: usize,
    bars: BTreeMap<Option<PromptId>, Bar>,
    texts: BTreeMap<NodeId, String>,
    /// Whose text passed last, as the next one's turn is then.
    texted: Option<NodeId>,
    text_gate: Gate,
    last_texts: Option<Timestamp>,
}

/// Opens ten times a second at most.
#[derive(Debug, Default)]
struct Gate(Option<Timestamp>);

impl Gate {
    fn opens_at(&self) -> Timestamp {
        self.0.map_or(Timestamp(0), |last| last.plus_ms(EVERY_MS))
    }

    fn passed(&mut self, now: Timestamp) {
        self.0 = Some(now);
    }
}

/// The progress of one prompt.
#[derive(Debug)]
struct Bar {
    /// Every node of the newest `progress_state`, and whether it had ended.
    states: Vec<(NodeId, bool)>,
    /// The newest `progress_state`, if it changed figures only.
    whole: Option<Vec<NodeReport>>,
    /// The newest `progress` per node, from servers that send nothing else.
    single: BTreeMap<NodeId, (u32, u32)>,
    gate: Gate,
}

impl Bar {
    fn new() -> Self {
        Self { states: Vec::new(), whole: None, single: BTreeMap::new(), gate: Gate::default() }
    }

    fn is_news(&self, nodes: &[NodeReport]) -> bool {
        let same =
            |(report, (node, finished)): (&NodeReport, &(NodeId, bool))| report.node == *node && report.finished == *finished;
        nodes.len() != self.states.len() || !nodes.iter().zip(&self.states).all(same)
    }

    /// Remembers what is news. Most of it is known: nodes stay in their order, and one of them has changed.
    fn note_states(&mut self, nodes: &[NodeReport]) {
        self.states.truncate(nodes.len());
        for (state, report) in self.states.iter_mut().zip(nodes) {
            if state.0 != report.node {
                state.0 = report.node.clone();
            }
            state.1 = report.finished;
        }
        let known = self.states.len();
        self.states.extend(nodes[known..].iter().map(|report| (report.node.clone(), report.finished)));
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.single.is_empty()
    }

    /// The next of what is held back.
    fn take(&mut self, prompt: Option<&PromptId>) -> Option<ComfyEvent> {
        if let (Some(nodes), Some(prompt)) = (self.whole.take(), prompt) {
            return Some(ComfyEvent::ProgressReported { prompt: prompt.clone(), nodes });
        }
        let (node, (done, total)) = self.single.pop_first()?;
        Some(ComfyEvent::NodeProgressed { prompt: prompt.cloned(), node, done, total })
    }
}

impl Mailbox {
    pub(super) fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            queue: VecDeque::new(),
            observed: 0,
            bars: BTreeMap::new(),
            texts: BTreeMap::new(),
            texted: None,
            text_gate: Gate::default(),
            last_texts: None,
        }
    }

    /// Takes in what the link itself found out. While the engine stands still, the newest of a kind is enough.
    pub(super) fn say(&mut self, input: Input) {
        match &input {
            Input::Reconciled(run, status) => {
                let ended = matches!(status, RemoteStatus::Ended(_));
                let of_run = |waiting: &Input| match waiting {
                    Input::Reconciled(other, status) if other == run => Some(matches!(status, RemoteStatus::Ended(_))),
                    _ => None, // Says nothing of what was read for this run.
                };
                if let Some((at, has_ended)) =
                    self.queue.iter().enumerate().find_map(|(at, waiting)| Some((at, of_run(waiting)?)))
                {
                    // An end is told once; nothing later is more than that.
                    if has_ended && !ended {
                        return;
                    }
                    self.queue.remove(at);
                }
            }
            // It is seen again with each look.
            Input::TwinSeen(_) if self.queue.contains(&input) => return,
            Input::Link(..) => self.thin_changes(),
            _ => {} // The link says nothing else.
        }
        self.queue.push_back(input);
    }

    /// Makes room for another change of the way, if there are many.
    fn thin_changes(&mut self) {
        let kind = |input: &Input| match input {
            Input::Link(_, LinkChange::Up { .. }) => Some(0),
            Input::Link(_, LinkChange::Down { .. }) => Some(1),
            Input::Link(_, LinkChange::Restarted { .. }) => Some(2),
            Input::Link(_, LinkChange::Gap { .. }) => Some(3),
            _ => None, // No change of the way.
        };
        let changes: Vec<(usize, u8)> =
            self.queue.iter().enumerate().filter_map(|(at, input)| Some((at, kind(input)?))).collect();
        if changes.len() < MAX_CHANGES {
            return;
        }
        let older = changes.iter().enumerate().find(|(n, (_, kind))| changes[n + 1..].iter().any(|(_, later)| later == kind));
        if let Some((_, (at, _))) = older {
            self.queue.remove(*at);
        }
    }

    /// Takes in a frame.
    pub(super) fn observe(&mut self, now: Timestamp, event: ComfyEvent) -> Result<(), Overflow> {
        match event {
            ComfyEvent::ProgressReported { prompt, nodes } => self.progress(now, prompt, nodes),
            ComfyEvent::NodeProgressed { prompt, node, done, total } => {
                let bar = self.bar(prompt);
                // Whoever sends whole states sends each figure in them first.
                if bar.states.is_empty() && (bar.single.len() < MAX_NODES || bar.single.contains_key(&node)) {
                    bar.single.insert(node, (done, total));
                }
                Ok(())
            }
            ComfyEvent::NodeTexted { node, text } => {
                if self.texts.len() < MAX_NODES || self.texts.contains_key(&node) {
                    self.texts.insert(node, text);
                }
                Ok(())
            }
            ComfyEvent::QueueChanged { .. } => {
                if let Some(Input::Observed(_, last @ ComfyEvent::QueueChanged { .. })) = self.queue.back_mut() {
                    *last = event;
                    return Ok(());
                }
                self.enqueue(event)
            }
            ComfyEvent::Started { ref prompt } => {
                self.bars.remove(&Some(prompt.clone()));
                self.enqueue(event)
            }
            ComfyEvent::Ending { ref prompt } => {
                // The last figures stay in the record of a run that ended early.
                if let Some(mut bar) = self.bars.remove(&Some(prompt.clone())) {
                    while let Some(held) = bar.take(Some(prompt)) {
                        self.enqueue(held)?;
                    }
                }
                self.pass_last_texts(now)?;
                self.enqueue(event)
            }
            ComfyEvent::WentIdle { ref prompt } => {
                self.bars.remove(prompt);
                self.enqueue(event)
            }
            ComfyEvent::Cached { .. }
            | ComfyEvent::NodeStarted { .. }
            | ComfyEvent::NodeProduced { .. }
            | ComfyEvent::NodeBlocked { .. } => self.enqueue(event),
            // The engine has no use for it; the link counts them.
            ComfyEvent::Unknown { .. } => Ok(()),
        }
    }

    /// What nodes showed last stays in the record too.
    fn pass_last_texts(&mut self, now: Timestamp) -> Result<(), Overflow> {
        if self.last_texts.is_some_and(|last| now.since(last) < LAST_TEXTS_EVERY_MS) {
            return Ok(());
        }
        for _ in 0..LAST_TEXTS {
            let Some(event) = self.next_text() else { break };
            self.last_texts = Some(now);
            self.enqueue(event)?;
        }
        Ok(())
    }

    /// The text whose turn it is.
    fn next_text(&mut self) -> Option<ComfyEvent> {
        let after = self.texted.take().and_then(|last| self.texts.range((Excluded(last), Unbounded)).next());
        let node = after.or_else(|| self.texts.first_key_value()).map(|(node, _)| node.clone())?;
        let text = self.texts.remove(&node)?;
        self.texted = Some(node.clone());
        Some(ComfyEvent::NodeTexted { node, text })
    }

    fn progress(&mut self, now: Timestamp, prompt: PromptId, nodes: Vec<NodeReport>) -> Result<(), Overflow> {
        let bar = self.bar(Some(prompt.clone()));
        if !bar.is_news(&nodes) {
            bar.whole = Some(nodes);
            return Ok(());
        }
        bar.note_states(&nodes);
        // The new state holds all figures of those before it.
        bar.whole = None;
        bar.single.clear();
        bar.gate.passed(now);
        self.enqueue(ComfyEvent::ProgressReported { prompt, nodes })
    }

    fn bar(&mut self, prompt: Option<PromptId>) -> &mut Bar {
        if self.bars.len() >= MAX_PROMPTS && !self.bars.contains_key(&prompt) {
            self.bars.pop_first();
        }
        self.bars.entry(prompt).or_insert_with(Bar::new)
    }

    fn enqueue(&mut self, event: ComfyEvent) -> Result<(), Overflow> {
        if self.observed >= MAX_WAITING {
            return Err(Overflow);
        }
        self.observed += 1;
        self.queue.push_back(Input::Observed(self.instance.clone(), event));
        Ok(())
    }

    /// Drops what was observed, not what the link said.
    pub(super) fn drop_observations(&mut self) {
        self.queue.retain(|input| !matches!(input, Input::Observed(..)));
        self.observed = 0;
        self.bars.clear();
        self.texts.clear();
    }

    /// When [`pop`](Self::pop) will give something.
    pub(super) fn due(&self) -> Option<Timestamp> {
        if !self.queue.is_empty() {
            return Some(Timestamp(0));
        }
        let bars = self.bars.values().filter(|bar| !bar.is_empty()).map(|bar| bar.gate.opens_at());
        let texts = (!self.texts.is_empty()).then(|| self.text_gate.opens_at());
        bars.chain(texts).min()
    }

    /// The next input that may pass now.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Input> {
        if let Some(input) = self.queue.pop_front() {
            self.observed -= usize::from(matches!(input, Input::Observed(..)));
            return Some(input);
        }
        for (prompt, bar) in &mut self.bars {
            if bar.is_empty() || bar.gate.opens_at() > now {
                continue;
            }
            let event = bar.take(prompt.as_ref());
            if bar.is_empty() {
                bar.gate.passed(now);
            }
            if let Some(event) = event {
                return Some(Input::Observed(self.instance.clone(), event));
            }
        }
        if self.text_gate.opens_at() > now {
            return None;
        }
        let event = self.next_text()?;
        self.text_gate.passed(now);
        Some(Input::Observed(self.instance.clone(), event))
    }
}

#[cfg(test)]
mod tests;
