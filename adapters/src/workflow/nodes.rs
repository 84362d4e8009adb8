//! The nodes of a workflow with what their inputs hold, to read.

use serde_json::Value;

use super::{Graph, Link, class_of, inputs, link, title_of};

/// A node as the text has it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    id: &'a str,
    node: &'a Value,
}

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held<'a> {
    /// An output of another node.
    Link {
        /// The node.
        node: &'a str,
        /// The number of its output.
        slot: i64,
    },
    /// A value.
    Value(&'a Value),
}

impl<'a> Node<'a> {
    /// Its id.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// Its class.
    pub fn class(&self) -> &'a str {
        class_of(self.node)
    }

    /// Its title, where it has one.
    pub fn title(&self) -> Option<&'a str> {
        title_of(self.node)
    }

    /// Its inputs in the order of the text.
    pub fn inputs(&self) -> impl Iterator<Item = (&'a str, Held<'a>)> + use<'a> {
        inputs(self.node).map(|(name, value)| (name.as_str(), held(value)))
    }

    /// What an input holds.
    pub fn input(&self, name: &str) -> Option<Held<'a>> {
        self.inputs().find(|(input, _)| *input == name).map(|(_, held)| held)
    }
}

fn held(value: &Value) -> Held<'_> {
    match link(value) {
        Some(Link::Text(node)) => Held::Link { node, slot: value[1].as_i64().unwrap_or_default() },
        // ComfyUI takes only texts as node ids in links; a pair of numbers is a value.
        Some(Link::Number(_)) | None => Held::Value(value),
    }
}

impl Graph {
    /// The nodes in the order of the text.
    ///
    /// ```
    /// use comfyd_adapters::workflow::{Graph, Held};
    /// let graph = Graph::parse(r#"{"1": {"class_type": "A", "inputs": {"n": 3}}, "2": {"class_type": "B", "inputs": {"a": ["1", 0]}}}"#)?;
    /// assert_eq!(graph.nodes().last().and_then(|node| node.input("a")), Some(Held::Link { node: "1", slot: 0 }));
    /// # Ok::<(), comfyd_adapters::workflow::WorkflowError>(())
    /// ```
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.nodes.iter().map(|(id, node)| Node { id, node })
    }

    /// The node of this id.
    pub fn node(&self, id: &str) -> Option<Node<'_>> {
        self.nodes.get_key_value(id).map(|(id, node)| Node { id, node })
    }
}
