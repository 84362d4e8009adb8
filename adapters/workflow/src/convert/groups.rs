//! Group nodes of older files, made into subgraphs as the page does when it opens such a file.
//!
//! Invariants: the nodes of a group get the next free numbers, and the node that stands for it the one after them, as on the page; what the
//! group held goes into the widgets inside. Absent: groups with a Primitive inside, whose values the page itself loses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::ids::Renamed;
use super::layout::has_widget;
use super::restore::restore;
use crate::canvas::{self, Canvas, File, INPUTS, Link, OUTPUTS, Port};
use crate::classes::{Class, Classes};
use crate::json::{index, list, object, text};
use crate::report::{EXPORT, Problem, Reason, Warning};

/// How the page calls the class of a group node, now and before.
const PREFIXES: [&str; 2] = ["workflow>", "workflow/"];
/// The name of its warnings.
const CODE: &str = "group_node";

/// What came of the groups of a file.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) warnings: Vec<Warning>,
    pub(super) problems: Vec<Problem>,
}

/// What is added to a file when its groups are opened: links of the inside, nodes, subgraphs, and the length of it all as JSON.
#[derive(Debug, Default)]
pub(super) struct Growth {
    pub(super) nodes: usize,
    pub(super) links: usize,
    pub(super) groups: usize,
    pub(super) bytes: usize,
}

impl Growth {
    pub(super) fn of(file: &File) -> Self {
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for name in file.root.nodes.iter().filter_map(|node| group_name(&node.class)) {
            *uses.entry(name).or_default() += 1;
        }
        let mut grown = Self::default();
        for (name, times) in uses {
            let Some(group) = file.groups.get(name) else { continue };
            grown.nodes += times * list(group.get("nodes")).len();
            grown.links += times * list(group.get("links")).len();
            grown.groups += times;
            grown.bytes += times * group.to_string().len();
        }
        grown
    }
}

/// The group that a node of this class stands for.
fn group_name(class: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| class.strip_prefix(prefix))
}

/// Puts a subgraph into the place of each group node.
pub(super) fn open_groups(file: &mut File, classes: &Classes, renamed: &mut Renamed) -> Opened {
    let mut opened = Opened::default();
    for place in 0..file.root.nodes.len() {
        let Some(name) = group_name(&file.root.nodes[place].class).map(str::to_owned) else { continue };
        // A group that the file does not bring stays a class that nobody knows.
        let Some(group) = file.groups.get(&name).and_then(Group::read) else { continue };
        let plan = Plan::of(&group, classes);
        let old = file.root.nodes[place].clone();
        let inside = Canvas { name, ..Canvas::default() };
        let mut opening = Opening { old, group, plan, inside, inputs: Vec::new(), opened: &mut opened };
        opening.say_faults();
        opening.set_values();
        let graph = file.subgraphs.len() + 1;
        for (number, node) in opening.group.nodes.iter_mut().enumerate() {
            node.id = fresh(file);
            renamed.insert((graph, number.to_string()), node.id.clone());
        }
        let host = fresh(file);
        renamed.entry((0, opening.old.id.clone())).or_insert_with(|| host.clone());
        opening.link_inside();
        opening.lead_in();
        opening.lead_out(classes);
        let Opening { old, group, mut inside, inputs, .. } = opening;
        relink(file, &old.id, &host, &inputs);
        inside.id = format!("group {host}");
        inside.nodes = group.nodes;
        let title = old.title.clone().or_else(|| Some(inside.name.clone()));
        let (values, named_values) = (canvas::SavedValues::None, None);
        file.root.nodes[place] = canvas::Node { id: host, class: inside.id.clone(), title, inputs, values, named_values, ..old };
        file.subgraphs.push(inside);
    }
    opened
}

fn fresh(file: &mut File) -> String {
    file.root.last_node_id = file.root.last_node_id.saturating_add(1);
    file.root.last_node_id.to_string()
}

/// A group as the file keeps it.
struct Group {
    nodes: Vec<canvas::Node>,
    /// From which node and output to which node and input.
    links: Vec<[usize; 4]>,
    /// Outputs that are shown though they are linked inside.
    external: BTreeSet<(usize, usize)>,
    config: Map<String, Value>,
}

