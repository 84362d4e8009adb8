//! `/api/v1/workflows/convert` and `/validate`: a workflow of either kind, without running it.

use axum::extract::{Request, State};
use comfyd_workflow::{Converted, Finding, Place, Warning};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::reply::{Answer, ok};
use super::routes::Ctx;
use super::shapes::{ConvertBody, ConvertForm};
use super::workflows::strict;
use super::{body, dto, upload};
use crate::app::Target;
use crate::problem::Problem;

/// A workflow in API format.
#[derive(Serialize, ToSchema)]
pub(super) struct ConvertedBody {
    /// The graph in API format; one that was in it already is as it came.
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
    /// Whether it was a canvas.
    converted: bool,
    /// The nodes of the canvas with their place on it; empty for a graph in API format.
    places: Vec<PlaceRow>,
    /// What was put right, or may not be what was meant.
    warnings: Vec<WarningRow>,
}

/// A node of the canvas.
#[derive(Serialize, ToSchema)]
pub(super) struct PlaceRow {
    /// Its ids in the file, from the canvas inwards.
    path: String,
    /// Its id in the graph; null if it does not run.
    node_id: Option<String>,
    /// Its class, or the name of the subgraph.
    class: String,
    /// Its title.
    title: String,
    /// Where it stands in its graph: `[x, y]`.
    position: Option<[f64; 2]>,
    /// How large it is: `[width, height]`.
    size: Option<[f64; 2]>,
}

/// Something to know about a conversion.
#[derive(Serialize, ToSchema)]
struct WarningRow {
    /// The node, by its path in the file.
    path: Option<String>,
    /// A stable name.
    code: &'static str,
    /// What was found and done.
    message: String,
}

/// What the instance would say.
#[derive(Serialize, ToSchema)]
pub(super) struct VerdictBody {
    /// Whether it would take the workflow.
    valid: bool,
    /// All that was found.
    findings: Vec<FindingRow>,
    /// The nodes at which the workflow ends and that would run.
    good_outputs: Vec<String>,
    /// Those that would be left out.
    bad_outputs: Vec<String>,
    /// What the conversion of a canvas put right.
    warnings: Vec<WarningRow>,
}

/// One thing that is wrong.
#[derive(Serialize, ToSchema)]
struct FindingRow {
    /// The node; null where the workflow as a whole is meant.
    node_id: Option<String>,
    /// Its class.
    class: Option<String>,
    /// A stable name: that of `ComfyUI` where it has one.
    code: &'static str,
    /// The input.
    input: Option<String>,
    /// What it holds.
    value: Option<Value>,
    /// What it may hold.
    allowed: Option<String>,
    /// What is most like it.
    nearest: Vec<String>,
    /// Whether the instance is sure to say the same; else the node or its pack decides.
    certain: bool,
    /// What is wrong.
    message: String,
    /// What to do.
    hint: String,
}

impl From<&Place> for PlaceRow {
    fn from(place: &Place) -> Self {
        let Place { path, node, class, title, position, size, host: _ } = place.clone();
        Self { path, node_id: node, class, title, position, size }
    }
}

impl From<&Warning> for WarningRow {
    fn from(warning: &Warning) -> Self {
        Self { path: warning.node.clone(), code: warning.code, message: warning.message.clone() }
    }
}

impl From<&Finding> for FindingRow {
    fn from(finding: &Finding) -> Self {
        Self {
            node_id: finding.node.clone(),
            class: finding.class.clone(),
            code: finding.kind.code(),
            input: finding.input.clone(),
            value: finding.value.clone(),
            allowed: finding.allowed.clone(),
            nearest: finding.nearest.clone(),
            certain: finding.certain,
            message: finding.message(),
            hint: finding.hint(),
        }
    }
}

async fn wish(ctx: &Ctx, request: Request) -> Result<(String, Option<Target>), Problem> {
    let (workflow, mut fields) = if upload::is_form(&request) {
        let _place = ctx.limits.upload()?;
        upload::alone(request, &ctx.app.spool).await?
    } else {
        let mut fields = body::fields(request).await?;
        (fields.take_raw("workflow").map(dto::unwrapped), fields)
    };
    let workflow = workflow.ok_or_else(|| {
        let hint = "Give `workflow`: a canvas as ComfyUI saves it, or a graph in API format.";
        Problem::invalid("no_workflow", "`workflow` is not given", hint)
    })?;
    Ok((workflow, dto::target(&mut fields)?))
}

fn warnings(converted: Option<&Converted>) -> Vec<WarningRow> {
    converted.into_iter().flat_map(|converted| &converted.warnings).map(WarningRow::from).collect()
}

/// Converts a canvas to the graph that `ComfyUI`'s page would send.
#[utoipa::path(post, path = "/api/v1/workflows/convert", operation_id = "convertWorkflow", tag = "workflows", 
    request_body(content((ConvertBody = "application/json"), (ConvertForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The graph.", body = ConvertedBody),
        (status = 404, description = "There is no such instance.", body = Problem),
        (status = 422, description = "It cannot be converted; `details` has each reason as a line.", body = Problem),
        (status = 502, description = "The instance does not answer, or not as a ComfyUI.", body = Problem),
        (status = 504, description = "It does not answer in time.", body = Problem),
    ))]
pub(super) async fn convert(State(ctx): State<Ctx>, request: Request) -> Answer {
    let (text, target) = wish(&ctx, request).await?;
    let done = ctx.app.convert(text, target.as_ref()).await?;
    let places = done.converted.iter().flat_map(|converted| &converted.places).map(PlaceRow::from).collect();
    ok(&ConvertedBody {
        workflow: strict(done.graph.text())?,
        converted: done.converted.is_some(),
        places,
        warnings: warnings(done.converted.as_ref()),
    })
}

/// Checks a workflow against the classes of an instance, without queueing it.
#[utoipa::path(post, path = "/api/v1/workflows/validate", operation_id = "validateWorkflow", tag = "workflows", 
    request_body(content((ConvertBody = "application/json"), (ConvertForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "All that is wrong with it.", body = VerdictBody),
        (status = 404, description = "There is no such instance.", body = Problem),
        (status = 422, description = "It is a canvas that cannot be converted.", body = Problem),
        (status = 502, description = "The instance does not answer, or not as a ComfyUI.", body = Problem),
        (status = 504, description = "It does not answer in time.", body = Problem),
    ))]
pub(super) async fn validate(State(ctx): State<Ctx>, request: Request) -> Answer {
    let (text, target) = wish(&ctx, request).await?;
    let (conversion, verdict) = ctx.app.judge(text, target.as_ref()).await?;
    ok(&VerdictBody {
        valid: verdict.is_runnable(),
        findings: verdict.findings.iter().map(FindingRow::from).collect(),
        good_outputs: verdict.good_outputs,
        bad_outputs: verdict.bad_outputs,
        warnings: warnings(conversion.converted.as_ref()),
    })
}
