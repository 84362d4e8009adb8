//! Where the nodes of a graph stand on the canvas that it is made from.
//!
//! Invariants: a place names a node of the graph or none; a node stands after the one whose inside it is in. To find a graph on its canvas no
//! classes are needed, so that the answer is the same for ever.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::build::World;
use super::emit::{MAX_NODES, too_many};
use super::groups::Growth;
use super::model::{At, Role};
use super::resolve::Spot;
use crate::canvas::{Canvas, File};
use crate::classes::Classes;
use crate::json::text;
use crate::report::Problem;

/// No workflow has more subgraphs than this.
const MAX_SUBGRAPHS: usize = 1000;
/// Nor more links.
const MAX_LINKS: usize = 100_000;
/// No subgraph has more inputs or outputs.
const MAX_PORTS: usize = 1000;
/// How long the texts of all group nodes may be together.
const MAX_GROUP_BYTES: usize = 32 << 20;

/// A node of a canvas, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its ids in the file, from the canvas inwards: `5:21`.
    pub path: String,
    /// Its id in the graph; none if it does not run.
    pub node: Option<String>,
    /// Its class, or the name of the subgraph.
    pub class: String,
    /// Its title.
    pub title: String,
    /// Where it stands in its graph.
    pub position: Option<[f64; 2]>,
    /// How large it is.
    pub size: Option<[f64; 2]>,
    /// The node for a subgraph whose inside it is in, by its place in the list.
    pub host: Option<usize>,
}

/// Finds the nodes of a graph on the canvas that it was made from.
///
/// None if it is no canvas, or one that cannot be converted.
///
/// ```
/// let canvas = serde_json::json!({"nodes": [{"id": 7, "type": "Load", "pos": [10, 20]}, {"id": 8, "type": "Note"}], "links": []});
/// let graph = serde_json::json!({"7": {"class_type": "Load", "inputs": {}, "_meta": {"title": "Portrait"}}});
/// let places = comfyd_workflow::locate(&canvas, graph.as_object().expect("nodes")).expect("a canvas");
/// assert_eq!((places[0].node.as_deref(), places[0].title.as_str(), places[0].position), (Some("7"), "Portrait", Some([10.0, 20.0])));
/// assert_eq!(places[1].node, None);
/// ```
pub fn locate(canvas: &Value, graph: &Map<String, Value>) -> Option<Vec<Place>> {
    let classes = Classes::default();
    let mut world = World::of(File::read(canvas)?, &classes).ok()?;
    let spots = world.spots().ok()?;
    let mut places = world.places(&spots, |_, path| graph.contains_key(path));
    for place in &mut places {
        let Some(node) = place.node.as_ref().and_then(|id| graph.get(id)) else { continue };
        // The graph has the titles of the classes, which the canvas leaves out.
        if let Some(title) = text(node.pointer("/_meta/title")) {
            title.clone_into(&mut place.title);
        }
    }
    Some(places)
}

impl<'a> World<'a> {
    /// The world of a file, unless it is larger than a workflow can sensibly be.
    pub(super) fn of(file: File, classes: &'a Classes) -> Result<Self, Problem> {
        let graphs = || file.subgraphs.iter().chain([&file.root]);
        let ports = |graph: &Canvas| graph.inputs.len().max(graph.outputs.len());
        // What is in a group comes once for each node that stands for it.
        let grown = Growth::of(&file);
        if graphs().map(|graph| graph.nodes.len()).sum::<usize>() + grown.nodes > MAX_NODES {
            return Err(too_many(format!("{MAX_NODES} nodes")));
        }
        if file.subgraphs.len() + grown.groups > MAX_SUBGRAPHS {
            return Err(too_many(format!("{MAX_SUBGRAPHS} subgraphs")));
        }
        if graphs().map(|graph| graph.links.len()).sum::<usize>() + grown.links > MAX_LINKS {
            return Err(too_many(format!("{MAX_LINKS} links")));
        }
        if graphs().map(ports).max().is_some_and(|ports| ports > MAX_PORTS) {
            return Err(too_many(format!("{MAX_PORTS} inputs or outputs of a subgraph")));
        }
        if grown.bytes > MAX_GROUP_BYTES {
            return Err(too_many(format!("{} MiB in group nodes", MAX_GROUP_BYTES >> 20)));
        }
        Ok(Self::build(file, classes))
    }

    /// The title of a node; that of a subgraph is its name where it has none of its own.
    pub(super) fn shown_title(&self, at: At) -> &str {
        let node = self.node(at);
        match node.role {
            Role::Host(inner) if node.file.title.is_none() => &self.graphs[inner].name,
            _ => &node.title, // All others have their own, or that of their class.
        }
    }

    /// The places of these nodes; what is in the graph is told by the id there.
    pub(super) fn places(&self, spots: &[Spot], is_there: impl Fn(At, &str) -> bool) -> Vec<Place> {
        let numbers: BTreeMap<&Spot, usize> = spots.iter().enumerate().map(|(number, here)| (here, number)).collect();
        let place = |here: &Spot| {
            let node = self.node(here.at);
            let host = here.hosts.split_last().map(|(last, outer)| Spot { hosts: outer.to_vec(), at: *last });
            Place {
                path: self.file_path(here),
                node: Some(self.path(here)).filter(|path| is_there(here.at, path)),
                class: self.shown_class(here.at),
                title: self.shown_title(here.at).to_owned(),
                position: node.file.position,
                size: node.file.size,
                host: host.and_then(|host| numbers.get(&host).copied()),
            }
        };
        spots.iter().map(place).collect()
    }
}
