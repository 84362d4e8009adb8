//! The inputs and widgets of a node as its class lays them out, with the values that the file saved.
//!
//! Invariants: sockets come before the inputs of widgets; what a dynamic combo brings follows it and depends on its value.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde_json::{Value, json};

use super::model::{Form, Slot, Widget};
use super::saved::Source;
use super::widgets::{is_widget_type, widgets_of};
use crate::canvas;
use crate::classes::{Class, Group, Input};
use crate::json::{index, list, object, text, truthy};

/// The classes whose `filename_prefix` may hold `%...%`.
const SAVERS: [&str; 20] = [
    "SaveImage",
    "SaveImageAdvanced",
    "SaveSVGNode",
    "SaveVideo",
    "SaveAnimatedWEBP",
    "SaveWEBM",
    "SaveAudio",
    "SaveAudioMP3",
    "SaveAudioOpus",
    "SaveAudioAdvanced",
    "SaveGLB",
    "Save3DAdvanced",
    "SaveGaussianSplat",
    "SavePointCloud",
    "SaveAnimatedPNG",
    "CLIPSave",
    "VAESave",
    "ModelSave",
    "LoraSave",
    "SaveLatent",
];
/// The classes beside whose widgets the page shows a player.
const PLAYERS: [&str; 6] = ["LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"];
/// No template grows beyond this, whatever it says.
const MAX_GROWN: usize = 1000;

/// What a node looks like.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) inputs: Vec<Slot>,
    pub(super) widgets: Vec<Widget>,
    /// The names of its dynamic combos.
    combos: Vec<String>,
    /// The inputs of the file that are linked and that the class does not have.
    pub(super) gone: Vec<String>,
}

/// An entry of the list from which the page builds a node.
#[derive(Clone, Debug)]
pub(super) enum Entry<'a> {
    Input(Input<'a>),
    /// The button to upload a file.
    Upload,
    /// The player beside a sound.
    Player,
    /// The view of a 3D file; it sends which one it showed last.
    Viewer,
}

impl Entry<'_> {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Input(input) => &input.name,
            Self::Upload => "upload",
            Self::Player => "audioUI",
            Self::Viewer => "image",
        }
    }
}

/// The inputs of a class as written, with what the page adds to them.
pub(super) fn entries<'a>(class: &Class<'a>) -> Vec<Entry<'a>> {
    let inputs = class.inputs();
    let (required, optional): (Vec<_>, Vec<_>) = inputs.into_iter().partition(|input| input.group == Group::Required);
    let uploads = required.iter().any(is_upload);
    let mut all: Vec<Entry<'a>> = required.into_iter().map(Entry::Input).collect();
    if PLAYERS.contains(&class.name()) {
        all.push(Entry::Player);
    }
    if uploads {
        all.push(Entry::Upload);
    }
    if matches!(class.name(), "SaveGLB" | "Preview3D") {
        all.push(Entry::Viewer);
    }
    all.extend(optional.into_iter().map(Entry::Input));
    all
}

fn is_upload(input: &Input<'_>) -> bool {
    let combo = input.type_name() == "COMBO";
    let marked = ["image_upload", "animated_image_upload", "video_upload"].iter().any(|mark| input.is(mark));
    combo && (marked || (input.is("audio_upload") && input.name == "audio"))
}

/// The same in the order of the page.
fn ordered<'a>(class: &Class<'a>) -> Vec<Entry<'a>> {
    let mut left = entries(class);
    let Some(required) = class.order(Group::Required) else { return left };
    let optional = class.order(Group::Optional).unwrap_or_default();
    let mut sorted = Vec::with_capacity(left.len());
    let order = required.iter().map(|name| (name, Group::Required)).chain(optional.iter().map(|name| (name, Group::Optional)));
    for (name, group) in order {
        let is_it = |entry: &Entry<'_>| matches!(entry, Entry::Input(input) if input.group == group && input.name == *name);
        if let Some(place) = left.iter().position(is_it) {
            sorted.push(left.remove(place));
        }
    }
    sorted.extend(left);
    sorted
}

