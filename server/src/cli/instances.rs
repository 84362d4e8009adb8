//! `comfyd instances`: the ComfyUI servers that comfyd knows.

use comfyd_engine::InstanceId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::args::{AddInstance, EditInstance, InstanceAction, Instances, ListInstances, OverSsh, RemoveInstance, TestInstance};
use super::client::Body;
use super::error::{CliError, Exit};
use super::handle::Door;
use super::out::{Form, Out, Style};
use super::text::{clean, columns, fit};
use super::trust;

pub(super) const PATH: &str = "/api/v1/instances";

#[derive(Deserialize)]
struct Listed {
    instances: Vec<Value>,
}

#[derive(Deserialize)]
struct InstanceDoc {
    name: String,
    label: Option<String>,
    url: String,
    source: String,
    default: bool,
    state: String,
    version: Option<String>,
    open_runs: usize,
    waiting_runs: usize,
    last_error: Option<ErrorDoc>,
}

#[derive(Deserialize)]
struct ErrorDoc {
    message: String,
}

#[derive(Deserialize)]
struct ReportDoc {
    ok: bool,
    reachable: bool,
    url: String,
    steps: Vec<StepDoc>,
}

#[derive(Deserialize)]
struct StepDoc {
    name: String,
    ok: Option<bool>,
    ms: u64,
    detail: String,
    #[serde(default)]
    problem: Option<ProblemDoc>,
}

#[derive(Deserialize)]
struct ProblemDoc {
    hint: String,
}

/// `comfyd instances`
pub(crate) async fn instances(args: &Instances, out: Out) -> Result<Exit, CliError> {
    match &args.action {
        None => list(&args.list, out).await,
        Some(InstanceAction::List(args)) => list(args, out).await,
        Some(InstanceAction::Add(args)) => add(args, out).await,
        Some(InstanceAction::Test(args)) => test(args, out).await,
        Some(InstanceAction::Edit(args)) => edit(args, out).await,
        Some(InstanceAction::Trust(args)) => trust::trust(args, out).await,
        Some(InstanceAction::Unlock(args)) => trust::unlock(args, out).await,
        Some(InstanceAction::Rm(args)) => remove(args, out).await,
    }
}

async fn list(args: &ListInstances, out: Out) -> Result<Exit, CliError> {
    let door = Door::open(&args.door).await?;
    let listed: Result<Listed, CliError> = door.client().get(PATH).await;
    door.close(out).await;
    let listed = listed?.instances;
    if listed.is_empty() {
        out.say("No instances yet. Add one: comfyd instances add gpu-1 --url http://127.0.0.1:8188")?;
    }
    if out.form() == Form::Json {
        listed.iter().try_for_each(|instance| out.line(instance))?;
        return Ok(Exit::Completed);
    }
    let all = listed.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let width = |text: fn(&InstanceDoc) -> &str| all.iter().map(|one| columns(&clean(text(one)))).max().unwrap_or(0).min(60);
    let (names, urls) = (width(|one| &one.name), width(|one| &one.url));
    all.iter().try_for_each(|one| out.line(row(one, names, urls, out)))?;
    Ok(Exit::Completed)
}

async fn add(args: &AddInstance, out: Out) -> Result<Exit, CliError> {
    // A name that cannot be one is told by the server, with what is right.
    let mut body = json!({ "name": args.name, "default": args.default });
    if let Some(url) = &args.url {
        body["url"] = json!(url);
    }
    for (name, value) in over_ssh(&args.ssh) {
        body[name] = value;
    }
    if let Some(label) = &args.label {
        body["label"] = json!(label);
    }
    let door = Door::open(&args.door).await?;
    let answer: Result<Value, CliError> = door.client().post(PATH, Body::json(body.to_string())).await;
    door.close(out).await;
    if let Some(connection) = args.ssh.ssh.as_deref().filter(|_| answer.is_ok()) {
        trust::tell_ignored(connection, out);
    }
    told(answer?, "Added", out)
}

async fn edit(args: &EditInstance, out: Out) -> Result<Exit, CliError> {
    let path = path_of(&args.name)?;
    let mut change = Map::new();
    if let Some(url) = &args.url {
        change.insert("url".to_owned(), json!(url));
    }
    change.extend(over_ssh(&args.ssh).into_iter().map(|(name, value)| (name.to_owned(), value)));
    if let Some(label) = &args.label {
        change.insert("label".to_owned(), json!(label));
    }
    if args.default || args.no_default {
        change.insert("default".to_owned(), json!(args.default));
    }
    let door = Door::open(&args.door).await?;
    let answer: Result<Value, CliError> = door.client().put(&path, Body::json(Value::Object(change).to_string())).await;
    door.close(out).await;
    told(answer?, "Changed", out)
}

async fn remove(args: &RemoveInstance, out: Out) -> Result<Exit, CliError> {
    let path = path_of(&args.name)?;
    let door = Door::open(&args.door).await?;
    let answer: Result<Value, CliError> = door.client().delete(&path).await;
    door.close(out).await;
    let answer = answer?;
    match out.form() {
        Form::Json => out.line(answer)?,
        Form::Human => out.line(format!("Removed {}; its runs stay in history.", args.name))?,
    }
    Ok(Exit::Completed)
}

