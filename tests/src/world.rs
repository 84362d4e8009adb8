//! A world that one seed decides: a disk that loses what was not synced, an instance that misbehaves, a server that is killed and comes back.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::transport::{Stream, Transport};
use comfyd_engine::{Force, Limits, RunId, RunView, Seq};
use comfyd_fixtures::{FakeComfy, FakeConfig, SplitMix64};
use comfyd_server::app::{Execute, RetentionRules, Source, Target};
use comfyd_server::core::CoreConfig;
use comfyd_server::problem::Problem;
use comfyd_server::store::SimDisk;
use comfyd_server::testing::{SimOptions, SimServer, SimStartError};
use futures_util::future::BoxFuture;

/// The address that stands for the simulated instance.
pub const URL: &str = "http://127.0.0.1:8188";

/// The way to the simulated instance: a pipe in memory, refused while it is down.
struct ToFake(FakeComfy);

impl Transport for ToFake {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let stream = self.0.connect().map(|stream| Box::new(stream) as Box<dyn Stream>);
        Box::pin(std::future::ready(stream))
    }

    fn host(&self) -> String {
        "127.0.0.1:8188".to_owned()
    }
}

/// The world.
pub struct World {
    /// The instance.
    pub fake: FakeComfy,
    /// The disk.
    pub disk: SimDisk,
    /// Chance.
    pub rng: SplitMix64,
    /// The next server refuses new runs below this much free disk space, in bytes.
    pub min_free: u64,
    /// How much of the past the next server keeps.
    pub retention: RetentionRules,
    seed: u64,
    starts: u64,
    server: Option<SimServer>,
    /// Every run whose creation was acknowledged, with whether its cancelling was acknowledged.
    pub acknowledged: BTreeMap<RunId, bool>,
    /// The last ending that was seen of each run.
    pub endings: BTreeMap<RunId, &'static str>,
}

/// Runs a story on a paused runtime of one thread.
pub fn in_simulation<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime of one thread can be built").block_on(story)
}

impl World {
    /// A world of this seed with an instance of this kind.
    pub fn new(seed: u64, config: FakeConfig) -> Self {
        Self {
            fake: FakeComfy::new(FakeConfig { seed, ..config }),
            disk: SimDisk::new(seed),
            rng: SplitMix64::new(seed),
            min_free: 0,
            retention: RetentionRules::default(),
            seed,
            starts: 0,
            server: None,
            acknowledged: BTreeMap::new(),
            endings: BTreeMap::new(),
        }
    }

