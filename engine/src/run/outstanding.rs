//! What a folded run still waits for; asked once, after a restart.

use crate::command::{Addressed, Command, Outbox};
use crate::event::Produced;

use super::Run;
use super::inputs::InputsStage;
use super::outputs::Place;
use super::phase::{Phase, Staging};

impl Run {
    /// The commands whose results are still owed. Never a `Dispatch`: an intent without a result is looked up, not repeated.
    pub fn outstanding(&self) -> Vec<Addressed> {
        let mut outbox = Outbox::new();
        // Asked twice without a fact between, it gives the same names, so that a repeat is recognised.
        outbox.owed_since(self.id(), self.instance(), self.seq);
        self.say_phase(&mut outbox);
        for (output, place) in &self.ledger.outputs {
            if let (Produced::File(file), Place::Remote) = (&output.produced, place) {
                outbox.say(Command::Collect { n: output.n, file: file.clone() });
            }
        }
        if self.ledger.twins.owed {
            outbox.say(Command::DeleteTwin { prompt_id: self.ledger.prompt_id.clone() });
        }
        if self.owes_log() {
            outbox.say(Command::ReadLog {});
        }
        if self.ledger.inputs.stage == InputsStage::Removing {
            outbox.say(Command::RemoveInputs { files: self.ledger.inputs.files.clone() });
        }
        outbox.take()
    }

    fn say_phase(&self, outbox: &mut Outbox) {
        let prompt_id = self.ledger.prompt_id.clone();
        match &self.phase {
            Phase::Staging { progress: Staging::Busy } => self.ledger.say_stage(outbox),
            Phase::Pending { .. } if self.is_stopping() => outbox.say(Command::Dequeue { prompt_id }),
            Phase::Running if self.is_stopping() => {
                self.ledger.say_interrupt(self.ledger.stop.is_some_and(|stop| stop.force), outbox);
            }
            Phase::Submitting | Phase::InDoubt { .. } | Phase::Pending { .. } | Phase::Running => {
                outbox.say(Command::Reconcile { prompt_id });
            }
            Phase::Waiting { .. }
            | Phase::Staging { progress: Staging::Delayed(_) | Staging::Ready }
            | Phase::Collecting
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled => {}
        }
    }
}
