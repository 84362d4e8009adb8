//! A run as a list shows it.
//!
//! Invariants: made from a view, or from the part of a `state.json` that tells the same. Absent: where summaries are kept.

use comfyd_engine::{Idempotency, InstanceId, RunId, RunView, Seq, Status, Timestamp};
use serde::Serialize;

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "as_optional_text")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// How many outputs it has.
    pub outputs: usize,
    /// What is wrong, in a few words.
    pub error: Option<String>,
    /// What it waits for.
    pub attention: Option<String>,
    /// The batch that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// The place of its newest fact.
    pub seq: Seq,
    /// The bytes of its outputs; once it is over, those of its log too.
    #[serde(skip)]
    pub bytes: u64,
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
            batch: view.batch.clone(),
            seq: view.seq,
            bytes: view.outputs.iter().filter(|output| output.downloaded).filter_map(|output| output.size).sum(),
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
    #[serde(default)]
    removes_inputs: bool,
    error: Option<StoredError>,
    idempotency: Option<Idempotency>,
    #[serde(default)]
    batch: Option<String>,
    #[serde(default)]
    twin_watch: bool,
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
    size: Option<u64>,
}

#[derive(serde::Deserialize)]
struct StoredError {
    message: String,
}

impl Summary {
    /// The summary of a `state.json` of a run that is over; none if it is not, or owes an output or the removal of what it uploaded, or is watched
    /// still, or is of another shape.
    pub(crate) fn of_settled_state(text: &str) -> Option<Self> {
        let state: StoredState = serde_json::from_str(text).ok()?;
        let lacks = state.status != Status::Completed && state.outputs.iter().any(|output| !output.downloaded);
        let owes = lacks || state.removes_inputs || state.twin_watch;
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
            batch: None,
            seq: Seq(0),
            bytes: 0,
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
            batch: state.batch,
            seq: state.seq,
            bytes: state.outputs.iter().filter(|output| output.downloaded).filter_map(|output| output.size).sum(),
            idempotency: state.idempotency,
            quarantined: None,
        })
    }
}
