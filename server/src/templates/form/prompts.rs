//! Finds the texts that a picture is made of: from what samples back along the links to the texts.
//!
//! Invariants: a walk passes each output of a node once, so loops end; what is reached on both ways is a prompt.

use std::collections::{BTreeMap, BTreeSet};

use comfyd_adapters::workflow::{Graph, Held, Node};

use super::kinds::is_texty;

/// Inputs by which no text comes.
const NOT_TEXT: [&str; 22] = [
    "clip",
    "model",
    "vae",
    "image",
    "images",
    "pixels",
    "mask",
    "control_net",
    "clip_vision",
    "clip_vision_output",
    "style_model",
    "latent",
    "samples",
    "latent_image",
    "noise",
    "sampler",
    "sigmas",
    "guider",
    "init_image",
    "audio",
    "video",
    "reference_latent",
];

/// On which side of the sampler a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Positive,
    Negative,
}

/// The inputs that hold prompts, as node id and input.
pub(super) fn prompts(graph: &Graph) -> BTreeMap<(&str, &str), Side> {
    let mut walk = Walk { graph, found: BTreeMap::new(), seen: BTreeSet::new() };
    for node in graph.nodes() {
        // A node that takes both and passes both on is on the way to a sampler, or is one.
        let guider = node.class().contains("Guider") || node.class().contains("Sampler");
        for (input, held) in node.inputs() {
            let side = match side_of(input) {
                Some(side) => side,
                None if guider && input == "conditioning" => Side::Positive,
                None => continue,
            };
            match held {
                Held::Link { node, slot } => walk.follow(node, slot, side),
                // Some nodes have the text right there.
                Held::Value(value) if value.is_string() => walk.note(node.id(), input, side),
                Held::Value(_) => {}
            }
        }
    }
    walk.found
}

fn side_of(input: &str) -> Option<Side> {
    match input {
        "positive" | "positive_prompt" => Some(Side::Positive),
        "negative" | "negative_prompt" => Some(Side::Negative),
        _ => None, // any other input
    }
}

struct Walk<'a> {
    graph: &'a Graph,
    found: BTreeMap<(&'a str, &'a str), Side>,
    seen: BTreeSet<(&'a str, i64, Side)>,
}

impl<'a> Walk<'a> {
    fn note(&mut self, node: &'a str, input: &'a str, side: Side) {
        let known = self.found.entry((node, input)).or_insert(side);
        *known = side.min(*known);
    }

    /// Goes back from an output; with a list of its own, as chains may be long.
    fn follow(&mut self, node: &'a str, slot: i64, side: Side) {
        let mut open = vec![(node, slot, side)];
        while let Some((id, slot, side)) = open.pop() {
            if !self.seen.insert((id, slot, side)) {
                continue;
            }
            let Some(node) = self.graph.node(id) else { continue };
            for (input, held) in node.inputs() {
                match held {
                    Held::Link { node: from, slot: out } if leads(node, input, slot) => open.push((from, out, side)),
                    Held::Value(value) if value.is_string() && is_texty(node.class(), input) => self.note(node.id(), input, side),
                    Held::Link { .. } | Held::Value(_) => {}
                }
            }
        }
    }
}

/// Whether what leaves a node by an output may have come in by an input.
fn leads(node: Node<'_>, input: &str, slot: i64) -> bool {
    let both = node.input("positive").is_some() && node.input("negative").is_some();
    match side_of(input) {
        // Nodes that take both pass both on, in this order.
        Some(Side::Positive) if both => slot == 0,
        Some(Side::Negative) if both => slot == 1,
        Some(_) => true,
        None => !NOT_TEXT.contains(&input),
    }
}
