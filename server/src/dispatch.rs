//! From commands to adapters: one link and one executor per instance that has open runs.

mod under_way;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use comfyd_adapters::comfy::executor::{Executor, ExecutorDeps};
use comfyd_adapters::comfy::http::Client;
use comfyd_adapters::comfy::link::{Link, LinkConfig, LinkDeps, LinkHandle, Preview};
use comfyd_adapters::comfy::ports::OutputSink;
use comfyd_adapters::comfy::tuning::Tuning;
use comfyd_adapters::env::Rng;
use comfyd_adapters::hot::Hot;
use comfyd_adapters::transport::Transport;
use comfyd_engine::{Addressed, Command, Connection, Engine, Input, Instance, InstanceId, Outcome, PromptId, RunId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::known::KnownInstances;
use crate::live::Live;
use crate::vault::Vault;
use under_way::{Slot, UnderWay};

/// Makes the way to an address: TCP, or a pipe in a simulation.
pub(crate) type ByUrl = Arc<dyn Fn(&InstanceId, &str) -> Option<Arc<dyn Transport>> + Send + Sync>;
/// Makes the way to an instance.
pub(crate) type Connector = Arc<dyn Fn(&InstanceId, &Connection) -> Option<Arc<dyn Transport>> + Send + Sync>;

/// How many outputs are fetched from an instance at a time: enough to fill a line, few enough to leave polling alone.
const FETCHES: usize = 4;
/// Previews that wait to be shown; more are dropped, as only the newest counts.
const PREVIEWS: usize = 64;

/// What the dispatcher needs from its surroundings.
pub(crate) struct DispatchDeps {
    pub(crate) connector: Connector,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) sink: Arc<dyn OutputSink>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) live: Arc<Live>,
    pub(crate) known: Arc<KnownInstances>,
    pub(crate) tuning: Hot<Tuning>,
    /// How long a link is kept that no run needs.
    pub(crate) idle: Duration,
}

/// Hands commands to adapters and their outcomes back.
pub(crate) struct Dispatcher {
    deps: DispatchDeps,
    previews: mpsc::Sender<Preview>,
    hands: BTreeMap<InstanceId, Hand>,
    tasks: TaskTracker,
    stop: CancellationToken,
    under_way: Arc<UnderWay>,
    /// Runs whose staging was cut off as they ended: what had left by then arrives all the same.
    cut_off: BTreeSet<RunId>,
    /// The engine's moves when it was last looked at.
    seen: Option<u64>,
}

/// Everything for one instance.
struct Hand {
    connection: Connection,
    link: LinkHandle,
    executor: Executor,
    watched: watch::Sender<Vec<(RunId, PromptId)>>,
    fetches: Arc<Semaphore>,
    stop: CancellationToken,
    /// How many open runs it had when last looked at.
    open: usize,
    /// Since when no run needs it.
    idle_since: Option<Instant>,
}

impl Dispatcher {
    pub(crate) fn new(deps: DispatchDeps) -> Self {
        let (previews, shown) = mpsc::channel(PREVIEWS);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        tasks.spawn(show(shown, Arc::clone(&deps.live), stop.clone()));
        Self {
            deps,
            previews,
            hands: BTreeMap::new(),
            tasks,
            stop,
            under_way: Arc::default(),
            cut_off: BTreeSet::new(),
            seen: None,
        }
    }

    /// Keeps every instance that has open runs at hand, and tells each link which runs to watch. Says whether links came or went.
    pub(crate) fn watch(&mut self, engine: &Engine) -> bool {
        if self.seen.replace(engine.moves()) == Some(engine.moves()) {
            return false;
        }
        let mut changed = self.drop_moved(engine);
        // Nobody needs the rest of an upload whose run has ended.
        let ended = |run| engine.run(run).is_some_and(|run| run.phase().is_settled());
        self.cut_off.extend(self.under_way.end(Slot::Stage, ended));
        // One that is over leaves the engine when its turn ends; nothing is asked for it any more.
        let needed: BTreeSet<&InstanceId> =
            engine.runs().filter(|run| !run.is_over()).map(comfyd_engine::Run::instance).collect();
        for instance in needed.iter().filter_map(|id| engine.instance(id)) {
            let known = self.hands.get(instance.id()).is_some_and(|hand| hand.connection == instance.setup().connection);
            if !known {
                self.take_up(instance);
                changed = true;
            }
        }
        for (id, hand) in &mut self.hands {
            if needed.contains(id) {
                hand.idle_since = None;
            } else {
                hand.idle_since.get_or_insert_with(Instant::now);
            }
        }
        let open = engine.runs().filter(|run| !run.phase().is_settled());
        let mut counts: BTreeMap<&InstanceId, usize> = BTreeMap::new();
        open.for_each(|run| *counts.entry(run.instance()).or_default() += 1);
        for (id, hand) in &mut self.hands {
            let count = counts.get(id).copied().unwrap_or(0);
            // A link without watched runs takes its time; somebody who has just asked for one waits.
            if count > hand.open && !engine.instance(id).is_some_and(Instance::is_online) {
                hand.link.poke();
            }
            hand.open = count;
            let watched = engine.watched(id);
            hand.watched.send_if_modified(|before| {
                let changed = *before != watched;
                *before = watched;
                changed
            });
        }
        changed
    }

