//! A canvas file made into the graph that ComfyUI's page would send.
//!
//! Invariants: the reference is that page: where it is known to be wrong the result is what was meant, with a warning; what only the page can
//! know is a problem. The map from nodes of the file to nodes of the graph names every node that runs.
//! Absent: values that extensions of the page compute.

mod build;
mod emit;
mod groups;
mod hosts;
mod ids;
mod layout;
mod links;
mod model;
mod order;
mod packs;
mod places;
mod primitive;
mod proxies;
mod resolve;
mod restore;
mod saved;
mod saved_host;
mod text;
mod widgets;

use serde_json::{Map, Value};

use crate::canvas::File;
use crate::classes::Classes;
use crate::report::{EXPORT, Problem, Reason, Warning};
use build::World;
pub use places::{Place, locate};
pub use text::Moment;
use text::Texts;

/// What a conversion needs to know beside the file and the classes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For `%date:...%` in names of files.
    pub now: Moment,
    /// For `{a|b}` in prompts: the same number chooses the same.
    pub seed: u64,
}

/// A converted workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The graph for the API.
    pub graph: Map<String, Value>,
    /// Where the nodes of the file are in it.
    pub places: Vec<Place>,
    /// What was put right, or may not be what was meant.
    pub warnings: Vec<Warning>,
}

/// Converts a canvas file.
///
/// ```
/// use comfyd_workflow::{Classes, Moment, Options, convert};
/// let classes = Classes::parse(r#"{"Empty": {"input": {"required": {"width": ["INT", {"default": 64}]}}, "output": ["IMAGE"]},
///     "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": true}}"#)?;
/// let canvas = serde_json::from_str(r#"{"nodes": [
///     {"id": 7, "type": "Empty", "widgets_values": [128], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]},
///     {"id": 8, "type": "Save", "inputs": [{"name": "images", "type": "IMAGE", "link": 1}]}],
///     "links": [[1, 7, 0, 8, 0, "IMAGE"]]}"#)?;
/// let now = Moment { year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5 };
/// let converted = convert(&canvas, &classes, &Options { now, seed: 0 }).expect("both classes are known");
/// assert_eq!(converted.graph["7"]["inputs"]["width"], 128);
/// assert_eq!(converted.graph["8"]["inputs"]["images"][0], "7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// All that stands against it, each with the node, the reason and the remedy.
pub fn convert(canvas: &Value, classes: &Classes, options: &Options) -> Result<Converted, Vec<Problem>> {
    let Some(file) = File::read(canvas) else { return Err(vec![not_a_canvas()]) };
    let mut world = World::of(file, classes).map_err(|problem| vec![problem])?;
    if !world.refusals.is_empty() {
        return Err(world.refusals);
    }
    world.restore_hosts();
    let texts = Texts { now: &options.now, choose, seed: options.seed };
    world.apply_primitives(&texts);
    let spots = world.spots().map_err(|problem| vec![*problem])?;
    let graph = world.emit(&spots, &texts)?;
    if graph.is_empty() {
        return Err(vec![empty()]);
    }
    let places = world.places(&spots, |at, path| world.runs(at) && graph.contains_key(path));
    Ok(Converted { graph, places, warnings: world.warnings })
}

/// One of so many, the same for the same seed (splitmix64).
fn choose(seed: u64, made: u64, among: usize) -> usize {
    let mut mixed = seed.wrapping_add(made.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let among = u64::try_from(among).unwrap_or(u64::MAX).max(1);
    usize::try_from((mixed ^ (mixed >> 31)) % among).unwrap_or(0)
}

fn not_a_canvas() -> Problem {
    Problem {
        node: None,
        class: None,
        reason: Reason::NotACanvas,
        message: "this is not what ComfyUI's page saves: it has no list of nodes with links".to_owned(),
        remedy: EXPORT.to_owned(),
    }
}

fn empty() -> Problem {
    Problem {
        node: None,
        class: None,
        reason: Reason::NotACanvas,
        message: "nothing of the workflow would run: it has no nodes, or all are muted, bypassed or notes".to_owned(),
        remedy: "Open the workflow in ComfyUI, take the nodes that should run out of mute and bypass, and save.".to_owned(),
    }
}
