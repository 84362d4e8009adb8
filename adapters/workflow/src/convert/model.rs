//! The graph while it is converted: nodes with the inputs and widgets that their classes give them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::canvas;

/// Where a node is: the graph, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    pub(super) graph: usize,
    pub(super) node: usize,
}

/// What a node does in a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Role {
    /// It runs.
    Runs,
    /// The instance has no such class.
    Unknown,
    /// It hands its input on.
    Reroute,
    /// It sets the widgets that it is linked to.
    Primitive,
    /// It stands for a subgraph.
    Host(usize),
    /// It gives its input a name.
    Set(String),
    /// It takes what was given that name.
    Get(String),
    /// It is there for people only.
    Note,
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Active,
    Muted,
    Bypassed,
}

impl Mode {
    pub(super) fn of(number: i64) -> Self {
        match number {
            2 => Self::Muted,
            4 => Self::Bypassed,
            // The other numbers belong to triggers, which ComfyUI does not have.
            _ => Self::Active,
        }
    }
}

/// How a widget's value becomes the value of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is; lists are wrapped, as a list means a link.
    Plain,
    /// A curve, wrapped with its type.
    Curve,
    /// A text whose `{a|b}` are resolved.
    DynamicPrompt,
    /// The start of a file name, with `%...%` in it.
    FilePrefix,
    /// The place of the chosen option among those that follow it.
    ChosenIndex,
}

/// A widget of a node.
#[derive(Clone, Debug)]
pub(super) struct Widget {
    pub(super) name: String,
    /// None is JavaScript's undefined: it is not sent.
    pub(super) value: Option<Value>,
    /// Whether files have a value for it.
    pub(super) saved: bool,
    /// Whether it is an input of the API graph.
    pub(super) sent: bool,
    pub(super) form: Form,
    /// The first choice of a combo, which stands in for null.
    pub(super) first_choice: Option<Value>,
    /// Set where a value cannot be had without the page.
    pub(super) needs_browser: Option<&'static str>,
}

/// An input of a node.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) widget: Option<String>,
    pub(super) link: Option<i64>,
    /// The template whose types go together.
    pub(super) template: Option<String>,
    pub(super) label: Option<String>,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: String,
    /// Its id in the file; another one where the file had the same id twice.
    pub(super) file_id: String,
    pub(super) role: Role,
    pub(super) mode: Mode,
    pub(super) title: String,
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Output>,
    pub(super) widgets: Vec<Widget>,
    /// What a subgraph's inputs hold where nothing is linked, by name.
    pub(super) host_values: BTreeMap<String, Value>,
    /// What was put right in it: a stable name, and words.
    pub(super) notes: Vec<(&'static str, String)>,
    pub(super) file: canvas::Node,
}

/// An output of a node.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) kind: String,
    pub(super) template: Option<String>,
}

/// A graph.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) by_id: BTreeMap<String, usize>,
    pub(super) links: BTreeMap<i64, canvas::Link>,
    /// The ids of the links in the order of the file.
    pub(super) link_order: Vec<i64>,
    /// The same by where they begin.
    pub(super) leaving: BTreeMap<String, BTreeMap<usize, Vec<i64>>>,
    /// The first link to each output of the subgraph.
    pub(super) leading_out: BTreeMap<usize, i64>,
    pub(super) inputs: Vec<canvas::Port>,
    pub(super) outputs: Vec<canvas::Port>,
}

impl Graph {
    pub(super) fn node(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Finds the links by where they begin, once they are all in their place.
    pub(super) fn index_links(&mut self) {
        self.leaving.clear();
        self.leading_out.clear();
        for link in self.link_order.iter().filter_map(|id| self.links.get(id)) {
            self.leaving.entry(link.from.clone()).or_default().entry(link.from_slot).or_default().push(link.id);
            if link.to == canvas::OUTPUTS {
                self.leading_out.entry(link.to_slot).or_insert(link.id);
            }
        }
    }

    /// The links that leave an output, in order.
    pub(super) fn links_from(&self, id: &str, slot: usize) -> impl Iterator<Item = &canvas::Link> {
        let ids = self.leaving.get(id).and_then(|slots| slots.get(&slot)).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|link| self.links.get(link))
    }
}

impl Node {
    pub(super) fn widget(&self, name: &str) -> Option<&Widget> {
        self.widgets.iter().find(|widget| widget.name == name)
    }

    pub(super) fn widget_mut(&mut self, name: &str) -> Option<&mut Widget> {
        self.widgets.iter_mut().find(|widget| widget.name == name)
    }

    /// The widget that an input belongs to, if the node has it.
    pub(super) fn widget_of(&self, slot: usize) -> Option<&Widget> {
        self.widget(self.inputs.get(slot)?.widget.as_deref()?)
    }

    /// Whether it is there for the page only, so that it is never sent.
    pub(super) fn is_virtual(&self) -> bool {
        match self.role {
            Role::Runs | Role::Unknown => false,
            Role::Reroute | Role::Primitive | Role::Host(_) | Role::Set(_) | Role::Get(_) | Role::Note => true,
        }
    }
}

/// Whether something of one type may go where another is asked for.
pub(super) fn fits(a: &str, b: &str) -> bool {
    let any = |kind: &str| kind.is_empty() || kind == "*";
    if any(a) || any(b) || a == b {
        return true;
    }
    a.split(',').any(|a| b.split(',').any(|b| any(a) || any(b) || a.eq_ignore_ascii_case(b)))
}
