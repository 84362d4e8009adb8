//! The graph for the API: the nodes that run, with the values of their inputs.
//!
//! Invariants: no link leads to a node that is not in the graph; keys are in the order in which the page has them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::build::World;
use super::hosts::{Held, MAX_DEPTH};
use super::model::{At, Form, Mode, Node, Role, Widget};
use super::order::execution_order;
use super::packs;
use super::resolve::{Origin, Spot};
use super::text::{Texts, resolved_prompt};
use crate::json::{in_key_order, text};
use crate::report::{EXPORT, Problem, Reason};

/// No workflow has more nodes than this.
pub(super) const MAX_NODES: usize = 20_000;

impl World<'_> {
    /// All nodes with the way to them, in the order of the page; the insides of subgraphs that take no part are left out.
    pub(super) fn spots(&mut self) -> Result<Vec<Spot>, Box<Problem>> {
        let mut spots = Vec::new();
        let mut waiting: Vec<Spot> = Vec::new();
        for node in execution_order(&self.graphs[0]) {
            waiting.push(Spot { hosts: Vec::new(), at: At { graph: 0, node } });
            while let Some(here) = waiting.pop() {
                if spots.len() + waiting.len() > MAX_NODES {
                    return Err(Box::new(too_many(format!("{MAX_NODES} nodes"))));
                }
                if here.hosts.len() > MAX_DEPTH {
                    return Err(Box::new(too_many(format!("{MAX_DEPTH} subgraphs inside of each other"))));
                }
                let node = self.node(here.at);
                if let (Role::Host(inner), Mode::Active) = (&node.role, node.mode) {
                    let inner = *inner;
                    if inner == 0 || here.hosts.iter().chain([&here.at]).any(|host| host.graph == inner) {
                        return Err(Box::new(self.circle(&here)));
                    }
                    let mut hosts = here.hosts.clone();
                    hosts.push(here.at);
                    let inside = (0..self.graphs[inner].nodes.len()).rev();
                    waiting.extend(inside.map(|node| Spot { hosts: hosts.clone(), at: At { graph: inner, node } }));
                } else if matches!(node.role, Role::Host(_)) && !here.hosts.is_empty() {
                    let path = self.file_path(&here);
                    self.warn(
                        Some(path),
                        "inner_subgraph_off",
                        "this subgraph inside of a subgraph is muted or bypassed and is left out; ComfyUI's page would run its nodes",
                    );
                }
                spots.push(here);
            }
        }
        Ok(spots)
    }

    /// The graph, or all that stands against it.
    pub(super) fn emit(&mut self, spots: &[Spot], texts: &Texts<'_>) -> Result<Map<String, Value>, Vec<Problem>> {
        let running: Vec<&Spot> = spots.iter().filter(|here| self.runs(here.at)).collect();
        let there: BTreeSet<&Spot> = running.iter().copied().collect();
        let mut problems = Vec::new();
        let mut entries = Vec::with_capacity(running.len());
        for here in &running {
            match self.entry(here, &there, texts) {
                Ok(entry) => {
                    entries.push((self.path(here), entry));
                    let path = self.file_path(here);
                    for (code, message) in self.node(here.at).notes.clone() {
                        self.warn(Some(path.clone()), code, message);
                    }
                }
                Err(problem) => problems.push(*problem),
            }
        }
        if problems.is_empty() { Ok(in_key_order(entries).into_iter().collect()) } else { Err(problems) }
    }

    /// Whether a node is part of the graph for the API.
    pub(super) fn runs(&self, at: At) -> bool {
        let node = self.node(at);
        !node.is_virtual() && node.mode == Mode::Active
    }

    fn entry(&mut self, here: &Spot, there: &BTreeSet<&Spot>, texts: &Texts<'_>) -> Result<Value, Box<Problem>> {
        if self.node(here.at).role == Role::Unknown {
            return Err(Box::new(self.unknown_class(here)));
        }
        if let Some((why, remedy)) = packs::needs_page(self.node(here.at)) {
            return Err(Box::new(self.problem(here, Reason::NeedsBrowser, why, remedy)));
        }
        let mut inputs: Vec<(String, Value)> = Vec::new();
        let put = |inputs: &mut Vec<(String, Value)>, name: &str, value: Option<Value>| {
            let known = inputs.iter().position(|(key, _)| key == name);
            match (known, value) {
                (Some(place), Some(value)) => inputs[place].1 = value,
                (None, Some(value)) => inputs.push((name.to_owned(), value)),
                (Some(place), None) => {
                    inputs.remove(place);
                }
                (None, None) => {}
            }
        };
        let mut linked = BTreeSet::new();
        let mut links: Vec<(String, Option<Value>)> = Vec::new();
        for slot in 0..self.node(here.at).inputs.len() {
            let Some(origin) = self.origin(here, slot)? else { continue };
            let name = self.node(here.at).inputs[slot].name.clone();
            let value = match origin {
                Origin::Output { spot: from, slot } if there.contains(&from) => Some(json!([self.path(&from), slot])),
                // It leads to a node that takes no part; the page takes the whole input away.
                Origin::Output { .. } => None,
                Origin::Held(Held(value)) => value.map(wrapped),
                Origin::Primitive(value) => {
                    self.say_primitive(here, slot);
                    Some(wrapped(value))
                }
            };
            linked.insert(name.clone());
            links.push((name, value));
        }
        let node = self.node(here.at);
        for widget in node.widgets.iter().filter(|widget| widget.sent && !widget.name.is_empty()) {
            if let Some(why) = widget.needs_browser
                && !linked.contains(&widget.name)
            {
                let message = format!("the value of `{}` cannot be known here: {why}", widget.name);
                return Err(Box::new(self.problem(here, Reason::NeedsBrowser, message, EXPORT)));
            }
            put(&mut inputs, &widget.name, self.sent(here, widget, texts));
        }
        for (name, value) in links {
            put(&mut inputs, &name, value);
        }
        let inputs: Map<String, Value> = in_key_order(inputs).into_iter().collect();
        Ok(json!({"inputs": inputs, "class_type": node.file.class, "_meta": meta(node)}))
    }

    /// What a widget sends.
    fn sent(&self, here: &Spot, widget: &Widget, texts: &Texts<'_>) -> Option<Value> {
        match (widget.form, widget.value.as_ref()) {
            (Form::ChosenIndex, _) => Some(self.chosen_index(here)),
            (_, None) => None,
            (Form::Curve, Some(value)) if !value.is_null() => Some(json!({"__type__": "CURVE", "__value__": value})),
            (Form::DynamicPrompt, Some(Value::String(text))) => Some(Value::String(resolved_prompt(text, texts))),
            (Form::FilePrefix, Some(Value::String(text))) => Some(Value::String(self.replaced(text, texts))),
            (Form::Plain | Form::Curve | Form::DynamicPrompt | Form::FilePrefix, Some(value)) => Some(wrapped(value.clone())),
        }
    }

    /// Which of the options on the node is chosen; -1 for none.
    fn chosen_index(&self, here: &Spot) -> Value {
        let node = self.node(here.at);
        let chosen = node.widgets.first();
        let promoted = chosen.and_then(|widget| {
            let slot = node.inputs.iter().position(|input| input.widget.as_ref() == Some(&widget.name))?;
            match self.origin(here, slot) {
                Ok(Some(Origin::Held(Held(value)))) => Some(value),
                // An output is known only when the workflow runs: the page sends what the widget holds.
                Ok(_) | Err(_) => None,
            }
        });
        let chosen = promoted.unwrap_or_else(|| chosen.and_then(|widget| widget.value.clone()));
        let place = node.widgets.iter().skip(2).position(|widget| widget.value == chosen);
        place.map_or_else(|| json!(-1), |place| json!(place))
    }

    fn say_primitive(&mut self, here: &Spot, slot: usize) {
        let input = &self.node(here.at).inputs[slot];
        let graph = &self.graphs[here.at.graph];
        let link = input.link.and_then(|link| graph.links.get(&link));
        let direct = link.and_then(|link| graph.node(&link.from)).is_some_and(|node| graph.nodes[node].role == Role::Primitive);
        if direct && self.node(here.at).widget_of(slot).is_some() {
            return;
        }
        let message =
            format!("`{}` takes the value of a Primitive node, which ComfyUI's page would not hand on this way", input.name);
        let path = self.file_path(here);
        self.warn(Some(path), "primitive_handed_on", message);
    }

    fn unknown_class(&mut self, here: &Spot) -> Problem {
        let class = self.node(here.at).file.class.clone();
        let classes = self.classes;
        let near = self.nearest.of("", &class, || classes.names().map(str::to_owned).collect()).into_iter().next();
        let remedy = match near {
            Some(near) => {
                format!("The nearest class there is `{near}`. Install the nodes that bring `{class}` and restart ComfyUI.")
            }
            None => format!("Install the nodes that bring `{class}` and restart ComfyUI, or take the node out."),
        };
        self.problem(here, Reason::UnknownClass, format!("the instance has no class `{class}`"), remedy)
    }
}

