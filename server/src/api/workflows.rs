//! `/api/v1/workflows`: the templates.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use comfyd_adapters::comfy::lenient::{from_json, readable};
use comfyd_adapters::workflow::Graph;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use super::page::is_among;
use super::reply::{Answer, ok, query_of};
use super::routes::Ctx;
use crate::problem::Problem;
use crate::templates::form::{Classes, Field, derive};
use crate::templates::{NeededModel, Template};

/// A template in a list.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WorkflowRow {
    /// What `template` takes.
    name: String,
    /// What people call it.
    title: String,
    /// The first lines of its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// `builtin`, or `user` for one of the user's folders.
    source: &'static str,
    /// Where its preview picture is, if it has one.
    preview: Option<String>,
    /// How many nodes it has; 0 if it cannot be used.
    node_count: usize,
    /// The model files that it names.
    needs_models: Vec<ModelRow>,
    /// Why it cannot be used, or null.
    error: Option<ErrorRow>,
}

/// A model file that a template names.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ModelRow {
    /// The file, as the input names it.
    file: String,
    /// The folder of `ComfyUI`'s models that it lies in, where the input tells.
    folder: Option<&'static str>,
    /// The node that loads it.
    node_id: String,
    /// The input that names it.
    input: String,
}

/// Why a template cannot be used.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ErrorRow {
    /// A stable name.
    code: String,
    /// What is wrong.
    message: String,
    /// What to do.
    hint: String,
}

/// All templates.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WorkflowList {
    /// By name; one that cannot be used says why.
    workflows: Vec<WorkflowRow>,
}

/// How to give it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The instance that tells the ranges and choices of the form.
    instance: Option<String>,
}

/// A template in full.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WorkflowDetail {
    /// What `template` takes.
    name: String,
    /// What people call it.
    title: String,
    /// What it does, in Markdown.
    description: Option<String>,
    /// `builtin`, or `user` for one of the user's folders.
    source: &'static str,
    /// Where its preview picture is, if it has one.
    preview: Option<String>,
    /// How many nodes it has.
    node_count: usize,
    /// The model files that it names.
    needs_models: Vec<ModelRow>,
    /// Its values that can be changed, what most people change first.
    form: Vec<Field>,
    /// The graph in API format, its numbers as they are written.
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
}

impl From<&Template> for WorkflowRow {
    fn from(template: &Template) -> Self {
        Self {
            name: template.name.clone(),
            title: template.title.clone(),
            description: template.summary.clone(),
            source: template.origin.as_str(),
            preview: preview_path(template),
            node_count: template.node_count,
            needs_models: template.needs_models.iter().map(ModelRow::from).collect(),
            error: template.error.as_ref().map(ErrorRow::from),
        }
    }
}

impl From<&NeededModel> for ModelRow {
    fn from(model: &NeededModel) -> Self {
        let NeededModel { file, folder, node_id, input } = model.clone();
        Self { file, folder, node_id, input }
    }
}

impl From<&Problem> for ErrorRow {
    fn from(problem: &Problem) -> Self {
        Self { code: problem.code.clone(), message: problem.message.clone(), hint: problem.hint.clone() }
    }
}

fn preview_path(template: &Template) -> Option<String> {
    template.has_preview.then(|| format!("/api/v1/workflows/{}/preview", segment(&template.name)))
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().fold(String::new(), |path, byte| {
        if plain(byte) { path + char::from(byte).encode_utf8(&mut [0; 4]) } else { path + &format!("%{byte:02X}") }
    })
}

/// Lists the workflow templates.
#[utoipa::path(get, path = "/api/v1/workflows", operation_id = "listWorkflows", tag = "workflows",
    responses((status = 200, description = "All templates, also those that cannot be used, with the reason.", body = WorkflowList))
)]
pub(super) async fn list(State(ctx): State<Ctx>) -> Answer {
    let shelf = ctx.app.templates.list().await;
    ok(&WorkflowList { workflows: shelf.iter().map(WorkflowRow::from).collect() })
}

