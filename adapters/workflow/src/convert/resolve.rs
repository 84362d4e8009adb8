//! Where the value of an input comes from, through subgraphs, reroutes, names and bypassed nodes.
//!
//! Invariants: every step is remembered with the way into the subgraphs, so that a circle is found and never walked twice.

use std::collections::BTreeSet;

use serde_json::Value;

use super::build::World;
use super::hosts::Held;
use super::model::{At, Mode, Role, fits};
use crate::canvas::{INPUTS, OUTPUTS};
use crate::report::{Problem, Reason};

/// A value comes through no more nodes than this.
const MAX_WAY: usize = 1000;

/// A node on its way: the nodes for subgraphs that lead to it, outermost first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) hosts: Vec<At>,
    pub(super) at: At,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// An output of a node that runs.
    Output { spot: Spot, slot: usize },
    /// A value that the node for a subgraph holds; none is undefined.
    Held(Held),
    /// The value of a primitive, at which a link leads that the page does not follow.
    Primitive(Value),
}

/// A step on the way back along the links.
enum Step {
    /// To what is linked to an input; the type is that of the input where none is given.
    Input { spot: Spot, slot: usize, kind: Option<String> },
    /// To what gives an output, for an input of this type.
    Output { spot: Spot, slot: usize, kind: String },
    /// There.
    Done(Option<Origin>),
}

type Stepped = Result<Step, Box<Problem>>;

