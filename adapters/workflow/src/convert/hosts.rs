//! Nodes that stand for a subgraph: which of its inputs have a value of their own, and what it is.
//!
//! Invariants: an input has a value where the first thing that it is linked to inside has a widget; what the node saved goes before what
//! the inside holds.

use std::collections::BTreeSet;

use serde_json::Value;

use super::build::World;
use super::model::{At, Node, Role};
use super::saved_host::values_of;
use crate::canvas::{INPUTS, Link};

/// Subgraphs inside of subgraphs are followed this far.
pub(super) const MAX_DEPTH: usize = 100;

/// What an input of a subgraph stands for: an input of a node inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promoted {
    pub(super) at: At,
    pub(super) slot: usize,
}

/// What an input holds; none is JavaScript's undefined.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held(pub(super) Option<Value>);

impl World<'_> {
    pub(super) fn node(&self, at: At) -> &Node {
        &self.graphs[at.graph].nodes[at.node]
    }

    pub(super) fn node_mut(&mut self, at: At) -> &mut Node {
        &mut self.graphs[at.graph].nodes[at.node]
    }

    /// The links inside that come from an input of the subgraph.
    pub(super) fn links_of_port(&self, graph: usize, port: usize) -> Vec<&Link> {
        let graph = &self.graphs[graph];
        let from_here = |link: &&Link| link.from == INPUTS && link.from_slot == port;
        let listed = graph.inputs.get(port).map_or(&[][..], |port| &port.links);
        let mut links: Vec<&Link> = listed.iter().filter_map(|id| graph.links.get(id)).filter(from_here).collect();
        let listed: BTreeSet<i64> = listed.iter().copied().collect();
        links.extend(graph.links_from(INPUTS, port).filter(|link| !listed.contains(&link.id)));
        links
    }

    /// The input inside that gives an input of the subgraph its widget.
    pub(super) fn promoted(&self, graph: usize, port: usize) -> Option<Promoted> {
        self.promoted_beyond(graph, port, &mut BTreeSet::new())
    }

    /// The same, without what was looked at already: that is a circle, or has no widget.
    fn promoted_beyond(&self, graph: usize, port: usize, seen: &mut BTreeSet<(usize, usize)>) -> Option<Promoted> {
        if !seen.insert((graph, port)) {
            return None;
        }
        self.links_of_port(graph, port).into_iter().find_map(|link| {
            let at = At { graph, node: self.graphs[graph].node(&link.to)? };
            let node = self.node(at);
            let has_widget = match node.role {
                Role::Host(inner) => self.promoted_beyond(inner, link.to_slot, seen).is_some(),
                Role::Runs | Role::Unknown | Role::Reroute | Role::Primitive | Role::Set(_) | Role::Get(_) | Role::Note => {
                    node.widget_of(link.to_slot).is_some()
                }
            };
            has_widget.then_some(Promoted { at, slot: link.to_slot })
        })
    }

    /// What an input of a node holds where nothing is linked to it; none where it has no widget, undefined where that is empty.
    pub(super) fn held(&self, at: At, slot: usize) -> Option<Held> {
        let mut here = Promoted { at, slot };
        for _ in 0..MAX_DEPTH {
            let node = self.node(here.at);
            let Role::Host(inner) = node.role else { return node.widget_of(here.slot).map(|widget| Held(widget.value.clone())) };
            let promoted = self.promoted(inner, here.slot)?;
            let own = node.inputs.get(here.slot).and_then(|input| node.host_values.get(&input.name));
            if let Some(own) = own {
                return Some(Held(Some(own.clone())));
            }
            here = promoted;
        }
        None
    }

    /// Gives the nodes for subgraphs what was saved for them, the innermost graphs first.
    pub(super) fn restore_hosts(&mut self) {
        for graph in self.leaves_first() {
            let hosts: Vec<(At, usize)> = self.hosts_in(graph);
            for (at, inner) in &hosts {
                self.restore_host(*at, *inner);
            }
            for (at, inner) in hosts {
                self.promote_listed(at, inner);
            }
        }
    }

    fn restore_host(&mut self, at: At, inner: usize) {
        let ports = self.graphs[inner].inputs.len();
        let with_widget: Vec<usize> = (0..ports).filter(|port| self.promoted(inner, *port).is_some()).collect();
        let node = self.node(at);
        let names: Vec<&str> = with_widget.iter().map(|port| self.graphs[inner].inputs[*port].name.as_str()).collect();
        let saved = values_of(&node.file, &names);
        let pairs: Vec<(usize, Value)> =
            with_widget.into_iter().zip(saved).filter_map(|(port, value)| Some((port, value?))).collect();
        for (port, value) in pairs {
            self.hold(at, port, value);
        }
    }

    /// Sets what an input of a node for a subgraph holds.
    pub(super) fn hold(&mut self, at: At, slot: usize, value: Value) {
        let value = if value.is_null() { self.first_choice(at, slot).unwrap_or(value) } else { value };
        let node = self.node_mut(at);
        if let Some(name) = node.inputs.get(slot).map(|input| input.name.clone()) {
            node.host_values.insert(name, value);
        }
    }

    /// The first choice of the combo that an input stands for.
    fn first_choice(&self, at: At, slot: usize) -> Option<Value> {
        let mut here = Promoted { at, slot };
        for _ in 0..MAX_DEPTH {
            let node = self.node(here.at);
            let Role::Host(inner) = node.role else { return node.widget_of(here.slot)?.first_choice.clone() };
            here = self.promoted(inner, here.slot)?;
        }
        None
    }

    fn hosts_in(&self, graph: usize) -> Vec<(At, usize)> {
        let nodes = self.graphs[graph].nodes.iter().enumerate();
        nodes
            .filter_map(|(node, held)| match held.role {
                Role::Host(inner) => Some((At { graph, node }, inner)),
                Role::Runs | Role::Unknown | Role::Reroute | Role::Primitive | Role::Set(_) | Role::Get(_) | Role::Note => None,
            })
            .collect()
    }

    /// The graphs, each after those that it holds; the order of the file where they go round.
    fn leaves_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::with_capacity(self.graphs.len());
        let mut seen = vec![false; self.graphs.len()];
        for first in (1..self.graphs.len()).chain([0]) {
            // Those on the way, each with what it holds and has not been looked at.
            let mut way: Vec<(usize, Vec<usize>)> = Vec::new();
            let mut next = Some(first).filter(|first| !std::mem::replace(&mut seen[*first], true));
            loop {
                if let Some(graph) = next.take() {
                    let mut inner: Vec<usize> = self.hosts_in(graph).into_iter().map(|(_, inner)| inner).collect();
                    inner.reverse();
                    way.push((graph, inner));
                }
                let Some((graph, inner)) = way.last_mut() else { break };
                if let Some(inner) = inner.pop() {
                    next = Some(inner).filter(|inner| !std::mem::replace(&mut seen[*inner], true));
                } else {
                    order.push(*graph);
                    way.pop();
                }
            }
        }
        order
    }
}
