//! The way to the loop that drives generic workflows, and what it shows.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use comfyd_engine::{Setup, SetupCreated, SetupId, SetupImported, SetupInput, SetupRefusal, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use super::execute::setup_of;
use crate::core::RecoverError;
use crate::problem::Problem;
use crate::store::AppendError;

/// How many requests and reports may wait: far more than there are steps at work.
const QUEUE: usize = 256;

/// A wish to start a generic workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartSetup {
    /// Its id, if the caller chose one.
    pub(crate) id: Option<SetupId>,
    /// Everything that it needs.
    pub(crate) created: SetupCreated,
}

/// A started workflow.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) setup: Arc<Setup>,
    /// Whether it was started now; false for a repeat of the same request.
    pub(crate) fresh: bool,
}

/// What the loop is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A request: answered when its facts are on disk.
    Ask { id: SetupId, ask: Ask, reply: oneshot::Sender<Result<Started, AskError>> },
    /// What the runner of a step saw.
    Said { id: SetupId, input: SetupInput },
}

/// A request.
#[derive(Debug)]
pub(super) enum Ask {
    Start(SetupCreated),
    Import(Box<SetupImported>),
    Do(SetupInput),
}

/// A request was not granted.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("there is no such workflow")]
    Unknown,
    #[error("another workflow has this id")]
    Exists,
    #[error("too many workflows are open: {0}")]
    TooMany(usize),
    #[error("failed to {0}")]
    Refused(#[from] SetupRefusal),
    #[error("its log cannot be used: {0}")]
    Aside(String),
    #[error("its log could not be read")]
    NotRead(#[from] RecoverError),
    #[error("the log could not be written")]
    NotStored(#[from] AppendError),
}

/// Generic workflows, as others see them.
#[derive(Clone, Debug)]
pub(crate) struct Setups {
    pub(super) asks: mpsc::Sender<Message>,
    pub(super) shown: Arc<Shown>,
}

/// The newest published value of each, and how often anything was published.
#[derive(Debug, Default)]
pub(super) struct Shown(RwLock<BTreeMap<SetupId, Arc<Setup>>>, watch::Sender<u64>);

impl Shown {
    pub(super) fn publish(&self, setup: &Setup) {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        shown.insert(setup.id().clone(), Arc::new(setup.clone()));
        drop(shown);
        self.1.send_modify(|count| *count += 1);
    }
}

impl Shown {
    pub(super) fn forget(&self, id: &SetupId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Setups {
    pub(crate) fn channel() -> (Self, SetupInbox) {
        let (asks, inbox) = mpsc::channel(QUEUE);
        let shown = Arc::new(Shown::default());
        (Self { asks, shown: Arc::clone(&shown) }, SetupInbox { inbox, shown })
    }

    /// Tells that some workflow has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shown.1.subscribe()
    }

    /// The workflow of this id, unless it was over long ago; see [`super::recall`].
    pub(crate) fn get(&self, id: &SetupId) -> Option<Arc<Setup>> {
        self.shown.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The newest workflow that is open, else the newest that was over after `since`; those that `hidden` names are left out.
    pub(crate) fn active(&self, since: Timestamp, hidden: impl Fn(&SetupId) -> bool) -> Option<Arc<Setup>> {
        let shown = self.shown.0.read().unwrap_or_else(PoisonError::into_inner);
        let seen = shown.values().filter(|setup| shows(setup, since) && !hidden(setup.id()));
        seen.max_by_key(|setup| (!setup.phase().is_over(), setup.recorded(), setup.id().clone())).cloned()
    }

    /// Whether a step may ask again under this key.
    pub(crate) fn needs_key(&self, key: &str) -> bool {
        setup_of(key).and_then(|id| self.get(&id)).is_some_and(|setup| !setup.phase().is_over())
    }

    /// Starts a workflow.
    pub(crate) async fn start(&self, id: SetupId, created: SetupCreated) -> Result<Started, Problem> {
        self.ask(id, Ask::Start(created)).await
    }

    /// Takes over the state of another program.
    pub(crate) async fn import(&self, id: SetupId, file: SetupImported) -> Result<Started, Problem> {
        self.ask(id, Ask::Import(Box::new(file))).await
    }

    /// Stops a workflow.
    pub(crate) async fn stop(&self, id: SetupId) -> Result<Arc<Setup>, Problem> {
        Ok(self.ask(id, Ask::Do(SetupInput::Stop)).await?.setup)
    }

    /// Lets a workflow go on.
    pub(crate) async fn resume(&self, id: SetupId, skip: Vec<u32>) -> Result<Arc<Setup>, Problem> {
        Ok(self.ask(id, Ask::Do(SetupInput::Resume { skip })).await?.setup)
    }

    async fn ask(&self, id: SetupId, ask: Ask) -> Result<Started, Problem> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Problem::unavailable("stopping", "the server is stopping", "Try again when it is up.");
        self.asks.try_send(Message::Ask { id: id.clone(), ask, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Problem::unavailable("busy", "too many requests wait already", "Try again in a second.")
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        match answer.await {
            Ok(answer) => answer.map_err(|error| problem(&id, &error)),
            Err(_) => Err(stopping()),
        }
    }
}

/// Whether a workflow belongs to the live view: it is open, or was over after `since`.
pub(crate) fn shows(setup: &Setup, since: Timestamp) -> bool {
    // An imported one may have been over for long, but is new here.
    !setup.phase().is_over() || setup.recorded() > since
}

/// The loop's end of the way.
#[derive(Debug)]
pub(crate) struct SetupInbox {
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) shown: Arc<Shown>,
}

fn problem(id: &SetupId, error: &AskError) -> Problem {
    let message = format!("workflow {id}: {error}");
    match error {
        AskError::Unknown => Problem::unknown_workflow(id.as_str()),
        AskError::Exists => Problem::new(409, "exists", message, "Choose another `workflow_id`, or leave it out."),
        AskError::TooMany(_) => Problem::new(429, "too_many_workflows", message, "Stop some that are open."),
        AskError::Refused(refusal) => match refusal {
            SetupRefusal::Over(_) => Problem::new(409, "already_settled", message, "Start a new one."),
            SetupRefusal::Stopping => {
                Problem::new(409, "stopping", message, "Wait until its status is `cancelled`, then resume it.")
            }
            SetupRefusal::Running => Problem::new(409, "running", message, "Stop it first, then resume it with `skip`."),
            SetupRefusal::NoSuchStep(_) => Problem::invalid("no_such_step", message, "Steps are numbered from 0."),
            SetupRefusal::Ours => {
                Problem::new(409, "exists", message, "Its state is made by comfyd; give the file another `workflow_id`.")
            }
        },
        AskError::Aside(_) => Problem::new(
            409,
            "quarantined",
            message,
            "Look at its log with `comfyd log verify`, and start a new workflow with the steps that are left.",
        ),
        AskError::NotRead(error) => not_read(id, error),
        AskError::NotStored(error) => not_stored(&message, error),
    }
}

/// The log of a workflow could not be read.
pub(crate) fn not_read(id: &SetupId, error: &RecoverError) -> Problem {
    let message = format!("workflow {id}: failed to {}", crate::core::with_causes(error));
    Problem::unavailable(
        "not_readable_now",
        message,
        "Nothing was changed. Look at the data directory and its disk, and try again.",
    )
}

fn not_stored(message: &str, error: &AppendError) -> Problem {
    let message = format!("{message}: {error}");
    match error {
        AppendError::PayloadSize { .. } => Problem::new(
            413,
            "too_large",
            message,
            "Name workflows by `workflow_file` or `template` in the steps instead of sending them.",
        ),
        AppendError::DiskFull(_) => Problem::new(507, "disk_full", message, "Free disk space; nothing was changed."),
        AppendError::ReadOnly { why } => Problem::read_only(why),
        AppendError::Quarantined { .. } | AppendError::LogFull { .. } | AppendError::Conflict { .. } => {
            Problem::new(409, "quarantined", message, "Its log takes no more; start a new workflow with the steps that are left.")
        }
        AppendError::NotWritten(_) | AppendError::Stopped => {
            Problem::unavailable("not_stored", message, "Nothing was changed. Try again; look at the disk.")
        }
    }
}
