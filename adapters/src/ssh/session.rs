//! One SSH connection that is made when it is needed, and again when it was lost.
//!
//! Invariants: one attempt at a time, which all who wait for it share and which nobody who stops waiting ends; between two that fail is a wait, whoever
//! asks how often; after an answer that only a person can change nothing is tried until somebody says so; a login that was refused is tried once more
//! at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use russh::{Channel, ChannelOpenFailure, client::Msg};
use russh_sftp::client::SftpSession;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use super::config::SshConfig;
use super::destination::Destination;
use super::dial::{Dialled, dial};
use super::doubt::Doubt;
use super::error::SshError;
use super::pace::Pace;
use super::pipe::Pipe;

/// How long the other end may take to open a channel.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to say that it is there.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often it is asked for a session where none is free, and how long is waited between.
const SESSION_TRIES: u32 = 20;
const SESSION_WAIT: Duration = Duration::from_millis(100);

/// Whoever asks is told of a longer wait than this at once, and waits for a shorter one.
const PATIENCE: Duration = Duration::from_secs(1);

type Attempt = Shared<BoxFuture<'static, Result<Arc<Live>, SshError>>>;

/// A connection that stands.
pub(super) struct Live {
    dialled: Dialled,
    since: Instant,
    /// Servers may allow one session at a time.
    pub(super) sessions: Semaphore,
    /// The file transfer, or why there is none on this connection.
    pub(super) sftp: tokio::sync::Mutex<Option<Result<Arc<SftpSession>, SshError>>>,
}

impl Live {
    pub(super) fn is_closed(&self) -> bool {
        self.dialled.handle.is_closed()
    }

    /// Whether the machine answers on it within a few seconds.
    pub(super) async fn answers(&self) -> bool {
        let asked = timeout(ANSWER_LIMIT, self.dialled.handle.send_ping()).await;
        matches!(asked, Ok(Ok(()))) && !self.is_closed()
    }
}

#[derive(Default)]
struct Slot {
    live: Option<Arc<Live>>,
    attempt: Option<Attempt>,
    attempts: u64,
    pace: Pace,
    /// How often it was hung up: what an attempt makes that was begun before is not kept.
    hung_up: u64,
}

impl Slot {
    /// Ends the connection. One that stood for long was a good one, so the waits begin small again.
    fn let_go(&mut self) {
        if let Some(live) = self.live.take() {
            self.pace.ended(live.since);
        }
    }
}

/// A connection to one machine; clones are the same one.
#[derive(Clone)]
pub struct Session {
    config: Arc<SshConfig>,
    slot: Arc<Mutex<Slot>>,
    doubt: Arc<Mutex<Doubt>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every statement leaves what is in it whole, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// One that is not made yet.
    pub fn new(config: Arc<SshConfig>) -> Self {
        Self { config, slot: Arc::default(), doubt: Arc::default() }
    }

