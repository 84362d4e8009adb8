//! A graph for the API held against the classes of an instance, before anything is queued.
//!
//! Invariants: all that is wrong is found at once; the verdicts are those of ComfyUI's own validation, under its names; what only the server
//! can decide (whether a file is there, what a pack checks itself) is said to be likely and refuses nothing.
//! Absent: running it. A graph that passes may still fail.

mod finding;
mod value;
mod walk;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use finding::{Finding, Kind};

use crate::classes::{Class, Classes, Group, Input};
use crate::json::text;
use crate::nearest::Nearest;
use value::{check_value, choices_of};
use walk::{Reach, reach};

/// What validation says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// All that was found, in the order of the graph.
    pub findings: Vec<Finding>,
    /// The nodes at which the workflow ends and which ComfyUI would run.
    pub good_outputs: Vec<String>,
    /// Those that it would leave out.
    pub bad_outputs: Vec<String>,
}

impl Verdict {
    /// Whether ComfyUI would take it: at least one of its ends is good.
    pub fn is_runnable(&self) -> bool {
        !self.good_outputs.is_empty() && !self.findings.iter().any(|finding| finding.kind.refuses_all())
    }
}

/// Checks a graph.
///
/// ```
/// use comfyd_workflow::{Classes, validate::{Kind, validate}};
/// let classes = Classes::parse(r#"{"Save": {"input": {"required": {"name": ["STRING"]}}, "output": [], "output_node": true, "python_module": "nodes"}}"#)?;
/// let graph: serde_json::Value = serde_json::from_str(r#"{"1": {"class_type": "Save", "inputs": {}}, "2": {"class_type": "Sav", "inputs": {}}}"#)?;
/// let verdict = validate(graph.as_object().expect("an object"), &classes);
/// let kinds: Vec<Kind> = verdict.findings.iter().map(|finding| finding.kind).collect();
/// assert_eq!(kinds, [Kind::RequiredInputMissing, Kind::UnknownClass]);
/// assert!(!verdict.is_runnable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn validate(graph: &Map<String, Value>, classes: &Classes) -> Verdict {
    let mut verdict = Verdict::default();
    let ends: Vec<&str> = graph.iter().filter(|(_, node)| is_end(node, classes)).map(|(id, _)| id.as_str()).collect();
    let mut look = Look { graph, classes, reached: reach(graph, &ends), nearest: Nearest::default(), findings: Vec::new() };
    let mut bad = Vec::new();
    for (id, node) in graph {
        let before = look.findings.len();
        look.check_node(id, node);
        if look.findings[before..].iter().any(|finding| finding.certain) {
            bad.push(id.as_str());
        }
    }
    verdict.findings = look.findings;
    if ends.is_empty() {
        verdict.findings.push(Finding::of_graph(Kind::NoOutputs));
    }
    let spoilt = walk::downstream(graph, bad);
    for end in ends {
        if spoilt.contains(end) { &mut verdict.bad_outputs } else { &mut verdict.good_outputs }.push(end.to_owned());
    }
    verdict
}

/// A look at all nodes of a graph.
struct Look<'a> {
    graph: &'a Map<String, Value>,
    classes: &'a Classes,
    reached: BTreeMap<&'a str, Reach>,
    nearest: Nearest,
    findings: Vec<Finding>,
}

fn class_of(node: &Value) -> Option<&str> {
    text(node.get("class_type")).filter(|class| !class.is_empty())
}

fn is_end(node: &Value, classes: &Classes) -> bool {
    class_of(node).and_then(|class| classes.class(class)).is_some_and(|class| class.is_output())
}

impl Look<'_> {
    fn check_node(&mut self, id: &str, node: &Value) {
        let Some(name) = class_of(node) else {
            self.findings.push(Finding::of_node(id, None, Kind::NoClass));
            return;
        };
        let Some(class) = self.classes.class(name) else {
            let nearest = self.nearest.of("", name, || self.classes.names().map(str::to_owned).collect());
            self.findings.push(Finding::of_node(id, Some(name), Kind::UnknownClass).with_nearest(nearest));
            return;
        };
        let Some(reach) = self.reached.get(id) else {
            return; // Nothing asks for it, so that ComfyUI never looks at its inputs.
        };
        if *reach == Reach::Circle {
            self.findings.push(Finding::of_node(id, Some(name), Kind::Circle));
        }
        let Some(inputs) = node.get("inputs").and_then(Value::as_object) else {
            self.findings.push(Finding::of_node(id, Some(name), Kind::NoInputs));
            return;
        };
        let mut at = Place { id, class: &class, graph: self.graph, classes: self.classes, nearest: &mut self.nearest };
        for input in asked_for(&class, inputs) {
            at.check_input(&input, inputs.get(&*input.name), &mut self.findings);
        }
    }
}