impl World<'_> {
    /// The id that a node has in the API graph.
    pub(super) fn path(&self, here: &Spot) -> String {
        let ids: Vec<&str> = here.hosts.iter().chain([&here.at]).map(|at| self.node(*at).id.as_str()).collect();
        ids.join(":")
    }

    /// The path by the ids of the file.
    pub(super) fn file_path(&self, here: &Spot) -> String {
        let ids: Vec<&str> = here.hosts.iter().chain([&here.at]).map(|at| self.node(*at).file_id.as_str()).collect();
        ids.join(":")
    }

    /// A problem at a node.
    pub(super) fn problem(&self, here: &Spot, reason: Reason, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem {
            node: Some(self.file_path(here)),
            class: Some(self.shown_class(here.at)),
            reason,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// What people call the class of a node.
    pub(super) fn shown_class(&self, at: At) -> String {
        let node = self.node(at);
        match node.role {
            Role::Host(inner) if !self.graphs[inner].name.is_empty() => self.graphs[inner].name.clone(),
            Role::Host(_)
            | Role::Runs
            | Role::Unknown
            | Role::Reroute
            | Role::Primitive
            | Role::Set(_)
            | Role::Get(_)
            | Role::Note => node.file.class.clone(),
        }
    }

    /// Where the value of an input comes from; none if nothing is linked to it.
    pub(super) fn origin(&self, here: &Spot, slot: usize) -> Result<Option<Origin>, Box<Problem>> {
        let mut passed: BTreeSet<(Spot, bool, usize)> = BTreeSet::new();
        let mut step = Step::Input { spot: here.clone(), slot, kind: None };
        loop {
            let (mark, next) = match &step {
                Step::Input { spot, slot, kind } => ((spot, true, *slot), self.input(spot, *slot, kind.as_deref())),
                Step::Output { spot, slot, kind } => ((spot, false, *slot), self.output(spot, *slot, kind)),
                Step::Done(origin) => return Ok(origin.clone()),
            };
            if !passed.insert((mark.0.clone(), mark.1, mark.2)) {
                return Err(Box::new(self.circle(mark.0)));
            }
            if passed.len() > MAX_WAY {
                return Err(Box::new(self.too_far(here)));
            }
            step = next?;
        }
    }

    fn input(&self, here: &Spot, slot: usize, kind: Option<&str>) -> Stepped {
        let node = self.node(here.at);
        let graph = &self.graphs[here.at.graph];
        let Some(input) = node.inputs.get(slot) else { return Ok(Step::Done(None)) };
        let Some(link) = input.link.and_then(|link| graph.links.get(&link)) else { return Ok(Step::Done(None)) };
        if link.from == INPUTS
            && let Some((host, outer)) = here.hosts.split_last()
        {
            let host = Spot { hosts: outer.to_vec(), at: *host };
            let linked = self.node(host.at).inputs.get(link.from_slot).is_some_and(|input| input.link.is_some());
            if linked {
                return Ok(Step::Input { spot: host, slot: link.from_slot, kind: None });
            }
            return Ok(Step::Done(self.held(host.at, link.from_slot).map(Origin::Held)));
        }
        let Some(from) = graph.node(&link.from) else {
            let message = format!("its input `{}` is linked to node {}, which is not there", input.name, link.from);
            let remedy = "Open the workflow in ComfyUI, link the input again and save.";
            return Err(Box::new(self.problem(here, Reason::BrokenLink, message, remedy)));
        };
        let from = Spot { hosts: here.hosts.clone(), at: At { graph: here.at.graph, node: from } };
        Ok(Step::Output { spot: from, slot: link.from_slot, kind: kind.unwrap_or(&input.kind).to_owned() })
    }

    /// Where the value of an output comes from.
    fn output(&self, here: &Spot, slot: usize, kind: &str) -> Stepped {
        let node = self.node(here.at);
        match node.mode {
            Mode::Muted => return Ok(Step::Done(None)),
            Mode::Bypassed => {
                return Ok(match self.way_around(here, slot, kind) {
                    Some(slot) => Step::Input { spot: here.clone(), slot, kind: None },
                    None => Step::Done(None),
                });
            }
            Mode::Active => {}
        }
        match &node.role {
            Role::Runs | Role::Unknown => Ok(Step::Done(Some(Origin::Output { spot: here.clone(), slot }))),
            Role::Host(inner) => self.output_inside(here, *inner, slot, kind),
            Role::Reroute | Role::Set(_) => Ok(Step::Input { spot: here.clone(), slot, kind: Some(kind.to_owned()) }),
            Role::Get(name) => {
                let setter = self.setter(here, name).ok_or_else(|| Box::new(self.no_setter(here, name)))?;
                Ok(Step::Input { spot: setter, slot: 0, kind: Some(kind.to_owned()) })
            }
            Role::Primitive => Ok(Step::Done(self.applied_value(here.at).map(Origin::Primitive))),
            Role::Note => Ok(Step::Done(None)),
        }
    }

    fn output_inside(&self, here: &Spot, inner: usize, slot: usize, kind: &str) -> Stepped {
        if here.hosts.iter().chain([&here.at]).any(|host| host.graph == inner) {
            return Err(Box::new(self.circle(here)));
        }
        let graph = &self.graphs[inner];
        let ends_here = |link: &&crate::canvas::Link| link.to == OUTPUTS && link.to_slot == slot;
        let listed = graph.outputs.get(slot).map_or(&[][..], |port| &port.links);
        let link = listed.iter().filter_map(|id| graph.links.get(id)).find(ends_here);
        let link = link.or_else(|| graph.links.get(graph.leading_out.get(&slot)?));
        let Some(link) = link else { return Ok(Step::Done(None)) };
        let mut hosts = here.hosts.clone();
        hosts.push(here.at);
        if link.from == INPUTS {
            // Straight through: what the subgraph is given is what it gives.
            let linked = self.node(here.at).inputs.get(link.from_slot).is_some_and(|input| input.link.is_some());
            let further = Step::Input { spot: here.clone(), slot: link.from_slot, kind: Some(kind.to_owned()) };
            return Ok(if linked { further } else { Step::Done(None) });
        }
        let Some(node) = graph.node(&link.from) else { return Ok(Step::Done(None)) };
        Ok(Step::Output { spot: Spot { hosts, at: At { graph: inner, node } }, slot: link.from_slot, kind: kind.to_owned() })
    }

    /// The input whose value a bypassed node gives instead of an output.
    fn way_around(&self, here: &Spot, slot: usize, kind: &str) -> Option<usize> {
        let node = self.node(here.at);
        if kind == "*" || kind.is_empty() {
            return Some(if node.inputs.len() > slot { slot } else { 0 }).filter(|input| *input < node.inputs.len());
        }
        let given = self.output_kind(here.at, slot);
        let fitting = |input: &str| fits(input, &given) && fits(input, kind);
        if node.inputs.get(slot).is_some_and(|input| fitting(&input.kind)) {
            return Some(slot);
        }
        let exact = node.inputs.iter().position(|input| input.kind == kind);
        exact.or_else(|| node.inputs.iter().position(|input| fitting(&input.kind)))
    }

    /// The type of an output; one that follows its inputs has the type of what is linked to them.
    fn output_kind(&self, at: At, slot: usize) -> String {
        let node = self.node(at);
        let graph = &self.graphs[at.graph];
        let Some(output) = node.outputs.get(slot) else { return "*".to_owned() };
        if output.template.is_none() {
            return output.kind.clone();
        }
        let linked = node.inputs.iter().filter(|input| input.template == output.template).find_map(|input| {
            let link = graph.links.get(&input.link?)?;
            if link.from == INPUTS {
                return graph.inputs.get(link.from_slot).map(|port| port.kind.clone());
            }
            graph.nodes[graph.node(&link.from)?].outputs.get(link.from_slot).map(|output| output.kind.clone())
        });
        linked.unwrap_or_else(|| output.kind.clone())
    }

    /// The Set node of a name: in the same graph, else in those around it.
    fn setter(&self, here: &Spot, name: &str) -> Option<Spot> {
        let find = |graph: usize| {
            let nodes = self.graphs[graph].nodes.iter();
            nodes
                .enumerate()
                .find(|(_, node)| matches!(&node.role, Role::Set(given) if given == name))
                .map(|(node, _)| At { graph, node })
        };
        if let Some(at) = find(here.at.graph) {
            return Some(Spot { hosts: here.hosts.clone(), at });
        }
        (0..here.hosts.len())
            .rev()
            .find_map(|depth| Some(Spot { hosts: here.hosts[..depth].to_vec(), at: find(here.hosts[depth].graph)? }))
    }

    fn no_setter(&self, here: &Spot, name: &str) -> Problem {
        let message = format!("it takes `{name}`, but no Set node gives that name");
        let remedy = format!("Name a Set node `{name}` in ComfyUI and save, or use \"Export (API)\" in its menu.");
        self.problem(here, Reason::UnknownName, message, remedy)
    }

    fn too_far(&self, here: &Spot) -> Problem {
        let message = format!("what it takes comes through more than {MAX_WAY} reroutes, bypassed nodes and subgraphs");
        self.problem(here, Reason::TooLarge, message, "Open the workflow in ComfyUI, link it straight and save.")
    }

    pub(super) fn circle(&self, here: &Spot) -> Problem {
        let message = "its links lead back to itself";
        self.problem(
            here,
            Reason::Circle,
            message,
            "Open the workflow in ComfyUI, take one of the links of the circle away and save.",
        )
    }
}