/// Gives a template with its form.
#[utoipa::path(get, path = "/api/v1/workflows/{name}", operation_id = "getWorkflow", tag = "workflows",
    params(("name" = String, Path, description = "The name of the template."), Wanted),
    responses(
        (status = 200, description = "The template.", body = WorkflowDetail),
        (status = 400, description = "The template cannot be used.", body = Problem),
        (status = 404, description = "There is no such template, or no such instance.", body = Problem),
        (status = 502, description = "The instance does not answer, or not as a ComfyUI.", body = Problem),
    )
)]
pub(super) async fn one(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Answer {
    let wanted = query_of(query)?;
    let template = ctx.app.templates.find(&name).await?;
    template.check()?;
    let content = ctx.app.templates.content(&template).await?;
    let row = WorkflowRow::from(&template);
    ok(&WorkflowDetail {
        name: row.name,
        title: row.title,
        description: content.description,
        source: row.source,
        preview: row.preview,
        node_count: content.graph.nodes().count(),
        needs_models: row.needs_models,
        workflow: strict(content.graph.text())?,
        form: form(&ctx, content.graph, wanted.instance.as_deref()).await?,
    })
}

/// The form of a graph, with what an instance says about its classes.
async fn form(ctx: &Ctx, graph: Graph, instance: Option<&str>) -> Result<Vec<Field>, Problem> {
    let Some(instance) = instance else { return Ok(derive(&graph, None)) };
    let known = ctx.app.classes(instance, None, false).await?;
    let place = ctx.limits.form().await;
    // Reading megabytes must not hold up others.
    let derived = tokio::task::spawn_blocking(move || {
        let info = named(&graph, &known.json)?;
        // Kept until the work is done, also if the caller hangs up.
        drop(place);
        Ok::<_, serde_json::Error>(derive(&graph, Classes::of(&info)))
    });
    let broken = |why: String| Problem::internal(format!("the form could not be derived: {why}"));
    derived.await.map_err(|error| broken(error.to_string()))?.map_err(|error| broken(error.to_string()))
}

/// The classes that a graph names, out of all that an instance has: those may be megabytes, which take many times that when all of them are read.
fn named(graph: &Graph, object_info: &[u8]) -> Result<Value, serde_json::Error> {
    let all: BTreeMap<String, &RawValue> = serde_json::from_slice(object_info)?;
    let found = graph.classes().into_iter().filter_map(|name| Some((all.get(&name)?, name)));
    let read = found.map(|(raw, name)| Ok((name, serde_json::from_str(raw.get())?)));
    read.collect::<Result<_, _>>().map(Value::Object)
}

/// The text as it is, or with texts in the place of what only Python takes.
pub(super) fn strict(text: &str) -> Result<Box<RawValue>, Problem> {
    if let Ok(raw) = serde_json::from_str(text) {
        return Ok(raw);
    }
    let broken = |error: serde_json::Error| Problem::internal(format!("a template could not be written: {error}"));
    let value: Value = from_json(text).map_err(broken)?;
    serde_json::value::to_raw_value(&shown(value)).map_err(broken)
}

fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(readable(&text).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(shown).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (readable(&name).into_owned(), shown(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Gives the preview picture of a template.
#[utoipa::path(get, path = "/api/v1/workflows/{name}/preview", operation_id = "getWorkflowPreview", tag = "workflows",
    params(("name" = String, Path, description = "The name of the template.")),
    responses(
        (status = 200, description = "A PNG.", body = String, content_type = "image/png"),
        (status = 304, description = "The caller has it already."),
        (status = 404, description = "There is no such template, or it has no preview.", body = Problem),
    )
)]
pub(super) async fn preview(State(ctx): State<Ctx>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let template = ctx.app.templates.find(&name).await?;
    let Some((bytes, hash)) = ctx.app.templates.preview(&template).await else {
        let message = format!("template `{}` has no preview.", template.name);
        return Err(Problem::new(404, "no_preview", message, "Put a preview.png beside its workflow.json."));
    };
    let etag = format!("\"{hash}\"");
    let fresh = is_among(&headers, &etag);
    let mut response = Response::new(if fresh { Body::empty() } else { Body::from(bytes.into_owned()) });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let etag = HeaderValue::from_str(&etag).map_err(|_| Problem::internal("a hash is not a header value"))?;
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
    out.insert(ETAG, etag);
    out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    out.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}

/// Gives the graph of a template, byte for byte.
#[utoipa::path(get, path = "/api/v1/workflows/{name}/workflow.json", operation_id = "getWorkflowGraph", tag = "workflows",
    params(("name" = String, Path, description = "The name of the template.")),
    responses(
        (status = 200, description = "The graph in API format.", content_type = "application/json", body = Object),
        (status = 400, description = "The template cannot be used.", body = Problem),
        (status = 404, description = "There is no such template.", body = Problem),
    )
)]
pub(super) async fn graph(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let template = ctx.app.templates.find(&name).await?;
    template.check()?;
    let content = ctx.app.templates.content(&template).await?;
    let mut response = Response::new(Body::from(content.graph.text().to_owned()));
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}
