//! Workflows in API format: read with clear errors, changed by hand-written settings, posted as they were.
//!
//! Invariants: a workflow that needs no change keeps its bytes; numbers and the order of keys are kept exactly, Python's `NaN` too.
//! Absent: servers, files, the canvas format.

mod error;
mod images;
mod limits;
mod nodes;

use std::collections::BTreeSet;

use comfyd_engine::{NodeId, PlannedNode};
use serde_json::{Map, Value};

pub use error::WorkflowError;
pub use images::{AssignedImage, ImageInput, Images};
pub use nodes::{Held, Node};

use crate::comfy::lenient::{from_json, readable, to_strict, to_wire};

/// A workflow in API format.
///
/// ```
/// use comfyd_adapters::workflow::Graph;
/// let text = r#"{"1": {"class_type": "EmptyImage", "inputs": {"width": 64}}, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"#;
/// let mut graph = Graph::parse(text)?;
/// assert_eq!(graph.text(), text);
/// assert_eq!(graph.planned()[1].after, ["1".into()]);
/// graph.set("1", "width", "128")?;
/// assert!(graph.text().contains(r#""width":128"#));
/// # Ok::<(), comfyd_adapters::workflow::WorkflowError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The nodes; what strict JSON refuses is marked.
    nodes: Map<String, Value>,
    text: String,
}

impl Graph {
    /// Reads a workflow; also one wrapped as `{"prompt": {...}}`, as a request to ComfyUI has it.
    ///
    /// # Errors
    /// If it is no API-format workflow within the limits.
    pub fn parse(text: &str) -> Result<Self, WorkflowError> {
        let text = text.trim_start_matches('\u{feff}');
        limits::check_text(text)?;
        let value: Value = from_json(text).map_err(|error| WorkflowError::not_json(&error))?;
        let Value::Object(object) = value else {
            return Err(WorkflowError::NotAnObject { found: kind_of(&value) });
        };
        if is_canvas(&object) {
            return Err(WorkflowError::CanvasFormat);
        }
        let (nodes, text) = match object.get("prompt") {
            Some(Value::Object(inner)) if !inner.contains_key("class_type") => {
                if is_canvas(inner) {
                    return Err(WorkflowError::CanvasFormat);
                }
                (inner.clone(), inner_text(text).unwrap_or_else(|| print(inner)))
            }
            Some(_) | None => (object, text.to_owned()),
        };
        let graph = Self { nodes, text };
        graph.check()?;
        Ok(graph)
    }

