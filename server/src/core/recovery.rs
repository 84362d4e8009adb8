//! From logs to memory: folds what the store recovered, and goes back to it after a failed write.

use std::collections::BTreeSet;
use std::sync::Arc;

use comfyd_engine::journal::envelope;
use comfyd_engine::{
    Engine, Fact, Instance, InstanceEvent, InstanceId, Limits, LogRepaired, Outbox, Recorded, Run, RunEvent, RunId, RunView, Seq,
    Sha256, StreamId,
};

use crate::history::Folded;
use crate::live::{Live, Summary};
use crate::store::{FileStore, ReadError, Recovered, RecoveredStream, StreamVerdict};

/// Logs cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The store cannot read one.
    #[error("read a log")]
    Read(#[from] ReadError),
    /// A record cannot be understood.
    #[error("read record {seq} of {stream}")]
    Decode {
        /// The stream.
        stream: StreamId,
        /// The place.
        seq: Seq,
        /// Why.
        #[source]
        source: envelope::DecodeError,
    },
    /// A record cannot follow what is known.
    #[error("fold {stream}")]
    Fold {
        /// The stream.
        stream: StreamId,
        /// Why.
        #[source]
        source: comfyd_engine::Unexpected,
    },
    /// A stream ends before its first record.
    #[error("find a first record in {0}")]
    Empty(StreamId),
}

/// What recovery made of the logs.
#[derive(Debug)]
pub struct RecoveredCore {
    /// The engine with every open run and every instance.
    pub engine: Engine,
    /// Blobs that travel in the logs of open runs.
    pub blobs: Vec<(RunId, Sha256, Vec<u8>)>,
    /// Repairs that the runs' logs must tell.
    pub repairs: Vec<(RunId, LogRepaired)>,
}

/// Folds the logs of instances and of runs that are not over; lists the others.
///
/// # Errors
/// If a snapshot cannot be read. A run or an instance whose log cannot be folded is set aside, a run is listed as such.
pub async fn recover(
    store: &FileStore,
    recovered: &Recovered,
    limits: Limits,
    live: &Arc<Live>,
) -> Result<RecoveredCore, RecoverError> {
    let mut core = RecoveredCore { engine: Engine::new(limits), blobs: vec![], repairs: vec![] };
    for stream in &recovered.streams {
        match &stream.stream {
            StreamId::Instance(id) => recover_instance(store, id, &mut core).await,
            StreamId::Run(id) => recover_run(store, stream, *id, &mut core, live).await?,
            // Those have a loop of their own.
            StreamId::Setup(_) => {}
        }
    }
    Ok(core)
}