/// The inputs that a node has: those of its class, and what its dynamic combos bring.
fn asked_for<'a>(class: &Class<'a>, inputs: &Map<String, Value>) -> Vec<Input<'a>> {
    let mut all = Vec::new();
    let mut waiting: Vec<Input<'a>> = class.inputs().into_iter().rev().collect();
    while let Some(input) = waiting.pop() {
        if input.type_name() == "COMFY_DYNAMICCOMBO_V3" {
            let chosen = inputs.get(&*input.name).and_then(Value::as_str);
            let brought = chosen.and_then(|key| input.inputs_of_choice(key)).unwrap_or_default();
            waiting.extend(brought.into_iter().rev());
        }
        all.push(input);
    }
    all
}

/// Inputs of ComfyUI's own nodes that take more than their list says, without a mark in their description: the node looks for the file.
const LOOKS_ITSELF: [(&str, &str); 1] = [("LoadLatent", "latent")];

/// Where an input is checked.
struct Place<'a> {
    id: &'a str,
    class: &'a Class<'a>,
    graph: &'a Map<String, Value>,
    classes: &'a Classes,
    nearest: &'a mut Nearest,
}

impl Place<'_> {
    fn finding(&self, kind: Kind, input: &Input<'_>) -> Finding {
        Finding::of_node(self.id, Some(self.class.name()), kind).with_input(&input.name)
    }

    fn check_input(&mut self, input: &Input<'_>, value: Option<&Value>, findings: &mut Vec<Finding>) {
        // A group that grows has no value of its own.
        let grows = input.type_name() == "COMFY_AUTOGROW_V3";
        match value {
            None if input.group == Group::Required && !grows => findings.push(self.finding(Kind::RequiredInputMissing, input)),
            Some(Value::Array(link)) => findings.extend(self.check_link(input, link)),
            Some(value) if !grows => {
                let Some(fault) = check_value(input, value) else { return };
                let by_node = fault.by_node || LOOKS_ITSELF.contains(&(self.class.name(), &*input.name));
                let finding = self.finding(fault.kind, input).with_value(value.clone()).with_allowed(fault.allowed);
                let nearest = value.as_str().filter(|_| finding.kind.is_of_a_list()).map(|meant| {
                    let list = format!("{} {}", self.class.name(), input.name);
                    self.nearest.of(&list, meant, || choices_of(input))
                });
                let finding = finding.with_nearest(nearest.unwrap_or_default());
                findings.push(if self.class.is_core() && !by_node { finding } else { finding.likely() });
            }
            None | Some(_) => {}
        }
    }

    fn check_link(&self, input: &Input<'_>, link: &[Value]) -> Option<Finding> {
        let value = Value::Array(link.to_vec());
        let [from, slot] = link else {
            return Some(self.finding(Kind::BadLinkedInput, input).with_value(value));
        };
        let Some(node) = from.as_str().and_then(|from| self.graph.get(from)) else {
            return Some(self.finding(Kind::MissingNode, input).with_value(value));
        };
        let class = class_of(node).and_then(|class| self.classes.class(class))?;
        let outputs = class.outputs();
        let given = slot.as_i64().and_then(|slot| match usize::try_from(slot) {
            Ok(slot) => outputs.get(slot),
            // Python counts from the end.
            Err(_) => outputs.len().checked_sub(usize::try_from(slot.unsigned_abs()).ok()?).and_then(|slot| outputs.get(slot)),
        });
        let Some(given) = given else {
            let range = format!("{} has {} outputs", class.name(), outputs.len());
            return Some(self.finding(Kind::MissingOutput, input).with_value(value).with_allowed(Some(range)));
        };
        if type_fits(given, input) {
            return None;
        }
        let finding = self.finding(Kind::ReturnTypeMismatch, input).with_value(value);
        let finding = finding.with_allowed(Some(input.type_name().to_owned())).with_given(given);
        Some(if self.class.is_core() && class.is_core() { finding } else { finding.likely() })
    }
}

/// Whether an output of this type may go into an input; types that stand for others are left to the server.
fn type_fits(given: &str, input: &Input<'_>) -> bool {
    let wanted = input.type_name();
    let open = |kind: &str| kind.is_empty() || kind == "*" || kind.starts_with("COMFY_");
    open(given) || open(wanted) || given.split(',').any(|given| wanted.split(',').any(|wanted| given.trim() == wanted.trim()))
}
