//! The canvas of a run, for pictures of its graph.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use comfyd_engine::RunId;
use comfyd_workflow::{Area, Place};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::conversion::PlaceRow;
use super::page::is_among;
use super::reply::{Answer, ok};
use super::routes::Ctx;
use super::sealed;
use super::workflows::strict;
use crate::canvas::Drawn;
use crate::problem::Problem;

/// The canvas that the graph of a run was made from.
#[derive(Serialize, ToSchema)]
pub(super) struct RunCanvas {
    /// The run.
    run_id: RunId,
    /// The canvas as it was given.
    #[schema(value_type = Object)]
    canvas: Box<RawValue>,
    /// Its nodes with their ids in the graph, those inside of subgraphs as well.
    places: Vec<PlaceRow>,
    /// Where the nodes of the graph stand, by their ids there: all on one plane, subgraphs opened. Nodes whose canvas does not say are left out.
    positions: BTreeMap<String, AreaRow>,
    /// The subgraphs on that plane.
    boxes: Vec<BoxRow>,
}

/// A rectangle on the plane.
#[derive(Serialize, ToSchema)]
struct AreaRow {
    /// Its left edge.
    x: f64,
    /// Its upper edge.
    y: f64,
    /// Its width.
    width: f64,
    /// Its height.
    height: f64,
}

/// A subgraph on the plane.
#[derive(Serialize, ToSchema)]
struct BoxRow {
    /// The ids in the file of the node that stands for it.
    path: String,
    /// Its title.
    title: String,
    /// Where it is.
    area: AreaRow,
    /// The nodes of the graph in it, those of its own subgraphs as well.
    nodes: Vec<String>,
}

impl From<&Area> for AreaRow {
    fn from(area: &Area) -> Self {
        let Area { position: [x, y], size: [width, height] } = *area;
        Self { x, y, width, height }
    }
}

fn boxes(drawn: &Drawn) -> Vec<BoxRow> {
    let mut inside: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for place in &drawn.places {
        let Some(node) = &place.node else { continue };
        let mut around = place.host;
        while let Some(number) = around {
            inside.entry(number).or_default().push(node.clone());
            around = drawn.places.get(number).and_then(|host| host.host);
        }
    }
    let row = |(number, area): (&usize, &Area)| {
        let Place { path, title, .. } = drawn.places.get(*number)?.clone();
        Some(BoxRow { path, title, area: area.into(), nodes: inside.remove(number).unwrap_or_default() })
    };
    drawn.plane.boxes.iter().filter_map(row).collect()
}

/// Gives the canvas of a run, with the places of its nodes.
#[utoipa::path(get, path = "/api/v1/runs/{id}/canvas", operation_id = "getRunCanvas", tag = "runs", params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses(
        (status = 200, description = "The canvas. It never changes.", body = RunCanvas),
        (status = 304, description = "The caller has it already, by `If-None-Match`."),
        (status = 404, description = "There is no such run, or it was made from a graph in API format.", body = Problem),
        (status = 409, description = "The log of the run is damaged.", body = Problem),
        (status = 410, description = "The canvas is not stored any more.", body = Problem),
    ))]
pub(super) async fn canvas(State(ctx): State<Ctx>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    let run = ctx.app.resolve(&name)?;
    // It never changes, so the id of the run names it.
    let etag = format!("\"{run}-canvas\"");
    let mut response = if is_among(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let drawn = ctx.app.canvas(run).await?;
        ok(&RunCanvas {
            run_id: run,
            canvas: strict(&drawn.text)?,
            places: drawn.places.iter().map(PlaceRow::from).collect(),
            positions: drawn.plane.nodes.iter().map(|(node, area)| (node.clone(), area.into())).collect(),
            boxes: boxes(&drawn),
        })?
    };
    let out = response.headers_mut();
    sealed::put(out, ETAG, &etag)?;
    out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
