//! `comfyd log`: looks into a log file; never changes it.

use std::io::Write;
use std::path::Path;

use comfyd_engine::journal::scan::Verdict;
use comfyd_engine::{RunEvent, RunView, Seq, Timestamp};
use serde_json::{Value, json};

use super::args::{Log, LogOf, LogTo};
use super::error::{CliError, Exit};
use super::out::{Form, Out};
use super::replay::{Fold, Source, read};
use crate::store::tools::{self, Report};

/// `comfyd log`
pub(crate) async fn log(log: &Log, out: Out) -> Result<Exit, CliError> {
    match log {
        Log::Verify(args) => verify(args, out).await,
        Log::Salvage(args) => salvage(args, out).await.map(|()| Exit::Completed),
        Log::Cat(args) => cat(args, out).await.map(|()| Exit::Completed),
        Log::Export(args) => export(args, out).await.map(|()| Exit::Completed),
    }
}

/// How the state beside a log compares with what the log folds to.
enum State {
    /// There is none beside it.
    None,
    /// It is what the log folds to at its place.
    Same(Seq),
    /// It is not.
    Differs(String),
}

async fn verify(args: &LogOf, out: Out) -> Result<Exit, CliError> {
    let source = Source::find(&args.log, &args.door).await?;
    let path = &source.path;
    let report = tools::verify(path).map_err(|error| CliError::unreadable(path, &error))?;
    let fold = foldable(path);
    let state = match &fold {
        Ok(()) => compare(path),
        Err(_) => State::None,
    };
    let (verdict, words) = words(&report);
    let sound = matches!(report.verdict, Verdict::Clean | Verdict::TornTail { .. } | Verdict::CutHeader);
    let good = sound && fold.is_ok() && !matches!(state, State::Differs(_));
    let (state_word, state_text) = match &state {
        State::None => ("none", "no state beside it".to_owned()),
        State::Same(seq) => ("same", format!("state.json is the fold at event {seq}")),
        State::Differs(why) => ("differs", format!("state.json is not the fold of the log: {why}")),
    };
    match out.form() {
        Form::Json => out.line(json!({
            "ok": good, "verdict": verdict, "why": words, "bytes": report.len, "records": report.records, "first": report.first, "last": report.last,
            "end": report.end, "durable": report.durable, "state": state_word, "state_why": state_text,
            "fold": fold.as_ref().err().map_or("ok".to_owned(), |error| error.message.clone()),
        }))?,
        Form::Human => {
            out.line(format!("{}: {words}", path.display()))?;
            out.line(format!("{} records, {} to {}, {} of {} bytes", report.records, report.first, report.last, report.end, report.len))?;
            if let Err(error) = &fold {
                out.line(format!("the records do not fold: {}", super::text::clean(&error.message)))?;
            }
            out.line(state_text)?;
        }
    }
    Ok(if good { Exit::Completed } else { Exit::Failed })
}

fn words(report: &Report) -> (&'static str, String) {
    match &report.verdict {
        Verdict::Clean => ("clean", "whole".to_owned()),
        Verdict::CutHeader => ("cut_header", "its creation was cut; nothing had been promised".to_owned()),
        Verdict::TornTail { at } => ("torn_tail", format!("whole up to byte {at}; the tail behind was never synced")),
        Verdict::Damaged { at, why } => ("damaged", format!("damaged at byte {at}: {why}")),
        Verdict::BadHeader(why) => ("bad_header", format!("not readable: {why}")),
    }
}

