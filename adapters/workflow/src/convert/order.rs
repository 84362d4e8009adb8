//! The order in which the page looks at the nodes of the canvas.

use std::collections::{BTreeMap, VecDeque};

use super::model::Graph;

/// The nodes of a graph, those before which all others of their inputs stand; circles come last.
pub(super) fn execution_order(graph: &Graph) -> Vec<usize> {
    let mut outgoing: BTreeMap<usize, Vec<(usize, i64, usize)>> = BTreeMap::new();
    for (place, id) in graph.link_order.iter().enumerate() {
        let Some(link) = graph.links.get(id) else { continue };
        if let (Some(from), Some(to)) = (graph.node(&link.from), graph.node(&link.to)) {
            let slot = i64::try_from(link.from_slot).unwrap_or(i64::MAX);
            outgoing.entry(from).or_default().push((to, slot, place));
        }
    }
    for links in outgoing.values_mut() {
        links.sort_by_key(|(_, slot, place)| (*slot, *place));
    }
    let mut missing: Vec<usize> =
        graph.nodes.iter().map(|node| node.inputs.iter().filter(|input| input.link.is_some()).count()).collect();
    let mut ready: VecDeque<usize> = (0..graph.nodes.len()).filter(|node| missing[*node] == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    let mut placed: Vec<bool> = missing.iter().map(|missing| *missing == 0).collect();
    while let Some(node) = ready.pop_front() {
        order.push(node);
        for (to, ..) in outgoing.get(&node).into_iter().flatten() {
            missing[*to] = missing[*to].saturating_sub(1);
            if missing[*to] == 0 && !std::mem::replace(&mut placed[*to], true) {
                ready.push_back(*to);
            }
        }
    }
    order.extend((0..graph.nodes.len()).filter(|node| !placed[*node]));
    order
}
