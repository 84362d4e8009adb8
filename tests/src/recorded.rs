//! Recorded sessions as inputs of the engine: what a server really said, folded.

use std::collections::BTreeMap;

use comfyd_adapters::comfy::parse::{self, Incoming};
use comfyd_adapters::comfy::queue::Queue;
use comfyd_adapters::comfy::{history, refusal};
use comfyd_adapters::workflow::Graph;
use comfyd_engine::{
    ClientId, Command, CommandId, Engine, Fact, Input, InstanceId, Limits, LinkChange, Outbox, Outcome, PromptId, PromptSpec,
    RemoteStatus, Request, Run, RunId, RunSpec, RunView, SavedFile, Sha256, Step, Timestamp, Workload, testkit,
};
use comfyd_fixtures::traces::{Channel, Direction, Trace};
use serde_json::Value;

/// A trace being folded.
pub struct Folding {
    /// The engine after what was fed so far.
    pub engine: Engine,
    /// Every fact, in order.
    pub facts: Vec<Fact>,
    /// The names of all commands, in order.
    pub commands: Vec<String>,
    /// The runs, in the order of their posts.
    pub runs: Vec<RunId>,
    instance: InstanceId,
    now: Timestamp,
    posts: BTreeMap<u64, RunId>,
    dispatches: BTreeMap<u64, CommandId>,
}

/// What a trace holds for the engine, in the order of recording.
#[derive(Clone, Debug)]
pub enum Told {
    /// A prompt was sent, and will be accepted under this id.
    Post {
        /// Pairs it with its answer.
        id: u64,
        /// The body.
        body: String,
    },
    /// The answer to it.
    Answer {
        /// Pairs it with its question.
        id: u64,
        /// The body.
        body: String,
    },
    /// A text frame.
    Frame(String),
    /// The answer of `GET /queue`.
    Queue(String),
    /// The answer of `GET /history/{id}`.
    History {
        /// The prompt asked for.
        prompt: String,
        /// The body.
        body: String,
    },
}

/// Everything in a trace that an engine would have been told, with its time.
pub fn told(trace: &Trace) -> Vec<(Timestamp, Told)> {
    let started = trace.lines.iter().find_map(|line| match &line.channel {
        Channel::Meta(meta) => meta["started_unix_ms"].as_u64(),
        Channel::Note(_) | Channel::Http { .. } | Channel::Ws { .. } => None,
    });
    let started = started.expect("the first line says when");
    let answers: BTreeMap<u64, u64> =
        trace.exchanges().iter().filter_map(|exchange| Some((exchange.id, exchange.status?))).collect();
    let mut asked: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut all = Vec::new();
    for line in &trace.lines {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "recorded times are small and positive")]
        let at = Timestamp(started + line.t_ms as u64);
        let item = match &line.channel {
            Channel::Http { direction: Direction::Send, id, line } => {
                let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                let path = text("path");
                let path = path.strip_prefix("/api").unwrap_or(&path).to_owned();
                let post = text("method") == "POST" && path == "/prompt" && answers.get(id) == Some(&200);
                asked.insert(*id, (text("method"), path));
                post.then(|| Told::Post { id: *id, body: text("body") })
            }
            Channel::Http { direction: Direction::Receive, id, line } => {
                let (method, path) = asked.get(id).cloned().unwrap_or_default();
                // The recorder cut some long bodies down to their interesting part; those are no answers any more.
                let body = line["body"].as_str().filter(|_| line["trimmed_from_bytes"].is_null()).map(str::to_owned);
                match (method.as_str(), path.as_str(), body, line["status"].as_u64()) {
                    ("POST", "/prompt", Some(body), Some(200)) => Some(Told::Answer { id: *id, body }),
                    ("GET", "/queue", Some(body), Some(200)) => Some(Told::Queue(body)),
                    ("GET", path, Some(body), Some(200)) => {
                        path.strip_prefix("/history/").map(|prompt| Told::History { prompt: prompt.to_owned(), body })
                    }
                    _ => None, // Nothing that a run's fate depends on.
                }
            }
            Channel::Ws { direction: Direction::Receive, line, .. } if line["event"] == "text" => {
                line["text"].as_str().map(|text| Told::Frame(text.to_owned()))
            }
            Channel::Ws { .. } | Channel::Meta(_) | Channel::Note(_) => None,
        };
        all.extend(item.map(|item| (at, item)));
    }
    all
}