    /// Ends links to where an instance is no longer.
    fn drop_moved(&mut self, engine: &Engine) -> bool {
        let before = self.hands.len();
        self.hands.retain(|id, hand| {
            let stays = engine.usable(id).is_some_and(|instance| instance.setup().connection == hand.connection);
            if !stays {
                hand.stop.cancel();
                self.deps.known.remove(id);
            }
            stays
        });
        self.hands.len() != before
    }

    /// Whether a link to an instance is kept.
    pub(crate) fn is_linked(&self, id: &InstanceId) -> bool {
        self.hands.contains_key(id)
    }

    /// No run needs this instance from now on.
    pub(crate) fn unneeded(&mut self, id: &InstanceId) {
        if let Some(hand) = self.hands.get_mut(id) {
            hand.idle_since.get_or_insert_with(Instant::now);
        }
    }

    /// How long until a link is to be let go.
    pub(crate) fn lets_go_in(&self) -> Option<Duration> {
        let first = self.hands.values().filter_map(|hand| hand.idle_since).min()?;
        Some((first + self.deps.idle).saturating_duration_since(Instant::now()))
    }

    /// Ends the links that no run has needed for so long; tells which.
    pub(crate) fn let_go(&mut self) -> Vec<InstanceId> {
        let now = Instant::now();
        let idle = |hand: &Hand| hand.idle_since.is_some_and(|since| since + self.deps.idle <= now);
        let gone: Vec<InstanceId> = self.hands.iter().filter(|(_, hand)| idle(hand)).map(|(id, _)| id.clone()).collect();
        for id in &gone {
            self.deps.known.remove(id);
        }
        for hand in gone.iter().filter_map(|id| self.hands.remove(id)) {
            hand.stop.cancel();
        }
        gone
    }

    /// Looks at the engine anew the next time: it is another one.
    pub(crate) fn look_again(&mut self) {
        self.seen = None;
    }

    fn take_up(&mut self, instance: &Instance) {
        let Some(transport) = (self.deps.connector)(instance.id(), &instance.setup().connection) else {
            tracing::error!(instance = %instance.id(), url = instance.url(), "instance has no usable address");
            return;
        };
        if let Some(old) = self.hands.remove(instance.id()) {
            old.stop.cancel();
        }
        let http = Client::tuned(transport, self.deps.tuning.clone());
        let stop = self.stop.child_token();
        let (watched, watching) = watch::channel(Vec::new());
        let config = LinkConfig::new(instance.id().clone(), instance.client().clone(), http.clone());
        let deps = LinkDeps {
            inputs: self.deps.inputs.clone(),
            watched: watching,
            previews: self.previews.clone(),
            rng: Arc::clone(&self.deps.rng),
            shutdown: stop.clone(),
        };
        let link = Link::spawn(config, deps);
        let executor = Executor::new(ExecutorDeps {
            http,
            client: instance.client().clone(),
            link: link.clone(),
            blobs: Arc::clone(&self.deps.vault) as _,
            outputs: Arc::clone(&self.deps.sink),
            rng: Arc::clone(&self.deps.rng),
        });
        let fetches = Arc::new(Semaphore::new(FETCHES));
        let connection = instance.setup().connection.clone();
        let hand = Hand { connection, link, executor, watched, fetches, stop, open: 0, idle_since: None };
        self.deps.known.insert(instance.id(), hand.executor.clone());
        self.hands.insert(instance.id().clone(), hand);
    }

