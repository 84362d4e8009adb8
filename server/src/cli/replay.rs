//! `comfyd replay`: folds a log to any of its events and shows what was then.
//!
//! Invariant: nothing but the log decides what is shown, and nothing is done: the outbox is muted.

use std::path::{Path, PathBuf};

use comfyd_engine::journal::envelope;
use comfyd_engine::{Outbox, Recorded, Run, RunEvent, RunId, RunView, Seq, Timestamp};

use super::args;
use super::client::Client;
use super::error::CliError;
use super::handle::Door;
use super::live::{Moment, Size, draw};
use super::out::{Form, Out};
use super::text::{clean, fit};
use super::wire::RunDoc;
use super::{access, names, outputs, play, runs, time};
use crate::store::tools;

/// The size of a drawing that no terminal limits.
const PAGE: Size = Size { width: 100, height: 1000 };
/// The most columns of an event's body in a line for people.
const BODY: usize = 160;

/// A log to read: its bytes as records, and the run that they are about.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file.
    pub(crate) path: PathBuf,
    /// Kept until the file was read, if it was fetched from a server.
    _fetched: Option<Fetched>,
}

/// A directory that goes when it is no longer needed.
#[derive(Debug)]
struct Fetched(PathBuf);

impl Drop for Fetched {
    fn drop(&mut self) {
        // What stays behind in the directory for temporary things does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Source {
    /// The log of a file's path, of a run's id, or of its workflow id.
    pub(crate) async fn find(log: &str, door: &args::Door) -> Result<Self, CliError> {
        let path = Path::new(log);
        if path.is_file() {
            return Ok(Self { path: path.to_owned(), _fetched: None });
        }
        if log.contains(['/', '.']) {
            let error = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CliError::unreadable(path, &error));
        }
        match served(door).await? {
            Some(client) => Self::fetch(log, &client).await,
            None => Self::stored(log, &access::directory(&door.data)?),
        }
    }

    async fn fetch(run: &str, client: &Client) -> Result<Self, CliError> {
        let id = runs::read(client, &names::resolve(client, run).await?).await?.1.run_id;
        let bytes = client.get_bytes(&format!("{}/log?raw=1", runs::path_of(&id)?)).await?;
        // The directory bears the run's name, as in a data directory.
        let dir = std::env::temp_dir().join(format!("comfyd-{}-{}", std::process::id(), time::now().0));
        let path = dir.join(&id).join("events.log");
        let unwritable = |error: std::io::Error| CliError::unwritable(&path, &error);
        // Fails if somebody was there first, and is ours alone by the umask.
        std::fs::create_dir(&dir).map_err(unwritable)?;
        let fetched = Fetched(dir.clone());
        std::fs::create_dir(dir.join(&id)).map_err(unwritable)?;
        std::fs::write(&path, &bytes).map_err(unwritable)?;
        Ok(Self { path, _fetched: Some(fetched) })
    }

    fn stored(run: &str, data: &Path) -> Result<Self, CliError> {
        let runs = data.join("runs");
        let known = std::fs::read_dir(&runs).into_iter().flatten();
        let ids = known.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|id| id.parse::<RunId>().is_ok());
        let run = &names::among(run, ids.collect())?;
        let direct = runs.join(run).join("events.log");
        let plain = runs::path_of(run).is_ok();
        if plain && direct.is_file() {
            return Ok(Self { path: direct, _fetched: None });
        }
        // A workflow id ends with the end of its run id.
        let ending = run.strip_prefix("comfyui_workflow_").and_then(|rest| rest.rsplit_once('_')).map(|(_, ending)| ending);
        let named = ending.and_then(|ending| {
            let entries = std::fs::read_dir(&runs).ok()?;
            let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|id| id.ends_with(ending));
            let logs = ids.map(|id| runs.join(id).join("events.log"));
            logs.into_iter().find(|log| first_view(log).is_some_and(|view| view.workflow_id == *run))
        });
        named.map(|path| Self { path, _fetched: None }).ok_or_else(|| {
            let message = format!("`{}` is neither a log file nor a run in {}", clean(run), data.display());
            CliError::usage("unknown_run", message, "List the runs with `comfyd runs`.")
        })
    }
}

/// The server to ask: the one that was named, or the one that holds the data directory now.
async fn served(door: &args::Door) -> Result<Option<Client>, CliError> {
    if door.server.is_some() {
        return Ok(Some(Door::open(door).await?.client().clone()));
    }
    let dir = access::directory(&door.data)?;
    let given = access::given_token(door.token_file.as_deref())?;
    Ok(super::handle::reach(&dir, given).await)
}

fn first_view(log: &Path) -> Option<RunView> {
    let fold = Fold::of(log, |seq, _| seq == Seq(1)).ok()?;
    fold.run.as_ref().map(RunView::of)
}

/// A log folded up to some place.
#[derive(Debug)]
pub(crate) struct Fold {
    /// The run; none if the log holds no record, or not of a run.
    pub(crate) run: Option<Run>,
    log: PathBuf,
    id: Option<RunId>,
}

impl Fold {
    /// Folds as long as `wanted` says so of a record's place and time.
    pub(crate) fn of(log: &Path, wanted: impl Fn(Seq, Timestamp) -> bool) -> Result<Self, CliError> {
        let mut fold = Self::empty(log);
        let mut outbox = Outbox::muted();
        for record in tools::records(log).map_err(|error| CliError::unreadable(log, &error))? {
            let (at, event) = read(record.seq, &record.payload)?;
            if !wanted(record.seq, at) {
                break;
            }
            fold.take(record.seq, at, event, &mut outbox)?;
        }
        Ok(fold)
    }

