//! The moves that several phases share.

use crate::command::{Command, Outbox};
use crate::event::{AttentionKind, OutputsRefused, Produced, RunError, RunEvent, SubmitIntended, Submitted, Workload};
use crate::id::Seq;
use crate::time::Timestamp;

use super::inputs::InputsStage;
use super::ledger::{Ledger, Missing, OUTPUTS_REFUSED};
use super::nodes::NodeState;
use super::outputs::Place;
use super::phase::Phase;

/// How long after it arrived a prompt that was posted again is looked for a second time (reliability.md 5 step 4).
const TWIN_WATCH_MS: u64 = 60_000;

impl Ledger {
    /// The one place that posts a prompt: its cause is a synced intent.
    pub(super) fn dispatching(&mut self, intent: &SubmitIntended, seq: Seq, outbox: &mut Outbox) -> Phase {
        outbox.say(Command::Dispatch {
            prompt: intent.prompt.clone(),
            prompt_id: intent.prompt_id.clone(),
            client: intent.client.clone(),
            attempt: intent.attempt,
            priority: self.spec.priority,
        });
        self.prompt_id = intent.prompt_id.clone();
        self.intent = Some(intent.clone());
        self.posted = Some(seq);
        self.missing = Missing::default();
        Phase::Submitting
    }

    /// The instance has it. A wish to stop that came meanwhile is acted on now.
    pub(super) fn arrived(&mut self, fact: &Submitted, at: Timestamp, outbox: &mut Outbox) -> Phase {
        self.prompt_id = fact.prompt_id.clone();
        self.submitted = self.submitted.or(Some(at));
        self.arrived = true;
        if self.twins.possible {
            self.twins.until = Some(at.plus_ms(TWIN_WATCH_MS));
        }
        self.clear(&[AttentionKind::SubmitUnknown, AttentionKind::RemoteRestarted, AttentionKind::SubmitDelayed]);
        if self.wants_stop() {
            outbox.say(Command::Dequeue { prompt_id: self.prompt_id.clone() });
        }
        Phase::Pending { position: None }
    }

    pub(super) fn say_stage(&self, outbox: &mut Outbox) {
        let prompt = self.prompt_spec();
        outbox.say(Command::Stage {
            graph: prompt.graph.clone(),
            uploads: prompt.uploads.clone(),
            outputs: prompt.outputs.clone(),
        });
    }

    /// Uploads may be there from here on.
    pub(super) fn begin_stage(&mut self, outbox: &mut Outbox) {
        let Workload::Prompt(prompt) = &self.spec.workload;
        self.inputs.begin(prompt);
        self.say_stage(outbox);
    }

    /// What becomes of uploads once nobody needs them.
    pub(super) fn move_inputs(&mut self, event: &RunEvent, outbox: &mut Outbox) {
        self.inputs.stage = match event {
            RunEvent::InputsRemovalIntended(intent) => {
                self.inputs.files.clone_from(&intent.files);
                outbox.say(Command::RemoveInputs { files: intent.files.clone() });
                InputsStage::Removing
            }
            RunEvent::InputsRemovalDelayed(delay) => InputsStage::Delayed(delay.retry_at),
            _ => InputsStage::Settled, // Only these two and the end of it are handed here.
        };
    }

    pub(super) fn say_interrupt(&self, force: bool, outbox: &mut Outbox) {
        outbox.say(Command::Interrupt { prompt_id: self.prompt_id.clone(), force });
    }

    pub(super) fn find_twin(&mut self, running: bool, at: Timestamp, outbox: &mut Outbox) {
        if running {
            self.twins.ran = true;
            let message = "The prompt was posted again after its first answer was lost, and ComfyUI had both: it ran twice.";
            self.warn("ran_twice", message.to_owned(), None);
        } else {
            self.twins.seen = Some(at);
            self.twins.owed = true;
            outbox.say(Command::DeleteTwin { prompt_id: self.prompt_id.clone() });
        }
    }

    pub(super) fn take_refusal(&mut self, refused: &OutputsRefused) {
        for problem in &refused.problems {
            let input = problem.input.as_ref().map(|input| format!(", input `{input}`")).unwrap_or_default();
            let message = format!("{} {}{input}: {}", problem.class, problem.node, problem.message);
            self.warn(OUTPUTS_REFUSED, message, Some(problem.node.clone()));
        }
        let planned = self.targets.clone().unwrap_or_else(|| self.nodes.guessed_outputs());
        self.nodes.refuse(&refused.outputs, &planned);
    }

    pub(super) fn settle_output(&mut self, n: u32, to: Place) {
        if let Some(place) = self.outputs.place(n) {
            *place = to;
        }
        let delayed = self.outputs.iter().any(|(_, place)| matches!(place, Place::Delayed { .. }));
        if !delayed {
            self.clear(&[AttentionKind::OutputDelayed]);
        }
    }

    pub(super) fn retry_output(&mut self, n: u32, outbox: &mut Outbox) {
        let file = self.outputs.get(n).and_then(|(output, _)| match &output.produced {
            Produced::File(file) => Some(file.clone()),
            Produced::Text { .. } => None,
        });
        if let (Some(file), Some(place)) = (file, self.outputs.place(n)) {
            *place = Place::Remote;
            outbox.say(Command::Collect { n, file });
        }
    }

    pub(super) fn end_badly(&mut self, error: &RunError, at: Timestamp) {
        if let Some(node) = &error.node_id {
            self.nodes.fail(node, &error.message, at);
        }
        self.nodes.close(NodeState::Interrupted, NodeState::NotReached, at);
        self.ended = Some(at);
        self.attention = None;
        self.error = Some(error.clone());
    }
}