impl Group {
    fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let mut nodes = Vec::new();
        for (number, node) in list(fields.get("nodes")).iter().enumerate() {
            let mut node = node.as_object()?.clone();
            node.insert("id".to_owned(), json!(number));
            let mut node = canvas::Node::read(&Value::Object(node))?;
            node.inputs.iter_mut().for_each(|slot| slot.link = None);
            nodes.push(node);
        }
        let ends = |link: &Value| Some([index(link.get(0))?, index(link.get(1))?, index(link.get(2))?, index(link.get(3))?]);
        let there = |link: &[usize; 4]| link[0] < nodes.len() && link[2] < nodes.len();
        let links = list(fields.get("links")).iter().filter_map(ends).filter(there).collect();
        let external = list(fields.get("external")).iter().filter_map(|one| Some((index(one.get(0))?, index(one.get(1))?)));
        let config = object(fields.get("config")).cloned().unwrap_or_default();
        Some(Self { external: external.collect(), links, config, nodes })
    }

    fn link_to(&self, node: usize, slot: usize) -> bool {
        self.links.iter().any(|link| (link[2], link[3]) == (node, slot))
    }

    fn config_of(&self, node: usize, side: &str, name: &str) -> Option<&Value> {
        self.config.get(&node.to_string())?.get(side)?.get(name)
    }
}

/// An input inside, and what the group node calls it.
struct Named {
    node: usize,
    input: String,
    name: String,
}

/// What the group node shows of its inside.
#[derive(Default)]
struct Plan {
    /// Its inputs, as the class of a node has them.
    required: Map<String, Value>,
    widgets: Vec<Named>,
    /// In the order of its slots; those that were widgets come last.
    inputs: Vec<Named>,
    sockets: usize,
    /// Node and output inside, in the order of its outputs.
    outputs: Vec<(usize, usize)>,
    /// How often a name was given.
    given: BTreeMap<String, usize>,
}

impl Plan {
    fn of(group: &Group, classes: &Classes) -> Self {
        let mut plan = Self::default();
        let mut converted = Vec::new();
        for (number, node) in group.nodes.iter().enumerate() {
            match classes.class(&node.class) {
                Some(class) => plan.add(group, number, &class, &mut converted),
                None if node.class == "Reroute" => plan.add_reroute(group, number),
                // Reported as an unknown class when the inside is converted.
                None => {}
            }
        }
        plan.sockets = plan.inputs.len();
        for (number, input, spec) in converted {
            let name = plan.named(group, number, &input, &spec);
            plan.widgets.push(Named { node: number, input: input.clone(), name: name.clone() });
            plan.inputs.push(Named { node: number, input, name });
        }
        plan
    }

    fn add(&mut self, group: &Group, number: usize, class: &Class<'_>, converted: &mut Vec<(usize, String, Value)>) {
        let node = &group.nodes[number];
        let mut sockets = Vec::new();
        let mut were_widgets = Vec::new();
        for input in class.inputs() {
            let spec = class.spec(&input).cloned().unwrap_or_default();
            if !has_widget(&input) {
                sockets.push((input.name.clone().into_owned(), spec));
                continue;
            }
            let slot =
                node.inputs.iter().position(|slot| slot.name == input.name && slot.widget.as_deref() == Some(&*input.name));
            if let Some(slot) = slot {
                were_widgets.push((slot, input.name.clone().into_owned(), spec));
            } else {
                let name = self.named(group, number, &input.name, &spec);
                self.widgets.push(Named { node: number, input: input.name.clone().into_owned(), name });
            }
        }
        for (order, (input, spec)) in sockets.into_iter().enumerate() {
            let slot = node.inputs.iter().position(|slot| slot.name == input).unwrap_or(order);
            if group.link_to(number, slot) {
                continue;
            }
            let name = self.named(group, number, &input, &spec);
            let hidden = group.config_of(number, "input", &input).and_then(|config| config.get("visible")) == Some(&json!(false));
            if !hidden {
                self.inputs.push(Named { node: number, input, name });
            }
        }
        were_widgets.sort_by_key(|(slot, ..)| *slot);
        let free = were_widgets.into_iter().filter(|(slot, ..)| !group.link_to(number, *slot));
        converted.extend(free.map(|(_, input, spec)| (number, input, spec)));
        for slot in 0..class.outputs().len() {
            self.add_output(group, number, slot);
        }
    }