impl Folding {
    /// An engine with one instance that answers and room for everything.
    ///
    /// # Panics
    /// Never; the first inputs are fixed.
    pub fn new() -> Self {
        let limits = Limits { max_concurrent: 1000, submitted_ahead: 1000, ..Limits::default() };
        let instance: InstanceId = "recorded".parse().expect("a plain name");
        let mut folding = Self {
            engine: Engine::new(limits),
            facts: vec![],
            commands: vec![],
            runs: vec![],
            instance: instance.clone(),
            now: Timestamp(0),
            posts: BTreeMap::new(),
            dispatches: BTreeMap::new(),
        };
        folding.feed(Input::AddInstance {
            instance: instance.clone(),
            client: ClientId("us".into()),
            url: "http://127.0.0.1:8188".into(),
        });
        folding.feed(Input::Link(instance, LinkChange::Up { version: Some("0.8.0".into()), live: true, process: None }));
        folding
    }

    /// Folds everything that a trace told.
    pub fn of(told: &[(Timestamp, Told)]) -> Self {
        let mut folding = Self::new();
        for (at, item) in told {
            folding.now = folding.now.max(*at);
            folding.tell(item);
        }
        folding
    }

    fn tell(&mut self, item: &Told) {
        match item {
            Told::Post { id, body } => self.post(*id, body),
            Told::Answer { id, body } => self.answer(*id, body),
            Told::Frame(text) => {
                // Frames that cannot be read are the parser's matter.
                if let Ok(Incoming::Event(event)) = parse::text(text) {
                    self.feed(Input::Observed(self.instance.clone(), event));
                }
            }
            Told::Queue(body) => {
                let queue = Queue::parse(body).expect("a recorded queue can be read");
                for (run, prompt) in self.engine.watched(&self.instance) {
                    if let Some(found) = queue.find(run, &prompt) {
                        self.feed(Input::Reconciled(run, found.status));
                    }
                }
            }
            Told::History { prompt, body } => {
                let prompt = PromptId(prompt.clone());
                let ending = history::ending(body, &prompt).expect("a recorded history entry can be read");
                let of = self.engine.watched(&self.instance).into_iter().find(|(_, known)| *known == prompt);
                if let (Some(ending), Some((run, _))) = (ending, of) {
                    self.feed(Input::Reconciled(run, RemoteStatus::Ended(Box::new(ending))));
                }
            }
        }
    }

