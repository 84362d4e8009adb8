//! An engine, a link and an executor around a simulated ComfyUI: everything of comfyd but the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use comfyd_adapters::comfy::executor::{Executor, ExecutorDeps};
use comfyd_adapters::comfy::http::Client;
use comfyd_adapters::comfy::link::{Link, LinkConfig, LinkDeps, LinkHandle, Preview};
use comfyd_adapters::comfy::ports::{Blobs, OutputSink, PartFile};
use comfyd_adapters::env::SystemRng;
use comfyd_adapters::sniff::sniff;
use comfyd_adapters::transport::{Stream, Transport};
use comfyd_adapters::workflow::Graph;
use comfyd_engine::{
    ClientId, CommandId, Engine, Fact, Input, InstanceId, Limits, Outcome, PromptId, PromptSpec, Request, RunEvent, RunId,
    RunSpec, SavedFile, Sha256, Step, Timestamp, Upload, Workload,
};
use comfyd_fixtures::FakeComfy;
use futures_util::future::BoxFuture;
use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const CLIENT: &str = "comfyd-test";

pub(crate) fn instance() -> InstanceId {
    "fake".parse().unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    let mut hex = String::new();
    for byte in sha2::Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex.parse().unwrap()
}

/// Pipes to the simulated server; a connection can be cut after so many bytes of ours.
pub(crate) struct Wire {
    fake: FakeComfy,
    /// For the next connections, one each.
    pub(crate) cuts: Mutex<Vec<usize>>,
}

impl Wire {
    pub(crate) fn new(fake: &FakeComfy) -> Arc<Self> {
        Arc::new(Self { fake: fake.clone(), cuts: Mutex::default() })
    }
}

impl Transport for Wire {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let left = self.cuts.lock().unwrap().pop();
            let stream = self.fake.connect()?;
            Ok(Box::new(Pipe { stream, left }) as Box<dyn Stream>)
        })
    }

    fn host(&self) -> String {
        "127.0.0.1:8188".to_owned()
    }
}

struct Pipe {
    stream: DuplexStream,
    left: Option<usize>,
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]))?;
        self.left = self.left.map(|left| left - written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Blobs and outputs in memory.
#[derive(Default)]
pub(crate) struct Store {
    blobs: Mutex<BTreeMap<Sha256, Bytes>>,
    pub(crate) parts: Mutex<BTreeMap<u32, (BytesMut, Option<String>)>>,
    pub(crate) outputs: Mutex<BTreeMap<u32, Bytes>>,
    /// How many bytes were written in all, those of dropped beginnings too.
    pub(crate) written: Mutex<usize>,
}

impl Store {
    pub(crate) fn keep(&self, bytes: impl Into<Bytes>) -> Sha256 {
        let bytes = bytes.into();
        let hash = sha256(&bytes);
        self.blobs.lock().unwrap().insert(hash.clone(), bytes);
        hash
    }

    pub(crate) fn output(&self, n: u32) -> Bytes {
        self.outputs.lock().unwrap().get(&n).cloned().unwrap_or_default()
    }
}

impl Blobs for Store {
    fn get(&self, hash: &Sha256) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        let found = self.blobs.lock().unwrap().get(hash).cloned();
        Box::pin(async move { Ok(found) })
    }

    fn put(&self, bytes: Bytes) -> BoxFuture<'_, io::Result<Sha256>> {
        let hash = self.keep(bytes);
        Box::pin(async move { Ok(hash) })
    }
}

pub(crate) struct Sink(pub(crate) Arc<Store>);

impl OutputSink for Sink {
    fn open(&self, _run: RunId, n: u32, label: &str) -> BoxFuture<'_, io::Result<Box<dyn PartFile>>> {
        let (bytes, etag) = self.0.parts.lock().unwrap().remove(&n).unwrap_or_default();
        let part = Part { store: Arc::clone(&self.0), n, name: format!("{n}-{label}"), bytes, etag };
        Box::pin(async move { Ok(Box::new(part) as Box<dyn PartFile>) })
    }
}

struct Part {
    store: Arc<Store>,
    n: u32,
    name: String,
    bytes: BytesMut,
    etag: Option<String>,
}

