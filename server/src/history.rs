//! Runs as their logs tell them: any run at any place, its records, its stored outputs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use comfyd_adapters::env::Clock;
use comfyd_engine::{Fact, Run, RunEvent, RunId, RunView, Seq, Sha256, StreamId, WarningView};

use crate::app::{LogLine, OutputFile};
use crate::core::RecoverError;
use crate::core::{decode, fold_records};
use crate::live::Live;
use crate::problem::Problem;
use crate::store::{AppendError, Damaged, FileStore, RawLog, ReadError};

/// A run folded from its log.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) run: Run,
    pub(crate) blobs: Vec<(Sha256, Vec<u8>)>,
    pub(crate) damaged: Option<Damaged>,
}

/// Records of a log.
pub(crate) type Records = Vec<(Seq, Vec<u8>)>;

/// Folds a run's log up to a place.
pub(crate) async fn fold(store: &FileStore, id: RunId, until: Option<Seq>) -> Result<Folded, RecoverError> {
    let read = store.read(&StreamId::Run(id), Seq(0)).await?;
    let damaged = read.damaged;
    let (run, blobs) = fold_records(id, read.records, until)?;
    Ok(Folded { run, blobs, damaged })
}

/// Reads logs.
pub(crate) struct History {
    pub(crate) store: Arc<FileStore>,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root: PathBuf,
}

impl History {
    pub(crate) async fn view(&self, id: RunId, at: Option<Seq>) -> Result<RunView, Problem> {
        let folded = self.fold(id, at).await?;
        let place = folded.run.seq();
        if let Some(at) = at.filter(|at| *at != place) {
            let message = format!("run {id} has {place} events, so there is no event {at}");
            return Err(Problem::new(404, "no_such_event", message, "Give a number from 1 to the run's `seq`."));
        }
        let mut view = RunView::of(&folded.run).at(self.clock.now(), None);
        // Nobody works on it, so nothing is to come.
        view.owes_log = false;
        if let Some(damaged) = folded.damaged {
            // Shown up to the damage, and never as if that were all.
            let message =
                format!("The log of this run is damaged at byte {}: {}. What came after is not shown.", damaged.at, damaged.why);
            view.warnings.push(WarningView { code: "log_damaged".into(), message, node_id: None });
        }
        Ok(view)
    }

    pub(crate) async fn fold(&self, id: RunId, at: Option<Seq>) -> Result<Folded, Problem> {
        if self.live.summary(id).is_none() {
            return Err(Problem::unknown_run(&id.to_string()));
        }
        if at == Some(Seq(0)) {
            return Err(Problem::new(404, "no_such_event", "events begin with 1", "Give a number from 1 to the run's `seq`."));
        }
        let folded = fold(&self.store, id, at).await;
        self.tell_damage(id);
        folded.map_err(|error| unreadable(id, &error))
    }

    /// Reading finds damage that nobody had looked for.
    fn tell_damage(&self, id: RunId) {
        if let Some(why) = self.store.quarantined(&StreamId::Run(id)) {
            self.live.quarantine(id, &why);
        }
    }

