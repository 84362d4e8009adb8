//! All runs and instances together: routes inputs, keeps the limits, asks for wake-ups.
//!
//! Invariants: state changes only by `apply`; a run's capacity is judged from folded state, so a restart judges alike.

mod capacity;
mod decide;
mod handle;
mod inputs;
mod instances;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Addressed, Outbox};
use crate::event::{InstanceEvent, Recorded, RunEvent};
use crate::id::{InstanceId, PromptId, RunId, Seq, StreamId};
use crate::instance::Instance;
use crate::run::{Run, Surroundings, Unexpected};
use crate::time::Timestamp;

pub use handle::Step;
use standing::{Moves, Standing, holds_slot};

/// The limits that the engine keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many runs may be submitted or executed at a time, over all instances.
    pub max_concurrent: usize,
    /// How many runs may wait in an instance's own queue.
    pub submitted_ahead: usize,
    /// How many runs may be open.
    pub max_open: usize,
    /// How long a run may wait in the queue of an instance that runs nothing of ours.
    pub queue_timeout_ms: u64,
    /// How long a run may be executed.
    pub max_execution_ms: u64,
    /// Whether a prompt whose fate could not be learned is posted again without anybody asking.
    pub resubmit_unknown: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_concurrent: 3,
            submitted_ahead: 1,
            max_open: 10_000,
            queue_timeout_ms: 30 * 60_000,
            max_execution_ms: 24 * 3_600_000,
            resubmit_unknown: false,
        }
    }
}

/// A recorded fact of either kind of stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// Of a run.
    Run(RunId, Recorded<RunEvent>),
    /// Of an instance.
    Instance(InstanceId, Recorded<InstanceEvent>),
}

impl Fact {
    /// Its stream.
    pub fn stream(&self) -> StreamId {
        match self {
            Self::Run(run, _) => StreamId::Run(*run),
            Self::Instance(instance, _) => StreamId::Instance(instance.clone()),
        }
    }

    /// Its place in the stream.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Run(_, recorded) => recorded.seq,
            Self::Instance(_, recorded) => recorded.seq,
        }
    }
}

