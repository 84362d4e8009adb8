//! Small things for tests and examples: names, a little graph, and a rig that drives an engine by hand.

use crate::comfy::ComfyEvent;
use crate::command::{Addressed, Command, Outbox};
use crate::engine::{Engine, Fact, Limits, Step};
use crate::event::{NodeProgress, NodesProgressed, PlannedNode, PromptSpec, RunEvent, RunSpec, Workload};
use crate::id::{ClientId, CommandId, InstanceId, NodeId, RunId, Seq, Sha256, StreamId};
use crate::input::{Input, LinkChange, Outcome, Refusal, Request};
use crate::journal::envelope::Body as _;
use crate::run::Run;
use crate::time::Timestamp;

/// A hash that stands for no bytes in particular.
pub fn sha256_of_zeros() -> Sha256 {
    "0".repeat(64).parse().expect("64 hex digits")
}

/// The `n`-th run; later ones sort after earlier ones.
pub fn run_id(n: u8) -> RunId {
    format!("0193a1b2-0000-7000-8000-0000000000{n:02x}").parse().expect("a lower-case UUID")
}

/// The instance of this name.
pub fn instance_id(name: &str) -> InstanceId {
    name.parse().expect("a good instance id")
}

/// A node that takes its inputs from `after`; its class is `Class<id>`.
pub fn planned_node(id: &str, after: &[&str]) -> PlannedNode {
    let after = after.iter().map(|id| NodeId::from(*id)).collect();
    PlannedNode { id: id.into(), class: format!("Class{id}"), title: None, after, expected_ms: None }
}

/// A prompt of three nodes in a row, `1 2 9`, whose output is `9`; nothing has to be staged.
pub fn small_prompt() -> PromptSpec {
    PromptSpec {
        graph: sha256_of_zeros(),
        nodes: vec![planned_node("1", &[]), planned_node("2", &["1"]), planned_node("9", &["2"])],
        outputs: Some(vec!["9".into()]),
        uploads: vec![],
        canvas: None,
        notes: vec![],
    }
}

/// A run of [`small_prompt`] on this instance.
pub fn small_run(instance: &str) -> RunSpec {
    RunSpec::new("small", instance_id(instance), Workload::Prompt(small_prompt()))
}

/// An engine with a clock in the hand, the log of its facts and the list of what it said.
///
/// ```
/// # use comfyd_engine::{*, testkit::*};
/// let mut rig = Rig::new(Limits::default());
/// rig.online("gpu-a");
/// let spec = Box::new(small_run("gpu-a"));
/// rig.say(Input::Request(run_id(1), Request::Create { spec, blobs: vec![] }))?;
/// assert_eq!(rig.run(run_id(1)).phase().as_str(), "submitting");
/// assert_eq!(rig.refolded().run(run_id(1)), rig.engine().run(run_id(1)));   // the log says all
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rig {
    engine: Engine,
    now: Timestamp,
    log: Vec<Fact>,
    said: Vec<Addressed>,
}

impl Rig {
    /// A rig whose clock stands at a minute past the epoch.
    pub fn new(limits: Limits) -> Self {
        Self { engine: Engine::new(limits), now: Timestamp(60_000), log: Vec::new(), said: Vec::new() }
    }

    /// Makes an instance known and reachable.
    pub fn online(&mut self, name: &str) {
        let instance = instance_id(name);
        let client = ClientId(format!("client-{name}"));
        let url = format!("http://{name}:8188");
        let up = LinkChange::Up { version: None, live: true, process: None };
        self.say(Input::AddInstance { instance: instance.clone(), client, url }).expect("only requests are refused");
        self.say(Input::Link(instance, up)).expect("only requests are refused");
    }

    /// One turn of the engine.
    ///
    /// # Errors
    /// If a request cannot be granted.
    pub fn say(&mut self, input: Input) -> Result<Step, Refusal> {
        let step = self.engine.handle(self.now, input)?;
        self.log.extend(step.facts.iter().cloned());
        self.said.extend(step.commands.iter().cloned());
        Ok(step)
    }

