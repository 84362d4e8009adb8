//! What people want.

use crate::event::{CancelRequested, InstanceLogNoted, ResubmitRequested, RunEvent, TwinWatchEnded};
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

    /// It is to be removed. What is being removed of it at the moment soon is, and must not meet an upload: only a wait is cut short.
    pub(crate) fn decide_let_go(&self) -> Vec<RunEvent> {
        let waits = self.owes_removal() && !self.is_removing();
        let left = waits.then(|| self.leaves_inputs("the run was removed"));
        self.ends_watches().chain(left).collect()
    }

    /// The instance is another machine from now on, or none.
    pub(crate) fn decide_leave(&self) -> Vec<RunEvent> {
        let left = self.owes_removal().then(|| self.leaves_inputs("the instance was removed or is another machine now"));
        self.ends_watches().chain(left).collect()
    }

    /// Nothing more is asked of the instance about a run that has ended.
    fn ends_watches(&self) -> impl Iterator<Item = RunEvent> {
        let ended = self.phase.is_settled();
        let log = (ended && self.owes_log()).then(|| InstanceLogNoted { lines: vec![] }.into());
        let twin = (ended && self.watches_twin()).then(|| TwinWatchEnded {}.into());
        log.into_iter().chain(twin)
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