/// Lays a node out; the source says what was saved for each widget in turn.
pub(super) fn lay_out(class: &Class<'_>, file: &canvas::Node, source: &mut Source<'_>) -> Layout {
    let entries = ordered(class);
    let mut layout = Layout::default();
    for entry in &entries {
        match entry {
            Entry::Input(input) if !has_widget(input) => layout.add_socket(input, file, source),
            Entry::Input(_) | Entry::Upload | Entry::Player | Entry::Viewer => {}
        }
    }
    for entry in &entries {
        match entry {
            Entry::Input(input) if has_widget(input) => {
                let place = layout.inputs.len();
                layout.add_widget(input, place, file, source);
            }
            Entry::Input(_) => {}
            Entry::Upload | Entry::Player | Entry::Viewer => {
                let mut widget = Widget::new(entry.name(), Some(json!("")));
                widget.sent = matches!(entry, Entry::Viewer);
                widget.saved = !matches!(entry, Entry::Player);
                let name = widget.name.clone();
                layout.push(widget, source);
                layout.inputs.push(slot(name.clone(), "", Some(name)));
            }
        }
    }
    if class.name() == "CustomCombo" {
        layout.add_options_of_choice(source);
    }
    layout.mark_forms(class);
    layout.add_others_of(file);
    layout
}

pub(super) fn has_widget(input: &Input<'_>) -> bool {
    is_widget_type(input.widget_type()) && !input.is_socket_only()
}

fn slot(name: String, kind: &str, widget: Option<String>) -> Slot {
    Slot { name, kind: kind.to_owned(), widget, link: None, template: None, label: None }
}

impl Layout {
    fn push(&mut self, mut widget: Widget, source: &mut Source<'_>) {
        if let Some(value) = source.take(&widget) {
            widget.value = Some(value);
        }
        if widget.value.as_ref().is_none_or(Value::is_null) && widget.first_choice.is_some() {
            widget.value.clone_from(&widget.first_choice);
        }
        self.widgets.push(widget);
    }

    fn add_socket(&mut self, input: &Input<'_>, file: &canvas::Node, source: &mut Source<'_>) {
        match input.type_name() {
            "COMFY_AUTOGROW_V3" => self.grow(input, file, source),
            "COMFY_MATCHTYPE_V3" => {
                let template = object(input.option("template"));
                let allowed = template.and_then(|template| text(template.get("allowed_types"))).unwrap_or("*");
                let mut slot = slot(input.name.clone().into_owned(), allowed, None);
                slot.template = template.and_then(|template| text(template.get("template_id"))).map(str::to_owned);
                self.inputs.push(slot);
            }
            kind => self.inputs.push(slot(input.name.clone().into_owned(), kind, None)),
        }
    }

    /// Adds an input with its widgets, at a place among the inputs; says how many inputs came.
    fn add_widget(&mut self, input: &Input<'_>, place: usize, file: &canvas::Node, source: &mut Source<'_>) -> usize {
        let name = input.name.clone().into_owned();
        let before = self.inputs.len();
        for widget in widgets_of(input) {
            self.push(widget, source);
        }
        let socketless = matches!(input.widget_type(), "COMFY_BRANCH_INPUT_NAMES") || input.is("socketless");
        if !socketless {
            self.inputs.insert(place.min(self.inputs.len()), slot(name.clone(), input.type_name(), Some(name.clone())));
        }
        if input.widget_type() == "COMFY_DYNAMICCOMBO_V3" {
            let chosen = self.widgets.last().and_then(|widget| widget.value.as_ref()).and_then(Value::as_str).map(str::to_owned);
            self.combos.push(name);
            let brought = chosen.and_then(|key| input.inputs_of_choice(&key)).unwrap_or_default();
            let mut at = place + 1;
            for inner in brought {
                at += self.add_brought(&inner, at, file, source);
            }
        }
        self.inputs.len() - before
    }

    /// Adds what a dynamic combo brings; says how many inputs came.
    fn add_brought(&mut self, input: &Input<'_>, place: usize, file: &canvas::Node, source: &mut Source<'_>) -> usize {
        if has_widget(input) {
            return self.add_widget(input, place, file, source);
        }
        let before = self.inputs.len();
        self.add_socket(input, file, source);
        let come = self.inputs.len() - before;
        let place = place.min(before);
        self.inputs[place..].rotate_right(come);
        come
    }

