//! One task per instance: keeps the way open, reads the socket, polls, and tells the engine what it sees.
//!
//! Invariants: the socket is always read, however slow the engine is; polling decides, frames only hurry; an instance is up once HTTP answers
//! and the socket is registered, or polling must do without it.
//! Absent: what any of it means for a run.

mod task;

use std::sync::Arc;

use bytes::Bytes;
use comfyd_engine::{ClientId, Input, InstanceId, NodeId, PromptId, RunId};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::http::Client;
use super::version::Version;
use crate::env::Rng;

/// What a link is.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The instance.
    pub instance: InstanceId,
    /// Our `clientId` there.
    pub client: ClientId,
    /// Its HTTP client; the socket uses the same transport and the same tuning.
    pub http: Client,
}

impl LinkConfig {
    /// A link of this instance.
    pub fn new(instance: InstanceId, client: ClientId, http: Client) -> Self {
        Self { instance, client, http }
    }
}

/// What a link needs from its surroundings.
pub struct LinkDeps {
    /// Where everything that is seen goes. A bound of 256 is enough: what does not fit waits in the link and coalesces there.
    pub inputs: mpsc::Sender<Input>,
    /// The runs that the instance may have, whose fate must be watched.
    pub watched: watch::Receiver<Vec<(RunId, PromptId)>>,
    /// Where previews go; one that finds it full is dropped.
    pub previews: mpsc::Sender<Preview>,
    /// Chance, for jitter.
    pub rng: Arc<dyn Rng>,
    /// Ends the link.
    pub shutdown: CancellationToken,
}

/// A picture of what a node is making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The instance.
    pub instance: InstanceId,
    /// The run that it belongs to.
    pub run: RunId,
    /// The node, where the server tells.
    pub node: Option<NodeId>,
    /// `image/jpeg` or `image/png`, as the server says.
    pub media_type: &'static str,
    /// The picture.
    pub bytes: Bytes,
}

/// What is known of the process at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    /// How often it came up or went down: what is cached of it is good for one time.
    pub(super) ups: u64,
    pub(super) version: Option<Version>,
}

/// The task of one instance.
pub struct Link {
    task: task::Task,
    watched: watch::Receiver<Vec<(RunId, PromptId)>>,
    poke: Arc<Notify>,
    shutdown: CancellationToken,
    ended: CancellationToken,
}

impl Link {
    /// A link that does nothing until it is run, and a hold on it.
    pub fn new(config: LinkConfig, deps: LinkDeps) -> (Self, LinkHandle) {
        let poke = Arc::new(Notify::new());
        let ended = CancellationToken::new();
        let (peer, known) = watch::channel(Peer::default());
        let handle = LinkHandle { poke: Arc::clone(&poke), peer: known, ended: ended.clone() };
        let LinkDeps { inputs, watched, previews, rng, shutdown } = deps;
        let task = task::Task::new(config, inputs, previews, rng, peer);
        (Self { task, watched, poke, shutdown, ended }, handle)
    }

    /// Does the work until the token is cancelled, or nobody takes inputs or says what to watch.
    pub async fn run(self) {
        let Self { task, watched, poke, shutdown, ended } = self;
        let _ended = ended.drop_guard();
        task.run(watched, &poke, &shutdown).await;
    }

    /// Starts the work in a task of its own; [`LinkHandle::stopped`] waits for its end.
    pub fn spawn(config: LinkConfig, deps: LinkDeps) -> LinkHandle {
        let (link, handle) = Self::new(config, deps);
        tokio::spawn(link.run());
        handle
    }
}

/// A hold on a link; clones are holds on the same one.
#[derive(Clone, Debug)]
pub struct LinkHandle {
    poke: Arc<Notify>,
    peer: watch::Receiver<Peer>,
    ended: CancellationToken,
}

impl LinkHandle {
    /// Looks now, and tells what is found even if it is no news; while the instance is down, tries to reach it now.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// Waits until the work has ended.
    pub async fn stopped(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer.borrow().clone()
    }
}
