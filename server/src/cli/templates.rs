//! `comfyd templates`: the workflow templates, or one with the inputs that can be set.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::args;
use super::client::Client;
use super::error::CliError;
use super::handle::Door;
use super::out::{Form, Out, Style};
use super::text::{clean, clean_lines, columns, fit};

/// The widest column of names and ids.
const WIDE: usize = 32;
/// How much of a value is shown.
const VALUE: usize = 60;

#[derive(Deserialize)]
struct Listed {
    workflows: Vec<Value>,
}

#[derive(Deserialize)]
struct RowDoc {
    name: String,
    title: String,
    source: String,
    #[serde(default)]
    needs_models: Vec<ModelDoc>,
    #[serde(default)]
    error: Option<WhyDoc>,
}

#[derive(Deserialize)]
struct ModelDoc {
    file: String,
    #[serde(default)]
    folder: Option<String>,
}

#[derive(Deserialize)]
struct WhyDoc {
    message: String,
}

#[derive(Deserialize)]
struct OneDoc {
    name: String,
    title: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    needs_models: Vec<ModelDoc>,
    form: Vec<FieldDoc>,
}

#[derive(Deserialize)]
struct FieldDoc {
    id: String,
    label: String,
    node_title: String,
    kind: String,
    default: Value,
    advanced: bool,
}

/// `comfyd templates`
pub(crate) async fn templates(args: &args::Templates, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let shown = match &args.name {
        Some(name) => one(door.client(), name, out).await,
        None => list(door.client(), out).await,
    };
    door.close(out).await;
    shown
}

async fn list(client: &Client, out: Out) -> Result<(), CliError> {
    let listed: Listed = client.get("/api/v1/workflows").await?;
    if out.form() == Form::Json {
        return listed.workflows.iter().try_for_each(|row| out.line(row));
    }
    let rows: Vec<RowDoc> = listed.workflows.into_iter().map(read).collect::<Result<_, _>>()?;
    let palette = out.palette();
    let name = widest(rows.iter().map(|row| clean(&row.name)));
    let title = widest(rows.iter().map(|row| clean(&row.title)));
    for row in &rows {
        let start = format!("{}  {}  {:<7}", pad(&clean(&row.name), name), pad(&clean(&row.title), title), clean(&row.source));
        let end = match &row.error {
            Some(error) => palette.paint(Style::Bad, &clean(&error.message)),
            None if row.needs_models.is_empty() => palette.paint(Style::Faint, "needs no models"),
            None => palette.paint(Style::Faint, &format!("needs {}", models(&row.needs_models))),
        };
        out.line(format!("{start}  {end}"))?;
    }
    out.say("Show one: comfyd templates NAME. Run it: comfyd run --template NAME --url http://127.0.0.1:8188")
}

async fn one(client: &Client, name: &str, out: Out) -> Result<(), CliError> {
    let answer: Value = client.get(&format!("/api/v1/workflows/{}", segment(name))).await?;
    if out.form() == Form::Json {
        let Value::Object(mut fields) = answer else { return Err(strange("it is no object")) };
        fields.shift_remove("success");
        return out.line(Value::Object(fields));
    }
    let one: OneDoc = read(answer)?;
    let palette = out.palette();
    match &one.description {
        Some(text) => clean_lines(text).into_iter().try_for_each(|line| out.line(line))?,
        None => out.line(palette.paint(Style::Strong, &clean(&one.title)))?,
    }
    if !one.needs_models.is_empty() {
        out.line("")?;
        out.line(format!("Needs {}", models(&one.needs_models)))?;
    }
    let id = widest(one.form.iter().map(|field| clean(&field.id)));
    let label = widest(one.form.iter().map(label_of));
    for (heading, advanced) in [("Inputs", false), ("More inputs", true)] {
        let fields: Vec<&FieldDoc> = one.form.iter().filter(|field| field.advanced == advanced).collect();
        if fields.is_empty() {
            continue;
        }
        out.line("")?;
        out.line(palette.paint(Style::Strong, heading))?;
        for field in fields {
            let value = fit(&clean(&field.default.to_string()), VALUE);
            let kind = palette.paint(Style::Faint, &format!("{:<15}", clean(&field.kind)));
            out.line(format!("  {}  {}  {kind}  {value}", pad(&clean(&field.id), id), pad(&label_of(field), label)))?;
        }
    }
    out.line("")?;
    out.line(format!("Run it: comfyd run --template {} --set NODE.INPUT=VALUE --url http://127.0.0.1:8188", clean(&one.name)))
}

fn label_of(field: &FieldDoc) -> String {
    let (label, title) = (clean(&field.label), clean(&field.node_title));
    if field.advanced { format!("{title}: {label}") } else { label }
}

fn models(models: &[ModelDoc]) -> String {
    let one = |model: &ModelDoc| match &model.folder {
        Some(folder) => format!("{}/{}", clean(folder), clean(&model.file)),
        None => clean(&model.file),
    };
    models.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn widest(texts: impl Iterator<Item = String>) -> usize {
    texts.map(|text| columns(&text)).max().unwrap_or_default().min(WIDE)
}

fn pad(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let missing = width - columns(&text);
    text + &" ".repeat(missing)
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a String takes everything");
        }
        path
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, CliError> {
    serde_json::from_value(value).map_err(|error| strange(&error.to_string()))
}

fn strange(why: &str) -> CliError {
    let hint = "Is it a comfyd, and of this version?";
    CliError::failed("strange_answer", format!("a template cannot be read: {why}"), hint)
}
