//! What the server can do, behind every door: the HTTP API, the page and the tests call these functions and no others.
//!
//! Invariants: an `Ok` to a change means that it is on disk. Absent: HTTP; see [`crate::api`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::env::{Clock, Rng};
use comfyd_engine::{Force, Input, PromptSpec, Request, RunId, RunSpec, RunView, Seq, Sha256, Timestamp, Workload};
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

use crate::core::CoreHandle;
use crate::live::{Keyed, Live, Preview};
use crate::problem::Problem;
use crate::store::{Health, RawLog};
use crate::turns::Turns;

pub use crate::intake::{Execute, Image, Images, Source, Target, Validation};
pub use crate::live::{Change, Filter, Page, Summary};
pub use crate::retention::RetentionRules;

/// A run whose outputs are all there is let go within this.
const LETS_GO: Duration = Duration::from_secs(2);

/// Everything that the doors share.
#[derive(Clone)]
pub struct App {
    pub(crate) core: CoreHandle,
    pub(crate) live: Arc<Live>,
    pub(crate) history: Arc<crate::history::History>,
    pub(crate) intake: Arc<crate::intake::Intake>,
    pub(crate) instances: Arc<crate::instances::Instances>,
    pub(crate) templates: Arc<crate::templates::Library>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) readiness: watch::Receiver<Readiness>,
    pub(crate) keyed: Arc<Turns>,
    pub(crate) spool: crate::spool::Spool,
    pub(crate) retention: Arc<watch::Sender<RetentionRules>>,
    pub(crate) showing: Arc<crate::showing::Showing>,
    pub(crate) setups: crate::setup::Setups,
    /// When the server began.
    pub(crate) started: Timestamp,
}

/// Whether the server can take work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum Readiness {
    /// Logs are being read.
    Starting,
    /// It can.
    Ready,
    /// It cannot: the log takes no writes.
    ReadOnly(String),
}

/// A created run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Created {
    /// Its id.
    pub run_id: RunId,
    /// Its name in the plan's shapes.
    pub workflow_id: String,
    /// Whether it was created now; false for a repeat with the same `Idempotency-Key`.
    pub fresh: bool,
}

/// A stored output file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Where it is.
    pub path: PathBuf,
    /// The name to offer for saving: a label from the instance, to be encoded, never a path.
    pub label: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its hash, which is its `ETag`.
    pub sha256: String,
    /// What its first bytes say that it is.
    pub media_type: Option<String>,
}

/// One record of a run's log, readable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogLine {
    /// Its place.
    pub seq: Seq,
    /// When it was recorded.
    pub at: String,
    /// The event: `{kind, version, data}`; blobs shortened to their length.
    pub event: serde_json::Value,
}

fn not_over(run: RunId, how: &str, hint: &str) -> Problem {
    Problem::new(409, "not_settled", format!("run {run} {how}"), hint)
}

fn key_not_kept(error: &std::io::Error) -> Problem {
    let message = format!("the run's Idempotency-Key could not be kept: {error}");
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        let hint = "Free disk space, or remove runs that are older than a day; nothing was removed.";
        return Problem::new(507, "disk_full", message, hint);
    }
    Problem::unavailable("not_stored", message, "Try again; look at the disk. Nothing was removed.")
}

impl App {
    /// Creates a run: parses, checks, stores, and answers when it is on disk.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot be stored.
    pub async fn execute(&self, request: Execute) -> Result<Created, Problem> {
        let Some(key) = request.idempotency_key.clone() else { return self.create(request, None).await };
        let app = self.clone();
        // In a task of its own: a caller that hangs up must not let its twin in before the first is known.
        let created = tokio::spawn(async move { app.create_keyed(key, request).await });
        created.await.unwrap_or_else(|error| Err(Problem::internal(format!("the request was not finished: {error}"))))
    }

    async fn create_keyed(&self, key: String, request: Execute) -> Result<Created, Problem> {
        let body = crate::intake::fingerprint(&request);
        // A twin waits for the first answer.
        let _turn = self.keyed.turn(&key).await;
        match self.live.keyed(&key) {
            Some(Keyed { body: known, run, removed: true }) if known == body => Err(Problem::run_removed(&key, run)),
            Some(Keyed { body: known, run, .. }) if known == body => Ok(self.created(run, false)),
            Some(Keyed { run, .. }) => Err(Problem::key_reused(&key, run)),
            None => self.create(request, Some(body)).await,
        }
    }

    async fn create(&self, request: Execute, body: Option<Sha256>) -> Result<Created, Problem> {
        let request = self.converted(request).await?;
        let validation = request.validation;
        let prepared = self.intake.prepare(request, body, &self.core).await?;
        self.check_known(&prepared, validation).await?;
        // Its id says when it was made: what came before may have asked an instance for a minute.
        self.store_new(self.draw_id(), prepared.spec, prepared.blobs).await
    }

