//! What people want.

use crate::event::{CancelRequested, ResubmitRequested, RunEvent};
use crate::input::{Force, Refusal};
use crate::run::{Phase, Run};

impl Run {
    pub(crate) fn decide_cancel(&self, force: Force) -> Result<Vec<RunEvent>, Refusal> {
        if self.phase.is_settled() {
            return Err(Refusal::AlreadySettled(self.id()));
        }
        let force = force == Force::Yes;
        // Asking twice is asking once, unless the second time is more serious.
        let asked = self.ledger.stop.is_some_and(|stop| stop.force || !force);
        if asked { Ok(vec![]) } else { Ok(vec![CancelRequested { force }.into()]) }
    }

    /// What is being removed at the moment soon is, so only a wait is cut short.
    pub(crate) fn decide_leave_inputs(&self) -> Vec<RunEvent> {
        let waits = self.owes_removal() && !self.is_removing();
        waits.then(|| self.leaves_inputs("the run was removed")).into_iter().collect()
    }

    pub(crate) fn decide_resubmit(&self) -> Result<Vec<RunEvent>, Refusal> {
        let Phase::InDoubt { .. } = self.phase else { return Err(Refusal::NotInDoubt(self.id())) };
        // Only after the search was given up: before that the prompt may well be there.
        // One that is to be stopped is looked for until it is proven absent.
        let given_up = self.attention().is_some_and(|attention| attention.kind.offers_resubmit());
        if given_up && !self.is_stopping() {
            Ok(vec![ResubmitRequested::default().into()])
        } else {
            Err(Refusal::NotInDoubt(self.id()))
        }
    }
}