pub(super) fn too_many(what: impl std::fmt::Display) -> Problem {
    Problem {
        node: None,
        class: None,
        reason: Reason::TooLarge,
        message: format!("the workflow has more than {what}"),
        remedy: "Split the workflow.".to_owned(),
    }
}

/// A list as a value, not as a link.
fn wrapped(value: Value) -> Value {
    if value.is_array() { json!({"__value__": value}) } else { value }
}

/// The title, and the pack that the node is of.
fn meta(node: &Node) -> Value {
    let mut meta = Map::new();
    meta.insert("title".to_owned(), json!(node.title));
    let property = |name: &str| text(node.file.properties.get(name));
    if let Some(id) = property("cnr_id").filter(|id| is_repository(id)) {
        meta.insert("cnr_id".to_owned(), json!(id));
    }
    if let Some(id) =
        property("aux_id").filter(|id| id.split_once('/').is_some_and(|(user, name)| is_user(user) && is_repository(name)))
    {
        meta.insert("aux_id".to_owned(), json!(id));
    }
    if let Some(version) = property("ver").and_then(version) {
        meta.insert("ver".to_owned(), json!(version));
    }
    Value::Object(meta)
}

fn is_repository(name: &str) -> bool {
    let fine = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = name.as_bytes();
    (1..=100).contains(&bytes.len())
        && bytes.iter().all(|byte| fine(byte) || b"._-".contains(byte))
        && bytes.first().is_some_and(fine)
        && bytes.last().is_some_and(fine)
}

fn is_user(name: &str) -> bool {
    let fine = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (1..=39).contains(&name.len()) && fine && !name.starts_with('-') && !name.ends_with('-') && !name.contains("--")
}

/// A version of three numbers or the hash of a commit; a `v` before it is not kept.
fn version(text: &str) -> Option<&str> {
    if text == "unknown" {
        return Some(text);
    }
    let bare = text.strip_prefix('v').unwrap_or(text);
    let is_hash = (4..=40).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash || is_semantic(bare)).then_some(bare)
}

fn is_semantic(text: &str) -> bool {
    let named = |part: &str| {
        part.split('.').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
    };
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (numbers, before) = rest.split_once('-').map_or((rest, None), |(numbers, before)| (numbers, Some(before)));
    let numbers: Vec<&str> = numbers.split('.').collect();
    let is_number = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && (*part == "0" || !part.starts_with('0'))
    };
    numbers.len() == 3 && numbers.iter().all(is_number) && before.is_none_or(named) && build.is_none_or(named)
}
