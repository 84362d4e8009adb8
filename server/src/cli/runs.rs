//! `comfyd runs`, `show` and `cancel`.

use serde::Deserialize;
use serde_json::Value;

use super::args;
use super::client::{Body, Client};
use super::error::CliError;
use super::handle::Door;
use super::live::{Moment, Size, draw};
use super::out::{Form, Out, Style};
use super::text::{clean, columns, fit};
use super::time;
use super::wire::RunDoc;

/// How long a server of this process waits for an instance that does not answer, after a cancel.
const CANCEL_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Room enough for every node of a run.
const ROOMY: Size = Size { width: 200, height: 10_000 };

#[derive(Deserialize)]
struct Listed {
    runs: Vec<Value>,
}

#[derive(Deserialize)]
struct SummaryDoc {
    run_id: String,
    workflow_name: String,
    instance: String,
    status: comfyd_engine::Status,
    phase: String,
    progress_permille: u32,
    created: String,
    outputs: usize,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    attention: Option<String>,
    #[serde(default)]
    quarantined: Option<String>,
}

/// The path of a run in the API; `name` may be anything that was typed.
pub(crate) fn path_of(name: &str) -> Result<String, CliError> {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain && name.len() <= 100 {
        return Ok(format!("/api/v1/runs/{name}"));
    }
    let message = format!("`{}` is no run id", clean(&name.chars().take(100).collect::<String>()));
    Err(CliError::usage("unknown_run", message, "List the runs with `comfyd runs`."))
}

/// A run as JSON text and as we read it.
pub(crate) async fn read(client: &Client, name: &str) -> Result<(String, RunDoc), CliError> {
    let bytes = client.get_bytes(&path_of(name)?).await?;
    let text = String::from_utf8_lossy(&bytes);
    // An answer is the run with `success` before it.
    let json = match text.strip_prefix("{\"success\":true,") {
        Some(rest) => format!("{{{rest}"),
        None => text.into_owned(),
    };
    let run = RunDoc::read(&json).map_err(|error| {
        CliError::failed("strange_answer", format!("the run cannot be read: {error}"), "Is it a comfyd, and of this version?")
    })?;
    Ok((json, run))
}

/// `comfyd runs`
pub(crate) async fn runs(args: &args::Runs, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let listed: Result<Listed, CliError> = door.client().get(&format!("/api/v1/runs?limit={}", args.limit)).await;
    door.close(out).await;
    let runs = listed?.runs;
    if runs.is_empty() {
        return out.say("No runs yet. Start one: comfyd run WORKFLOW.json --url http://127.0.0.1:8188");
    }
    for run in runs {
        match out.form() {
            Form::Json => out.line(&run)?,
            Form::Human => out.line(row(run, out)?)?,
        }
    }
    Ok(())
}

fn row(run: Value, out: Out) -> Result<String, CliError> {
    let run: SummaryDoc = serde_json::from_value(run).map_err(|error| {
        CliError::failed(
            "strange_answer",
            format!("a run in the list cannot be read: {error}"),
            "Is it a comfyd, and of this version?",
        )
    })?;
    let style = match run.status {
        comfyd_engine::Status::Queued => Style::Notice,
        comfyd_engine::Status::Executing => Style::Busy,
        comfyd_engine::Status::Completed => Style::Good,
        comfyd_engine::Status::Failed | comfyd_engine::Status::Cancelled => Style::Bad,
    };
    let created = time::parse(&run.created).map_or_else(|| clean(&run.created), time::date);
    let percent = format!("{:>3}.{}%", run.progress_permille / 10, run.progress_permille % 10);
    let palette = out.palette();
    let status = palette.paint(style, &pad(run.status.as_str(), 9));
    let mut line = format!(
        "{}  {created}  {status} {percent}  {}  {}",
        clean(&run.run_id),
        pad(&clean(&run.workflow_name), 24),
        clean(&run.instance)
    );
    let plural = if run.outputs == 1 { "" } else { "s" };
    let count = (run.outputs > 0).then(|| format!("{} output{plural}", run.outputs));
    let settled = run.status.is_settled() || run.phase == run.status.as_str();
    let phase = (!settled).then(|| clean(&run.phase));
    for note in [count, phase, run.attention.as_deref().map(clean), run.error.as_deref().map(clean)].into_iter().flatten() {
        line.push_str(&palette.paint(Style::Faint, &format!("  {}", fit(&note, 80))));
    }
    if let Some(why) = &run.quarantined {
        line.push_str(&palette.paint(Style::Bad, &format!("  log damaged: {}", fit(&clean(why), 80))));
    }
    Ok(line)
}

fn pad(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let missing = width - columns(&text);
    text + &" ".repeat(missing)
}

/// `comfyd show`
pub(crate) async fn show(args: &args::One, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let read = read(door.client(), &args.run).await;
    let data = door.client().directory().map(ToOwned::to_owned);
    door.close(out).await;
    let (json, run) = read?;
    match out.form() {
        Form::Json => out.line(json),
        Form::Human => {
            whole(&run, out)?;
            super::outputs::list(&run, data.as_deref(), &[], out)
        }
    }
}

/// Prints everything about a run but its outputs.
pub(crate) fn whole(run: &RunDoc, out: Out) -> Result<(), CliError> {
    let bare = RunDoc { outputs: vec![], error: None, ..run.clone() };
    let moment = Moment { now: time::now(), lost: None };
    draw(&bare, moment, ROOMY, out.palette()).into_iter().try_for_each(|line| out.line(line))?;
    failure(run, out)
}

/// Prints why a run failed.
pub(crate) fn failure(run: &RunDoc, out: Out) -> Result<(), CliError> {
    let Some(error) = &run.error else { return Ok(()) };
    let palette = out.palette();
    let label = palette.paint(Style::Bad, &format!("error[{}]", clean(&error.code)));
    out.line(format!("{label}: {}", super::text::clean_lines(&error.message).join("\n  ")))?;
    for line in error.details.iter().flat_map(|details| super::text::clean_lines(details)) {
        out.line(format!("  {line}"))?;
    }
    if error.hint.is_empty() {
        Ok(())
    } else {
        out.line(format!("{}: {}", palette.paint(Style::Strong, "hint"), clean(&error.hint)))
    }
}

/// `comfyd cancel`
pub(crate) async fn cancel(args: &args::Cancel, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let path = format!("{}/cancel", path_of(&args.run)?);
    let body = Body::json(serde_json::json!({ "force": args.force }).to_string());
    let answer: Result<Value, CliError> = door.client().post(&path, body).await;
    if door.is_own() && answer.is_ok() {
        // Nobody else would tell the instance, so this process stays until it has stopped, or cannot be reached.
        let _ = super::run::follow(&door, &args.run, CANCEL_WITHIN, super::run::Until::Over, &mut |_| Ok(())).await;
    }
    door.close(out).await;
    let answer = answer?;
    match out.form() {
        Form::Json => out.line(answer),
        Form::Human => out.line(format!("Cancelling {0}. Follow it: comfyd watch {0}", args.run)),
    }
}