    /// Another connection to the same machine. What only a person can change stands in the way of both.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { config: Arc::clone(&self.config), slot: Arc::default(), doubt: Arc::clone(&self.doubt) }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        locked(&self.slot)
    }

    /// What it knows.
    pub fn config(&self) -> &SshConfig {
        &self.config
    }

    /// Somebody has looked: what was refused may be tried again.
    pub fn try_again(&self) {
        self.slot().pace.forget();
        *locked(&self.doubt) = Doubt::default();
    }

    /// What only a person can change, if that is what stands in the way.
    pub fn stuck(&self) -> Option<SshError> {
        locked(&self.doubt).stuck().cloned()
    }

    /// How often it was begun to connect.
    pub fn attempts(&self) -> u64 {
        self.slot().attempts
    }

    /// Ends the connection; the next use makes a new one.
    pub fn hang_up(&self) {
        let mut slot = self.slot();
        slot.let_go();
        slot.hung_up += 1;
    }

    /// Connects, if that has not been done.
    ///
    /// # Errors
    /// If there is no way, or it is not to be tried.
    pub async fn connect(&self) -> Result<(), SshError> {
        self.live().await.map(|_| ())
    }

    /// The connection, made now if there is none.
    pub(super) async fn live(&self) -> Result<Arc<Live>, SshError> {
        let attempt = {
            let mut slot = self.slot();
            if let Err(stuck) = self.unstuck() {
                // What one connection has met holds for the other, also if that stands yet.
                slot.let_go();
                return Err(stuck);
            }
            match slot.live.take() {
                Some(live) if !live.is_closed() => {
                    slot.live = Some(Arc::clone(&live));
                    return Ok(live);
                }
                Some(gone) => slot.pace.lost(gone.since, self.config.rng.as_ref()),
                None => {}
            }
            if let Some(attempt) = &slot.attempt {
                attempt.clone()
            } else {
                let after = match slot.pace.rest() {
                    Some((left, why)) if left > PATIENCE => return Err(why.clone()),
                    Some((left, _)) => left,
                    None => Duration::ZERO,
                };
                slot.attempts += 1;
                let attempt = self.begin(after, slot.hung_up);
                slot.attempt.insert(attempt).clone()
            }
        };
        attempt.await
    }

    /// Nothing stands in the way that only a person can change, or not any more.
    fn unstuck(&self) -> Result<(), SshError> {
        let mut doubt = locked(&self.doubt);
        match doubt.stuck() {
            Some(stuck) if !self.is_trusted_now(stuck) => Err(stuck.clone()),
            Some(_) => {
                doubt.unstick();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the key that stood in the way was accepted meanwhile.
    fn is_trusted_now(&self, stuck: &SshError) -> bool {
        let Some(presented) = stuck.presented() else { return false };
        let Destination { target, jump } = &self.config.destination;
        let mut hops = [Some(target), jump.as_ref()].into_iter().flatten();
        let hop = hops.find(|hop| hop.name() == presented.machine);
        hop.is_some_and(|hop| self.config.trust.accepted(hop).contains(&presented.key))
    }

    /// Connects in a task of its own: whoever waits may give up, and the next one finds it further on.
    fn begin(&self, after: Duration, hung_up: u64) -> Attempt {
        let (config, slot, doubt) = (Arc::clone(&self.config), Arc::clone(&self.slot), Arc::clone(&self.doubt));
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let (sessions, sftp) = (Semaphore::new(1), tokio::sync::Mutex::default());
            let done = dial(&config).await.map(|dialled| Arc::new(Live { dialled, since: Instant::now(), sessions, sftp }));
            let (mut slot, mut doubt) = (locked(&slot), locked(&doubt));
            slot.attempt = None;
            match &done {
                Ok(live) => {
                    // Whoever waited for it has it; nobody else may need it any more.
                    slot.live = Some(Arc::clone(live)).filter(|_| slot.hung_up == hung_up);
                    doubt.dispel();
                }
                Err(error) => {
                    if doubt.failed(&config.destination.target, error) {
                        slot.pace.failed(error.clone(), config.rng.as_ref());
                    }
                }
            }
            done
        });
        let ended = |error: tokio::task::JoinError| Err(SshError::Lost { why: format!("the attempt ended: {error}") });
        async move { task.await.unwrap_or_else(ended) }.boxed().shared()
    }

    /// Opens a channel on the connection. One that turns out to be gone is made anew, once.
    async fn open<F>(&self, what: &str, open: impl Fn(Arc<Live>) -> F) -> Result<(Channel<Msg>, Arc<Live>), SshError>
    where
        F: Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    {
        let mut again = true;
        loop {
            let live = self.live().await?;
            let (give, take) = oneshot::channel();
            let opening = open(Arc::clone(&live));
            // In a task of its own: a channel that is opened when nobody waits for it any more must be closed.
            tokio::spawn(async move {
                if let Err(Ok(unwanted)) = give.send(opening.await) {
                    let _ = unwanted.close().await;
                }
            });
            let error = match timeout(OPEN_LIMIT, take).await {
                Ok(Ok(Ok(channel))) => return Ok((channel, live)),
                Ok(Ok(Err(russh::Error::ChannelOpenFailure(why)))) => return Err(refused(what, why)),
                Ok(Ok(Err(error))) => SshError::Lost { why: format!("while {what} was opened: {error}") },
                Ok(Err(_)) => SshError::Lost { why: format!("while {what} was opened") },
                Err(_) => return Err(SshError::Timeout { what: what.to_owned(), seconds: OPEN_LIMIT.as_secs() }),
            };
            if !again {
                return Err(error);
            }
            again = false;
            self.forget(&live);
        }
    }

    fn forget(&self, gone: &Arc<Live>) {
        let mut slot = self.slot();
        if slot.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, gone)) {
            slot.live = None;
            slot.pace.lost(gone.since, self.config.rng.as_ref());
        }
    }

    /// Opens a stream to a port of the machine itself.
    ///
    /// # Errors
    /// If there is no way, nothing listens there, or the machine forbids it.
    pub async fn stream(&self, port: u16) -> Result<Pipe, SshError> {
        let what = format!("a stream to port {port}");
        let opened = self.open(&what, |live| async move {
            live.dialled.handle.channel_open_direct_tcpip("127.0.0.1", u32::from(port), "127.0.0.1", 0).await
        });
        match opened.await {
            Ok((channel, live)) => Ok(Pipe::over(channel, Box::new(live))),
            Err(SshError::Channel { why, .. }) if why == NOTHING_LISTENS => Err(SshError::PortRefused { port, why }),
            Err(error) => Err(error),
        }
    }

    /// Opens a channel for a command or a subsystem.
    pub(super) async fn session(&self, what: &str) -> Result<(Channel<Msg>, Arc<Live>), SshError> {
        let mut tries = 0;
        loop {
            let opened = self.open(what, |live| async move { live.dialled.handle.channel_open_session().await }).await;
            match opened {
                // Where few sessions are allowed, the one before may not be given free yet.
                Err(SshError::Channel { .. }) if tries < SESSION_TRIES => tries += 1,
                Err(SshError::Channel { what, why }) if why == NOTHING_LISTENS => {
                    return Err(SshError::Channel { what, why: "it allows no more sessions".into() });
                }
                done => return done,
            }
            tokio::time::sleep(SESSION_WAIT).await;
        }
    }
}

pub(super) const NOTHING_LISTENS: &str = "connection refused";

fn refused(what: &str, why: ChannelOpenFailure) -> SshError {
    let what = what.to_owned();
    match why {
        ChannelOpenFailure::ConnectFailed => SshError::Channel { what, why: NOTHING_LISTENS.into() },
        ChannelOpenFailure::AdministrativelyProhibited => SshError::Forbidden { what, why: "administratively prohibited".into() },
        ChannelOpenFailure::UnknownChannelType => SshError::Forbidden { what, why: "unknown to the machine".into() },
        ChannelOpenFailure::ResourceShortage => SshError::Channel { what, why: "it has no room for more".into() },
        other @ ChannelOpenFailure::Other { .. } => SshError::Channel { what, why: format!("{other:?}") },
    }
}