    /// The inputs of a template that grows with what is linked to it.
    fn grow(&mut self, input: &Input<'_>, file: &canvas::Node, source: &mut Source<'_>) {
        let Some(template) = object(input.option("template")) else { return };
        let names: Vec<&str> = list(template.get("names")).iter().filter_map(Value::as_str).collect();
        let prefix = text(template.get("prefix")).unwrap_or_default();
        let least = index(template.get("min")).unwrap_or(1);
        let most = if names.is_empty() { index(template.get("max")).unwrap_or(100) } else { names.len() };
        let inner = template.get("input");
        let specs: Vec<(&String, &Value)> = [Group::Required, Group::Optional]
            .iter()
            .filter_map(|group| inner.and_then(|inner| object(inner.get(group.name()))))
            .flatten()
            .collect();
        let name_of = |ordinal: usize, key: &str| {
            let base = names.get(ordinal).map(|name| (*name).to_owned());
            let base = base.unwrap_or_else(|| format!("{}{ordinal}", if specs.len() == 1 { prefix } else { key }));
            format!("{}.{base}", input.name)
        };
        let linked = |name: &str| file.inputs.iter().any(|slot| slot.name == name && slot.link.is_some());
        let most = most.min(MAX_GROWN);
        let used = (0..most).rev().find(|ordinal| specs.iter().any(|(key, _)| linked(&name_of(*ordinal, key))));
        // One more than is used, so that there is always a free one.
        let count = (least + 1).max(used.map_or(0, |used| used + 2)).min(most);
        for ordinal in 0..count {
            for (key, spec) in &specs {
                let one = Input::named(Cow::Owned(name_of(ordinal, key)), spec, input.group);
                if has_widget(&one) && specs.len() == 1 {
                    let place = self.inputs.len();
                    self.add_widget(&one, place, file, source);
                } else {
                    self.add_socket(&one, file, source);
                }
            }
        }
    }

    /// A combo whose choices are texts on the same node, as many as are filled in and one more.
    fn add_options_of_choice(&mut self, source: &mut Source<'_>) {
        self.widgets.truncate(1);
        self.inputs
            .retain(|slot| slot.widget.is_none() || self.widgets.iter().any(|widget| Some(&widget.name) == slot.widget.as_ref()));
        let mut place = Widget::new("index", None);
        place.form = Form::ChosenIndex;
        self.push(place, source);
        let mut number = 1;
        loop {
            self.push(Widget::new(format!("option{number}"), Some(json!(""))), source);
            let filled = self.widgets.last().is_some_and(|widget| truthy(widget.value.as_ref()));
            if !filled || number >= MAX_GROWN {
                break;
            }
            number += 1;
        }
    }

    fn mark_forms(&mut self, class: &Class<'_>) {
        let saver = SAVERS.contains(&class.name());
        for widget in &mut self.widgets {
            if saver && widget.name == "filename_prefix" {
                widget.form = Form::FilePrefix;
            }
            // The page resolves only the texts that a node has from the start.
            let brought = self.combos.iter().any(|combo| is_inside(combo, &widget.name));
            if brought && widget.form == Form::DynamicPrompt {
                widget.form = Form::Plain;
            }
            let sampler = matches!(class.name(), "KSampler" | "KSamplerAdvanced") && widget.name == "sampler_name";
            if sampler
                && let Some(Value::String(name)) = &mut widget.value
                && let Some(newer) = name.strip_prefix("sample_")
            {
                *name = newer.to_owned();
            }
        }
    }

    /// The inputs that the file has beyond those of the class: extensions of the page made them.
    fn add_others_of(&mut self, file: &canvas::Node) {
        for other in &file.inputs {
            let known = self.inputs.iter_mut().find(|slot| slot.name == other.name);
            if let Some(slot) = known {
                slot.label.clone_from(&other.label);
                continue;
            }
            let stale = self.combos.iter().any(|combo| is_inside(combo, &other.name));
            let orphan = other.widget.as_ref().is_some_and(|name| !self.widgets.iter().any(|widget| widget.name == *name));
            if stale || orphan {
                if other.link.is_some() {
                    self.gone.push(other.name.clone());
                }
                continue;
            }
            let mut slot = slot(other.name.clone(), &other.kind, other.widget.clone());
            slot.label.clone_from(&other.label);
            self.inputs.push(slot);
        }
    }
}

fn is_inside(combo: &str, name: &str) -> bool {
    name.strip_prefix(combo).is_some_and(|rest| rest.starts_with('.'))
}

/// The widgets of a class before anything is restored: name, whether it is saved.
pub(super) fn blank(class: &Class<'_>, file: &canvas::Node) -> VecDeque<(String, bool)> {
    let layout = lay_out(class, file, &mut Source::nothing());
    layout.widgets.into_iter().map(|widget| (widget.name, widget.saved)).collect()
}
