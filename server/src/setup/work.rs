//! The loop that drives generic workflows: decide, write, fold, show, and call the runners that the fold asks for.
//!
//! Invariants: memory changes only after the log has; what a runner saw and the log did not take is kept and written later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::env::Clock;
use comfyd_engine::journal::envelope::Body;
use comfyd_engine::{
    Recorded, Seq, Setup, SetupCreated, SetupEvent, SetupId, SetupInput, StepEnding, StepError, StreamId, SyncClass, Timestamp,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handle::{Ask, AskError, Message, SetupInbox, Setups, Started};
use super::recover::{recall, surplus};
use super::runner::{Reporter, Runners, StepCall, Told, Working};
use crate::store::{Append, AppendError, Class, FileStore, Sync};

/// Open workflows; each costs a task and some memory.
const MAX_OPEN: usize = 100;
/// A step's reports are recorded no more often than this.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long after a failed write it is tried again; doubled with each failure.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_mins(1);
/// The loop looks at the clock at least so often.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// What the loop is made of.
pub(crate) struct SetupParts {
    pub(crate) recovered: Vec<Setup>,
    pub(crate) store: Arc<FileStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runners: Runners,
    pub(crate) handle: Setups,
    pub(crate) inbox: SetupInbox,
}

/// The loop.
pub(crate) struct SetupLoop {
    setups: BTreeMap<SetupId, Setup>,
    at_work: BTreeMap<SetupId, AtWork>,
    store: Arc<FileStore>,
    clock: Arc<dyn Clock>,
    runners: Runners,
    said: mpsc::Sender<Message>,
    inbox: SetupInbox,
    tasks: JoinSet<()>,
    /// What could not be written yet.
    owed: VecDeque<(SetupId, SetupInput)>,
    again_at: Option<tokio::time::Instant>,
    again_after: Duration,
    /// Whether it goes on with what earlier processes began.
    waking: bool,
}

/// A step whose runner has been called.
struct AtWork {
    step: usize,
    attempt: u32,
    stop: CancellationToken,
}

impl SetupLoop {
    pub(crate) fn new(parts: SetupParts) -> Self {
        let SetupParts { recovered, store, clock, runners, handle, inbox } = parts;
        for setup in &recovered {
            inbox.shown.publish(setup);
        }
        Self {
            setups: recovered.into_iter().map(|setup| (setup.id().clone(), setup)).collect(),
            at_work: BTreeMap::new(),
            store,
            clock,
            runners,
            said: handle.asks,
            inbox,
            tasks: JoinSet::new(),
            owed: VecDeque::new(),
            again_at: None,
            again_after: AGAIN,
            waking: true,
        }
    }

    /// Works until `stop` is cancelled. Steps in progress are left as they are and go on after the next start.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        for id in self.setups.keys().cloned().collect::<Vec<_>>() {
            self.pursue(&id);
        }
        self.waking = false;
        loop {
            let sleep = tokio::time::sleep(self.sleep_for());
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = self.inbox.inbox.recv() => message,
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Some(Err(error)) = ended {
                        tracing::error!(%error, "runner of a step died");
                    }
                    continue;
                }
                () = sleep => None,
            };
            match message {
                Some(Message::Ask { id, ask, reply }) => {
                    let answer = self.grant(&id, ask).await;
                    // The caller may have gone; what it asked for is done all the same.
                    let _ = reply.send(answer);
                    self.pursue(&id);
                    self.let_go();
                }
                Some(Message::Said { id, input }) => {
                    self.observe(id, input).await;
                    self.let_go();
                }
                None => self.time_passes().await,
            }
        }
        self.inbox.inbox.close();
        self.tasks.shutdown().await;
    }

    fn sleep_for(&self) -> Duration {
        let now = self.clock.now();
        let due = self.setups.values().filter(|setup| !self.waits(setup.id())).filter_map(Setup::next_deadline).min();
        let due = due.map(|at| Duration::from_millis(at.since(now).max(1)));
        let again = self.again_at.map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
        due.into_iter().chain(again).min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    /// Whether something of a workflow is still to be written: then nothing new begins.
    fn waits(&self, id: &SetupId) -> bool {
        self.owed.iter().any(|(owed, _)| owed == id) || self.aside(id).is_some()
    }

    /// Why the log of a workflow cannot be used; then nothing is done for it.
    fn aside(&self, id: &SetupId) -> Option<String> {
        self.store.quarantined(&StreamId::Setup(id.clone()))
    }

    /// Old ones that are over leave memory; their logs stay.
    fn let_go(&mut self) {
        while let Some(id) = surplus(&self.setups) {
            self.setups.remove(&id);
            self.inbox.shown.forget(&id);
        }
    }

    async fn time_passes(&mut self) {
        if self.again_at.is_some_and(|at| at <= tokio::time::Instant::now()) {
            self.again_at = None;
            for (id, input) in std::mem::take(&mut self.owed) {
                self.observe(id, input).await;
            }
        }
        let now = self.clock.now();
        let due = |setup: &&Setup| setup.next_deadline().is_some_and(|at| at <= now) && !self.waits(setup.id());
        let due: Vec<SetupId> = self.setups.values().filter(due).map(|setup| setup.id().clone()).collect();
        for id in due {
            self.observe(id, SetupInput::Deadline).await;
        }
    }

    async fn grant(&mut self, id: &SetupId, ask: Ask) -> Result<Started, AskError> {
        if let Some(why) = self.aside(id) {
            return Err(AskError::Aside(why));
        }
        if !self.setups.contains_key(id)
            && let Some(setup) = recall(&self.store, id).await?
        {
            self.setups.insert(id.clone(), setup);
        }
        let mut fresh = true;
        match (ask, self.setups.get(id)) {
            (Ask::Start(created), None) => self.create(id, created.into()).await?,
            (Ask::Import(file), None) => self.create(id, (*file).into()).await?,
            (Ask::Start(created), Some(known)) if is_same(known, &created) => fresh = false,
            (Ask::Start(_), Some(_)) => return Err(AskError::Exists),
            (Ask::Import(file), Some(known)) => {
                let events = known.decide(self.clock.now(), SetupInput::Import(file))?;
                self.record(id, events).await?;
            }
            (Ask::Do(input), Some(known)) => {
                let events = known.decide(self.clock.now(), input)?;
                self.record(id, events).await?;
            }
            (Ask::Do(_), None) => return Err(AskError::Unknown),
        }
        let setup = self.setups.get(id).ok_or(AskError::Unknown)?;
        Ok(Started { setup: Arc::new(setup.clone()), fresh })
    }

    async fn create(&mut self, id: &SetupId, event: SetupEvent) -> Result<(), AskError> {
        let open = self.setups.values().filter(|setup| !setup.phase().is_over() && self.aside(setup.id()).is_none()).count();
        if open >= MAX_OPEN {
            return Err(AskError::TooMany(open));
        }
        let recorded = Recorded { seq: Seq(1), at: self.clock.now(), event };
        let setup = Setup::created(id.clone(), &recorded).map_err(|error| AskError::Aside(error.to_string()))?;
        self.write(id, Seq(0), std::slice::from_ref(&recorded)).await?;
        self.inbox.shown.publish(&setup);
        self.setups.insert(id.clone(), setup);
        Ok(())
    }

    /// Takes in what is no request. What the log does not take is kept.
    async fn observe(&mut self, id: SetupId, input: SetupInput) {
        let Some(setup) = self.setups.get(&id).filter(|_| self.aside(&id).is_none()) else { return };
        // What stands behind something unwritten waits too.
        if self.owed.iter().any(|(owed, _)| *owed == id) && input != SetupInput::Deadline {
            if matches!(input, SetupInput::Report { .. }) {
                return;
            }
            self.owed.push_back((id, input));
            return;
        }
        let events = match setup.decide(self.clock.now(), input.clone()) {
            Ok(events) => events,
            Err(refusal) => return tracing::error!(setup = %id, %refusal, "observation refused"),
        };
        if let Err(error) = self.record(&id, events).await {
            tracing::error!(setup = %id, %error, "workflow not written");
            // How far a step is may be left out; how it ends may not, and must not wait behind it.
            if matches!(input, SetupInput::Report { .. }) {
                return;
            }
            if error.refused().is_some() {
                // This log takes nothing any more: the step is left to itself, and nothing is claimed about it.
                self.at_work.remove(&id);
                self.store.quarantine(&StreamId::Setup(id.clone()), error.to_string());
                if let Some(setup) = self.setups.get(&id) {
                    self.inbox.shown.publish(setup);
                }
                return;
            }
            self.owed.push_back((id, input));
            self.again_at = Some(tokio::time::Instant::now() + self.again_after);
            self.again_after = (self.again_after * 2).min(AGAIN_MAX);
            return;
        }
        self.pursue(&id);
    }

    /// Log before act: writes facts, folds them, shows the result.
    async fn record(&mut self, id: &SetupId, events: Vec<SetupEvent>) -> Result<(), AppendError> {
        let Some(setup) = self.setups.get(id).filter(|_| !events.is_empty()) else { return Ok(()) };
        let (last, at) = (setup.seq(), self.clock.now().max(setup.recorded()));
        let place = |n: usize| Seq(last.0 + 1 + n as u64);
        let recorded: Vec<_> = events.into_iter().enumerate().map(|(n, event)| Recorded { seq: place(n), at, event }).collect();
        let mut next = setup.clone();
        for fact in &recorded {
            if let Err(error) = next.apply(fact) {
                // A mistake of this program; better no fact than one that cannot be folded.
                tracing::error!(setup = %id, %error, "fact not taken");
                return Ok(());
            }
        }
        self.write(id, last, &recorded).await?;
        self.again_after = AGAIN;
        self.inbox.shown.publish(&next);
        self.setups.insert(id.clone(), next);
        Ok(())
    }

    async fn write(&self, id: &SetupId, expected: Seq, recorded: &[Recorded<SetupEvent>]) -> Result<(), AppendError> {
        let payloads = recorded.iter().map(|fact| fact.event.encode(fact.at)).collect();
        let acknowledged = recorded.iter().any(|fact| fact.event.sync_class() == SyncClass::Ack);
        let sync = if acknowledged { Sync::Now } else { Sync::Lazy };
        let class = recorded.iter().map(|fact| class_of(&fact.event)).max().unwrap_or(Class::Ordinary);
        let append = Append { stream: StreamId::Setup(id.clone()), expected, payloads, class };
        self.store.append_all(vec![append], sync).await
    }

    /// Calls the runner of the step in progress, or tells it to stop.
    fn pursue(&mut self, id: &SetupId) {
        // What a damaged log tells of the last is not the last: its step may be done.
        let Some(setup) = self.setups.get(id).filter(|_| self.aside(id).is_none()) else { return };
        let Some((step, attempt)) = setup.in_progress() else {
            self.at_work.remove(id);
            return;
        };
        let known = self.at_work.get(id).is_some_and(|work| (work.step, work.attempt) == (step, attempt));
        if !known {
            let planned = &setup.steps()[step];
            let call = StepCall {
                setup: id.clone(),
                step,
                attempt,
                again: self.waking,
                began: planned.began().unwrap_or(Timestamp(0)),
                run: planned.run(),
                target: setup.target().clone(),
                plan: planned.plan().clone(),
            };
            let halt = CancellationToken::new();
            let (reporter, told) = Reporter::channel();
            let working = self.runners.run(call, reporter, halt.clone());
            let voice = Voice { id: id.clone(), step, attempt, said: self.said.clone() };
            self.tasks.spawn(voice.tell(working, told));
            self.at_work.insert(id.clone(), AtWork { step, attempt, stop: halt });
        }
        if setup.is_stopping()
            && let Some(work) = self.at_work.get(id)
        {
            work.stop.cancel();
        }
    }
}

