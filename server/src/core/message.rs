//! How others speak to the core loop.

use comfyd_engine::{Input, Limits, NewRun, Refusal, RunId, Seq, StreamId};
use tokio::sync::{mpsc, oneshot};

/// What came in.
#[derive(Debug)]
pub(crate) enum Message {
    /// An observation: nobody waits for an answer.
    Input(Input),
    /// A request: answered when its facts are on disk.
    Ask {
        /// The request.
        input: Input,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Granted, AskError>>,
    },
    /// Other limits are in force from here on.
    Limit(Limits),
    /// Runs that are created together or not at all, and written together.
    CreateAll {
        /// The runs.
        runs: Vec<NewRun>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Granted, AskError>>,
    },
}

/// A request was granted and is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The run that it was about.
    pub run: Option<RunId>,
    /// The place of that run's newest fact.
    pub seq: Seq,
}

/// A request was not granted.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The engine says no.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It could not be written; nothing of it happened.
    #[error("write the log: {why}")]
    NotStored {
        /// What the store said.
        why: String,
        /// Whether the disk is full, so that freeing space helps.
        disk_full: bool,
    },
    /// The log takes no record of this length, so that asking again is of no use; nothing of it happened.
    #[error("write the log: {why}")]
    TooLarge {
        /// What the store said.
        why: String,
    },
    /// Too much is going on.
    #[error("take another request now: too many are waiting")]
    Busy,
    /// The server is going down.
    #[error("take requests: the server is stopping")]
    Stopping,
}

/// How many requests may wait for the core loop: as many as one batch takes.
const ASK_QUEUE: usize = 256;
/// How many observations may wait: the links hold more themselves and coalesce.
const INPUT_QUEUE: usize = 1024;

/// The way to the core loop.
#[derive(Clone, Debug)]
pub struct CoreHandle {
    asks: mpsc::Sender<Message>,
    inputs: mpsc::Sender<Input>,
}

/// The core loop's end of it.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) asks: mpsc::Receiver<Message>,
    pub(crate) inputs: mpsc::Receiver<Input>,
}

impl CoreHandle {
    pub(crate) fn channel() -> (Self, Inbox) {
        let (asks, asks_end) = mpsc::channel(ASK_QUEUE);
        let (inputs, inputs_end) = mpsc::channel(INPUT_QUEUE);
        (Self { asks, inputs }, Inbox { asks: asks_end, inputs: inputs_end })
    }

    /// Asks for something and waits until it is on disk.
    ///
    /// # Errors
    /// If it is refused, cannot be stored, or the server is busy or stopping.
    pub async fn ask(&self, input: Input) -> Result<Granted, AskError> {
        self.send(|reply| Message::Ask { input, reply }).await
    }

    /// Creates several runs at once and waits until all of them are on disk.
    ///
    /// # Errors
    /// If one is refused, they cannot be stored, or the server is busy or stopping; none of them exists then.
    pub async fn create_all(&self, runs: Vec<NewRun>) -> Result<Granted, AskError> {
        self.send(|reply| Message::CreateAll { runs, reply }).await
    }

    async fn send(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<Granted, AskError>>) -> Message,
    ) -> Result<Granted, AskError> {
        let (reply, answer) = oneshot::channel();
        self.asks.try_send(message(reply)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Stopping,
        })?;
        answer.await.unwrap_or(Err(AskError::Stopping))
    }

    /// Puts other limits in force. A server that is stopping keeps those it has.
    pub async fn limit(&self, limits: Limits) {
        // Only a loop that has ended does not take it.
        let _ = self.asks.send(Message::Limit(limits)).await;
    }

    /// Where observations go.
    pub fn inputs(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }
}

/// The log that an input is about, if it is one.
pub(super) fn stream_of(input: &Input) -> Option<StreamId> {
    match input {
        Input::AddInstance { instance, .. }
        | Input::SetInstance { instance, .. }
        | Input::RemoveInstance { instance, .. }
        | Input::TrustHostKey { instance, .. }
        | Input::Observed(instance, _)
        | Input::Link(instance, _) => Some(StreamId::Instance(instance.clone())),
        Input::Request(..)
        | Input::Reconciled(..)
        | Input::TwinSeen(_)
        | Input::Repaired(..)
        | Input::CaughtUp(_)
        | Input::Outcome(..)
        | Input::Restarted
        | Input::Deadline => run_of(input).map(StreamId::Run),
    }
}

/// The run that an input is about.
pub(super) fn run_of(input: &Input) -> Option<RunId> {
    match input {
        Input::Request(run, _) | Input::Reconciled(run, _) | Input::TwinSeen(run) | Input::Repaired(run, _) => Some(*run),
        Input::AddInstance { .. }
        | Input::SetInstance { .. }
        | Input::RemoveInstance { .. }
        | Input::TrustHostKey { .. }
        | Input::CaughtUp(_)
        | Input::Observed(..)
        | Input::Outcome(..)
        | Input::Link(..)
        | Input::Restarted
        | Input::Deadline => None,
    }
}
