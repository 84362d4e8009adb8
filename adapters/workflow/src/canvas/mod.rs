//! Canvas files, as ComfyUI's page saves them, read as they are.
//!
//! Invariants: reading never fails on a part: a node without an id or a class is left out and said; both ways to write links are read.
//! Absent: what it means. That is for [`crate::convert()`].

mod node;

use serde_json::{Map, Value};

pub use node::{Node, Output, SavedValues, Slot};

use crate::json::{id, index, list, object, text};

/// The id by which links of a subgraph name its inputs.
pub(crate) const INPUTS: &str = "-10";
/// The id by which links of a subgraph name its outputs.
pub(crate) const OUTPUTS: &str = "-20";

/// A canvas, or the inside of a subgraph.
#[derive(Clone, Debug, Default)]
pub struct Canvas {
    /// The id of a subgraph; empty for the canvas itself.
    pub id: String,
    /// What the subgraph is called.
    pub name: String,
    /// The nodes in the order of the file.
    pub nodes: Vec<Node>,
    /// The links in the order of the file.
    pub links: Vec<Link>,
    /// The inputs of a subgraph.
    pub inputs: Vec<Port>,
    /// The outputs of a subgraph.
    pub outputs: Vec<Port>,
    /// The highest id of a node that was ever given.
    pub last_node_id: i64,
    /// How many nodes could not be read.
    pub unreadable: usize,
}

/// A link between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: i64,
    /// The node that it comes from.
    pub from: String,
    /// The output there.
    pub from_slot: usize,
    /// The node that it goes to.
    pub to: String,
    /// The input there.
    pub to_slot: usize,
}

/// An input or an output of a subgraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of what it carries.
    pub kind: String,
    /// Its links inside.
    pub links: Vec<i64>,
}

/// A whole file: the canvas, and the subgraphs that it brings.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The canvas.
    pub root: Canvas,
    /// The subgraphs, those inside of others as well.
    pub subgraphs: Vec<Canvas>,
    /// The group nodes of older files, by name.
    pub groups: Map<String, Value>,
}

/// Whether this is what the page saves: an object with a list of nodes, and not a graph for the API.
pub fn is_canvas(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    let has_list = |name: &str| object.get(name).is_some_and(Value::is_array);
    has_list("nodes") && (has_list("links") || object.contains_key("last_node_id") || object.contains_key("definitions"))
}

impl File {
    /// Reads a canvas file; none if it has no list of nodes.
    pub fn read(value: &Value) -> Option<Self> {
        if !is_canvas(value) {
            return None;
        }
        let root = value.as_object()?;
        let mut file = Self { root: Canvas::read(root), ..Self::default() };
        let mut waiting: Vec<&Value> = subgraphs_of(root).iter().rev().collect();
        while let Some(next) = waiting.pop() {
            let Some(fields) = next.as_object() else { continue };
            file.subgraphs.push(Canvas::read(fields));
            waiting.extend(subgraphs_of(fields).iter().rev());
        }
        if let Some(groups) = root.get("extra").and_then(|extra| object(extra.get("groupNodes"))) {
            file.groups.clone_from(groups);
        }
        Some(file)
    }
}

fn subgraphs_of(fields: &Map<String, Value>) -> &[Value] {
    list(fields.get("definitions").and_then(|definitions| definitions.get("subgraphs")))
}

impl Canvas {
    fn read(fields: &Map<String, Value>) -> Self {
        let written = list(fields.get("nodes"));
        let nodes: Vec<Node> = written.iter().filter_map(Node::read).collect();
        let state = fields.get("state");
        let last = fields.get("last_node_id").or_else(|| state.and_then(|state| state.get("lastNodeId")));
        Self {
            id: id(fields.get("id")).unwrap_or_default(),
            name: text(fields.get("name")).unwrap_or_default().to_owned(),
            unreadable: written.len() - nodes.len(),
            nodes,
            links: list(fields.get("links")).iter().filter_map(Link::read).collect(),
            inputs: list(fields.get("inputs")).iter().map(Port::read).collect(),
            outputs: list(fields.get("outputs")).iter().map(Port::read).collect(),
            last_node_id: last.and_then(Value::as_i64).unwrap_or(0),
        }
    }
}

impl Link {
    /// Reads `[id, from, slot, to, slot, type]`, or the same as an object.
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Array(parts) => Some(Self {
                id: parts.first()?.as_i64()?,
                from: id(parts.get(1))?,
                from_slot: index(parts.get(2))?,
                to: id(parts.get(3))?,
                to_slot: index(parts.get(4))?,
            }),
            Value::Object(fields) => Some(Self {
                id: fields.get("id")?.as_i64()?,
                from: id(fields.get("origin_id"))?,
                from_slot: index(fields.get("origin_slot"))?,
                to: id(fields.get("target_id"))?,
                to_slot: index(fields.get("target_slot"))?,
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
}

impl Port {
    fn read(value: &Value) -> Self {
        Self {
            name: text(value.get("name")).unwrap_or_default().to_owned(),
            kind: node::type_text(value.get("type")),
            links: list(value.get("linkIds")).iter().filter_map(Value::as_i64).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_both_ways_of_writing() {
        let text = r#"{"last_node_id": 9, "nodes": [{"id": 1, "type": "A"}, {"id": "x", "type": "B"}, {"type": "C"}, 7],
            "links": [[1, 1, 0, "x", 2, "IMAGE"], {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 1}, [3], null]}"#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        let file = File::read(&value).expect("a canvas");
        assert_eq!(file.root.nodes.len(), 2);
        assert_eq!(file.root.unreadable, 2);
        assert_eq!(file.root.links.len(), 2);
        assert_eq!((file.root.links[0].to.as_str(), file.root.links[1].to.as_str()), ("x", OUTPUTS));
    }

    #[test]
    fn a_graph_for_the_api_is_no_canvas() {
        for text in [r#"{"1": {"class_type": "A", "inputs": {}}}"#, "[]", "{}", r#"{"nodes": {"class_type": "A"}}"#] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert!(File::read(&value).is_none(), "{text}");
        }
    }
}
