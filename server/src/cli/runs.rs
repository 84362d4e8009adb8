//! `comfyd runs`, `show` and `cancel`.

use serde::Deserialize;
use serde_json::Value;

use super::args;
use super::client::{Body, Client};
use super::error::CliError;
use super::handle::Door;
use super::live::{Moment, Size, draw};
use super::out::{Form, Out, Palette, Style};
use super::text::{clean, columns, fit};
use super::wire::RunDoc;
use super::{names, time};

/// How long a server of this process waits for an instance that does not answer, after a cancel.
const CANCEL_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// How many runs are asked for at once.
const PAGE: usize = 500;
/// Room enough for every node of a run.
const ROOMY: Size = Size { width: 200, height: 10_000 };

#[derive(Deserialize)]
struct Listed {
    runs: Vec<Value>,
    #[serde(default)]
    next_cursor: Option<comfyd_engine::RunId>,
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
    let listed = pages(door.client(), args, out).await;
    door.close(out).await;
    match listed? {
        0 if args.query().is_empty() => out.say("No runs yet. Start one: comfyd run WORKFLOW.json --url http://127.0.0.1:8188"),
        0 => out.say("No run is like that."),
        _ => Ok(()), // they have been printed
    }
}

/// Prints runs page by page, so that a list of any length needs the room of one page; gives how many there were.
async fn pages(client: &Client, args: &args::Runs, out: Out) -> Result<usize, CliError> {
    let query = args.query();
    let wanted = if args.all { usize::MAX } else { args.limit };
    let (mut count, mut cursor) = (0, String::new());
    while count < wanted {
        let limit = PAGE.min(wanted - count);
        let page: Listed = client.get(&format!("/api/v1/runs?limit={limit}{query}{cursor}")).await?;
        for run in page.runs {
            count += 1;
            match out.form() {
                Form::Json => out.line(&run)?,
                Form::Human => out.line(row(run, out)?)?,
            }
        }
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    Ok(count)
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
    let read = match names::resolve(door.client(), &args.run).await {
        Ok(run) => read(door.client(), &run).await,
        Err(error) => Err(error),
    };
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

fn failure(run: &RunDoc, out: Out) -> Result<(), CliError> {
    failure_lines(run, out.palette()).into_iter().try_for_each(|line| out.line(line))
}

/// Why a run failed, as lines.
pub(crate) fn failure_lines(run: &RunDoc, palette: Palette) -> Vec<String> {
    let Some(error) = &run.error else { return vec![] };
    let label = palette.paint(Style::Bad, &format!("error[{}]", clean(&error.code)));
    let mut lines = vec![format!("{label}: {}", super::text::clean_lines(&error.message).join("\n  "))];
    lines.extend(error.details.iter().flat_map(|details| super::text::clean_lines(details)).map(|line| format!("  {line}")));
    if !error.log_lines.is_empty() {
        lines.push(format!("{}:", palette.paint(Style::Strong, "ComfyUI's log ended with")));
        lines.extend(error.log_lines.iter().map(|line| format!("  {}", clean(line))));
    }
    if !error.hint.is_empty() {
        lines.push(format!("{}: {}", palette.paint(Style::Strong, "hint"), clean(&error.hint)));
    }
    lines
}

/// `comfyd cancel`
pub(crate) async fn cancel(args: &args::Cancel, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let asked = ask_to_stop(&door, args).await;
    if let (true, Ok((run, _))) = (door.is_own(), &asked) {
        // Nobody else would tell the instance, so this process stays until it has stopped, or cannot be reached.
        let _ = super::run::follow(&door, run, CANCEL_WITHIN, super::run::Until::Over, &mut |_| Ok(())).await;
    }
    door.close(out).await;
    let (run, answer) = asked?;
    match out.form() {
        Form::Json => out.line(answer),
        Form::Human => out.line(format!("Cancelling {run}. Follow it: comfyd watch {run}")),
    }
}

async fn ask_to_stop(door: &Door, args: &args::Cancel) -> Result<(String, Value), CliError> {
    let run = names::resolve(door.client(), &args.run).await?;
    let body = Body::json(serde_json::json!({ "force": args.force }).to_string());
    let answer = door.client().post(&format!("{}/cancel", path_of(&run)?), body).await?;
    Ok((run, answer))
}