/// The pure core: every open run and every instance.
///
/// ```
/// use comfyd_engine::*;
/// # use std::str::FromStr;
/// let mut engine = Engine::new(Limits::default());
/// let gpu = InstanceId::from_str("gpu-a")?;
/// let now = Timestamp(1_000);
/// engine.handle(now, Input::AddInstance { instance: gpu.clone(), client: ClientId("us".into()), url: "http://127.0.0.1:8188".into() })?;
/// engine.handle(now, Input::Link(gpu.clone(), LinkChange::Up { version: None, live: true, process: None }))?;
///
/// let run: RunId = "0193a1b2-0000-7000-8000-000000abc123".parse()?;
/// let node = PlannedNode { id: "9".into(), class: "SaveImage".into(), title: None, after: vec![], expected_ms: None };
/// let graph = testkit::sha256_of_zeros();
/// let prompt = PromptSpec { graph, nodes: vec![node], outputs: Some(vec!["9".into()]), uploads: vec![], canvas: None, notes: vec![] };
/// let spec = Box::new(RunSpec::new("first", gpu.clone(), Workload::Prompt(prompt)));
/// let step = engine.handle(now, Input::Request(run, Request::Create { spec, blobs: vec![] }))?;
/// assert!(matches!(step.commands[0].command, Command::Dispatch { .. }));           // posted once the step is on disk
///
/// let answer = Outcome::Accepted { prompt_id: run.into(), problems: vec![], refused: vec![] };
/// engine.handle(now, Input::Outcome(step.commands[0].id.clone(), answer))?;
/// engine.handle(now, Input::Observed(gpu.clone(), ComfyEvent::Started { prompt: run.into() }))?;
/// assert_eq!(engine.run(run).map(|run| run.phase().as_str()), Some("running"));
///
/// let ending = Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] };
/// engine.handle(now, Input::Reconciled(run, RemoteStatus::Ended(Box::new(ending))))?;
/// assert_eq!(engine.run(run).map(|run| run.phase().as_str()), Some("completed"));  // no outputs to fetch
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    limits: Limits,
    runs: BTreeMap<RunId, Run>,
    instances: BTreeMap<InstanceId, Instance>,
    prompts: BTreeMap<InstanceId, BTreeMap<PromptId, RunId>>,
    /// Runs that wait for a slot.
    waiting: BTreeSet<RunId>,
    /// Runs that hold one and can be posted.
    staged: BTreeSet<RunId>,
    /// Runs that hold one, by instance.
    busy: BTreeMap<InstanceId, BTreeSet<RunId>>,
    /// Runs that an instance runs.
    running: BTreeMap<InstanceId, BTreeSet<RunId>>,
    /// When a run of ours last ceased to run on an instance.
    left: BTreeMap<InstanceId, Timestamp>,
    /// The latest time that was told, so that time never goes back.
    last: Timestamp,
    moves: Moves,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            runs: BTreeMap::new(),
            instances: BTreeMap::new(),
            prompts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            staged: BTreeSet::new(),
            busy: BTreeMap::new(),
            running: BTreeMap::new(),
            left: BTreeMap::new(),
            last: Timestamp(0),
            moves: Moves::default(),
        }
    }

    /// A figure that changes whenever a run comes, goes or takes another place in the queues, or an instance changes: as long as it stays,
    /// [`queue_positions`](Self::queue_positions), [`watched`](Self::watched) and the instances are what they were.
    pub fn moves(&self) -> u64 {
        self.moves.0
    }

    /// The run of this id, while it is open.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    /// All open runs.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// The instance of this id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id)
    }

    /// All instances.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Puts other limits in force. What follows from them is decided with the next input; no fold depends on them, so a replay needs none.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The runs that an instance may have, whose fate must be watched.
    pub fn watched(&self, instance: &InstanceId) -> Vec<(RunId, PromptId)> {
        let busy = self.busy.get(instance).into_iter().flatten();
        let runs = busy.filter_map(|id| self.runs.get(id)).filter(|run| run.is_watched());
        runs.map(|run| (run.id(), run.prompt_id().clone())).collect()
    }

    /// Everything that the folded state still waits for; asked once, after a restart. Never contains a `Dispatch`.
    pub fn outstanding(&self) -> Vec<Addressed> {
        self.runs.values().flat_map(Run::outstanding).collect()
    }

    /// Drops a run that has ended and owes nothing.
    pub fn retire(&mut self, id: RunId) -> Option<Run> {
        if !self.runs.get(&id).is_some_and(Run::is_over) {
            return None;
        }
        self.moves.0 += 1;
        self.runs.remove(&id)
    }

    /// Takes in a run that was folded elsewhere, as recovery does.
    pub fn adopt(&mut self, run: Run) {
        let id = run.id();
        self.last = self.last.max(run.updated_at());
        let before = self.runs.insert(id, run).map_or(Standing::default(), |old| Standing::of(&old));
        self.moves.0 += 1;
        self.index(id, before);
    }

    /// Takes in an instance that was folded elsewhere. Nothing is known of the way there.
    pub fn adopt_instance(&mut self, mut instance: Instance) {
        self.last = self.last.max(instance.updated_at());
        instance.forget_reach();
        self.moves.0 += 1;
        self.instances.insert(instance.id().clone(), instance);
    }

    /// Takes in an instance that was folded again, keeping what `known` tells of the way there: no start lies between.
    pub fn adopt_instance_as(&mut self, mut instance: Instance, known: &Instance) {
        self.last = self.last.max(instance.updated_at());
        instance.remember_reach(known);
        self.moves.0 += 1;
        self.instances.insert(instance.id().clone(), instance);
    }

    /// Takes over what another copy knows beside its folded state: when runs last left their instances.
    pub fn remember(&mut self, known: &Self) {
        self.left.clone_from(&known.left);
        self.last = self.last.max(known.last);
    }

    /// The newest time that was recorded or told; no input is dated before it.
    pub fn newest(&self) -> Timestamp {
        self.last
    }

    /// Folds a fact. Commands go to the outbox.
    ///
    /// # Errors
    /// If the fact cannot follow what is known.
    pub fn apply(&mut self, fact: &Fact, outbox: &mut Outbox) -> Result<(), Unexpected> {
        match fact {
            Fact::Run(id, recorded) => {
                if let Some(run) = self.runs.get_mut(id) {
                    let before = Standing::of(run);
                    let route = renames(&recorded.event).then(|| (run.instance().clone(), run.prompt_id().clone()));
                    run.apply(recorded, outbox)?;
                    let after = Standing::of(run);
                    if before.running && !after.running {
                        self.left.insert(run.instance().clone(), recorded.at);
                    }
                    if let Some((instance, prompt)) = &route {
                        self.unroute(instance, prompt, *id);
                    }
                    // Most facts are of nodes and move no run.
                    if before != after || route.is_some() {
                        self.index(*id, before);
                    } else if matches!(recorded.event, RunEvent::QueueMoved(_)) {
                        self.moves.0 += 1;
                    }
                } else {
                    self.runs.insert(*id, Run::created(*id, recorded)?);
                    self.index(*id, Standing::default());
                }
                self.last = self.last.max(recorded.at);
            }
            Fact::Instance(id, recorded) => {
                match self.instances.get_mut(id) {
                    Some(instance) => instance.apply(recorded)?,
                    None => drop(self.instances.insert(id.clone(), Instance::added(id.clone(), recorded)?)),
                }
                self.moves.0 += 1;
                self.last = self.last.max(recorded.at);
            }
        }
        Ok(())
    }

    fn around<'a>(&'a self, now: Timestamp, run: &Run) -> Surroundings<'a> {
        let instance = self.instances.get(run.instance());
        let online = instance.is_some_and(Instance::is_online);
        let busy = self.running.contains_key(run.instance());
        let since = instance.and_then(|instance| match instance.reach() {
            crate::instance::Reach::Online { since, .. } => Some(*since),
            crate::instance::Reach::Offline { .. } => None,
        });
        let idle_since = if busy { None } else { since.max(self.left.get(run.instance()).copied()).filter(|_| online) };
        Surroundings { now, limits: &self.limits, online, boot: instance.map_or(0, Instance::boot), idle_since }
    }
}

/// Whether the instance may know the prompt under another id from here on.
fn renames(event: &RunEvent) -> bool {
    matches!(event, RunEvent::SubmitIntended(_) | RunEvent::Submitted(_))
}