    async fn store_new(&self, run: RunId, spec: RunSpec, blobs: Vec<(Sha256, Vec<u8>)>) -> Result<Created, Problem> {
        let input = Input::Request(run, Request::Create { spec: Box::new(spec), blobs });
        self.core.ask(input).await.map_err(Problem::from)?;
        Ok(self.created(run, true))
    }

    /// An id whose short name is free too.
    pub(crate) fn draw_id(&self) -> RunId {
        let now = self.clock.now();
        loop {
            let run = crate::intake::new_run_id(now, &*self.rng);
            if self.live.resolve(&run.workflow_id(now)).is_none() {
                return run;
            }
        }
    }

    pub(crate) fn created(&self, run: RunId, fresh: bool) -> Created {
        let at = self.live.created_at(run).unwrap_or_else(|| self.clock.now());
        Created { run_id: run, workflow_id: run.workflow_id(at), fresh }
    }

    /// Runs the workflow of an ended run again, as a new run.
    ///
    /// # Errors
    /// If there is none, it has not ended, or it cannot be stored.
    pub async fn retry(&self, run: RunId) -> Result<Created, Problem> {
        self.intake.check_room()?;
        let folded = self.history.fold(run, None).await?;
        if !folded.run.phase().is_settled() {
            return Err(not_over(run, "has not ended", "Cancel it first, or wait."));
        }
        let spec = RunSpec { retry_of: Some(run), idempotency: None, ..folded.run.spec().clone() };
        // The run that is repeated may be removed before the new one names them.
        self.history.store.pin_blobs(spec.blobs());
        let blobs = folded.blobs.into_iter().filter(|(hash, _)| spec.blobs().any(|named| named == hash)).collect();
        let id = self.draw_id();
        self.store_new(id, spec, blobs).await
    }

    /// The run that a run id or a `workflow_id` names.
    ///
    /// # Errors
    /// If there is none.
    pub fn resolve(&self, name: &str) -> Result<RunId, Problem> {
        self.live.resolve(name).ok_or_else(|| Problem::unknown_run(name))
    }

    /// A run as it is now.
    ///
    /// # Errors
    /// If there is none, or its log cannot be read.
    pub async fn view(&self, run: RunId) -> Result<RunView, Problem> {
        if let Some(view) = self.live.view(run) {
            return Ok((*view).clone().at(self.clock.now(), self.live.queue_position(run)));
        }
        self.history.view(run, None).await
    }

    /// A run as it was at a place of its log.
    ///
    /// # Errors
    /// If there is none, or its log is shorter or cannot be read.
    pub async fn view_at(&self, run: RunId, seq: Seq) -> Result<RunView, Problem> {
        self.history.view(run, Some(seq)).await
    }

