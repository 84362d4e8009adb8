//! What readers see without asking the core loop: open runs as they change, all runs as a list.
//!
//! Invariants: only what is on disk is shown; the newest value wins and a slow reader never holds anybody up.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use comfyd_engine::{Idempotency, InstanceId, NodeId, RunId, RunView, Seq, Sha256, Status, Timestamp};
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::app::Filter;

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its id.
    pub run_id: RunId,
    /// Its name in the plan's shapes.
    pub workflow_id: String,
    /// The name shown to people.
    pub workflow_name: String,
    /// Where it runs.
    pub instance: InstanceId,
    /// The plan's five words.
    pub status: Status,
    /// Where inside the status.
    pub phase: String,
    /// The share that is done, in thousandths.
    #[serde(rename = "progress_permille")]
    pub permille: u32,
    /// When it was created.
    #[serde(serialize_with = "as_text")]
    pub created: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "as_optional_text")]
    pub ended: Option<Timestamp>,
    /// How many outputs it has.
    pub outputs: usize,
    /// What is wrong, in a few words.
    pub error: Option<String>,
    /// What it waits for.
    pub attention: Option<String>,
    /// The place of its newest fact.
    pub seq: Seq,
    /// The caller's key for the request that made it.
    #[serde(skip)]
    pub idempotency: Option<Idempotency>,
    /// Set if its log is damaged: it can be read up to the damage, not changed.
    pub quarantined: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[expect(clippy::ref_option, reason = "serde hands fields by reference")]
fn as_optional_text<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

impl Summary {
    /// The summary of a view.
    pub fn of(view: &RunView) -> Self {
        Self {
            run_id: view.run_id,
            workflow_id: view.workflow_id.clone(),
            workflow_name: view.workflow_name.clone(),
            instance: view.instance.clone(),
            status: view.status,
            phase: view.phase.to_owned(),
            permille: view.progress.progress_percent.0,
            created: view.timing.queue_time.0,
            ended: view.timing.end_time.map(|time| time.0),
            outputs: view.outputs.len(),
            error: view.error.as_ref().map(|error| error.message.chars().take(200).collect()),
            attention: view.attention.as_ref().map(|attention| attention.kind.to_owned()),
            seq: view.seq,
            idempotency: view.idempotency.clone(),
            quarantined: None,
        }
    }
}

/// The part of a `state.json` that a list shows.
#[derive(serde::Deserialize)]
struct StoredState {
    run_id: RunId,
    workflow_id: String,
    workflow_name: String,
    instance: InstanceId,
    status: Status,
    phase: String,
    progress: StoredProgress,
    timing: StoredTiming,
    outputs: Vec<StoredOutput>,
    error: Option<StoredError>,
    idempotency: Option<Idempotency>,
    seq: Seq,
}

#[derive(serde::Deserialize)]
struct StoredProgress {
    progress_percent: f64,
}

#[derive(serde::Deserialize)]
struct StoredTiming {
    queue_time: String,
    end_time: Option<String>,
}

#[derive(serde::Deserialize)]
struct StoredOutput {
    downloaded: bool,
}

#[derive(serde::Deserialize)]
struct StoredError {
    message: String,
}

impl Summary {
    /// The summary of a `state.json` of a run that is over; none if it is not, or owes an output, or is of another shape.
    pub(crate) fn of_settled_state(text: &str) -> Option<Self> {
        let state: StoredState = serde_json::from_str(text).ok()?;
        let owes = state.status != Status::Completed && state.outputs.iter().any(|output| !output.downloaded);
        if state.status.is_settled() && !owes { Self::of_stored(state) } else { None }
    }

