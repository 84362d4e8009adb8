//! `comfyd convert`: what ComfyUI saves, made into a graph in API format.
//!
//! Invariants: what is in API format already is printed byte for byte; standard output has the graph and nothing else.

#![expect(clippy::doc_markdown, reason = "the comments are the help, which people read as plain text")]

use std::path::{Path, PathBuf};

use clap::Args;
use comfyd_adapters::comfy::lenient::{from_json, to_strict, to_wire};
use comfyd_adapters::env::{Clock, SystemClock};
use comfyd_workflow::{Classes, Options, Problem, canvas};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::args::Door as DoorArgs;
use super::client::Body;
use super::error::{CliError, Exit};
use super::handle::Door;
use super::out::Out;
use super::submit::{read_workflow, url_or_environment};
use super::text::clean;
use crate::conversion::{moment, not_converted};

/// `comfyd convert`
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A canvas as ComfyUI saves it, or a picture, film or sound that it saved; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The instance whose classes of nodes count
    #[arg(long, value_name = "NAME", conflicts_with_all = ["url", "object_info"])]
    instance: Option<String>,
    /// The ComfyUI whose classes count, such as http://127.0.0.1:8188 [env: COMFYD_URL=]
    #[arg(long, value_name = "URL", conflicts_with = "object_info")]
    url: Option<String>,
    /// A file with the answer of GET /object_info: then no server is asked
    #[arg(long, value_name = "FILE")]
    object_info: Option<PathBuf>,
    #[command(flatten)]
    door: DoorArgs,
}

#[derive(Deserialize)]
struct Answer {
    workflow: Box<RawValue>,
    warnings: Vec<WarningDoc>,
}

#[derive(Deserialize)]
struct WarningDoc {
    path: Option<String>,
    message: String,
}

/// `comfyd convert`
pub(crate) async fn convert(args: &Convert, out: Out) -> Result<Exit, CliError> {
    let text = read_workflow(&args.file)?.text;
    let value: Value = from_json(text.trim_start_matches('\u{feff}')).map_err(|error| {
        CliError::usage("not_json", format!("{} is not JSON: {error}", args.file.display()), "Give what ComfyUI saved.")
    })?;
    if !canvas::is_canvas(&value) {
        // It is what was asked for.
        out.raw(&text)?;
        return Ok(Exit::Completed);
    }
    match &args.object_info {
        Some(info) => offline(&value, info, out)?,
        None => by_server(args, &text, out).await?,
    }
    Ok(Exit::Completed)
}

fn offline(value: &Value, info: &Path, out: Out) -> Result<(), CliError> {
    let text = std::fs::read_to_string(info).map_err(|error| CliError::unreadable(info, &error))?;
    let classes = Classes::parse(&to_strict(&text)).map_err(|error| {
        let hint = "Save the answer of GET /object_info of your ComfyUI, and give that file.";
        CliError::usage("object_info_invalid", format!("{}: {error}", info.display()), hint)
    })?;
    let options = Options { now: moment(SystemClock::default().now()), seed: seed() };
    let converted = comfyd_workflow::convert(value, &classes, &options).map_err(|problems| refused(&problems))?;
    for warning in &converted.warnings {
        out.notice(format!("warning: {}", clean(&warning.to_string())));
    }
    let text = serde_json::to_string_pretty(&converted.graph).map_err(|error| CliError::internal(error.to_string()))?;
    print(&to_wire(&text), out)
}

async fn by_server(args: &Convert, text: &str, out: Out) -> Result<(), CliError> {
    let mut rest = Map::new();
    let url = url_or_environment(args.url.as_ref(), args.instance.is_some());
    for (name, value) in [("instance", &args.instance), ("url", &url)] {
        if let Some(value) = value {
            rest.insert(name.to_owned(), json!(value));
        }
    }
    rest.insert("workflow".to_owned(), json!(text));
    let door = Door::open(&args.door).await?;
    let answer: Result<Answer, CliError> =
        door.client().post("/api/v1/workflows/convert", Body::json(Value::Object(rest).to_string())).await;
    door.close(out).await;
    let answer = answer?;
    for warning in &answer.warnings {
        let node = warning.path.as_ref().map(|path| format!("node {path}: ")).unwrap_or_default();
        out.notice(format!("warning: {}", clean(&format!("{node}{}", warning.message))));
    }
    let graph: Value = serde_json::from_str(answer.workflow.get()).map_err(|error| CliError::internal(error.to_string()))?;
    let text = serde_json::to_string_pretty(&graph).map_err(|error| CliError::internal(error.to_string()))?;
    print(&text, out)
}

/// Prints JSON of many lines; what a terminal would take for a command is escaped.
fn print(text: &str, out: Out) -> Result<(), CliError> {
    text.lines().try_for_each(|line| out.line(line))
}

/// The same words as the server's.
fn refused(problems: &[Problem]) -> CliError {
    let told = not_converted(problems);
    CliError::usage(&told.code, told.message, told.hint).with_details(told.details)
}

/// Another number each time.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
