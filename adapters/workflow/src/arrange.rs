//! All nodes of a graph on one plane, the insides of subgraphs as well.
//!
//! Invariants: what is left of or above something on its canvas is so here; a subgraph is as large as its inside needs, and what stands beside
//! or below it moves away; every number is finite. Absent: how large nodes are drawn.

use std::collections::BTreeMap;

use crate::convert::Place;

/// The size of a node whose file has none.
const SIZE: [f64; 2] = [210.0, 60.0];
/// Around the inside of a subgraph; above it stands the title.
const MARGIN: f64 = 30.0;
/// No canvas is that wide.
const FARTHEST: f64 = 1e6;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Its left and upper edge.
    pub position: [f64; 2],
    /// Its width and height.
    pub size: [f64; 2],
}

/// The nodes of a graph on one plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrangement {
    /// By the id in the graph.
    pub nodes: BTreeMap<String, Area>,
    /// The subgraphs around them, by the place in the list of places.
    pub boxes: BTreeMap<usize, Area>,
}

/// Puts the nodes of a graph on one plane; those whose canvas does not say where they stand are left out.
///
/// ```
/// use comfyd_workflow::{arrange, locate};
/// let canvas = serde_json::json!({"nodes": [{"id": 5, "type": "s", "pos": [100, 0], "size": [200, 50]}, {"id": 6, "type": "B", "pos": [400, 0]}], "links": [],
///     "definitions": {"subgraphs": [{"id": "s", "name": "S", "nodes": [{"id": 1, "type": "A", "pos": [-700, 9], "size": [900, 90]}], "links": []}]}});
/// let graph = serde_json::json!({"5:1": {}, "6": {}});
/// let plane = arrange(&locate(&canvas, graph.as_object().expect("nodes")).expect("a canvas"));
/// assert_eq!(plane.nodes["5:1"].position, [130.0, 60.0]);
/// assert_eq!(plane.boxes[&0].size, [960.0, 180.0]);
/// assert_eq!(plane.nodes["6"].position, [1160.0, 0.0], "it stood 100 beside the box, and does so now");
/// ```
pub fn arrange(places: &[Place]) -> Arrangement {
    let (needed, insides) = needed(places);
    let mut arranged = Arrangement::default();
    // The outer ones come first in the list, so that what an inside is put into is known.
    for (number, place) in places.iter().enumerate() {
        let Some(size) = needed.get(&number) else { continue };
        let Some(inside) = insides.get(&place.host) else { continue };
        let frame = match place.host {
            None => [0.0, 0.0],
            Some(host) => match arranged.boxes.get(&host) {
                Some(around) => [around.position[0] + MARGIN, around.position[1] + 2.0 * MARGIN],
                None => continue,
            },
        };
        let position = inside.position_of(place, frame);
        let area = Area { position, size: *size };
        match &place.node {
            Some(node) => drop(arranged.nodes.insert(node.clone(), area)),
            None => drop(arranged.boxes.insert(number, area)),
        }
    }
    arranged
}

/// How much room the nodes of the graph need, and the subgraphs that hold some; and the graphs of the file, by the node around them.
fn needed(places: &[Place]) -> (BTreeMap<usize, [f64; 2]>, BTreeMap<Option<usize>, Inside>) {
    let mut needed: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
    let mut held: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    let mut insides = BTreeMap::new();
    // What a host holds comes after it, so that from the back its inside is known when the host comes.
    for (number, place) in places.iter().enumerate().rev() {
        let size = match (&place.node, held.remove(&Some(number))) {
            _ if place.position.is_none() => continue,
            (Some(_), _) => size_of(place),
            (None, Some(held)) => {
                let inside = Inside::of(places, &needed, &held);
                let ([width, height], own) = (inside.size(), size_of(place));
                insides.insert(Some(number), inside);
                [own[0].max(width + 2.0 * MARGIN), own[1].max(height + 3.0 * MARGIN)]
            }
            (None, None) => continue,
        };
        needed.insert(number, size);
        held.entry(place.host).or_default().push(number);
    }
    insides.insert(None, Inside::of(places, &needed, held.get(&None).map_or(&[], Vec::as_slice)));
    (needed, insides)
}

fn size_of(place: &Place) -> [f64; 2] {
    place.size.map_or(SIZE, |size| size.map(|side| if side.is_finite() { side.clamp(1.0, FARTHEST) } else { SIZE[1] }))
}

fn corner_of(place: &Place) -> [f64; 2] {
    let corner = place.position.unwrap_or_default();
    corner.map(|side| if side.is_finite() { side.clamp(-FARTHEST, FARTHEST) } else { 0.0 })
}

/// One graph of the file, stretched where its subgraphs need more room than they have on the canvas.
struct Inside {
    axes: [Axis; 2],
}

impl Inside {
    fn of(places: &[Place], needed: &BTreeMap<usize, [f64; 2]>, held: &[usize]) -> Self {
        let span = |number: &usize, side: usize| {
            let place = &places[*number];
            let length = size_of(place)[side];
            let needs = needed.get(number).map_or(length, |size| size[side]);
            Span { from: corner_of(place)[side], length, needs }
        };
        Self { axes: [0, 1].map(|side| Axis::of(&held.iter().map(|number| span(number, side)).collect::<Vec<_>>())) }
    }

    fn position_of(&self, place: &Place, frame: [f64; 2]) -> [f64; 2] {
        let corner = corner_of(place);
        // The canvas itself keeps its own zero.
        let start = |side: usize| if place.host.is_some() { self.axes[side].start() } else { 0.0 };
        [0, 1].map(|side| frame[side] + self.axes[side].at(corner[side]) - start(side))
    }

    fn size(&self) -> [f64; 2] {
        [0, 1].map(|side| self.axes[side].end() - self.axes[side].start())
    }
}

/// What one node takes of an axis, and what it needs.
#[derive(Clone, Copy)]
struct Span {
    from: f64,
    length: f64,
    needs: f64,
}

/// An axis of a canvas, with the places at which it is stretched: `(there, here)`, in order.
struct Axis {
    points: Vec<(f64, f64)>,
}

impl Axis {
    fn of(spans: &[Span]) -> Self {
        let mut edges: Vec<f64> = spans.iter().flat_map(|span| [span.from, span.from + span.length]).collect();
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        let mut points: Vec<(f64, f64)> = Vec::with_capacity(edges.len());
        let wide: Vec<&Span> = spans.iter().filter(|span| span.needs > span.length).collect();
        for edge in edges {
            let here = match points.last() {
                None => edge,
                Some((before, here)) => {
                    let over = wide.iter().filter(|span| span.from <= *before && edge <= span.from + span.length);
                    let stretch = over.map(|span| span.needs / span.length).fold(1.0, f64::max);
                    here + (edge - before) * stretch
                }
            };
            points.push((edge, here));
        }
        Self { points }
    }

    fn at(&self, there: f64) -> f64 {
        let after = self.points.partition_point(|(edge, _)| *edge <= there);
        match after.checked_sub(1).and_then(|before| self.points.get(before)) {
            // Only corners are asked for, and each is an edge.
            Some((edge, here)) => here + (there - edge),
            None => there,
        }
    }

    fn start(&self) -> f64 {
        self.points.first().map_or(0.0, |(_, here)| *here)
    }

    fn end(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, here)| *here)
    }
}