    fn add_reroute(&mut self, group: &Group, number: usize) {
        let leads_on = group.links.iter().any(|link| link[0] == number);
        let is_linked = group.link_to(number, 0);
        if is_linked && leads_on && !group.external.contains(&(number, 0)) {
            return;
        }
        if !is_linked {
            let kind = group.nodes[number].outputs.first().map_or("*", |output| output.kind.as_str()).to_owned();
            let name = self.named(group, number, &kind, &json!([kind, {"forceInput": true}]));
            self.inputs.push(Named { node: number, input: String::new(), name });
        }
        self.add_output(group, number, 0);
    }

    fn add_output(&mut self, group: &Group, number: usize, slot: usize) {
        let inside =
            group.links.iter().any(|link| (link[0], link[1]) == (number, slot)) && !group.external.contains(&(number, slot));
        let config = group.config_of(number, "output", &slot.to_string());
        let visible = config.and_then(|config| config.get("visible")).and_then(Value::as_bool).unwrap_or(!inside);
        if visible {
            self.outputs.push((number, slot));
        }
    }

    /// The name that the group node gives to an input inside, which goes into its class.
    fn named(&mut self, group: &Group, number: usize, input: &str, spec: &Value) -> String {
        let node = &group.nodes[number];
        let own = group.config_of(number, "input", input).and_then(|config| text(config.get("name")));
        let label = || node.inputs.iter().find(|slot| slot.name == input).and_then(|slot| slot.label.as_deref());
        let first = own.or_else(label).unwrap_or(input).to_owned();
        let mut prefix = String::new();
        let (mut key, mut name) = (first.clone(), first.clone());
        if self.given.contains_key(&first) {
            prefix = format!("{} ", node.title.as_deref().unwrap_or(&node.class));
            key = format!("{prefix}{input}");
            name = self.given.get(&key).map_or_else(|| key.clone(), |count| format!("{prefix}{count} {input}"));
        }
        *self.given.entry(key).or_insert(1) += 1;
        let mut spec = spec.clone();
        if matches!(input, "seed" | "noise_seed")
            && let Some(options) = spec.get_mut(1).and_then(Value::as_object_mut)
        {
            options.insert("control_after_generate".to_owned(), json!(format!("{prefix}control_after_generate")));
        }
        self.required.insert(name.clone(), spec);
        name
    }

    /// What the group node held for its widgets.
    fn values(&self, node: &canvas::Node) -> BTreeMap<String, Value> {
        let class = json!({"group": {"input": {"required": self.required}, "output": []}});
        let Ok(classes) = Classes::from_value(class) else { return BTreeMap::new() };
        let Some(class) = classes.class("group") else { return BTreeMap::new() };
        let widgets = restore(&class, node).layout.widgets;
        widgets.into_iter().filter_map(|widget| Some((widget.name, widget.value?))).collect()
    }
}

/// A group on its way to a subgraph.
struct Opening<'a> {
    old: canvas::Node,
    group: Group,
    plan: Plan,
    inside: Canvas,
    /// The inputs of the node that stands for it.
    inputs: Vec<canvas::Slot>,
    opened: &'a mut Opened,
}

