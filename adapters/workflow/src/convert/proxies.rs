//! Widgets of the inside that an older file lists at the node for the subgraph (`proxyWidgets`): each becomes an input of the subgraph.
//!
//! Invariants: the list changes the subgraph itself, so all nodes that stand for it get the input; what cannot be found is left alone.

use serde_json::Value;

use super::build::World;
use super::hosts::Promoted;
use super::model::{At, Role, Slot};
use crate::canvas::{INPUTS, Link, Port, SavedValues};
use crate::json::{id, list, text};

/// A node inside, one of its widgets, and for widgets of a subgraph inside the node in there.
struct Listed {
    node: String,
    widget: String,
    deeper: Option<String>,
}

/// What is to be done for an entry.
enum Plan {
    /// An input of the subgraph has it already.
    Linked(usize),
    /// A new input is to be made for this one.
    Link(Promoted),
    /// The primitive's links are to come from a new input.
    Primitive(usize),
    Nothing,
}

impl World<'_> {
    /// Makes inputs of the widgets that a node for a subgraph lists, and gives them the values that it saved.
    pub(super) fn promote_listed(&mut self, at: At, inner: usize) {
        let file = &self.node(at).file;
        let mut entries = list(file.properties.get("proxyWidgets")).to_vec();
        if let Some(packed) = file.property("proxyWidgets") {
            // Some files have the list as a text.
            entries = serde_json::from_str::<Value>(packed).ok().and_then(|value| value.as_array().cloned()).unwrap_or_default();
        }
        let saved: Vec<Option<Value>> = match &file.values {
            SavedValues::InOrder(values) => values.iter().cloned().map(Some).collect(),
            SavedValues::None | SavedValues::ByName(_) => Vec::new(),
        };
        let read: Vec<Option<Listed>> = entries.iter().map(|entry| self.listed(inner, entry)).collect();
        let plans: Vec<Plan> =
            read.iter().map(|listed| listed.as_ref().map_or(Plan::Nothing, |listed| self.plan(inner, listed))).collect();
        let mut primitives = Vec::new();
        for (place, plan) in plans.into_iter().enumerate() {
            let value = saved.get(place).cloned().flatten();
            let port = match plan {
                Plan::Linked(port) => port,
                Plan::Link(target) => self.link_port(inner, &[target]),
                Plan::Primitive(node) => {
                    primitives.push((node, value));
                    continue;
                }
                Plan::Nothing => continue,
            };
            if let Some(value) = value {
                self.hold(at, port, value);
            }
        }
        self.bypass_primitives(at, inner, &primitives);
    }

    /// Reads `[node, widget, deeper?]`; names of older files may begin with `id: `.
    fn listed(&self, inner: usize, entry: &Value) -> Option<Listed> {
        let node = id(entry.get(0))?;
        let widget = text(entry.get(1))?;
        let deeper = id(entry.get(2));
        if self.reaches_widget(inner, &node, widget) {
            return Some(Listed { node, widget: widget.to_owned(), deeper });
        }
        let mut rest = widget;
        let mut prefix = None;
        while let Some((number, name)) = rest.split_once(':') {
            let number = number.trim();
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) || name.trim_start().is_empty() {
                break;
            }
            prefix = Some(number.to_owned());
            rest = name.trim_start();
        }
        Some(Listed { node, widget: rest.to_owned(), deeper: prefix.or(deeper) })
    }

    fn reaches_widget(&self, graph: usize, node: &str, widget: &str) -> bool {
        let Some(node) = self.graphs[graph].node(node) else { return false };
        let at = At { graph, node };
        match self.node(at).role {
            Role::Host(inner) => self.graphs[inner]
                .inputs
                .iter()
                .position(|port| port.name == widget)
                .is_some_and(|port| self.promoted(inner, port).is_some()),
            Role::Runs | Role::Unknown | Role::Reroute | Role::Primitive | Role::Set(_) | Role::Get(_) | Role::Note => {
                self.node(at).widget(widget).is_some()
            }
        }
    }

    fn plan(&self, inner: usize, listed: &Listed) -> Plan {
        let graph = &self.graphs[inner];
        let linked = (0..graph.inputs.len())
            .find(|port| self.source_of(inner, *port).is_some_and(|source| source == (&*listed.node, &*listed.widget)));
        if let Some(port) = linked {
            return Plan::Linked(port);
        }
        let Some(node) = graph.node(&listed.node) else { return Plan::Nothing };
        let at = At { graph: inner, node };
        let source = self.node(at);
        match source.role {
            Role::Primitive if graph.links_from(&source.id, 0).next().is_some() => Plan::Primitive(node),
            Role::Host(deeper) => {
                let ports = 0..self.graphs[deeper].inputs.len();
                let fits = |port: &usize| match &listed.deeper {
                    Some(id) => self.source_of(deeper, *port).is_some_and(|source| source == (id, &*listed.widget)),
                    None => {
                        self.graphs[deeper].inputs[*port].name == listed.widget
                            || self.source_of(deeper, *port).is_some_and(|(_, name)| name == listed.widget)
                    }
                };
                let port = ports.into_iter().filter(|port| self.promoted(deeper, *port).is_some()).find(fits);
                port.map_or(Plan::Nothing, |slot| Plan::Link(Promoted { at, slot }))
            }
            Role::Runs | Role::Unknown | Role::Reroute | Role::Primitive | Role::Set(_) | Role::Get(_) | Role::Note => {
                let slot = source.inputs.iter().position(|slot| slot.widget.as_ref() == Some(&listed.widget));
                slot.map_or(Plan::Nothing, |slot| Plan::Link(Promoted { at, slot }))
            }
        }
    }

    /// The node inside that an input of the subgraph stands for, and the name of its widget or input.
    fn source_of(&self, graph: usize, port: usize) -> Option<(&str, &str)> {
        self.links_of_port(graph, port).into_iter().find_map(|link| {
            let node = &self.graphs[graph].nodes[self.graphs[graph].node(&link.to)?];
            let slot = node.inputs.get(link.to_slot)?;
            match node.role {
                Role::Host(_) => Some((&*node.id, &*slot.name)),
                Role::Runs | Role::Unknown | Role::Reroute | Role::Primitive | Role::Set(_) | Role::Get(_) | Role::Note => {
                    Some((&*node.id, node.widget_of(link.to_slot)?.name.as_str()))
                }
            }
        })
    }

    /// Makes an input of the subgraph that is linked to these; says which one it is.
    fn link_port(&mut self, graph: usize, targets: &[Promoted]) -> usize {
        let port = self.graphs[graph].inputs.len();
        let Some(first) = targets.first() else { return port };
        let slot = &self.node(first.at).inputs[first.slot];
        let (base, kind) = (slot.name.clone(), slot.kind.clone());
        let taken = |name: &str| self.graphs[graph].inputs.iter().any(|port| port.name == name);
        let name = if taken(&base) { format!("{base}_{port}_{}", self.graphs[graph].links.len()) } else { base };
        let mut links = Vec::new();
        for target in targets {
            let held = &mut self.graphs[graph];
            let link = held.links.keys().next_back().copied().unwrap_or(0).saturating_add(1);
            let to = held.nodes[target.at.node].id.clone();
            if let Some(old) = held.nodes[target.at.node].inputs[target.slot].link.replace(link) {
                held.links.remove(&old);
                held.link_order.retain(|id| *id != old);
            }
            held.links.insert(link, Link { id: link, from: INPUTS.to_owned(), from_slot: port, to, to_slot: target.slot });
            held.link_order.push(link);
            links.push(link);
        }
        self.graphs[graph].inputs.push(Port { name: name.clone(), kind: kind.clone(), links });
        for node in self.graphs.iter_mut().flat_map(|graph| &mut graph.nodes) {
            if node.role == Role::Host(graph) {
                node.inputs.push(Slot {
                    name: name.clone(),
                    kind: kind.clone(),
                    widget: None,
                    link: None,
                    template: None,
                    label: None,
                });
            }
        }
        port
    }

    /// Lets what a primitive inside is linked to come from an input of the subgraph.
    fn bypass_primitives(&mut self, at: At, inner: usize, listed: &[(usize, Option<Value>)]) {
        let mut done: Vec<usize> = Vec::new();
        for (node, _) in listed {
            if done.contains(node) {
                continue;
            }
            done.push(*node);
            let graph = &self.graphs[inner];
            let links = graph.links_from(&graph.nodes[*node].id, 0);
            let targets: Vec<Promoted> = links
                .filter_map(|link| Some(Promoted { at: At { graph: inner, node: graph.node(&link.to)? }, slot: link.to_slot }))
                .filter(|target| target.slot < self.node(target.at).inputs.len())
                .collect();
            if targets.is_empty() {
                continue;
            }
            let own = self.primitive_value(At { graph: inner, node: *node });
            let saved = listed.iter().filter(|(other, _)| other == node).find_map(|(_, value)| value.clone());
            let port = self.link_port(inner, &targets);
            if let Some(value) = saved.or(own) {
                self.hold(at, port, value);
            }
        }
    }
}