    /// Nothing of this log yet.
    pub(crate) fn empty(log: &Path) -> Self {
        Self { run: None, log: log.to_owned(), id: None }
    }

    /// Folds one record more; none for one of a kind that is not known and may be skipped.
    pub(crate) fn take(&mut self, seq: Seq, at: Timestamp, event: Option<RunEvent>, outbox: &mut Outbox) -> Result<(), CliError> {
        let Some(event) = event else {
            if let Some(run) = &mut self.run {
                run.skip(seq);
            }
            return Ok(());
        };
        let id = *self.id.get_or_insert_with(|| run_of(&self.log));
        let recorded = Recorded { seq, at, event };
        let done = match &mut self.run {
            Some(run) => run.apply(&recorded, outbox),
            None => Run::created(id, &recorded).map(|run| self.run = Some(run)),
        };
        done.map_err(|error| {
            let hint = "The log was written by another version, or it is not the log of a run.";
            CliError::failed("log_not_foldable", format!("failed to {error}"), hint)
        })
    }
}

/// Reads a payload.
pub(crate) fn read(seq: Seq, payload: &[u8]) -> Result<(Timestamp, Option<RunEvent>), CliError> {
    envelope::read::<RunEvent>(payload).map_err(|error| {
        let hint = "Use the comfyd that wrote the log, or a newer one. Logs of instances and journals hold no run.";
        CliError::failed("log_not_readable", format!("failed to {error} (record {seq})"), hint)
    })
}

/// The run of a log: named by its directory; a copy elsewhere is named by its first submission, or by nothing.
fn run_of(log: &Path) -> RunId {
    let absolute = log.canonicalize().unwrap_or_else(|_| log.to_owned());
    let named = absolute.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok());
    named.or_else(|| submitted_as(log)).unwrap_or_else(|| RunId::new(uuid::Uuid::nil()))
}

/// The id that the run gave to its prompt, which is its own.
fn submitted_as(log: &Path) -> Option<RunId> {
    let records = tools::records(log).ok()?;
    records.into_iter().find_map(|record| match envelope::read::<RunEvent>(&record.payload).ok()?.1? {
        RunEvent::SubmitIntended(intended) => intended.prompt_id.0.parse().ok(),
        _ => None, // only the intent names it
    })
}

/// `comfyd replay`
pub(crate) async fn replay(args: &args::Replay, out: Out) -> Result<(), CliError> {
    let until = args.until.as_deref().map(until).transpose()?;
    let source = Source::find(&args.log, &args.door).await?;
    let wanted = |seq: Seq, at: Timestamp| args.at.is_none_or(|last| seq.0 <= last) && until.is_none_or(|last| at <= last);
    if let Some(speed) = args.speed {
        return play::play(&source.path, wanted, speed, out).await;
    }
    if args.events {
        return events(&source.path, wanted, out);
    }
    let Some(run) = Fold::of(&source.path, wanted)?.run else {
        let message = "the log has no event up to there";
        return Err(CliError::usage("no_such_event", message, "Events begin with 1; `comfyd replay LOG --events` lists them."));
    };
    if let Some(at) = args.at.filter(|at| *at != run.seq().0) {
        let message = format!("the log ends with event {}, so there is no event {at}", run.seq());
        return Err(CliError::usage("no_such_event", message, "`comfyd replay LOG --events` lists the events."));
    }
    show(&run, args, out)
}

fn show(run: &Run, args: &args::Replay, out: Out) -> Result<(), CliError> {
    let view = RunView::of(run);
    let json = serde_json::to_string(&view).map_err(|error| CliError::internal(format!("failed to write the state: {error}")))?;
    if out.form() == Form::Json {
        return out.line(json);
    }
    let doc = RunDoc::read(&json).map_err(|error| CliError::internal(format!("failed to read the state: {error}")))?;
    let moment = Moment { now: run.updated_at(), lost: None };
    if args.view {
        return draw(&doc, moment, PAGE, out.palette()).into_iter().try_for_each(|line| out.line(line));
    }
    out.line(format!("event {} at {}", run.seq(), run.updated_at()))?;
    runs::whole(&doc, out)?;
    outputs::list(&doc, None, &[], out)
}

fn until(text: &str) -> Result<Timestamp, CliError> {
    time::parse(text).ok_or_else(|| {
        let message = format!("`{}` is no time", clean(text));
        CliError::usage("bad_time", message, "Write it as RFC 3339, such as 2026-11-22T12:00:00Z.")
    })
}

fn events(log: &Path, wanted: impl Fn(Seq, Timestamp) -> bool, out: Out) -> Result<(), CliError> {
    for record in tools::records(log).map_err(|error| CliError::unreadable(log, &error))? {
        let (at, event) = read(record.seq, &record.payload)?;
        if !wanted(record.seq, at) {
            break;
        }
        let line = super::log::line(record.seq, at, event.as_ref());
        let body = line.get("data").map(ToString::to_string).unwrap_or_default();
        let kind = line.get("kind").and_then(|kind| kind.as_str()).unwrap_or("unknown");
        out.line(format!("{:>5} {at} {kind:<20} {}", record.seq, fit(&clean(&body), BODY)))?;
    }
    Ok(())
}