async fn test(args: &TestInstance, out: Out) -> Result<Exit, CliError> {
    let ssh = args.target.starts_with("ssh://") || args.target.contains([' ', '@']);
    let (path, body) = if ssh {
        let mut body = json!({ "ssh_connection": args.target });
        if let Some(port) = args.comfyui_port {
            body["comfyui_port"] = json!(port);
        }
        (format!("{PATH}/test"), body)
    } else if args.target.contains("://") {
        (format!("{PATH}/test"), json!({ "url": args.target }))
    } else {
        (format!("{}/test", path_of(&args.target)?), json!({}))
    };
    let door = Door::open(&args.door).await?;
    let answer: Result<Value, CliError> = door.client().post(&path, Body::json(body.to_string())).await;
    door.close(out).await;
    let answer = answer?;
    if ssh {
        trust::tell_ignored(&args.target, out);
    }
    let report: ReportDoc = serde_json::from_value(answer.clone()).map_err(|error| strange(&error))?;
    match out.form() {
        Form::Json => out.line(answer)?,
        Form::Human => verdict(&report, out)?,
    }
    Ok(match (report.ok, report.reachable) {
        (true, _) => Exit::Completed,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Unreachable,
    })
}

fn verdict(report: &ReportDoc, out: Out) -> Result<(), CliError> {
    let palette = out.palette();
    for step in &report.steps {
        let (word, style) = match step.ok {
            Some(true) => ("ok", Style::Good),
            Some(false) => ("failed", Style::Bad),
            None => ("-", Style::Faint),
        };
        let time = if step.ok.is_some() { format!("{} ms", step.ms) } else { String::new() };
        let detail = fit(&clean(&step.detail), 160);
        out.line(format!("{}  {}  {time:>8}  {detail}", palette.paint(style, &pad(word, 6)), pad(&clean(&step.name), 9)))?;
        if let Some(problem) = &step.problem {
            out.line(format!("{}: {}", palette.paint(Style::Strong, "hint"), clean(&problem.hint)))?;
        }
    }
    let url = clean(&report.url);
    match (report.ok, report.reachable) {
        (true, _) => out.line(format!("Runs can go to {url}.")),
        (false, true) => out.line(format!("A ComfyUI answers at {url}, but something is wrong with it.")),
        (false, false) => out.line(format!("No ComfyUI is reached at {url}.")),
    }
}

/// How it is reached over SSH, as fields of a request.
fn over_ssh(args: &OverSsh) -> Vec<(&'static str, Value)> {
    let texts = [("ssh_connection", &args.ssh), ("identity", &args.identity), ("output_dir", &args.output_dir)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?))));
    texts.chain(args.comfyui_port.map(|port| ("comfyui_port", json!(port)))).collect()
}

fn told(answer: Value, done: &str, out: Out) -> Result<Exit, CliError> {
    if out.form() == Form::Json {
        out.line(answer)?;
        return Ok(Exit::Completed);
    }
    let one = read(answer)?;
    let default = if one.default { ", the default for runs that name none" } else { "" };
    out.line(format!("{done} {} at {}{default}. Test it: comfyd instances test {0}", clean(&one.name), clean(&one.url)))?;
    Ok(Exit::Completed)
}

fn row(one: &InstanceDoc, names: usize, urls: usize, out: Out) -> String {
    let palette = out.palette();
    let style = match one.state.as_str() {
        "connected" => Style::Good,
        "polling" | "connecting" => Style::Notice,
        "unreachable" => Style::Bad,
        // Idle, and words of a newer server.
        _ => Style::Faint,
    };
    let state = palette.paint(style, &pad(&clean(&one.state), 11));
    let mut line = format!("{}  {}  {state}", pad(&clean(&one.name), names), pad(&clean(&one.url), urls));
    let notes = [
        one.default.then(|| "default".to_owned()),
        one.version.as_ref().map(|version| format!("ComfyUI {}", clean(version))),
        (one.open_runs > 0).then(|| format!("{} open", one.open_runs)),
        (one.waiting_runs > 0).then(|| format!("{} waiting", one.waiting_runs)),
        one.label.as_ref().map(|label| clean(label)),
        (one.source != "api").then(|| format!("({})", clean(&one.source))),
        one.last_error.as_ref().filter(|_| one.state == "unreachable").map(|error| clean(&error.message)),
    ];
    for note in notes.into_iter().flatten() {
        line.push_str("  ");
        line.push_str(&fit(&note, 100));
    }
    line
}

fn read(instance: Value) -> Result<InstanceDoc, CliError> {
    serde_json::from_value(instance).map_err(|error| strange(&error))
}

pub(super) fn strange(error: &serde_json::Error) -> CliError {
    CliError::failed("strange_answer", format!("an answer cannot be read: {error}"), "Is it a comfyd, and of this version?")
}

/// The path of an instance in the API; `name` may be anything that was typed.
pub(super) fn path_of(name: &str) -> Result<String, CliError> {
    match name.parse::<InstanceId>() {
        Ok(id) => Ok(format!("{PATH}/{id}")),
        Err(error) => {
            Err(CliError::usage("bad_instance", clean(&error.to_string()), "List the instances with `comfyd instances`."))
        }
    }
}

fn pad(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let missing = width - columns(&text);
    text + &" ".repeat(missing)
}
