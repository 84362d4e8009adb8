//! The work of a link: one loop that waits for everything at once and never for one thing alone.

mod frames;
mod way;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use comfyd_engine::{Input, LinkChange, Obstacle, PromptId, RunId, Timestamp};
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{LinkConfig, Peer, Preview};
use crate::comfy::health::Health;
use crate::comfy::http::HttpError;
use crate::comfy::look::{self, Looked, Watch};
use crate::comfy::mailbox::Mailbox;
use crate::comfy::socket::{Frame, Opened, Socket, SocketError};
use crate::env::Rng;
use crate::retry::Backoff;

/// After so long a socket counts as healthy, and the waits begin small again.
const HEALTHY_MS: u64 = 60_000;
/// While runs are watched nobody should wait longer than this for a new try.
const WATCHED_CAP: Duration = Duration::from_secs(10);
const IDLE_CAP: Duration = Duration::from_mins(1);

/// What the engine was told of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Untold,
    Down,
    Up { live: bool },
}

/// What a probe found.
struct Probed {
    version: Option<String>,
    /// A prompt that the process should remember.
    forgotten: Option<PromptId>,
    /// Which process it is, where the way there tells.
    process: Option<String>,
}

/// What ended a wait.
enum Woke {
    Shutdown,
    Watched,
    Poked,
    Probed(Result<Probed, HttpError>),
    Opened(Result<Box<Opened>, SocketError>),
    Looked(Result<Looked, HttpError>),
    Closed,
    Frame(Result<Frame, SocketError>),
    /// Time passed, or the engine has room again.
    Turn,
}

type Pending<T> = Option<BoxFuture<'static, T>>;

pub(super) struct Task {
    config: LinkConfig,
    inputs: mpsc::Sender<Input>,
    previews: mpsc::Sender<Preview>,
    rng: Arc<dyn Rng>,
    peer: watch::Sender<Peer>,
    began: Instant,
    mailbox: Mailbox,
    health: Health,
    watch: Watch,
    reach: Reach,
    version: Option<String>,
    process: Option<String>,
    /// What stood in the way when that was told last.
    obstacle: Option<Obstacle>,
    socket: Option<Socket>,
    /// Whether previews name their prompts.
    labelled: bool,
    opened_at: Timestamp,
    /// The prompt of ours that runs, for previews that name none.
    running: Option<PromptId>,
    backoff: Backoff,
    socket_failures: u32,
    was_up: bool,
    /// Why the process is another one than before, until that is told.
    evidence: Option<String>,
    retry_at: Option<Timestamp>,
    probing: Pending<Result<Probed, HttpError>>,
    opening: Pending<Result<Opened, SocketError>>,
    looking: Pending<Result<Looked, HttpError>>,
    closing: Pending<()>,
    bad_frames: u64,
    unknown_frames: u64,
}

impl Task {
    pub(super) fn new(
        config: LinkConfig,
        inputs: mpsc::Sender<Input>,
        previews: mpsc::Sender<Preview>,
        rng: Arc<dyn Rng>,
        peer: watch::Sender<Peer>,
    ) -> Self {
        Self {
            mailbox: Mailbox::new(config.instance.clone()),
            config,
            inputs,
            previews,
            rng,
            peer,
            began: Instant::now(),
            health: Health::default(),
            watch: Watch::default(),
            reach: Reach::Untold,
            version: None,
            process: None,
            obstacle: None,
            socket: None,
            labelled: false,
            opened_at: Timestamp(0),
            running: None,
            backoff: Backoff::reconnecting(),
            socket_failures: 0,
            was_up: false,
            evidence: None,
            retry_at: Some(Timestamp(0)),
            probing: None,
            opening: None,
            looking: None,
            closing: None,
            bad_frames: 0,
            unknown_frames: 0,
        }
    }