async fn recover_run(
    store: &FileStore,
    found: &RecoveredStream,
    id: RunId,
    core: &mut RecoveredCore,
    live: &Arc<Live>,
) -> Result<(), RecoverError> {
    let mut quarantined = match &found.verdict {
        StreamVerdict::Quarantined { why, .. } => Some(why.clone()),
        StreamVerdict::Ok | StreamVerdict::Repaired(_) => None,
    };
    let current = found.snapshot.as_ref().is_some_and(|snapshot| snapshot.seq == found.last);
    if let Some(summary) = found.over.as_ref().and_then(Summary::of_kept) {
        live.list_known(summary);
        return Ok(());
    }
    // A log whose replay ends the process twice is set aside, so that the server starts.
    if let Err(error) = store.begin_replay(&found.stream).await {
        tracing::warn!(run = %id, %error, "replay attempt not noted");
    }
    quarantined = quarantined.or_else(|| store.quarantined(&found.stream));
    let folded = crate::history::fold(store, id, None).await;
    if let Err(error) = store.end_replay(&found.stream).await {
        tracing::warn!(run = %id, %error, "replay attempt not cleared");
    }
    if let (Ok(folded), None) = (&folded, &quarantined)
        && found.verdict == StreamVerdict::Ok
        && folded.damaged.is_none()
        && is_half_made(folded)
    {
        // A part was kept of a write that power cut short: nobody was told of this run, and whoever asked for it asks again.
        tracing::warn!(run = %id, "run.half_made");
        return Ok(());
    }
    if let (Ok(folded), None, false) = (&folded, &quarantined, current)
        && folded.damaged.is_none()
    {
        // It was lost or torn, or did not fit the log.
        store.snapshot(&found.stream, folded.run.seq(), crate::canonical::of(&RunView::of(&folded.run)));
    }
    match (folded, quarantined) {
        (Ok(folded), None) if folded.damaged.is_none() && !folded.run.is_over() => adopt(core, found, folded),
        (Ok(folded), quarantined) => {
            let quarantined = quarantined.or(folded.damaged.map(|damage| damage.why));
            let seen = Summary::of(&RunView::of(&folded.run));
            let known = if quarantined.is_some() { last_known(store, id).await.unwrap_or(seen) } else { seen };
            live.list_over(Summary { quarantined, ..known });
        }
        (Err(error), quarantined) => {
            tracing::error!(run = %id, %error, "run set aside: its log cannot be folded");
            let known = last_known(store, id).await.unwrap_or_else(|| Summary::of_nothing(id));
            let why = quarantined.unwrap_or_else(|| format!("failed to {}", with_causes(&error)));
            store.quarantine(&found.stream, why.clone());
            live.list_over(Summary { quarantined: Some(why), ..known });
        }
    }
    Ok(())
}

/// Whether a run lacks blobs that were written with its first record, before anybody was told. One whose blobs are files of their own was made
/// whole: if they are missing now it is shown, and fails for want of them.
fn is_half_made(folded: &Folded) -> bool {
    u32::try_from(folded.blobs.len()).is_ok_and(|found| found < folded.run.carried())
}

/// What the snapshot of a damaged run tells: no less than what was seen of it once.
async fn last_known(store: &FileStore, id: RunId) -> Option<Summary> {
    let state = store.state_json(&StreamId::Run(id)).await.ok().flatten();
    state.and_then(|text| Summary::of_state(&text)).filter(|known| known.run_id == id)
}

/// An instance whose log is damaged is known as far as it can be read; what is new about it stays in memory.
async fn recover_instance(store: &FileStore, id: &InstanceId, core: &mut RecoveredCore) {
    match fold_instance(store, id).await {
        Ok(instance) => core.engine.adopt_instance(instance),
        Err(error) => {
            let why = format!("failed to {}", with_causes(&error));
            tracing::error!(instance = %id, why, "instance set aside: its log cannot be folded");
            store.quarantine(&StreamId::Instance(id.clone()), why);
        }
    }
}