impl PartFile for Part {
    fn offset(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn etag(&self) -> Option<String> {
        self.etag.clone()
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        *self.store.written.lock().unwrap() += bytes.len();
        self.bytes.extend_from_slice(&bytes);
        Box::pin(async { Ok(()) })
    }

    fn restart(&mut self, etag: Option<String>) -> BoxFuture<'_, io::Result<()>> {
        self.bytes.clear();
        self.etag = etag;
        Box::pin(async { Ok(()) })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, io::Result<SavedFile>> {
        let bytes = std::mem::take(&mut self.bytes).freeze();
        let media_type = sniff(&bytes).map(str::to_owned);
        let file = SavedFile {
            name: self.name.clone(),
            size: bytes.len() as u64,
            sha256: sha256(&bytes),
            media_type,
            copied_to: None,
            copy_problem: None,
        };
        self.store.outputs.lock().unwrap().insert(self.n, bytes);
        self.etag = None;
        Box::pin(async move { Ok(file) })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.store.parts.lock().unwrap().insert(self.n, (std::mem::take(&mut self.bytes), self.etag.take()));
        }
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<Store>,
    pub(crate) http: Client,
    pub(crate) engine: Engine,
    pub(crate) executor: Executor,
    pub(crate) link: LinkHandle,
    /// Everything that the link and the executor said.
    pub(crate) seen: Vec<(u64, Input)>,
    /// Every fact, with the time.
    pub(crate) facts: Vec<(u64, Fact)>,
    pub(crate) previews: mpsc::Receiver<Preview>,
    inputs: mpsc::Receiver<Input>,
    watched: watch::Sender<Vec<(RunId, PromptId)>>,
    tasks: JoinSet<(CommandId, Option<Outcome>)>,
    began: Instant,
    shutdown: CancellationToken,
    runs: u8,
}

impl World {
    pub(crate) fn new(fake: &FakeComfy) -> Self {
        let wire = Wire::new(fake);
        let http = Client::new(wire as Arc<dyn Transport>);
        let store = Arc::new(Store::default());
        let rng = Arc::new(SystemRng::seeded(1));
        let shutdown = CancellationToken::new();
        let (sender, inputs) = mpsc::channel(256);
        let (watched, watching) = watch::channel(Vec::new());
        let (shown, previews) = mpsc::channel(16);
        let config = LinkConfig::new(instance(), ClientId(CLIENT.into()), http.clone());
        let rng_of_link: Arc<dyn comfyd_adapters::env::Rng> = rng.clone();
        let deps = LinkDeps { inputs: sender, watched: watching, previews: shown, rng: rng_of_link, shutdown: shutdown.clone() };
        let link = Link::spawn(config, deps);
        let executor = Executor::new(ExecutorDeps {
            http: http.clone(),
            client: ClientId(CLIENT.into()),
            link: link.clone(),
            blobs: Arc::clone(&store) as Arc<dyn Blobs>,
            outputs: Arc::new(Sink(Arc::clone(&store))),
            rng,
        });
        let mut engine = Engine::new(Limits::default());
        let add =
            Input::AddInstance { instance: instance(), client: ClientId(CLIENT.into()), url: "http://127.0.0.1:8188".into() };
        engine.handle(Timestamp(0), add).unwrap();
        Self {
            store,
            http,
            engine,
            executor,
            link,
            seen: vec![],
            facts: vec![],
            previews,
            inputs,
            watched,
            tasks: JoinSet::new(),
            began: Instant::now(),
            shutdown,
            runs: 0,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub(crate) fn start(&mut self, workflow: &str) -> RunId {
        self.start_with(workflow, vec![])
    }

    pub(crate) fn start_with(&mut self, workflow: &str, uploads: Vec<Upload>) -> RunId {
        self.runs += 1;
        let run = comfyd_engine::testkit::run_id(self.runs);
        let graph = Graph::parse(workflow).unwrap();
        let hash = self.store.keep(workflow.as_bytes().to_vec());
        let spec = PromptSpec { graph: hash, nodes: graph.planned(), outputs: None, uploads, canvas: None, notes: vec![] };
        let spec = Box::new(RunSpec::new("test", instance(), Workload::Prompt(spec)));
        self.say(Input::Request(run, Request::Create { spec, blobs: vec![] }));
        run
    }

    /// One turn of the engine; its commands are done in the background.
    pub(crate) fn say(&mut self, input: Input) {
        let now = self.now();
        self.seen.push((now, input.clone()));
        let Step { facts, commands } = self.engine.handle(Timestamp(now), input).unwrap();
        for fact in &facts {
            if let Fact::Run(_, recorded) = fact
                && let RunEvent::BlobStored(blob) = &recorded.event
            {
                self.store.keep(blob.bytes.clone());
            }
        }
        self.facts.extend(facts.into_iter().map(|fact| (now, fact)));
        let watched = self.engine.watched(&instance());
        self.watched.send_if_modified(|known| {
            let changed = *known != watched;
            *known = watched;
            changed
        });
        for command in commands {
            let executor = self.executor.clone();
            self.tasks.spawn(async move { (command.id.clone(), executor.perform(command).await) });
        }
    }

    /// Waits for what happens next and lets the engine have it.
    async fn turn(&mut self) {
        let deadline = self.engine.next_deadline().map(|at| self.began + Duration::from_millis(at.0));
        let input = tokio::select! {
            biased;
            input = self.inputs.recv() => input.unwrap(),
            Some(done) = self.tasks.join_next() => match done.unwrap() {
                (id, Some(outcome)) => Input::Outcome(id, outcome),
                (_, None) => return,
            },
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Input::Deadline,
        };
        self.say(input);
    }

    /// Goes on until something is so; fails after ten simulated minutes.
    pub(crate) async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_mins(10);
        while !so(self) {
            let turn = tokio::time::timeout_at(limit, self.turn()).await;
            assert!(turn.is_ok(), "{what} did not come to be: {:#?}", self.seen.iter().rev().take(20).collect::<Vec<_>>());
        }
    }

    pub(crate) async fn online(&mut self) {
        self.until("the instance is online", |world| world.engine.instance(&instance()).unwrap().is_online()).await;
    }

    pub(crate) fn phase(&self, run: RunId) -> &'static str {
        self.engine.run(run).unwrap().phase().as_str()
    }

    pub(crate) async fn phased(&mut self, run: RunId, phase: &str) {
        self.until(&format!("{run} is {phase}"), |world| world.phase(run) == phase).await;
    }

    pub(crate) async fn settled(&mut self, run: RunId) -> &'static str {
        self.until(&format!("{run} has ended"), |world| world.engine.run(run).unwrap().phase().is_settled()).await;
        self.phase(run)
    }

    /// The kinds of a run's facts, in order.
    pub(crate) fn kinds(&self, run: RunId) -> Vec<&'static str> {
        let of_run = self.facts.iter().filter_map(|(_, fact)| match fact {
            Fact::Run(id, recorded) if *id == run => Some(recorded.event.kind()),
            Fact::Run(..) | Fact::Instance(..) => None,
        });
        of_run.collect()
    }

    pub(crate) fn count(&self, so: impl Fn(&Input) -> bool) -> usize {
        self.seen.iter().filter(|(_, input)| so(input)).count()
    }

    pub(crate) async fn end(self) {
        self.shutdown.cancel();
        self.link.stopped().await;
    }
}
