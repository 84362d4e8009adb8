//! Ids of nodes, made unique over the canvas and its subgraphs as the page does on loading.
//!
//! Invariants: the first node of an id keeps it; links, promoted widgets and the nodes that stand for a subgraph follow the change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::canvas::{Canvas, File};
use crate::json::id;

/// New ids by graph and old id; the graph of the canvas is 0.
pub(super) type Renamed = BTreeMap<(usize, String), String>;

/// Gives nodes whose id is taken another one: says which, and the second nodes of an id in a subgraph, which are left out.
pub(super) fn make_unique(file: &mut File) -> (Renamed, Vec<String>) {
    let mut renamed = Renamed::new();
    let mut left_out = Vec::new();
    let mut used = BTreeSet::new();
    let mut last = file.root.last_node_id.max(highest(&file.root));
    for node in &mut file.root.nodes {
        if !used.insert(node.id.clone()) {
            // Links lead to the first.
            last = last.saturating_add(1);
            let old = std::mem::replace(&mut node.id, last.to_string());
            used.insert(node.id.clone());
            node.inputs.iter_mut().for_each(|slot| slot.link = None);
            renamed.insert((0, old), node.id.clone());
        }
    }
    for (place, graph) in file.subgraphs.iter_mut().enumerate() {
        let mut own = BTreeSet::new();
        let doubles = graph.nodes.extract_if(.., |node| !own.insert(node.id.clone()));
        left_out.extend(doubles.map(|node| node.id));
        let changes = rename(graph, &mut used, &mut last);
        renamed.extend(changes.into_iter().map(|(old, new)| ((place + 1, old), new)));
    }
    let by_definition: BTreeMap<String, usize> =
        file.subgraphs.iter().enumerate().map(|(place, graph)| (graph.id.clone(), place + 1)).collect();
    for graph in std::iter::once(&mut file.root).chain(&mut file.subgraphs) {
        for node in &mut graph.nodes {
            if let Some(definition) = by_definition.get(&node.class) {
                follow(node.properties.get_mut("proxyWidgets"), *definition, &renamed);
            }
        }
    }
    file.root.last_node_id = last;
    (renamed, left_out)
}

/// The highest number among the ids.
fn highest(graph: &Canvas) -> i64 {
    graph.nodes.iter().filter_map(|node| node.id.parse().ok()).max().unwrap_or(0)
}

fn rename(graph: &mut Canvas, used: &mut BTreeSet<String>, last: &mut i64) -> BTreeMap<String, String> {
    let mut changes = BTreeMap::new();
    for node in &mut graph.nodes {
        if used.insert(node.id.clone()) {
            if let Ok(number) = node.id.parse::<i64>() {
                *last = (*last).max(number);
            }
            continue;
        }
        let fresh = loop {
            *last = last.saturating_add(1);
            let text = last.to_string();
            if used.insert(text.clone()) || *last == i64::MAX {
                break text;
            }
        };
        changes.insert(std::mem::replace(&mut node.id, fresh.clone()), fresh);
    }
    for link in &mut graph.links {
        for end in [&mut link.from, &mut link.to] {
            if let Some(fresh) = changes.get(end) {
                end.clone_from(fresh);
            }
        }
    }
    changes
}

/// Changes the ids in `[[node, widget], ...]`.
fn follow(list: Option<&mut Value>, definition: usize, renamed: &Renamed) {
    for entry in list.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(first) = entry.get_mut(0) else { continue };
        let Some(old) = id(Some(first)) else { continue };
        if let Some(fresh) = renamed.get(&(definition, old)) {
            *first = json!(fresh);
        }
    }
}