    pub(crate) async fn log(&self, id: RunId, after: Seq) -> Result<Vec<LogLine>, Problem> {
        let records = self.records(id, after).await?;
        let lines = records.iter().map(|(seq, payload)| line(id, *seq, payload));
        lines.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(id, &error))
    }

    /// The records of a log after a place, as they are stored.
    pub(crate) async fn records(&self, id: RunId, after: Seq) -> Result<Records, Problem> {
        if self.live.summary(id).is_none() {
            return Err(Problem::unknown_run(&id.to_string()));
        }
        let read = self.store.read(&StreamId::Run(id), after).await.map_err(|error| unreadable(id, &error.into()))?;
        self.tell_damage(id);
        Ok(read.records)
    }

    pub(crate) async fn raw_log(&self, id: RunId) -> Result<RawLog, Problem> {
        if self.live.summary(id).is_none() {
            return Err(Problem::unknown_run(&id.to_string()));
        }
        self.store.raw_log(&StreamId::Run(id)).await.map_err(|error| unreadable(id, &error.into()))
    }

    /// Removes runs that are over: from the disk, then from the list.
    pub(crate) async fn remove(&self, runs: Vec<RunId>) -> Result<(), Problem> {
        self.store.remove(runs.clone()).await.map_err(|error| match error {
            AppendError::ReadOnly { why } => Problem::read_only(&why),
            AppendError::DiskFull(_) => {
                Problem::new(507, "disk_full", format!("failed to remove: {error}"), "Free disk space; nothing was removed.")
            }
            AppendError::Conflict { .. }
            | AppendError::Quarantined { .. }
            | AppendError::PayloadSize { .. }
            | AppendError::LogFull { .. }
            | AppendError::NotWritten(_)
            | AppendError::Stopped => {
                Problem::unavailable("not_stored", format!("failed to remove: {error}"), "Try again; look at the disk.")
            }
        })?;
        for run in runs {
            self.live.remove(run);
        }
        Ok(())
    }

    pub(crate) fn output_file(&self, view: &RunView, n: u32) -> Result<OutputFile, Problem> {
        let id = view.run_id;
        let known = view.outputs.iter().find(|output| output.n == n);
        let output = known.ok_or_else(|| no_such_output(id, n))?;
        match (&output.local_name, output.size, &output.sha256) {
            (Some(name), Some(size), Some(sha256)) => Ok(OutputFile {
                path: crate::outputs::folder(&self.root, id).join(name),
                label: output.filename.clone(),
                size,
                sha256: sha256.to_string(),
                media_type: output.media_type.clone(),
            }),
            _ => Err(Problem::new(
                409,
                "not_stored",
                format!("output {n} of run {id} is not stored here"),
                "Wait until `downloaded` is true.",
            )),
        }
    }
}

/// There is no output of this number.
pub(crate) fn no_such_output(id: RunId, n: u32) -> Problem {
    let hint = format!("List them at /api/v1/runs/{id}/outputs.");
    Problem::new(404, "no_such_output", format!("run {id} has no output {n}"), hint)
}

/// The same records, if each of them can be told.
pub(crate) fn readable(id: RunId, records: Records) -> Result<Records, Problem> {
    records.iter().try_for_each(|(seq, payload)| decode(id, *seq, payload).map(drop)).map_err(|error| unreadable(id, &error))?;
    Ok(records)
}

/// A record for people: blobs are shortened to their length.
pub(crate) fn line(id: RunId, seq: Seq, payload: &[u8]) -> Result<LogLine, RecoverError> {
    let fact = decode(id, seq, payload)?;
    let Some(Fact::Run(_, recorded)) = fact else {
        return Ok(LogLine { seq, at: String::new(), event: serde_json::json!({ "kind": "unknown", "optional": true }) });
    };
    let event = match &recorded.event {
        RunEvent::BlobStored(blob) => {
            serde_json::json!({ "kind": "blob_stored", "version": 1, "data": { "sha256": blob.sha256, "len": blob.bytes.len() } })
        }
        event => serde_json::to_value(event).expect("an event is plain data"),
    };
    Ok(LogLine { seq, at: recorded.at.to_string(), event })
}

pub(crate) fn unreadable(id: RunId, error: &RecoverError) -> Problem {
    let mut message = format!("the log of run {id} cannot be read: failed to {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        write!(message, ": {cause}").expect("a string takes everything");
        source = cause.source();
    }
    if let RecoverError::Read(ReadError::NotDurable(_) | ReadError::Stopped) = error {
        let hint = "Nothing is lost. Free disk space or repair the disk, then ask again.";
        return Problem::unavailable("not_readable_now", message, hint);
    }
    Problem::new(
        409,
        "quarantined",
        message,
        "Look at it with `comfyd log verify`, and save what is whole with `comfyd log salvage`.",
    )
}
