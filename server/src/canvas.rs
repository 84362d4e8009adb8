//! The canvas of a run: what its user drew, and where on it the nodes stand that run.
//!
//! Invariants: what is kept is the canvas as it was given; the places are worked out from it and from the graph, which both never change.

use comfyd_adapters::comfy::lenient::from_json;
use comfyd_engine::{RunId, Workload};
use comfyd_workflow::{Arrangement, Place, arrange, locate};
use serde_json::Value;

use crate::app::App;
use crate::conversion::graph_of;
use crate::problem::Problem;

/// A canvas with the nodes of a graph on it.
pub(crate) struct Drawn {
    /// The canvas as it was given.
    pub(crate) text: String,
    /// Its nodes.
    pub(crate) places: Vec<Place>,
    /// Those of the graph on one plane.
    pub(crate) plane: Arrangement,
}

impl App {
    /// The canvas that the graph of a run was made from.
    pub(crate) async fn canvas(&self, run: RunId) -> Result<Drawn, Problem> {
        let folded = self.history.fold(run, None).await?;
        let Workload::Prompt(prompt) = folded.run.spec().workload.clone();
        let hash = prompt.canvas.as_ref().ok_or_else(|| no_canvas(run))?;
        let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| gone(run));
        let canvas = text(self.stored(&folded.blobs, hash).await?)?;
        let graph = text(self.stored(&folded.blobs, &prompt.graph).await?)?;
        self.intake.offload.run(move || drawn(canvas, &graph)).await
    }
}

fn drawn(text: String, graph: &str) -> Result<Drawn, Problem> {
    let graph = graph_of(graph)?;
    let canvas: Value = from_json(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Problem::internal(format!("a canvas was read and cannot be read again: {error}")))?;
    // A canvas beside a graph need not be one that could be converted; then nothing of the graph is on it.
    let places = locate(&canvas, graph.fields()).unwrap_or_default();
    let plane = arrange(&places);
    Ok(Drawn { text, places, plane })
}

fn no_canvas(run: RunId) -> Problem {
    let hint = "Only runs of a canvas have one, or of a picture that holds one.";
    Problem::new(404, "no_canvas", format!("run {run} was made from a graph in API format"), hint)
}

fn gone(run: RunId) -> Problem {
    let hint = "Its file in the data directory was removed from outside; the run's log and outputs are as they were.";
    Problem::new(410, "gone", format!("the canvas of run {run} is not stored any more"), hint)
}