pub(crate) fn with_causes(error: &RecoverError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn adopt(core: &mut RecoveredCore, found: &RecoveredStream, folded: Folded) {
    let id = folded.run.id();
    core.blobs.extend(folded.blobs.into_iter().map(|(hash, bytes)| (id, hash, bytes)));
    if let StreamVerdict::Repaired(cut) = &found.verdict {
        core.repairs.push((id, LogRepaired { offset: cut.offset, bytes: cut.bytes, sha256: cut.sha256.clone() }));
    }
    core.engine.adopt(folded.run);
}

async fn fold_instance(store: &FileStore, id: &InstanceId) -> Result<Instance, RecoverError> {
    let stream = StreamId::Instance(id.clone());
    let mut instance: Option<Instance> = None;
    for (seq, payload) in store.read(&stream, Seq(0)).await?.records {
        let decoded = envelope::read::<InstanceEvent>(&payload);
        let (at, event) = decoded.map_err(|source| RecoverError::Decode { stream: stream.clone(), seq, source })?;
        let Some(event) = event else { continue };
        let recorded = Recorded { seq, at, event };
        let done = match &mut instance {
            Some(instance) => instance.apply(&recorded),
            None => Instance::added(id.clone(), &recorded).map(|added| instance = Some(added)),
        };
        done.map_err(|source| RecoverError::Fold { stream: stream.clone(), source })?;
    }
    instance.ok_or(RecoverError::Empty(stream))
}

/// The engine after a failed write.
pub(super) struct Refolded {
    pub(super) engine: Engine,
    /// Runs whose logs cannot be read now. Memory may be ahead of them, so they are left out until they can.
    pub(super) unread: Vec<RunId>,
}

/// The engine as the disk has it, after facts of these streams were not written. Others may hold facts that are still to be written.
pub(super) async fn refold(store: &FileStore, failed: &Engine, unwritten: &BTreeSet<StreamId>) -> Refolded {
    let mut engine = Engine::new(failed.limits().clone());
    engine.remember(failed);
    let mut unread = Vec::new();
    for instance in failed.instances() {
        let stream = StreamId::Instance(instance.id().clone());
        if !unwritten.contains(&stream) {
            engine.adopt_instance_as(instance.clone(), instance);
            continue;
        }
        let aside = store.quarantined(&stream).is_some();
        match fold_instance(store, instance.id()).await {
            Ok(stored) if !aside => engine.adopt_instance_as(stored, instance),
            // Made known by the very batch that failed.
            Err(RecoverError::Empty(_)) if !aside => {}
            Ok(_) | Err(_) => engine.adopt_instance_as(instance.clone(), instance),
        }
    }
    for run in failed.runs() {
        if store.quarantined(&StreamId::Run(run.id())).is_some() {
            // Its log takes no facts any more, and must not keep those of others out.
            continue;
        }
        if !unwritten.contains(&StreamId::Run(run.id())) {
            engine.adopt(run.clone());
            continue;
        }
        match crate::history::fold(store, run.id(), None).await {
            Ok(folded) => engine.adopt(folded.run),
            Err(RecoverError::Empty(_)) => {}
            Err(error) => {
                tracing::error!(run = %run.id(), %error, "log not readable after a failed write");
                unread.push(run.id());
            }
        }
    }
    Refolded { engine, unread }
}

/// Blobs that travel in a log.
pub(crate) type LoggedBlobs = Vec<(Sha256, Vec<u8>)>;

/// Folds the records of a run's log into the run and the blobs that travel with it.
pub(crate) fn fold_records(
    id: RunId,
    records: Vec<(Seq, Vec<u8>)>,
    until: Option<Seq>,
) -> Result<(Run, LoggedBlobs), RecoverError> {
    let stream = || StreamId::Run(id);
    let mut run: Option<Run> = None;
    let mut blobs = Vec::new();
    let mut outbox = Outbox::muted();
    for (seq, payload) in records {
        if until.is_some_and(|until| seq > until) {
            break;
        }
        let (at, event) =
            envelope::read::<RunEvent>(&payload).map_err(|source| RecoverError::Decode { stream: stream(), seq, source })?;
        let Some(event) = event else {
            if let Some(run) = &mut run {
                run.skip(seq);
            }
            continue;
        };
        if let RunEvent::BlobStored(blob) = &event {
            blobs.push((blob.sha256.clone(), blob.bytes.clone()));
        }
        let recorded = Recorded { seq, at, event };
        let done = match &mut run {
            Some(run) => run.apply(&recorded, &mut outbox),
            None => Run::created(id, &recorded).map(|created| run = Some(created)),
        };
        done.map_err(|source| RecoverError::Fold { stream: stream(), source })?;
    }
    run.map(|run| (run, blobs)).ok_or_else(|| RecoverError::Empty(stream()))
}

/// The fact of one record, for tools.
pub(crate) fn decode(id: RunId, seq: Seq, payload: &[u8]) -> Result<Option<Fact>, RecoverError> {
    let (at, event) =
        envelope::read::<RunEvent>(payload).map_err(|source| RecoverError::Decode { stream: StreamId::Run(id), seq, source })?;
    Ok(event.map(|event| Fact::Run(id, Recorded { seq, at, event })))
}