    /// What a run was asked to do, with the text of its graph.
    ///
    /// # Errors
    /// If there is none, its log cannot be read, or the graph is gone.
    pub(crate) async fn prompt(&self, run: RunId) -> Result<(PromptSpec, String), Problem> {
        let folded = self.history.fold(run, None).await?;
        let Workload::Prompt(prompt) = folded.run.spec().workload.clone();
        let stored = self.stored(&folded.blobs, &prompt.graph).await?;
        let text = stored.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
            let hint = "Its file in the data directory was removed from outside; the run's log and outputs are as they were.";
            Problem::new(410, "gone", format!("the graph of run {run} is not stored any more"), hint)
        })?;
        Ok((prompt, text))
    }

    /// Bytes that a run names, out of its log or of a file of their own; none if that was removed.
    pub(crate) async fn stored(&self, inline: &[(Sha256, Vec<u8>)], hash: &Sha256) -> Result<Option<Vec<u8>>, Problem> {
        if let Some((_, bytes)) = inline.iter().find(|(held, _)| held == hash) {
            return Ok(Some(bytes.clone()));
        }
        self.history.store.get_blob(hash).await.map_err(|error| Problem::internal(error.to_string()))
    }

    /// Stops a run.
    ///
    /// # Errors
    /// If there is none or it has ended.
    pub async fn cancel(&self, run: RunId, force: Force) -> Result<(), Problem> {
        self.known(run)?;
        self.core.ask(Input::Request(run, Request::Cancel { force })).await.map_err(Problem::from).map(drop)
    }

    /// Posts the prompt of a run again whose fate could not be learned.
    ///
    /// # Errors
    /// If there is none, or its fate is known or still looked for.
    pub async fn resubmit(&self, run: RunId) -> Result<(), Problem> {
        self.known(run)?;
        self.core.ask(Input::Request(run, Request::Resubmit)).await.map_err(Problem::from).map(drop)
    }

    /// Removes a run that is over with everything that it has here. Copies of its outputs elsewhere stay.
    ///
    /// # Errors
    /// If there is none, it is not over, or that cannot be stored; then it is there as before.
    pub async fn delete(&self, run: RunId) -> Result<(), Problem> {
        let summary = self.live.summary(run).ok_or_else(|| Problem::unknown_run(&run.to_string()))?;
        // A run that was set aside has nobody who works on it, whatever its last status says.
        if !summary.status.is_settled() && summary.quarantined.is_none() {
            return Err(not_over(run, "has not ended", "Cancel it first, or wait."));
        }
        self.let_go(run).await?;
        let store = &self.history.store;
        let key = match store.health() {
            // Nothing is written any more, and it is said below.
            Health::ReadOnly { .. } => None,
            Health::Healthy | Health::Degraded { .. } => self.live.key_of(run),
        };
        let Some(key) = key else { return self.history.remove(vec![run]).await };
        // Before the run goes: a request that is sent again must not become another run.
        store.keep_note(run, key.text()).await.map_err(|error| key_not_kept(&error))?;
        let removed = self.history.remove(vec![run]).await;
        if removed.is_err()
            && let Err(error) = store.drop_note(run).await
        {
            // A run that is there speaks for itself, whatever is noted.
            tracing::debug!(%run, %error, "the key of a run is stored still");
        }
        removed
    }

    /// How much of the past is kept.
    pub fn retention(&self) -> RetentionRules {
        *self.retention.borrow()
    }

    /// Changes how much of the past is kept, from now on.
    pub fn set_retention(&self, rules: RetentionRules) {
        self.retention.send_replace(rules);
    }

    /// Waits the moment that the core loop needs to let go of a run which has just ended.
    async fn let_go(&self, run: RunId) -> Result<(), Problem> {
        let Some(mut views) = self.live.watch(run) else { return Ok(()) };
        // What it uploaded may still wait to be removed from a machine that is away, and more. If it is over meanwhile there is nobody to ask.
        if let Err(error) = self.core.ask(Input::Request(run, Request::LetGo)).await {
            tracing::debug!(%run, %error, "a run does not say that it is let go");
        }
        let gone = async { while views.changed().await.is_ok() {} };
        match tokio::time::timeout(LETS_GO, gone).await {
            Ok(()) => Ok(()),
            Err(_) if views.borrow().removes_inputs => {
                let how = "is just removing what it uploaded from its instance";
                Err(not_over(run, how, "Delete it in a moment."))
            }
            Err(_) => Err(not_over(run, "still waits for its outputs", "Wait until they are stored, then delete it.")),
        }
    }

    fn known(&self, run: RunId) -> Result<(), Problem> {
        match self.live.summary(run) {
            None => Err(Problem::unknown_run(&run.to_string())),
            Some(Summary { quarantined: Some(why), .. }) => Err(Problem::quarantined(run, &why)),
            Some(summary) if summary.status.is_settled() => Err(Problem::already_settled(run, summary.status)),
            Some(_) => match self.history.store.health() {
                Health::ReadOnly { why } => Err(Problem::read_only(&why)),
                Health::Healthy | Health::Degraded { .. } => Ok(()),
            },
        }
    }

    /// Runs, the newest first. A run that is there all the while is seen once, whatever comes meanwhile.
    ///
    /// Looks at every run until the page is full: where few match that takes milliseconds, so not on a task that others wait for.
    pub fn list(&self, filter: &Filter) -> Page {
        self.live.list(filter)
    }

    /// Follows a run; the last value stays readable after the end. None if it is over already.
    pub fn watch(&self, run: RunId) -> Option<watch::Receiver<Arc<RunView>>> {
        self.live.watch(run)
    }

    /// Follows the newest preview of a run.
    pub fn watch_preview(&self, run: RunId) -> Option<watch::Receiver<Option<Preview>>> {
        self.live.watch_preview(run)
    }

    /// How many watch a run or the list.
    pub fn followers(&self) -> usize {
        self.live.followers()
    }

    /// Tells which runs change, for lists. A slow reader misses some and must read the list again.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.live.changes()
    }

    /// A stored output.
    ///
    /// # Errors
    /// If there is no such run or output, or it is not stored here.
    pub async fn output(&self, run: RunId, n: u32) -> Result<OutputFile, Problem> {
        let view = self.view(run).await?;
        self.history.output_file(&view, n)
    }

    /// The records of a run's log after a place.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub async fn log(&self, run: RunId, after: Seq) -> Result<Vec<LogLine>, Problem> {
        self.history.log(run, after).await
    }

    /// The same, as they are stored.
    pub(crate) async fn records(&self, run: RunId, after: Seq) -> Result<crate::history::Records, Problem> {
        self.history.records(run, after).await
    }

    /// The raw bytes of a run's log.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub async fn raw_log(&self, run: RunId) -> Result<RawLog, Problem> {
        self.history.raw_log(run).await
    }

    /// Whether the server can take work.
    pub fn readiness(&self) -> Readiness {
        // The store may know before the core loop does: nothing need have been written since.
        match self.history.store.health() {
            Health::ReadOnly { why } => Readiness::ReadOnly(why),
            Health::Healthy | Health::Degraded { .. } => self.readiness.borrow().clone(),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
