//! Conventions of widely used packs of nodes, where what they do on the page is plain data in the file.
//!
//! Invariants: a node of the page alone has a role here; a node that the instance runs only ever gains inputs that its file has.

use serde_json::Value;

use super::model::{Node, Role, Widget};
use crate::canvas::{self, SavedValues};
use crate::report::EXPORT;

/// The role of a node that exists on the page only.
pub(super) fn role(class: &str, file: &canvas::Node) -> Option<Role> {
    match class {
        "SetNode" | "easy setNode" => Some(Role::Set(name_of(file, "Set_"))),
        "GetNode" | "easy getNode" => Some(Role::Get(name_of(file, "Get_"))),
        "Reroute (rgthree)" | "mxReroute" => Some(Role::Reroute),
        "Label (rgthree)"
        | "Bookmark (rgthree)"
        | "Node Collector (rgthree)"
        | "Fast Muter (rgthree)"
        | "Fast Bypasser (rgthree)"
        | "Fast Groups Muter (rgthree)"
        | "Fast Groups Bypasser (rgthree)"
        | "Fast Actions Button (rgthree)"
        | "Mute / Bypass Relay (rgthree)"
        | "Mute / Bypass Repeater (rgthree)"
        | "Random Unmuter (rgthree)" => Some(Role::Note),
        _ => None,
    }
}

/// Nodes of "Use Everywhere" that give what they take to inputs elsewhere, by rules that the page follows when it queues.
const BROADCASTERS: [&str; 5] =
    ["Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3", "Prompts Everywhere", "Seed Everywhere"];

/// Nodes whose widgets are made on the page, so that no class tells what their values mean.
const MADE_ON_THE_PAGE: [&str; 2] = ["Power Primitive (rgthree)", "Power Puter (rgthree)"];
/// What "Seed (rgthree)" holds for one more or one less than the last seed.
const OF_THE_LAST_SEED: [i64; 2] = [-2, -3];

/// Why what a node does cannot be known here, and what to do; none for most.
pub(super) fn needs_page(node: &Node) -> Option<(&'static str, &'static str)> {
    let class = node.file.class.as_str();
    if MADE_ON_THE_PAGE.contains(&class) {
        return Some(("its inputs are made by an extension of ComfyUI's page", EXPORT));
    }
    let seed = node.widget("seed").and_then(|widget| widget.value.as_ref()).and_then(Value::as_i64);
    if class == "Seed (rgthree)" && seed.is_some_and(|seed| OF_THE_LAST_SEED.contains(&seed)) {
        return Some((
            "it counts on from the last seed, which only ComfyUI's page knows",
            "Give it a seed, or -1 for another one each time.",
        ));
    }
    let gives = class == "Seed Everywhere" || node.inputs.iter().any(|input| input.link.is_some());
    (BROADCASTERS.contains(&class) && gives).then_some((
        "it gives what it takes to inputs of other nodes, which ComfyUI's page finds by its rules when it queues",
        "Use \"Convert all UEs to real links\" in the menu of the canvas and save, or \"Export (API)\" in ComfyUI's menu.",
    ))
}

/// The name that a Set or Get node has: its only widget, else what stands in its title.
fn name_of(file: &canvas::Node, prefix: &str) -> String {
    let first = match &file.values {
        SavedValues::InOrder(values) => values.first(),
        SavedValues::ByName(values) => values.get("Constant").or_else(|| values.values().next()),
        SavedValues::None => None,
    };
    let from_title = || file.title.as_deref().map(|title| title.strip_prefix(prefix).unwrap_or(title).to_owned());
    first.and_then(Value::as_str).map(str::to_owned).or_else(from_title).unwrap_or_default()
}

/// Adds the inputs that an extension of the page makes of what it saved.
pub(super) fn add_plain_data(node: &mut Node) {
    if node.file.class == "Power Lora Loader (rgthree)" {
        add_loras(node);
    } else if node.file.class.starts_with("VHS_") {
        add_by_name(node);
    }
}

/// Each of them is an object with `on`, `lora` and `strength`; they are numbered in order.
fn add_loras(node: &mut Node) {
    let SavedValues::InOrder(values) = &node.file.values else { return };
    let loras = values.iter().filter(|value| value.get("lora").is_some() && value.get("on").is_some());
    let widgets: Vec<Widget> =
        loras.enumerate().map(|(place, lora)| Widget::new(format!("lora_{}", place + 1), Some(lora.clone()))).collect();
    node.widgets.extend(widgets);
}

/// The settings of a format are saved by name beside the widgets of the class.
fn add_by_name(node: &mut Node) {
    let SavedValues::ByName(values) = &node.file.values else { return };
    let known = |name: &str| name == "videopreview" || node.widgets.iter().any(|widget| widget.name == name);
    let others = values.iter().filter(|(name, _)| !known(name));
    let widgets: Vec<Widget> = others.map(|(name, value)| Widget::new(name.as_str(), Some(value.clone()))).collect();
    node.widgets.extend(widgets);
}
