//! Which nodes ComfyUI looks at: those that an end of the workflow needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// How a node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Some end needs it.
    Needed,
    /// And it needs itself.
    Circle,
}

/// The nodes that a node takes something from.
fn sources<'a>(graph: &'a Map<String, Value>, id: &str) -> Vec<&'a str> {
    let inputs = graph.get(id).and_then(|node| node.get("inputs")).and_then(Value::as_object);
    let links = inputs.into_iter().flatten().filter_map(|(_, value)| match value.as_array().map(Vec::as_slice) {
        Some([Value::String(from), _]) => graph.get_key_value(from).map(|(from, _)| from.as_str()),
        Some(_) | None => None,
    });
    links.collect()
}

/// These nodes, and all that need one of them.
pub(super) fn downstream<'a>(graph: &'a Map<String, Value>, nodes: Vec<&'a str>) -> BTreeSet<&'a str> {
    let mut takers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for id in graph.keys() {
        for from in sources(graph, id) {
            takers.entry(from).or_default().push(id);
        }
    }
    let mut found: BTreeSet<&str> = nodes.iter().copied().collect();
    let mut waiting = nodes;
    while let Some(id) = waiting.pop() {
        let takers = takers.get(id).map_or(&[][..], Vec::as_slice);
        waiting.extend(takers.iter().filter(|taker| found.insert(taker)));
    }
    found
}

/// All nodes that some end needs.
pub(super) fn reach<'a>(graph: &'a Map<String, Value>, ends: &[&'a str]) -> BTreeMap<&'a str, Reach> {
    let mut found: BTreeMap<&str, Reach> = BTreeMap::new();
    for end in ends {
        if found.contains_key(end) {
            continue;
        }
        // Depth first with the way back, so that a link to a node on the way is a circle.
        let mut way: Vec<(&str, Vec<&str>)> = vec![(end, sources(graph, end))];
        let mut on_way = BTreeSet::from([*end]);
        found.insert(end, Reach::Needed);
        while let Some((_, waiting)) = way.last_mut() {
            let Some(next) = waiting.pop() else {
                if let Some((done, _)) = way.pop() {
                    on_way.remove(done);
                }
                continue;
            };
            if on_way.contains(next) {
                found.insert(next, Reach::Circle);
            } else if !found.contains_key(next) {
                found.insert(next, Reach::Needed);
                on_way.insert(next);
                way.push((next, sources(graph, next)));
            }
        }
    }
    found
}
