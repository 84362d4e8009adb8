//! Which link ends at which input.
//!
//! Invariants: an input has one link; a link goes to the input of the name under which the file refers to it, wherever the class has that
//! input now.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Graph;
use crate::canvas::{Canvas, Link};

/// The links of a file without those that end where another one does: of two, the one that the input names stays, else the first.
pub(super) fn without_rivals(canvas: &Canvas) -> Vec<Link> {
    let named: BTreeSet<i64> = canvas.nodes.iter().flat_map(|node| &node.inputs).filter_map(|slot| slot.link).collect();
    let mut kept: Vec<Link> = Vec::with_capacity(canvas.links.len());
    let mut place_of: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for link in &canvas.links {
        match place_of.get(&(link.to.as_str(), link.to_slot)) {
            None => {
                place_of.insert((&link.to, link.to_slot), kept.len());
                kept.push(link.clone());
            }
            Some(place) => {
                let rival = &kept[*place];
                let same = rival.from == link.from && rival.from_slot == link.from_slot;
                if !same && named.contains(&link.id) && !named.contains(&rival.id) {
                    kept[*place] = link.clone();
                }
            }
        }
    }
    kept
}

/// Lets each link end at an input.
pub(super) fn place_links(graph: &mut Graph) {
    for by_name in [true, false] {
        for id in graph.link_order.clone() {
            let Some(link) = graph.links.get(&id) else { continue };
            let Some(place) = graph.by_id.get(&link.to) else { continue };
            let node = &mut graph.nodes[*place];
            let names: Vec<&str> =
                node.file.inputs.iter().filter(|slot| slot.link == Some(id)).map(|slot| slot.name.as_str()).collect();
            if names.is_empty() == by_name {
                continue;
            }
            let target = if by_name {
                let fitting = |slot: usize| node.inputs.get(slot).is_some_and(|input| names.contains(&input.name.as_str()));
                if fitting(link.to_slot) { Some(link.to_slot) } else { (0..node.inputs.len()).find(|slot| fitting(*slot)) }
            } else {
                // No input of the file names it: it ends where the link itself says.
                Some(link.to_slot)
            };
            let free = target.filter(|slot| node.inputs.get(*slot).is_some_and(|input| input.link.is_none()));
            match free {
                Some(slot) => {
                    node.inputs[slot].link = Some(id);
                    graph.links.get_mut(&id).expect("found above").to_slot = slot;
                }
                None => {
                    graph.links.remove(&id);
                }
            }
        }
    }
    let links = &graph.links;
    graph.link_order.retain(|id| links.contains_key(id));
}