    /// Another world with the same instance and a copy of the disk; its server is yet to be started.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            fake: self.fake.clone(),
            disk: self.disk.fork(),
            rng: self.rng.clone(),
            min_free: self.min_free,
            retention: self.retention,
            seed: self.seed,
            starts: self.starts,
            server: None,
            acknowledged: self.acknowledged.clone(),
            endings: self.endings.clone(),
        }
    }

    /// Starts the server, if it is not up.
    pub async fn start(&mut self) {
        // A disk that fails just now fails the start, as it should; the next one finds it well.
        if self.try_start().await.is_err() {
            self.try_start().await.expect("a server starts on whatever a crash left");
        }
    }

    /// Starts the server, if it is not up and if it can.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn try_start(&mut self) -> Result<(), SimStartError> {
        if self.server.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let fake = self.fake.clone();
        let options = SimOptions {
            disk: self.disk.clone(),
            connect: Arc::new(move |_, _| Some(Arc::new(ToFake(fake.clone())) as Arc<dyn Transport>)),
            seed: self.seed.wrapping_mul(1_000).wrapping_add(self.starts),
            core: CoreConfig {
                limits: Limits { max_concurrent: 4, submitted_ahead: 2, ..Limits::default() },
                ..CoreConfig::default()
            },
            base: u64::try_from(self.fake.now_unix_ms()).expect("the simulated time is after 1970"),
            min_free: self.min_free,
            retention: self.retention,
        };
        self.server = Some(SimServer::start(options).await?);
        Ok(())
    }

    /// The running server.
    pub fn server(&self) -> &SimServer {
        self.server.as_ref().expect("the story started it")
    }

    /// Ends the server at once; the disk stays as it is.
    pub async fn kill_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
    }

    /// Cuts the power: the server is gone, and so is an arbitrary part of what was not synced.
    pub async fn power_cut(&mut self) {
        self.kill_server().await;
        self.disk.crash();
    }

    /// Kills the server's process; what it wrote stays.
    pub async fn kill(&mut self) {
        self.kill_server().await;
        self.disk.kill();
    }

    /// Stops the server in order.
    pub async fn shut_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.shut_down().await;
        }
    }

    /// Submits a workflow; remembers what was acknowledged.
    ///
    /// # Errors
    /// What the server says.
    pub async fn submit(&mut self, json: &str) -> Result<RunId, Problem> {
        let source = Source::Inline { text: json.to_owned(), file: None };
        let request = Execute { target: Some(Target::Url(URL.to_owned())), ..Execute::new(source) };
        let created = self.server().app.execute(request).await?;
        self.acknowledged.insert(created.run_id, false);
        Ok(created.run_id)
    }

    /// Cancels a run; remembers what was acknowledged.
    pub async fn cancel(&mut self, run: RunId) {
        if self.server().app.cancel(run, Force::No).await.is_ok() {
            self.acknowledged.insert(run, true);
        }
    }

    /// A run as it is now.
    pub async fn view(&self, run: RunId) -> RunView {
        self.server().app.view(run).await.expect("an acknowledged run is there")
    }

    /// Waits until a run meets a condition, for at most a simulated time.
    pub async fn wait(&self, run: RunId, within: Duration, mut met: impl FnMut(&RunView) -> bool) -> RunView {
        let until = tokio::time::Instant::now() + within;
        loop {
            let view = self.view(run).await;
            if met(&view) {
                return view;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "run {run} is still {} / {}: {:?}",
                view.status.as_str(),
                view.phase,
                view.attention
            );
            // Simulated time: this only lets the next thing happen.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Checks everything that must hold at any moment.
    pub async fn check(&mut self) {
        let ledger = self.fake.ledger();
        for run in self.acknowledged.keys().copied().collect::<Vec<_>>() {
            let view = self.view(run).await;
            let story = format!("seed {}, run {run}, {}/{}", self.seed, view.status.as_str(), view.phase);
            let record = ledger.prompt(&run.to_string());
            assert!(record.posts <= 1, "{story}: posted {} times", record.posts);
            assert!(record.executions <= 1, "{story}: executed {} times", record.executions);
            let folded = self.server().app.view_at(run, view.seq).await.expect("the log folds to where the view is");
            assert_eq!(comparable(&folded), comparable(&view), "{story}: the log and the live view differ");
            let percent = view.progress.progress_percent.0;
            assert_eq!(percent == 1000, view.status.as_str() == "completed", "{story}: {percent}");
            if view.status.is_settled() {
                let before = self.endings.insert(run, view.status.as_str());
                assert!(before.is_none_or(|before| before == view.status.as_str()), "{story}: ended as {before:?} before");
            } else {
                assert!(!self.endings.contains_key(&run), "{story}: an ending came undone");
            }
        }
        assert!(ledger.foreign_victims.is_empty(), "seed {}: {:?}", self.seed, ledger.foreign_victims);
    }

    /// The snapshot and the events of a run, for comparing stories.
    pub async fn kinds(&self, run: RunId) -> Vec<String> {
        let lines = self.server().app.log(run, Seq(0)).await.expect("the log can be read");
        lines.into_iter().filter_map(|line| line.event["kind"].as_str().map(str::to_owned)).collect()
    }
}

/// A view without what depends on the moment of reading.
pub fn comparable(view: &RunView) -> serde_json::Value {
    let mut value = serde_json::to_value(view).expect("a view is plain data");
    value["progress"]["queue_position"] = serde_json::Value::Null;
    value["timing"]["estimated_completion"] = serde_json::Value::Null;
    value
}

/// A view without what two stories of the same run may differ in (decisions.md 25): places, times, and what it waited for.
pub fn final_shape(view: &RunView) -> serde_json::Value {
    let mut value = comparable(view);
    for key in ["seq", "run_id", "workflow_id", "prompt_id", "timing", "attention", "warnings"] {
        value[key] = serde_json::Value::Null;
    }
    if let Some(error) = value["error"].as_object_mut() {
        // What ComfyUI's log ends with depends on when it is asked.
        error.remove("log_lines");
    }
    for node in value["nodes"].as_array_mut().into_iter().flatten() {
        for key in ["start_time", "end_time", "step", "steps"] {
            node[key] = serde_json::Value::Null;
        }
    }
    value
}