fn is_same(known: &Setup, created: &SetupCreated) -> bool {
    let plans = known.steps().iter().map(comfyd_engine::SetupStep::plan);
    let imported = matches!(known.phase(), comfyd_engine::SetupPhase::Imported(_));
    !imported && plans.eq(&created.steps) && *known.target() == created.target && known.step_delay_ms() == created.step_delay_ms
}

/// What may be spent on a fact when room is short.
fn class_of(event: &SetupEvent) -> Class {
    match event {
        SetupEvent::SetupStepEnded(_) | SetupEvent::SetupStopRequested(_) | SetupEvent::SetupStopped(_) => Class::MayUseReserve,
        SetupEvent::SetupStepRun(_) | SetupEvent::SetupResumed(_) | SetupEvent::SetupStepBegun(_) => Class::Acknowledged,
        SetupEvent::SetupCreated(_) | SetupEvent::SetupImported(_) | SetupEvent::SetupStepReported(_) => Class::Ordinary,
    }
}

/// Tells the loop what a step says.
struct Voice {
    id: SetupId,
    step: usize,
    attempt: u32,
    said: mpsc::Sender<Message>,
}

impl Voice {
    async fn tell(self, working: Working, mut told: watch::Receiver<Told>) {
        // On a task of its own, so that a runner that panics ends its step and nothing else.
        let mut working = JoinSet::from_iter([working]);
        let mut quiet_until: Option<tokio::time::Instant> = None;
        loop {
            let rest = async {
                match quiet_until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ended = working.join_next() => {
                    let ending = match ended {
                        Some(Ok(ending)) => ending,
                        Some(Err(error)) => StepEnding::Failed(died(&error.to_string())),
                        None => return,
                    };
                    let last = told.borrow_and_update().clone();
                    self.report(last).await;
                    return self.say(SetupInput::Ended { step: self.step, attempt: self.attempt, ending }).await;
                }
                () = rest, if quiet_until.is_some() => quiet_until = None,
                changed = told.changed(), if quiet_until.is_none() => {
                    let now = told.borrow_and_update().clone();
                    self.report(now).await;
                    // A runner that has let go of its reporter says nothing more.
                    let pause = if changed.is_ok() { REPORT_EVERY } else { LONGEST_SLEEP };
                    quiet_until = Some(tokio::time::Instant::now() + pause);
                }
            }
        }
    }

    async fn report(&self, told: Told) {
        let (step, attempt) = (self.step, self.attempt);
        let Told { run, tasks, note } = told;
        if let Some(run) = run {
            self.say(SetupInput::Made { step, attempt, run }).await;
        }
        self.say(SetupInput::Report { step, attempt, tasks, note }).await;
    }

    async fn say(&self, input: SetupInput) {
        // The loop has ended; what was seen is seen again after the next start.
        let _ = self.said.send(Message::Said { id: self.id.clone(), input }).await;
    }
}

fn died(why: &str) -> StepError {
    StepError {
        code: "internal".to_owned(),
        message: format!("the step was not finished: {why}"),
        hint: "Look at the server's log.".to_owned(),
    }
}