    /// The summary of any `state.json`: what is known of a run whose log is damaged.
    pub(crate) fn of_state(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Self::of_stored)
    }

    /// The summary of a run of which nothing can be read but its name.
    pub(crate) fn of_nothing(run: RunId) -> Self {
        let created = run.uuid().get_timestamp().map_or(Timestamp(0), |at| {
            let (seconds, nanos) = at.to_unix();
            Timestamp(seconds * 1000 + u64::from(nanos / 1_000_000))
        });
        Self {
            run_id: run,
            workflow_id: run.workflow_id(created),
            workflow_name: "unreadable".to_owned(),
            instance: "unknown".parse().expect("a plain word is an instance's name"),
            status: Status::Failed,
            phase: "quarantined".to_owned(),
            permille: 0,
            created,
            ended: None,
            outputs: 0,
            error: None,
            attention: None,
            seq: Seq(0),
            idempotency: None,
            quarantined: None,
        }
    }

    fn of_stored(state: StoredState) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 100 with one decimal")]
        let permille = (state.progress.progress_percent * 10.0).round() as u32;
        Some(Self {
            run_id: state.run_id,
            workflow_id: state.workflow_id,
            workflow_name: state.workflow_name,
            instance: state.instance,
            status: state.status,
            phase: state.phase,
            permille,
            created: Timestamp::parse(&state.timing.queue_time)?,
            ended: state.timing.end_time.as_deref().and_then(Timestamp::parse),
            outputs: state.outputs.len(),
            error: state.error.map(|error| error.message.chars().take(200).collect()),
            attention: None,
            seq: state.seq,
            idempotency: state.idempotency,
            quarantined: None,
        })
    }
}

/// A picture of what is being made. Never logged; only the newest is kept.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The node that sent it, where it is told.
    pub node: Option<NodeId>,
    /// `image/jpeg` or `image/png`.
    pub media_type: &'static str,
    /// The encoded picture.
    pub bytes: Bytes,
    /// Which one in the run: 1 for the first.
    pub number: u64,
}

/// Open runs and the list of all.
#[derive(Debug)]
pub struct Live {
    inner: RwLock<Inner>,
    changes: broadcast::Sender<RunId>,
}

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<RunId, Open>,
    list: BTreeMap<RunId, Summary>,
    names: BTreeMap<String, RunId>,
    keys: BTreeMap<String, (Sha256, RunId)>,
    positions: BTreeMap<RunId, u32>,
}

#[derive(Debug)]
struct Open {
    view: watch::Sender<Arc<RunView>>,
    preview: watch::Sender<Option<Preview>>,
}

impl Inner {
    fn know_key(&mut self, made_by: Option<&Idempotency>, run: RunId) {
        if let Some(made_by) = made_by {
            self.keys.entry(made_by.key.clone()).or_insert_with(|| (made_by.body.clone(), run));
        }
    }
}

/// How many changes a slow list reader may be behind before it must read the list again.
const CHANGES: usize = 1024;

impl Default for Live {
    fn default() -> Self {
        Self { inner: RwLock::default(), changes: broadcast::Sender::new(CHANGES) }
    }
}

impl Live {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Every statement below leaves the maps whole, so a panic elsewhere does not spoil them.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows runs as they are on disk now.
    pub(crate) fn publish(&self, views: Vec<Arc<RunView>>, positions: BTreeMap<RunId, u32>) {
        let mut inner = self.write();
        for view in &views {
            inner.names.entry(view.workflow_id.clone()).or_insert(view.run_id);
            inner.list.insert(view.run_id, Summary::of(view));
            inner.know_key(view.idempotency.as_ref(), view.run_id);
            if let Some(open) = inner.open.get(&view.run_id) {
                open.view.send_replace(Arc::clone(view));
            } else {
                let open = Open { view: watch::Sender::new(Arc::clone(view)), preview: watch::Sender::new(None) };
                inner.open.insert(view.run_id, open);
            }
        }
        inner.positions = positions;
        drop(inner);
        for view in views {
            // Nobody may be listening.
            let _ = self.changes.send(view.run_id);
        }
    }

    /// The run that a request with this key made, and the hash of that request.
    pub(crate) fn keyed(&self, key: &str) -> Option<(Sha256, RunId)> {
        self.read().keys.get(key).cloned()
    }

    /// Lists a run that is over, without opening it.
    pub(crate) fn list_over(&self, summary: Summary) {
        let mut inner = self.write();
        inner.know_key(summary.idempotency.as_ref(), summary.run_id);
        inner.names.entry(summary.workflow_id.clone()).or_insert(summary.run_id);
        inner.list.insert(summary.run_id, summary);
    }