    fn post(&mut self, id: u64, body: &str) {
        let body: Value = comfyd_adapters::comfy::lenient::from_json(body).expect("an accepted body is JSON");
        let graph = Graph::parse(&body["prompt"].to_string()).expect("an accepted prompt is a graph");
        let chosen =
            body["prompt_id"].as_str().and_then(|text| text.parse::<RunId>().ok()).filter(|run| !self.runs.contains(run));
        let number = self.runs.len() + 1;
        let run = chosen.unwrap_or_else(|| format!("00000000-0000-7000-8000-{number:012}").parse().expect("a UUID"));
        let targets = body["partial_execution_targets"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_str).map(comfyd_engine::NodeId::from).collect());
        let outputs = Some(targets.unwrap_or_else(|| graph.sinks()));
        let prompt = PromptSpec {
            graph: testkit::sha256_of_zeros(),
            nodes: graph.planned(),
            outputs,
            uploads: vec![],
            canvas: None,
            notes: vec![],
        };
        let spec = Box::new(RunSpec::new("recorded", self.instance.clone(), Workload::Prompt(prompt)));
        self.runs.push(run);
        self.posts.insert(id, run);
        let step = self.feed(Input::Request(run, Request::Create { spec, blobs: vec![] }));
        if let Some(dispatch) = step.commands.iter().find(|command| matches!(command.command, Command::Dispatch { .. })) {
            self.dispatches.insert(id, dispatch.id.clone());
        }
    }

    fn answer(&mut self, id: u64, body: &str) {
        let body: Value = comfyd_adapters::comfy::lenient::from_json(body).expect("an answer is JSON");
        let (problems, refused) = refusal::dropped(&body["node_errors"]);
        let prompt_id = PromptId(body["prompt_id"].as_str().expect("a 200 names the prompt").to_owned());
        if let Some(command) = self.dispatches.get(&id).cloned() {
            self.feed(Input::Outcome(command, Outcome::Accepted { prompt_id, problems, refused }));
        }
    }

    fn feed(&mut self, input: Input) -> Step {
        let step = self.engine.handle(self.now, input).expect("the inputs are no refusable requests");
        self.facts.extend(step.facts.iter().cloned());
        for command in &step.commands {
            self.commands.push(named(&command.command));
            if let Command::Collect { n, file } = &command.command {
                // Every file can be had at once.
                let file = SavedFile {
                    name: format!("{n}-{}", file.filename),
                    size: 1,
                    sha256: hash_of(&file.filename),
                    media_type: None,
                    copied_to: None,
                    copy_problem: None,
                };
                let outcome = Outcome::Collected { n: *n, file };
                self.feed(Input::Outcome(command.id.clone(), outcome));
            }
            if let Command::ReadLog {} = &command.command {
                // No recording has the server's own log.
                self.feed(Input::Outcome(command.id.clone(), Outcome::LogRead { lines: vec![] }));
            }
        }
        step
    }

    /// The views of all runs, in the order of their posts.
    pub fn views(&self) -> Vec<RunView> {
        self.runs.iter().filter_map(|run| self.engine.run(*run)).map(RunView::of).collect()
    }

    /// The runs folded again from their facts, up to each run's fact number `until`.
    pub fn refolded(&self, id: RunId, until: usize) -> Option<Run> {
        let mut run: Option<Run> = None;
        let facts = self.facts.iter().filter_map(|fact| match fact {
            Fact::Run(of, recorded) if *of == id => Some(recorded),
            Fact::Run(..) | Fact::Instance(..) => None,
        });
        let mut outbox = Outbox::muted();
        for recorded in facts.take(until) {
            match &mut run {
                None => run = Some(Run::created(id, recorded).expect("the first fact creates")),
                Some(run) => run.apply(recorded, &mut outbox).expect("what was said folds"),
            }
        }
        assert!(outbox.take().is_empty(), "a muted fold says nothing");
        run
    }
}

impl Default for Folding {
    fn default() -> Self {
        Self::new()
    }
}

fn named(command: &Command) -> String {
    match command {
        Command::Stage { .. } => "stage".into(),
        Command::Dispatch { attempt, .. } => format!("dispatch attempt {attempt}"),
        Command::Reconcile { .. } => "reconcile".into(),
        Command::Dequeue { .. } => "dequeue".into(),
        Command::Interrupt { .. } => "interrupt".into(),
        Command::DeleteTwin { .. } => "delete the twin".into(),
        Command::ReadLog {} => "read the log".into(),
        Command::Collect { n, file } => format!("collect {n} {}/{}/{}", file.folder, file.subfolder, file.filename),
        Command::RemoveInputs { files } => {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            format!("remove {}", names.join(" "))
        }
    }
}

fn hash_of(text: &str) -> Sha256 {
    let sum = text.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("{sum:064x}").parse().expect("64 hex digits")
}