    /// Has commands done; each outcome comes back as an input. One that is under way already is not begun again.
    pub(crate) fn send(&mut self, commands: Vec<Addressed>) {
        for command in commands {
            if matches!(command.command, Command::RemoveInputs { .. }) && self.cut_off.remove(&command.run) {
                let why = "an upload was cut off a moment ago, and what had left by then may arrive yet".to_owned();
                let (inputs, told) = (self.deps.inputs.clone(), Input::Outcome(command.id, Outcome::InputsDelayed { why }));
                // As below: only at the end of the server nobody takes it.
                self.tasks.spawn(async move { drop(inputs.send(told).await) });
                continue;
            }
            let Some(hand) = self.hands.get(&command.instance) else {
                // Commands arise only while an instance answers, so its hand is there.
                tracing::error!(command = %command.id, instance = %command.instance, "no adapter at hand");
                continue;
            };
            let stop = hand.stop.child_token();
            let Some(claim) = self.under_way.claim(&command, &stop) else {
                tracing::debug!(command = %command.id, "command is under way already");
                continue;
            };
            let fetches = matches!(command.command, Command::Collect { .. }).then(|| Arc::clone(&hand.fetches));
            let work = Work { executor: hand.executor.clone(), command, fetches, stop: stop.clone() };
            let (inputs, stopping) = (self.deps.inputs.clone(), self.stop.clone());
            self.tasks.spawn(async move {
                let id = work.command.id.clone();
                let outcome = work.run(&stopping).await;
                // There is nothing more to end.
                stop.cancel();
                if let Some(outcome) = outcome {
                    // The core loop ends before its adapters do only when the server stops; the outcome is looked up again then.
                    let _ = inputs.send(Input::Outcome(id, outcome)).await;
                }
                drop(claim);
            });
        }
    }

    /// The runs whose POST is under way: its answer is still to come.
    pub(crate) fn is_posting(&self, run: RunId) -> bool {
        self.under_way.holds(run, Slot::Dispatch)
    }

    /// Keeps bytes that are in a run's log.
    pub(crate) fn keep_blobs(&self, blobs: Vec<(RunId, comfyd_engine::Sha256, Vec<u8>)>) {
        for (run, hash, bytes) in blobs {
            self.deps.vault.keep(run, hash, Bytes::from(bytes));
        }
    }

    pub(crate) fn forget_run(&mut self, run: RunId) {
        self.cut_off.remove(&run);
        self.deps.vault.forget(run);
    }

    /// Ends links and commands; what runs on the instances goes on there.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        for hand in std::mem::take(&mut self.hands).into_values() {
            hand.link.stopped().await;
        }
        self.tasks.wait().await;
    }
}

impl Drop for Dispatcher {
    /// Whoever drops it is gone, and its adapters must not act on.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One command on its way.
struct Work {
    executor: Executor,
    command: Addressed,
    fetches: Option<Arc<Semaphore>>,
    stop: CancellationToken,
}

impl Work {
    /// Does it. If it is cut off, the outcome says so; only at the end of the server there is none.
    async fn run(self, stopping: &CancellationToken) -> Option<Outcome> {
        let Self { executor, command, fetches, stop } = self;
        let (id, unfinished) = (command.id.clone(), unfinished(&command.command));
        let work = tokio::spawn(async move {
            let _permit = match fetches {
                // The semaphore is closed nowhere.
                Some(fetches) => fetches.acquire_owned().await.ok(),
                None => None,
            };
            executor.perform(command).await
        });
        let cut_off = work.abort_handle();
        tracing::debug!(command = %id, "command begins");
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => {
                cut_off.abort();
                return if stopping.is_cancelled() { None } else { unfinished };
            }
            done = work => done,
        };
        tracing::debug!(command = %id, "command done");
        done.unwrap_or_else(|error| {
            tracing::error!(command = %id, %error, "command failed by a fault of its adapter");
            unfinished
        })
    }
}

/// What is known of a command that was cut off.
fn unfinished(command: &Command) -> Option<Outcome> {
    let why = "it was cut off in the middle".to_owned();
    match command {
        Command::Stage { .. } => Some(Outcome::StagingDelayed { why }),
        Command::Dispatch { .. } => Some(Outcome::Unclear { why }),
        Command::Reconcile { .. } => None,
        Command::Dequeue { .. } | Command::Interrupt { .. } => Some(Outcome::NotStopped { why }),
        Command::DeleteTwin { .. } => Some(Outcome::TwinKept { why }),
        Command::ReadLog {} => Some(Outcome::LogRead { lines: vec![] }),
        Command::Collect { n, .. } => Some(Outcome::OutputDelayed { n: *n, why }),
        Command::RemoveInputs { .. } => Some(Outcome::InputsDelayed { why }),
    }
}

async fn show(mut previews: mpsc::Receiver<Preview>, live: Arc<Live>, stop: CancellationToken) {
    loop {
        let preview = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            preview = previews.recv() => preview,
        };
        let Some(preview) = preview else { return };
        live.preview(preview.run, preview.node, preview.media_type, preview.bytes);
    }
}