    /// Marks a run whose log is damaged.
    pub(crate) fn quarantine(&self, run: RunId, why: &str) {
        if let Some(summary) = self.write().list.get_mut(&run) {
            summary.quarantined.get_or_insert_with(|| why.to_owned());
        }
        // Nobody may be listening.
        let _ = self.changes.send(run);
    }

    /// A run is over: followers keep its last value.
    pub(crate) fn close(&self, run: RunId) {
        self.write().open.remove(&run);
    }

    /// Shows a preview.
    pub(crate) fn preview(&self, run: RunId, node: Option<NodeId>, media_type: &'static str, bytes: Bytes) {
        if let Some(open) = self.read().open.get(&run) {
            let number = open.preview.borrow().as_ref().map_or(0, |preview| preview.number) + 1;
            open.preview.send_replace(Some(Preview { node, media_type, bytes, number }));
        }
    }

    /// The run that a run id or a `workflow_id` names.
    pub fn resolve(&self, name: &str) -> Option<RunId> {
        let inner = self.read();
        let id = name.parse::<RunId>().ok().filter(|id| inner.list.contains_key(id));
        id.or_else(|| inner.names.get(name).copied())
    }

    /// An open run.
    pub fn view(&self, run: RunId) -> Option<Arc<RunView>> {
        self.read().open.get(&run).map(|open| Arc::clone(&open.view.borrow()))
    }

    /// When a run was created.
    pub fn created_at(&self, run: RunId) -> Option<Timestamp> {
        self.read().list.get(&run).map(|summary| summary.created)
    }

    /// A run of the list.
    pub fn summary(&self, run: RunId) -> Option<Summary> {
        self.read().list.get(&run).cloned()
    }

    /// The place of a queued run, over our queue and the instance's.
    pub fn queue_position(&self, run: RunId) -> Option<u32> {
        self.read().positions.get(&run).copied()
    }

    /// Follows an open run.
    pub fn watch(&self, run: RunId) -> Option<watch::Receiver<Arc<RunView>>> {
        self.read().open.get(&run).map(|open| open.view.subscribe())
    }

    /// Follows the previews of an open run.
    pub fn watch_preview(&self, run: RunId) -> Option<watch::Receiver<Option<Preview>>> {
        self.read().open.get(&run).map(|open| open.preview.subscribe())
    }

    /// How many followers open runs and the list have.
    pub fn followers(&self) -> usize {
        let of_runs: usize = self.read().open.values().map(|open| open.view.receiver_count()).sum();
        of_runs + self.changes.receiver_count()
    }

    /// Tells which runs change.
    pub fn changes(&self) -> broadcast::Receiver<RunId> {
        self.changes.subscribe()
    }

    /// Runs, the newest first.
    pub fn list(&self, filter: &Filter) -> Vec<Summary> {
        let inner = self.read();
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let wanted = |summary: &&Summary| {
            let status = filter.status.is_empty() || filter.status.contains(&summary.status);
            let named = text.as_ref().is_none_or(|text| {
                summary.workflow_name.to_lowercase().contains(text)
                    || summary.workflow_id.contains(text)
                    || summary.run_id.to_string().contains(text)
            });
            status && named
        };
        let newest_first = inner.list.values().rev();
        let from = newest_first.skip_while(|summary| filter.before.is_some_and(|before| summary.run_id >= before));
        from.filter(wanted).take(filter.limit).cloned().collect()
    }

    /// The newest run that has not ended; else the newest that ended after `since`.
    pub fn active(&self, since: Timestamp) -> Option<RunId> {
        let inner = self.read();
        let open = inner.list.values().rev().find(|summary| !summary.status.is_settled() && summary.quarantined.is_none());
        let ended = || {
            inner
                .list
                .values()
                .filter(|summary| summary.ended.is_some_and(|ended| ended > since))
                .max_by_key(|summary| summary.ended)
        };
        open.or_else(ended).map(|summary| summary.run_id)
    }
}