impl Opening<'_> {
    fn warn(&mut self, message: impl Into<String>) {
        self.opened.warnings.push(Warning { node: Some(self.old.id.clone()), code: CODE, message: message.into() });
    }

    /// Says where the page would do something else.
    fn say_faults(&mut self) {
        if self.group.nodes.iter().any(|node| node.class == "PrimitiveNode") {
            self.opened.problems.push(with_primitive(&self.old, &self.inside.name));
        }
        if matches!(self.old.mode, 2 | 4) {
            self.warn("this old group node is muted or bypassed and its nodes take no part; ComfyUI's page would run them");
        }
        let mut nodes = self.group.nodes.iter().enumerate();
        if nodes.any(|(number, node)| node.class == "Reroute" && !self.group.link_to(number, 0)) {
            self.warn("a Reroute of this old group node takes what is linked to the group; ComfyUI's page would lose that link");
        }
    }

    /// Puts what the group held into the widgets inside.
    fn set_values(&mut self) {
        let values = self.plan.values(&self.old);
        for Named { node, input, name } in &self.plan.widgets {
            if let Some(value) = values.get(name) {
                self.group.nodes[*node].set.insert(input.clone(), value.clone());
            }
        }
    }

    fn link_inside(&mut self) {
        for [from, from_slot, to, to_slot] in std::mem::take(&mut self.group.links) {
            let id = next_link(&self.inside);
            let (from, to) = (self.group.nodes[from].id.clone(), &mut self.group.nodes[to]);
            if let Some(slot) = to.inputs.get_mut(to_slot) {
                slot.link = Some(id);
            }
            self.inside.links.push(Link { id, from, from_slot, to: to.id.clone(), to_slot });
        }
    }

    /// Lets what is linked to the group lead on to the inputs inside.
    fn lead_in(&mut self) {
        let inputs = std::mem::take(&mut self.plan.inputs);
        let is_known = |name: &str| inputs.iter().any(|one| one.name == name);
        for (order, one) in inputs.iter().enumerate() {
            let was_widget = order >= self.plan.sockets;
            let by_name = self.old.inputs.iter().find(|slot| slot.name == one.name);
            let by_order = || self.old.inputs.get(order).filter(|slot| !was_widget && !is_known(&slot.name));
            let Some(link) = by_name.or_else(by_order).and_then(|slot| slot.link) else { continue };
            if was_widget {
                self.warn(format!(
                    "`{}` takes what is linked to this old group node; ComfyUI's page would lose that link",
                    one.name
                ));
            }
            let node = &mut self.group.nodes[one.node];
            let slot = slot_of(node, &one.input);
            let (id, port) = (next_link(&self.inside), self.inside.inputs.len());
            let kind = node.inputs[slot].kind.clone();
            node.inputs[slot].link = Some(id);
            self.inside.links.push(Link { id, from: INPUTS.to_owned(), from_slot: port, to: node.id.clone(), to_slot: slot });
            self.inside.inputs.push(Port { name: one.name.clone(), kind: kind.clone(), links: vec![id] });
            self.inputs.push(canvas::Slot { name: one.name.clone(), kind, link: Some(link), widget: None, label: None });
        }
    }

    fn lead_out(&mut self, classes: &Classes) {
        for (node, slot) in &self.plan.outputs {
            let (id, port) = (next_link(&self.inside), self.inside.outputs.len());
            let node = &self.group.nodes[*node];
            let kind = classes.class(&node.class).and_then(|class| class.outputs().get(*slot).map(|kind| (*kind).to_owned()));
            let kind = kind.or_else(|| node.outputs.get(*slot).map(|output| output.kind.clone())).unwrap_or_default();
            self.inside.links.push(Link { id, from: node.id.clone(), from_slot: *slot, to: OUTPUTS.to_owned(), to_slot: port });
            self.inside.outputs.push(Port { name: port.to_string(), kind, links: vec![id] });
        }
    }
}

/// Links of the canvas lead to the node that stands for the subgraph now.
fn relink(file: &mut File, old: &str, host: &str, inputs: &[canvas::Slot]) {
    for link in &mut file.root.links {
        if link.from == old {
            host.clone_into(&mut link.from);
        }
        if link.to == old {
            host.clone_into(&mut link.to);
            // One that leads to no input of the group leads nowhere.
            link.to_slot = inputs.iter().position(|slot| slot.link == Some(link.id)).unwrap_or(usize::MAX);
        }
    }
}

/// The place of an input of a node, which is added if the file does not have it.
fn slot_of(node: &mut canvas::Node, name: &str) -> usize {
    node.inputs.iter().position(|slot| slot.name == name).unwrap_or_else(|| {
        node.inputs.push(canvas::Slot { name: name.to_owned(), kind: "*".to_owned(), ..canvas::Slot::default() });
        node.inputs.len() - 1
    })
}

fn next_link(graph: &Canvas) -> i64 {
    i64::try_from(graph.links.len()).unwrap_or(i64::MAX).saturating_add(1)
}

fn with_primitive(node: &canvas::Node, name: &str) -> Problem {
    Problem {
        node: Some(node.id.clone()),
        class: Some(name.to_owned()),
        reason: Reason::NeedsBrowser,
        message: "this old group node has a Primitive inside, whose value ComfyUI's page loses when it opens the file".to_owned(),
        remedy: format!("Open the workflow in ComfyUI, which makes a subgraph of the group, check its values and save. {EXPORT}"),
    }
}