    fn check(&self) -> Result<(), WorkflowError> {
        if self.nodes.is_empty() {
            return Err(WorkflowError::NoNodes);
        }
        if self.nodes.len() > limits::MAX_NODES {
            return Err(WorkflowError::TooManyNodes { nodes: self.nodes.len() });
        }
        for (id, node) in &self.nodes {
            if id.len() > limits::MAX_NODE_ID {
                return Err(WorkflowError::LongNodeId { node: shown(id), bytes: id.len() });
            }
            let fields = node.as_object();
            if fields.and_then(|fields| fields.get("class_type")).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(WorkflowError::NoClass { node: shown(id) });
            }
            for (input, value) in inputs(node) {
                let to = match link(value) {
                    Some(Link::Text(to)) => to,
                    // ComfyUI takes only texts as node ids in links; a pair of numbers is a value.
                    Some(Link::Number(_)) | None => continue,
                };
                if !self.nodes.contains_key(to) {
                    return Err(WorkflowError::BrokenLink { node: shown(id), input: shown(input), to: shown(to) });
                }
            }
        }
        Ok(())
    }

    /// The JSON text to post: the bytes as given, unless an input was set.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its nodes as they were read; what strict JSON refuses is marked, see [`crate::comfy::lenient`].
    pub fn fields(&self) -> &Map<String, Value> {
        &self.nodes
    }

    /// The classes that it uses.
    pub fn classes(&self) -> BTreeSet<String> {
        self.nodes.values().map(class_of).map(str::to_owned).collect()
    }

    /// The nodes that no other node takes anything from.
    pub fn sinks(&self) -> Vec<NodeId> {
        let used: BTreeSet<NodeId> = self.nodes.values().flat_map(|node| self.links_of(node)).collect();
        self.nodes.keys().map(|id| NodeId::from(id.as_str())).filter(|id| !used.contains(id)).collect()
    }

    /// The nodes, in the order of the text.
    pub fn planned(&self) -> Vec<PlannedNode> {
        let plan = |(id, node): (&String, &Value)| PlannedNode {
            id: id.as_str().into(),
            class: shown(class_of(node)),
            title: title_of(node).map(shown),
            after: self.links_of(node),
            expected_ms: None,
        };
        self.nodes.iter().map(plan).collect()
    }

    fn links_of(&self, node: &Value) -> Vec<NodeId> {
        let mut after: Vec<NodeId> = Vec::new();
        for (_, value) in inputs(node) {
            let id = match link(value) {
                Some(Link::Text(id)) => id.to_owned(),
                Some(Link::Number(id)) => id,
                None => continue,
            };
            let id = NodeId(id);
            if self.nodes.contains_key(&id.0) && !after.contains(&id) {
                after.push(id);
            }
        }
        after
    }

    /// Sets an input of the node with this id or title, or of the only node of this class; the value is JSON if it can be read so, else a string.
    ///
    /// # Errors
    /// If there is no such node or input, or two nodes have the title.
    pub fn set(&mut self, node_or_title: &str, input: &str, value: &str) -> Result<(), WorkflowError> {
        let value = match limits::check_text(value).map(|()| serde_json::from_str(&to_strict(value))) {
            Ok(Ok(value)) => value,
            Ok(Err(_)) | Err(_) => Value::String(value.to_owned()),
        };
        self.put(node_or_title, input, value)
    }

    /// Sets an input of a node to a string, whatever it looks like.
    ///
    /// # Errors
    /// If there is no such node or input.
    pub fn set_text(&mut self, node: &NodeId, input: &str, text: &str) -> Result<(), WorkflowError> {
        self.put(&node.0, input, Value::String(text.to_owned()))
    }

    fn put(&mut self, node_or_title: &str, input: &str, value: Value) -> Result<(), WorkflowError> {
        let id = self.resolve(node_or_title)?;
        let node = self.nodes.get_mut(&id).expect("resolve gives ids of this graph");
        let class = class_of(node).to_owned();
        let known: Vec<String> = inputs(node).map(|(name, _)| name.clone()).collect();
        let place = node.get_mut("inputs").and_then(|inputs| inputs.get_mut(input));
        let Some(place) = place else {
            return Err(WorkflowError::UnknownInput {
                node: id,
                class,
                input: shown(input),
                nearest: nearest(input, known.iter().map(String::as_str)),
                known: known.join(", "),
            });
        };
        if *place != value {
            *place = value;
            self.text = print(&self.nodes);
        }
        Ok(())
    }

    fn of_class(&self, class: &str) -> Vec<&String> {
        self.nodes.iter().filter(|(_, node)| class_of(node) == class).map(|(id, _)| id).collect()
    }

    /// Whether an id, a title, or the class of a single node is this.
    pub fn names_node(&self, name: &str) -> bool {
        self.resolve(name).is_ok()
    }

    /// The id of the node that an id, a title, or a class that it alone has names.
    fn resolve(&self, id_or_title: &str) -> Result<String, WorkflowError> {
        if self.nodes.contains_key(id_or_title) {
            return Ok(id_or_title.to_owned());
        }
        let titled: Vec<&String> =
            self.nodes.iter().filter(|(_, node)| title_of(node) == Some(id_or_title)).map(|(id, _)| id).collect();
        match titled.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                // A class that only one node has names it as well as a title does.
                if let [one] = self.of_class(id_or_title).as_slice() {
                    return Ok((*one).clone());
                }
                let names = self.nodes.iter().flat_map(|(id, node)| [Some(id.as_str()), title_of(node)]).flatten();
                Err(WorkflowError::UnknownNode { name: shown(id_or_title), nearest: nearest(id_or_title, names) })
            }
            several => {
                let ids = several.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
                Err(WorkflowError::AmbiguousTitle { title: shown(id_or_title), ids })
            }
        }
    }
}

/// A value that may be a link: `[node id, output slot]`.
enum Link<'a> {
    Text(&'a str),
    Number(String),
}

fn link(value: &Value) -> Option<Link<'_>> {
    let [id, slot] = value.as_array()?.as_slice() else { return None };
    slot.as_i64()?;
    match id {
        Value::String(id) => Some(Link::Text(id)),
        Value::Number(id) => Some(Link::Number(id.as_u64()?.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn inputs(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.get("inputs").and_then(Value::as_object).into_iter().flatten()
}

fn class_of(node: &Value) -> &str {
    node.get("class_type").and_then(Value::as_str).unwrap_or_default()
}

fn title_of(node: &Value) -> Option<&str> {
    node.get("_meta")?.get("title")?.as_str().filter(|title| !title.is_empty())
}

/// What the canvas saves and what only the canvas can run.
fn is_canvas(object: &Map<String, Value>) -> bool {
    let list = |name| object.get(name).is_some_and(Value::is_array);
    list("nodes") && (list("links") || object.contains_key("last_node_id"))
}

/// The bytes of the `prompt` of a wrapped workflow.
fn inner_text(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Wrapper<'a> {
        #[serde(borrow)]
        prompt: &'a serde_json::value::RawValue,
    }
    let strict = to_strict(text);
    let wrapper: Wrapper<'_> = serde_json::from_str(&strict).ok()?;
    Some(to_wire(wrapper.prompt.get()).into_owned())
}

fn print(nodes: &Map<String, Value>) -> String {
    let strict = serde_json::to_string(nodes).expect("a map with text keys prints");
    to_wire(&strict).into_owned()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A name for a message: readable, and not too long.
fn shown(text: &str) -> String {
    readable(text).chars().take(200).collect()
}

/// The name that is most like what was typed, if one is near.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower: Vec<char> = typed.to_lowercase().chars().take(100).collect();
    let near = names.map(|name| (distance(&lower, &name.to_lowercase().chars().take(100).collect::<Vec<_>>()), name));
    let (far, name) = near.min_by_key(|(far, _)| *far)?;
    (far <= lower.len().max(3) / 2).then(|| shown(name))
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