/// Whether the whole records fold; those of instances, generic workflows and journals are not for runs and pass.
fn foldable(path: &Path) -> Result<(), CliError> {
    let beside_runs = path.file_name().is_some_and(|name| name == "events.log");
    match Fold::of(path, |_, _| true) {
        Ok(_) => Ok(()),
        Err(_) if !beside_runs || is_another(path) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_another(path: &Path) -> bool {
    let others = ["instances", "setups"];
    let beside = |path: &Path| {
        path.ancestors().nth(2).and_then(Path::file_name).is_some_and(|name| others.iter().any(|other| name == *other))
    };
    path.canonicalize().is_ok_and(|path| beside(&path))
}

/// Compares `state.json` beside a log with the fold at its place; `log_len` and `chain` speak of the file and are not folded.
fn compare(path: &Path) -> State {
    let Ok(text) = std::fs::read(path.with_file_name("state.json")) else { return State::None };
    let Ok(Value::Object(mut state)) = serde_json::from_slice::<Value>(&text) else {
        return State::Differs("it is no JSON object".to_owned());
    };
    state.remove("log_len");
    state.remove("chain");
    let Some(seq) = state.get("seq").and_then(Value::as_u64) else { return State::Differs("it names no event".to_owned()) };
    let folded = Fold::of(path, |at, _| at.0 <= seq).ok().and_then(|fold| fold.run);
    let Some(run) = folded.filter(|run| run.seq() == Seq(seq)) else {
        return State::Differs(format!("it names event {seq}, which the log does not have"));
    };
    let view = serde_json::to_value(RunView::of(&run)).unwrap_or_default();
    let Value::Object(view) = view else { return State::Differs("the fold is no object".to_owned()) };
    let differing: Vec<&String> = view.keys().chain(state.keys()).filter(|key| view.get(*key) != state.get(*key)).collect();
    match differing.first() {
        None => State::Same(Seq(seq)),
        Some(key) => State::Differs(format!("`{key}` differs at event {seq}")),
    }
}

async fn salvage(args: &LogTo, out: Out) -> Result<(), CliError> {
    let source = Source::find(&args.log, &args.door).await?;
    let saved = tools::salvage(&source.path, &args.to);
    let report = saved.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => CliError::unwritable(&args.to, &error),
        _ => CliError::failed("salvage_failed", format!("failed to salvage: {error}"), "Check the paths and the free space."),
    })?;
    let (_, words) = words(&report);
    let lost = report.len - report.end.min(report.len);
    out.line(format!("{} records saved to {}; left out: {lost} bytes ({words})", report.records, args.to.display()))
}

/// A record as JSON: `{seq, at, kind, version, data}`; bytes are shortened to their length.
pub(crate) fn line(seq: Seq, at: Timestamp, event: Option<&RunEvent>) -> Value {
    match event {
        Some(RunEvent::BlobStored(blob)) => json!({
            "seq": seq, "at": at.to_string(), "kind": "blob_stored", "version": 1, "data": {"sha256": blob.sha256, "bytes": {"len": blob.bytes.len()}},
        }),
        Some(event) => {
            let mut line = json!({"seq": seq, "at": at.to_string()});
            let told = serde_json::to_value(event).expect("an event is plain data");
            if let (Value::Object(line), Value::Object(told)) = (&mut line, told) {
                line.extend(told);
            }
            line
        }
        None => json!({"seq": seq, "at": at.to_string(), "kind": "unknown", "version": 0, "data": {}}),
    }
}

fn each_line(path: &Path, mut take: impl FnMut(String) -> Result<(), CliError>) -> Result<(), CliError> {
    for record in tools::records(path).map_err(|error| CliError::unreadable(path, &error))? {
        let (at, event) = read(record.seq, &record.payload)?;
        take(line(record.seq, at, event.as_ref()).to_string())?;
    }
    Ok(())
}

async fn cat(args: &LogOf, out: Out) -> Result<(), CliError> {
    let source = Source::find(&args.log, &args.door).await?;
    each_line(&source.path, |line| out.line(line))?;
    sound(&source.path)
}

/// What stands behind damage was not shown, and that must be said.
fn sound(path: &Path) -> Result<(), CliError> {
    let report = tools::verify(path).map_err(|error| CliError::unreadable(path, &error))?;
    match &report.verdict {
        Verdict::Clean | Verdict::TornTail { .. } | Verdict::CutHeader => Ok(()),
        Verdict::Damaged { .. } | Verdict::BadHeader(_) => {
            let message = format!("{} is not a whole log: {}", path.display(), words(&report).1);
            Err(CliError::new(
                Exit::Failed,
                "log_damaged",
                message,
                "Look with `comfyd log verify`; `comfyd log salvage` keeps what is before the damage.",
            ))
        }
    }
}

async fn export(args: &LogTo, out: Out) -> Result<(), CliError> {
    let source = Source::find(&args.log, &args.door).await?;
    let unwritable = |error: std::io::Error| CliError::unwritable(&args.to, &error);
    let mut to = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.to).map_err(unwritable)?;
    if args.to.extension().is_some_and(|ending| ending == "jsonl") {
        each_line(&source.path, |line| writeln!(to, "{line}").map_err(unwritable))?;
    } else {
        let mut from = std::fs::File::open(&source.path).map_err(|error| CliError::unreadable(&source.path, &error))?;
        std::io::copy(&mut from, &mut to).map_err(unwritable)?;
    }
    to.sync_all().map_err(unwritable)?;
    out.line(format!("written: {}", args.to.display()))
}
