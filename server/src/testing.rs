//! A whole server without sockets, files or threads, for simulations: the same parts as in [`crate::server`], over a simulated disk.
//!
//! Invariants: on a paused current-thread runtime the same seed gives the same story. Absent: HTTP; tests call [`App`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use comfyd_adapters::env::{Clock, SystemRng};
use comfyd_adapters::hot::Hot;
use comfyd_adapters::ssh::Surroundings;
use comfyd_adapters::transport::Transport;
use comfyd_engine::{InstanceId, RunView, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, RetentionRules};
use crate::assembly::{Ground, assemble};
use crate::core::{CoreConfig, RecoverError};
use crate::intake::Rules;
use crate::live::Summary;
use crate::offload::Offload;
use crate::spool::Spool;
use crate::store::{Disk, FileStore, OpenError, Options, Recovered, SimDisk};
use crate::templates::Library;

/// Where the simulated data directory is.
pub const DATA: &str = "/data";

/// Makes the way to a simulated instance.
pub type Connect = Arc<dyn Fn(&InstanceId, &str) -> Option<Arc<dyn Transport>> + Send + Sync>;

/// The text of a `state.json` for a view, but for its place in the log.
pub fn state_of(view: &RunView) -> String {
    crate::canonical::of(view)
}

/// A server in a simulation.
pub struct SimServer {
    /// What it can do.
    pub app: App,
    /// What it found on opening.
    pub recovered: Recovered,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    core: Option<JoinHandle<()>>,
}

/// A simulated server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SimStartError {
    /// The data directory cannot be opened.
    #[error("open")]
    Open(#[from] OpenError),
    /// The logs cannot be folded.
    #[error("recover")]
    Recover(#[from] RecoverError),
}

/// How a simulated server is set up.
#[derive(Clone)]
pub struct SimOptions {
    /// Its disk; outlives it, as a disk does.
    pub disk: SimDisk,
    /// The way to its instances.
    pub connect: Connect,
    /// Its randomness.
    pub seed: u64,
    /// The core loop's settings.
    pub core: CoreConfig,
    /// The wall time at the runtime's start, in milliseconds since the epoch.
    pub base: u64,
    /// New runs are refused below this much free disk space, in bytes.
    pub min_free: u64,
    /// How much of the past is kept.
    pub retention: RetentionRules,
}

/// The wall time that goes with the runtime's own time, which a test can pause.
struct RuntimeClock {
    base: AtomicU64,
    start: tokio::time::Instant,
}

impl RuntimeClock {
    fn passed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.base.load(Ordering::Relaxed).saturating_add(self.passed_ms()))
    }

    fn not_before(&self, at: Timestamp) {
        self.base.fetch_max(at.0.saturating_sub(self.passed_ms()), Ordering::Relaxed);
    }
}

impl SimServer {
    /// Opens the data directory and starts the core loop.
    ///
    /// # Errors
    /// If it cannot be opened or its logs cannot be folded.
    pub async fn start(options: SimOptions) -> Result<Self, SimStartError> {
        let disk: Arc<dyn Disk> = Arc::new(options.disk);
        let store_options = Options { digest: Some(Summary::kept_of_state), ..Options::default() };
        let (store, recovered) = FileStore::inline(Path::new(DATA), Arc::clone(&disk), store_options)?;
        let ground = Ground {
            root: DATA.into(),
            disk,
            offload: Offload::Inline,
            clock: Arc::new(RuntimeClock { base: AtomicU64::new(options.base), start: tokio::time::Instant::now() }),
            rng: Arc::new(SystemRng::seeded(options.seed)),
            by_url: options.connect,
            surroundings: Surroundings::default(),
            core: options.core,
            rules: Hot::new(Rules { url_hosts: None, min_free: options.min_free, ..Rules::default() }),
            tuning: Hot::default(),
            spool: Spool::default(),
            retention: options.retention,
            templates: Library::builtin(),
            state_cleanup_delay: Duration::from_secs(30),
        };
        let assembled = assemble(ground, store, recovered.clone()).await?;
        let stop = CancellationToken::new();
        let core = tokio::spawn(assembled.core.run(stop.clone()));
        let keeper = tokio::spawn(assembled.keeper.run(stop.clone()));
        let setups = tokio::spawn(assembled.setups.run(stop.child_token()));
        let store = Arc::clone(&assembled.app.history.store);
        let ticks = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(500));
            loop {
                every.tick().await;
                store.tick();
            }
        });
        Ok(Self { app: assembled.app, recovered, tasks: vec![setups, ticks, keeper], stop, core: Some(core) })
    }

    /// Ends it as a power cut does: no task gets another turn. The disk is then to be crashed by the caller.
    pub async fn kill(mut self) {
        for task in self.tasks.drain(..).chain(self.core.take()) {
            task.abort();
            // An aborted task ends with an error, which is what is wanted.
            let _ = task.await;
        }
    }

    /// Ends it in order.
    pub async fn shut_down(mut self) {
        self.stop.cancel();
        if let Some(core) = self.core.take() {
            core.await.expect("the core loop does not panic");
        }
        for task in self.tasks.drain(..) {
            task.abort();
            // It ends as aborted; until then it holds the data directory.
            let _ = task.await;
        }
    }
}