    /// Lets time pass, unseen by the engine.
    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// Sets the wall clock back.
    pub fn set_back_ms(&mut self, ms: u64) {
        self.now = Timestamp(self.now.0.saturating_sub(ms));
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A run that must be there.
    pub fn run(&self, id: RunId) -> &Run {
        self.engine.run(id).expect("the run is open")
    }

    /// Every fact so far.
    pub fn log(&self) -> &[Fact] {
        &self.log
    }

    /// Every command so far.
    pub fn said(&self) -> &[Addressed] {
        &self.said
    }

    /// The name of the newest `Dispatch` of a run.
    pub fn newest_dispatch(&self, run: RunId) -> Option<CommandId> {
        let posts = self.said.iter().rev().filter(|said| matches!(said.command, Command::Dispatch { .. }));
        posts.map(|said| &said.id).find(|id| id.stream == StreamId::Run(run)).cloned()
    }

    /// A second engine, folded from the log in silence.
    pub fn refolded(&self) -> Engine {
        let mut engine = Engine::new(self.engine.limits().clone());
        let mut silence = Outbox::muted();
        for fact in &self.log {
            engine.apply(fact, &mut silence).expect("a log that was written can be folded");
        }
        engine
    }

    /// Ends comfyd without warning and starts it again from the log; gives what is then asked for.
    pub fn crash(&mut self) -> Vec<Addressed> {
        let folded = self.refolded();
        let mut engine = Engine::new(folded.limits().clone());
        folded.instances().for_each(|instance| engine.adopt_instance(instance.clone()));
        folded.runs().for_each(|run| engine.adopt(run.clone()));
        self.engine = engine;
        let owed = self.engine.outstanding();
        self.say(Input::Restarted).expect("only requests are refused");
        owed
    }
}

/// The log of a run whose sampler told of one step after the other, `each` milliseconds apart: so many records.
///
/// # Panics
/// If the engine refuses what is told here.
pub fn progressing(run: RunId, records: u32, each: u64) -> Vec<(Seq, Vec<u8>)> {
    let gpu = instance_id("gpu");
    let mut engine = Engine::new(Limits::default());
    let mut log: Vec<(Seq, Vec<u8>)> = Vec::new();
    let mut say = |input: Input| {
        let step = engine.handle(Timestamp(1000), input).expect("nothing is refused");
        log.extend(step.facts.into_iter().filter_map(|fact| match fact {
            Fact::Run(_, recorded) => Some((recorded.seq, recorded.event.encode(recorded.at))),
            Fact::Instance(..) => None,
        }));
        step.commands
    };
    say(Input::AddInstance { instance: gpu.clone(), client: ClientId("test".into()), url: "http://127.0.0.1:8188".to_owned() });
    say(Input::Link(gpu.clone(), LinkChange::Up { version: None, live: true, process: None }));
    let spec = Box::new(RunSpec::new("long", gpu.clone(), Workload::Prompt(small_prompt())));
    let commands = say(Input::Request(run, Request::Create { spec, blobs: vec![] }));
    let accepted = Outcome::Accepted { prompt_id: run.into(), problems: vec![], refused: vec![] };
    say(Input::Outcome(commands[0].id.clone(), accepted));
    say(Input::Observed(gpu, ComfyEvent::Started { prompt: run.into() }));
    while let Some((last, _)) = log.last().filter(|(last, _)| last.0 < u64::from(records)) {
        let done = u32::try_from(last.0).expect("few records");
        let event =
            RunEvent::NodesProgressed(NodesProgressed { nodes: vec![NodeProgress { node: "2".into(), done, total: records }] });
        log.push((last.next(), event.encode(Timestamp(1000 + each * last.0))));
    }
    log
}