    #[tracing::instrument(skip_all, fields(instance = %self.config.instance))]
    pub(super) async fn run(
        mut self,
        mut watched: watch::Receiver<Vec<(RunId, PromptId)>>,
        poke: &Notify,
        shutdown: &CancellationToken,
    ) {
        self.began = Instant::now();
        self.watch.set(self.now(), watched.borrow_and_update().clone());
        loop {
            self.start_what_is_due();
            let Ok(full) = self.forward() else { break };
            let time = self.wake(full).map(|at| self.began + Duration::from_millis(at.0));
            let woke = tokio::select! {
                biased;
                () = shutdown.cancelled() => Woke::Shutdown,
                changed = watched.changed() => if changed.is_ok() { Woke::Watched } else { Woke::Shutdown },
                () = poke.notified() => Woke::Poked,
                probed = done(&mut self.probing) => Woke::Probed(probed),
                opened = done(&mut self.opening) => Woke::Opened(opened.map(Box::new)),
                looked = done(&mut self.looking) => Woke::Looked(looked),
                () = done(&mut self.closing) => Woke::Closed,
                // The room is only awaited; `forward` takes it.
                room = self.inputs.reserve(), if full => if room.is_ok() { Woke::Turn } else { Woke::Shutdown },
                () = at(time) => Woke::Turn,
                // Last, as it may be ready at all times; every arm above is ready only now and then.
                frame = next(&mut self.socket) => Woke::Frame(frame),
            };
            match woke {
                Woke::Shutdown => break,
                Woke::Watched => {
                    let runs = watched.borrow_and_update().clone();
                    let more = self.watch.is_empty() && !runs.is_empty();
                    self.watch.set(self.now(), runs);
                    if more {
                        self.hurry();
                    }
                }
                Woke::Poked => {
                    self.watch.ask_all(self.now());
                    self.hurry();
                }
                Woke::Probed(probed) => self.probed(probed),
                Woke::Opened(opened) => self.opened(opened.map(|opened| *opened)),
                Woke::Looked(looked) => self.looked(looked),
                Woke::Frame(Ok(frame)) => self.frame(&frame),
                Woke::Frame(Err(error)) => self.lost(&error.to_string()),
                Woke::Closed | Woke::Turn => {}
            }
        }
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn start_what_is_due(&mut self) {
        let now = self.now();
        if self.socket.is_some()
            && let Some(why) = self.health.verdict(now)
        {
            tracing::warn!(%why, "instance.socket_silent");
            self.closing = self.socket.take().map(|socket| Box::pin(socket.close()) as BoxFuture<'static, ()>);
            self.gap(&why);
            self.retry_at = Some(now);
        }
        let idle = self.socket.is_none() && self.probing.is_none() && self.opening.is_none() && self.closing.is_none();
        if idle && self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.probe();
        }
        let up = matches!(self.reach, Reach::Up { .. });
        if up && self.looking.is_none() && self.watch.due().is_some_and(|due| due <= now) {
            let poll_ms = u64::try_from(self.config.http.tuning().get().poll.as_millis()).unwrap_or(u64::MAX);
            let version = self.peer.borrow().version;
            let plan = self.watch.plan(now, version, poll_ms);
            self.looking = Some(Box::pin(look::look(self.config.http.clone(), plan)));
        }
    }

    /// When to go on even if nothing happens.
    fn wake(&self, full: bool) -> Option<Timestamp> {
        let idle = self.socket.is_none() && self.probing.is_none() && self.opening.is_none() && self.closing.is_none();
        let look = self.looking.is_none() && matches!(self.reach, Reach::Up { .. });
        let due = [
            self.retry_at.filter(|_| idle),
            self.watch.due().filter(|_| look),
            self.mailbox.due().filter(|_| !full),
            self.health.due().filter(|_| self.socket.is_some()),
        ];
        due.into_iter().flatten().min()
    }

    /// Hands over what may pass; says whether the engine has no room, or fails if there is no engine.
    fn forward(&mut self) -> Result<bool, ()> {
        let now = self.now();
        while self.mailbox.due().is_some_and(|due| due <= now) {
            match self.inputs.try_reserve() {
                Ok(room) => match self.mailbox.pop(now) {
                    Some(input) => room.send(input),
                    None => break,
                },
                Err(mpsc::error::TrySendError::Full(())) => return Ok(true),
                Err(mpsc::error::TrySendError::Closed(())) => return Err(()),
            }
        }
        Ok(false)
    }

    fn tell(&mut self, change: LinkChange) {
        self.mailbox.say(Input::Link(self.config.instance.clone(), change));
    }

    /// Tries again now if it would have been later: somebody waits.
    fn hurry(&mut self) {
        let now = self.now();
        self.retry_at = self.retry_at.map(|at| at.min(now));
    }

    fn looked(&mut self, looked: Result<Looked, HttpError>) {
        self.looking = None;
        let now = self.now();
        match looked {
            Ok(looked) => {
                let (news, sight) = self.watch.found(now, looked);
                for input in news {
                    self.mailbox.say(input);
                }
                if let (Some(sight), Some(_)) = (sight, &self.socket) {
                    self.health.saw(now, sight);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a look failed");
                self.watch.failed(now);
                if error.is_refused() {
                    self.down(&error);
                } else if error.is_of_the_way() && self.probing.is_none() && self.opening.is_none() {
                    self.retry_at = None;
                    self.probe();
                }
            }
        }
    }
}

/// Waits for a future that may not be there. Cancel-safe: the future stays in its place.
async fn done<T>(future: &mut Pending<T>) -> T {
    let value = match future {
        Some(future) => future.await,
        None => pending().await,
    };
    *future = None;
    value
}

async fn next(socket: &mut Option<Socket>) -> Result<Frame, SocketError> {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
