//! One turn of the engine: an input, the facts that it means, what follows from them, and the commands they ask for.

use std::collections::BTreeSet;

use crate::command::{Addressed, Outbox};
use crate::event::{NewEvent, Recorded};
use crate::id::{InstanceId, RunId, Seq};
use crate::input::{Input, NewRun, Refusal, Request};
use crate::time::Timestamp;

use super::{Engine, Fact};

/// What one input led to. The facts must be on disk before the commands go out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The recorded facts, in order.
    pub facts: Vec<Fact>,
    /// What is to be done.
    pub commands: Vec<Addressed>,
}

impl Engine {
    /// Decides, applies and follows up until nothing more is due.
    ///
    /// # Errors
    /// If a request cannot be granted; nothing has changed then.
    ///
    /// # Panics
    /// If `decide` says what `apply` cannot take: a fault of the engine, tested against.
    #[expect(clippy::needless_pass_by_value, reason = "an input is used up by its turn")]
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<Step, Refusal> {
        // Recorded time never goes back, whatever the wall clock does.
        let now = now.max(self.last);
        let mut step = Step::default();
        let mut touched = Touched::default();
        let facts = self.decide(now, &input)?;
        // Also where nothing is recorded: a wake-up that was kept must not be asked for again.
        self.last = now;
        touched.note(self, &input, &facts);
        self.take(now, facts, &mut step);
        while let Some(facts) = self.follow_up(now, &mut touched) {
            touched.extend(&facts);
            self.take(now, facts, &mut step);
        }
        Ok(step)
    }

    /// Creates several runs in one turn, or none of them.
    ///
    /// # Errors
    /// If one cannot be created beside the others; nothing has changed then.
    ///
    /// # Panics
    /// As [`Engine::handle`] does.
    pub fn create_all(&mut self, now: Timestamp, runs: Vec<NewRun>) -> Result<Step, Refusal> {
        self.check_new(&runs)?;
        let mut all = Step::default();
        for NewRun { id, spec, blobs } in runs {
            let create = Input::Request(id, Request::Create { spec, blobs });
            let step = self.handle(now, create).expect("it was checked, and the ones before it leave room");
            all.facts.extend(step.facts);
            all.commands.extend(step.commands);
        }
        Ok(all)
    }

    /// Gives each fact its place, folds it and keeps it.
    fn take(&mut self, now: Timestamp, facts: Vec<NewEvent>, step: &mut Step) {
        let mut outbox = Outbox::new();
        for fact in facts {
            let fact = match fact {
                NewEvent::Run(id, event) => {
                    let seq = self.runs.get(&id).map_or(Seq(1), |run| run.seq().next());
                    Fact::Run(id, Recorded { seq, at: now, event })
                }
                NewEvent::Instance(id, event) => {
                    let seq = self.instances.get(&id).map_or(Seq(1), |instance| instance.seq().next());
                    Fact::Instance(id, Recorded { seq, at: now, event })
                }
            };
            self.apply(&fact, &mut outbox).expect("apply takes what decide says (a standing property)");
            step.facts.push(fact);
        }
        step.commands.extend(outbox.take());
    }

    fn follow_up(&self, now: Timestamp, touched: &mut Touched) -> Option<Vec<NewEvent>> {
        while let Some(id) = touched.runs.first().copied() {
            let due = self.runs.get(&id).map(|run| run.decide_due(self.around(now, run))).unwrap_or_default();
            if !due.is_empty() {
                return Some(due.into_iter().map(|fact| NewEvent::Run(id, fact)).collect());
            }
            touched.runs.remove(&id);
            touched.tidied.insert(id);
        }
        if std::mem::take(&mut touched.slots) && !(self.waiting.is_empty() && self.staged.is_empty()) {
            // A slot that one run frees can be any other's, as one limit is over all instances.
            touched.instances.extend(self.instances.keys().cloned());
        }
        while let Some(instance) = touched.instances.first().cloned() {
            if let Some(fact) = self.next_on(now, &instance) {
                return Some(vec![fact]);
            }
            touched.instances.remove(&instance);
        }
        // Last, as a run that has just got a slot may use the same files.
        while let Some(id) = touched.tidied.pop_first() {
            if let Some(fact) = self.runs.get(&id).and_then(|run| self.removal_due(now, run)) {
                return Some(vec![NewEvent::Run(id, fact)]);
            }
        }
        None
    }

    /// When [`Input::Deadline`] has to be said, at the latest.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.runs.values().filter_map(|run| run.next_deadline(self.around(self.last, run))).min()
    }
}

/// Whom a turn may have changed, and who must be asked what is due.
#[derive(Default)]
struct Touched {
    runs: BTreeSet<RunId>,
    instances: BTreeSet<InstanceId>,
    /// Runs for which nothing else is due, so that what they uploaded may go.
    tidied: BTreeSet<RunId>,
    /// Whether a run changed, so that a slot may be free or asked for.
    slots: bool,
}

impl Touched {
    fn note(&mut self, engine: &Engine, input: &Input, facts: &[NewEvent]) {
        match input {
            Input::Deadline | Input::Restarted => {
                self.runs.extend(engine.runs.keys());
                self.instances.extend(engine.instances.keys().cloned());
            }
            // The way there decides what is due for all runs of the instance.
            Input::Link(instance, _) => {
                self.runs.extend(engine.runs.values().filter(|run| run.instance() == instance).map(crate::run::Run::id));
                self.instances.insert(instance.clone());
            }
            Input::CaughtUp(runs) => self.runs.extend(runs),
            Input::Reconciled(run, _) | Input::TwinSeen(run) | Input::Request(run, _) | Input::Repaired(run, _) => {
                self.runs.insert(*run);
            }
            Input::AddInstance { .. }
            | Input::SetInstance { .. }
            | Input::RemoveInstance { .. }
            | Input::TrustHostKey { .. }
            | Input::Observed(..)
            | Input::Outcome(..) => {}
        }
        self.extend(facts);
    }

    fn extend(&mut self, facts: &[NewEvent]) {
        for fact in facts {
            match fact {
                NewEvent::Run(run, _) => {
                    self.runs.insert(*run);
                    self.slots = true;
                }
                NewEvent::Instance(instance, _) => drop(self.instances.insert(instance.clone())),
            }
        }
    }
}
