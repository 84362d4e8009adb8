//! From the file to graphs of nodes that have the inputs and widgets of their classes.

use std::collections::BTreeMap;

use super::groups::open_groups;
use super::ids::{Renamed, make_unique};
use super::links::{place_links, without_rivals};
use super::model::{Graph, Mode, Node, Output, Role, Slot};
use super::packs;
use super::restore::{Restored, restore};
use crate::canvas::{self, Canvas, File};
use crate::classes::{Class, Classes};
use crate::nearest::Nearest;
use crate::report::{Problem, Warning};

/// All graphs of a file; the canvas is the first.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) classes: &'a Classes,
    pub(super) graphs: Vec<Graph>,
    pub(super) warnings: Vec<Warning>,
    /// What cannot be converted at all.
    pub(super) refusals: Vec<Problem>,
    /// What is most like the classes that are not known.
    pub(super) nearest: Nearest,
}

impl<'a> World<'a> {
    pub(super) fn build(mut file: File, classes: &'a Classes) -> Self {
        let (mut renamed, left_out) = make_unique(&mut file);
        let opened = open_groups(&mut file, classes, &mut renamed);
        let definitions: BTreeMap<String, usize> =
            file.subgraphs.iter().enumerate().map(|(place, graph)| (graph.id.clone(), place + 1)).collect();
        let ports: Vec<Ports> = std::iter::once(&file.root)
            .chain(&file.subgraphs)
            .map(|graph| (graph.inputs.clone(), graph.outputs.clone()))
            .collect();
        let mut world = Self {
            classes,
            graphs: Vec::new(),
            warnings: opened.warnings,
            refusals: opened.problems,
            nearest: Nearest::default(),
        };
        for id in left_out {
            world.warn(Some(id), "double_id", "another node of this subgraph has the same id; this one is left out");
        }
        for (place, canvas) in std::iter::once(file.root).chain(file.subgraphs).enumerate() {
            let graph = world.graph(canvas, place, &definitions, &ports, &renamed);
            world.graphs.push(graph);
        }
        world
    }

    pub(super) fn warn(&mut self, node: Option<String>, code: &'static str, message: impl Into<String>) {
        self.warnings.push(Warning { node, code, message: message.into() });
    }

    fn graph(
        &mut self,
        canvas: Canvas,
        place: usize,
        definitions: &BTreeMap<String, usize>,
        ports: &[Ports],
        renamed: &Renamed,
    ) -> Graph {
        if canvas.unreadable > 0 {
            let message = format!("{} entries of the list of nodes have no id or no type and are left out", canvas.unreadable);
            self.warn(None, "unreadable_nodes", message);
        }
        let old: BTreeMap<&String, &String> =
            renamed.iter().filter(|((graph, _), _)| *graph == place).map(|((_, old), new)| (new, old)).collect();
        let links = without_rivals(&canvas);
        let mut nodes = Vec::with_capacity(canvas.nodes.len());
        for file in canvas.nodes {
            let file_id = old.get(&file.id).map_or_else(|| file.id.clone(), |old| (*old).clone());
            nodes.push(self.make_node(file, file_id, definitions, ports));
        }
        let mut graph = Graph {
            name: canvas.name,
            by_id: nodes.iter().enumerate().map(|(place, node)| (node.id.clone(), place)).collect(),
            nodes,
            link_order: links.iter().map(|link| link.id).collect(),
            links: links.into_iter().map(|link| (link.id, link)).collect(),
            leaving: BTreeMap::new(),
            leading_out: BTreeMap::new(),
            inputs: canvas.inputs,
            outputs: canvas.outputs,
        };
        place_links(&mut graph);
        graph.index_links();
        graph
    }

    fn make_node(&mut self, file: canvas::Node, file_id: String, definitions: &BTreeMap<String, usize>, ports: &[Ports]) -> Node {
        let mut node = Node {
            id: file.id.clone(),
            file_id,
            role: role_of(&file, definitions, self.classes),
            mode: Mode::of(file.mode),
            title: String::new(),
            inputs: Vec::new(),
            outputs: file.outputs.iter().map(|output| Output { kind: output.kind.clone(), template: None }).collect(),
            widgets: Vec::new(),
            host_values: BTreeMap::new(),
            notes: Vec::new(),
            file,
        };
        let class = self.classes.class(&node.file.class);
        match (&node.role, class) {
            (Role::Runs, Some(class)) => dress(&mut node, &class),
            (Role::Host(definition), _) => {
                let (inputs, outputs) = &ports[*definition];
                node.inputs = inputs.iter().map(|port| host_slot(port, &node.file)).collect();
                node.outputs = outputs.iter().map(|port| Output { kind: port.kind.clone(), template: None }).collect();
            }
            _ => node.inputs = node.file.inputs.iter().map(slot_of_file).collect(),
        }
        let class_title = class.map_or(node.file.class.as_str(), |class| class.title());
        node.title = node.file.title.clone().unwrap_or_else(|| class_title.to_owned());
        node
    }
}

/// Gives a node what its class has.
fn dress(node: &mut Node, class: &Class<'_>) {
    let Restored { layout, notes } = restore(class, &node.file);
    node.notes = notes;
    node.inputs = layout.inputs;
    node.widgets = layout.widgets;
    packs::add_plain_data(node);
    for (name, value) in std::mem::take(&mut node.file.set) {
        if let Some(widget) = node.widget_mut(&name) {
            widget.value = Some(value);
        }
    }
    let kinds = class.outputs();
    let mut outputs: Vec<Output> = kinds
        .iter()
        .enumerate()
        .map(|(slot, kind)| Output {
            kind: if *kind == "COMFY_MATCHTYPE_V3" { "*".to_owned() } else { (*kind).to_owned() },
            template: class.output_template(slot).map(str::to_owned),
        })
        .collect();
    // Extensions of the page may have added some.
    outputs.extend(node.outputs.drain(..).skip(kinds.len()));
    node.outputs = outputs;
}

/// The inputs and the outputs of a subgraph.
type Ports = (Vec<canvas::Port>, Vec<canvas::Port>);

fn role_of(file: &canvas::Node, definitions: &BTreeMap<String, usize>, classes: &Classes) -> Role {
    if let Some(definition) = definitions.get(&file.class) {
        return Role::Host(*definition);
    }
    match file.class.as_str() {
        "Reroute" => Role::Reroute,
        "PrimitiveNode" => Role::Primitive,
        "Note" | "MarkdownNote" => Role::Note,
        class => match packs::role(class, file) {
            Some(role) => role,
            None if classes.class(class).is_some() => Role::Runs,
            None => Role::Unknown,
        },
    }
}

fn host_slot(port: &canvas::Port, file: &canvas::Node) -> Slot {
    let label = file.inputs.iter().find(|slot| slot.name == port.name).and_then(|slot| slot.label.clone());
    Slot { name: port.name.clone(), kind: port.kind.clone(), widget: None, link: None, template: None, label }
}

fn slot_of_file(slot: &canvas::Slot) -> Slot {
    Slot {
        name: slot.name.clone(),
        kind: slot.kind.clone(),
        widget: slot.widget.clone(),
        link: None,
        template: None,
        label: slot.label.clone(),
    }
}
