//! Derives the form.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use comfyd_adapters::comfy::lenient::readable;
use comfyd_adapters::workflow::{Graph, Held, Node};
use serde_json::{Number, Value};

use super::classes::{Classes, Declared};
use super::field::{Field, Kind};
use super::kinds::{is_primitive, is_texty, kind_of};
use super::prompts::{Side, prompts};

/// Whole numbers from here on lose digits where numbers are floating-point.
const EXACT: u64 = 1 << 53;
/// A workflow without sampling shows its plain values at once, if they are no more.
const FEW: usize = 8;

/// The fields of a workflow: what most people change first, then the rest by node.
///
/// ```
/// use comfyd_adapters::workflow::Graph;
/// use comfyd_server::templates::form::{Kind, derive};
/// let graph = Graph::parse(r#"{"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}}}"#)?;
/// let fields = derive(&graph, None);
/// assert_eq!((fields[0].id.as_str(), fields[0].kind), ("5.width", Kind::Size));
/// # Ok::<(), comfyd_adapters::workflow::WorkflowError>(())
/// ```
pub fn derive(graph: &Graph, classes: Option<Classes<'_>>) -> Vec<Field> {
    let prompts = prompts(graph);
    let media: BTreeMap<String, String> = graph.image_inputs().into_iter().map(|file| (file.node.0, file.input)).collect();
    let sized = latent_sources(graph);
    let users = users(graph);
    let mut fields: Vec<Field> = Vec::new();
    for node in graph.nodes() {
        for (input, held) in node.inputs() {
            let Held::Value(value) = held else { continue };
            let place = Place { node, input, role: users.get(node.id()).copied().unwrap_or((node.class(), input)) };
            let Some(kind) = kind_of(place.role.0, place.role.1, value) else { continue };
            let kind = match (prompts.get(&(node.id(), input)), kind) {
                (Some(Side::Positive), _) => Kind::Prompt,
                (Some(Side::Negative), _) => Kind::NegativePrompt,
                (None, Kind::Text) if media.get(node.id()).is_some_and(|file| file == input) => media_kind(input, node.class()),
                (None, Kind::Integer)
                    if matches!(place.role.1, "width" | "height")
                        && (sized.contains(node.id()) || is_empty_latent(place.role.0)) =>
                {
                    Kind::Size
                }
                (None, kind) => kind,
            };
            fields.push(place.field(kind, value, classes));
        }
    }
    show_plain_ones(graph, &mut fields);
    tell_apart(&mut fields);
    fields.sort_by(order);
    fields
}

/// An input with what it is in the end: that of the node which a primitive feeds.
#[derive(Clone, Copy)]
struct Place<'a> {
    node: Node<'a>,
    input: &'a str,
    role: (&'a str, &'a str),
}

impl Place<'_> {
    fn field(self, kind: Kind, value: &Value, classes: Option<Classes<'_>>) -> Field {
        let (id, class) = (self.node.id(), self.node.class());
        let own = classes.and_then(|classes| classes.input(class, self.input));
        // The narrower of the two is that of the node which is fed.
        let declared = classes.and_then(|classes| classes.input(self.role.0, self.role.1)).or(own);
        let options = declared.and_then(|declared| declared.choices()).map(|list| list.iter().map(shown).collect::<Vec<_>>());
        let kind = refined(kind, declared, options.is_some());
        let number = |name| declared.and_then(|declared| declared.number(name)).map(|value| shown(&value));
        let numeric = matches!(kind, Kind::Size | Kind::Seed | Kind::Steps | Kind::Cfg | Kind::Integer | Kind::Number);
        let advanced = is_advanced(kind, class, self.input);
        Field {
            id: format!("{}.{}", readable(id), readable(self.input)),
            node_id: readable(id).into_owned(),
            node_title: readable(self.node.title().unwrap_or(class)).into_owned(),
            node_type: readable(class).into_owned(),
            input: readable(self.input).into_owned(),
            kind,
            label: self.label(kind),
            default: shown(value),
            min: number("min").filter(|_| numeric),
            max: number("max").filter(|_| numeric),
            step: number("step").filter(|_| numeric),
            options,
            multiline: self.multiline(kind, declared, value),
            tooltip: declared.and_then(|declared| declared.tooltip()),
            required: own.is_none_or(|own| own.required),
            advanced,
            group: group(kind, advanced, id, class),
        }
    }

    fn label(self, kind: Kind) -> String {
        let words = |kind: &str| kind.to_owned();
        match kind {
            Kind::Prompt => words("Prompt"),
            Kind::NegativePrompt => words("Negative prompt"),
            Kind::Seed => words("Seed"),
            Kind::Steps => words("Steps"),
            Kind::Cfg => words("CFG"),
            Kind::Sampler => words("Sampler"),
            Kind::Scheduler => words("Scheduler"),
            // A primitive is there to be set, and its title says what it is.
            _ if is_primitive(self.node.class()) && self.node.title().is_some() => {
                readable(self.node.title().unwrap_or_default()).into_owned()
            }
            Kind::Image | Kind::Video | Kind::Audio => {
                self.node.title().map_or_else(|| named(self.input), |title| readable(title).into_owned())
            }
            Kind::Model | Kind::Size | Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean | Kind::Choice => {
                named(self.role.1)
            }
        }
    }

    fn multiline(self, kind: Kind, declared: Option<Declared<'_>>, value: &Value) -> Option<bool> {
        match kind {
            Kind::Prompt | Kind::NegativePrompt => Some(true),
            Kind::Text => {
                let told = declared.and_then(|declared| declared.truth("multiline"));
                let guess = || value.as_str().is_some_and(|text| text.contains('\n')) || self.input == "text";
                Some(told.unwrap_or_else(guess))
            }
            Kind::Image
            | Kind::Video
            | Kind::Audio
            | Kind::Size
            | Kind::Seed
            | Kind::Steps
            | Kind::Cfg
            | Kind::Sampler
            | Kind::Scheduler
            | Kind::Model
            | Kind::Integer
            | Kind::Number
            | Kind::Boolean
            | Kind::Choice => None,
        }
    }
}

/// The kind with what an instance says: a text with a list is a choice, and a whole number may be written for any number.
fn refined(kind: Kind, declared: Option<Declared<'_>>, choices: bool) -> Kind {
    match (kind, declared.and_then(|declared| declared.type_name())) {
        (Kind::Text | Kind::Integer | Kind::Number, _) if choices => Kind::Choice,
        (Kind::Integer, Some("FLOAT")) => Kind::Number,
        (Kind::Number, Some("INT")) => Kind::Integer,
        (Kind::Text, Some("BOOLEAN")) => Kind::Boolean,
        (kind, _) => kind,
    }
}

fn is_advanced(kind: Kind, class: &str, input: &str) -> bool {
    match kind {
        Kind::Text => !(is_primitive(class) || (class.contains("TextEncode") && is_texty(class, input))),
        Kind::Integer | Kind::Number | Kind::Boolean | Kind::Choice => !is_primitive(class),
        Kind::Prompt
        | Kind::NegativePrompt
        | Kind::Image
        | Kind::Video
        | Kind::Audio
        | Kind::Size
        | Kind::Seed
        | Kind::Steps
        | Kind::Cfg
        | Kind::Sampler
        | Kind::Scheduler
        | Kind::Model => false,
    }
}

fn group(kind: Kind, advanced: bool, id: &str, class: &str) -> String {
    let group = match kind {
        Kind::Prompt | Kind::NegativePrompt => "prompt",
        Kind::Image | Kind::Video | Kind::Audio => "media",
        Kind::Size => "size",
        Kind::Seed | Kind::Steps | Kind::Cfg | Kind::Sampler | Kind::Scheduler => "sampling",
        Kind::Model => "model",
        Kind::Text if class.contains("TextEncode") && !advanced => "prompt",
        Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean | Kind::Choice if !advanced => "options",
        Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean | Kind::Choice => return format!("node:{}", readable(id)),
    };
    group.to_owned()
}

fn media_kind(input: &str, class: &str) -> Kind {
    match input {
        "video" => Kind::Video,
        "audio" => Kind::Audio,
        "file" if class.contains("Video") => Kind::Video,
        "file" if class.contains("Audio") => Kind::Audio,
        _ => Kind::Image, // `image`, and files of classes that do not say more
    }
}

fn is_empty_latent(class: &str) -> bool {
    class.contains("Empty") && (class.contains("Latent") || class.contains("Image"))
}

/// The nodes that give samplers their latent at once: their width and height are those of the result.
fn latent_sources(graph: &Graph) -> BTreeSet<&str> {
    let latents = graph.nodes().filter(|node| node.class().contains("Sampler")).filter_map(|node| node.input("latent_image"));
    latents.filter_map(|held| if let Held::Link { node, .. } = held { Some(node) } else { None }).collect()
}

/// For each primitive the class and input that it feeds; the first one where it feeds several.
fn users(graph: &Graph) -> BTreeMap<&str, (&str, &str)> {
    let mut users = BTreeMap::new();
    for node in graph.nodes() {
        for (input, held) in node.inputs() {
            if let Held::Link { node: from, .. } = held
                && graph.node(from).is_some_and(|from| is_primitive(from.class()))
            {
                users.entry(from).or_insert((node.class(), input));
            }
        }
    }
    users
}

/// Where nothing is sampled the plain values are what there is to change, if they are few; those that end the graph only name files.
fn show_plain_ones(graph: &Graph, fields: &mut [Field]) {
    let plain = |field: &Field| matches!(field.kind, Kind::Integer | Kind::Number | Kind::Choice | Kind::Boolean);
    let sampled = |field: &Field| matches!(field.kind, Kind::Prompt | Kind::Seed | Kind::Steps);
    let sinks: BTreeSet<String> = graph.sinks().into_iter().map(|node| node.0).collect();
    let shown = |field: &Field| field.advanced && plain(field) && !sinks.contains(&field.node_id);
    if fields.iter().any(sampled) || fields.iter().filter(|field| shown(field)).count() > FEW {
        return;
    }
    for field in fields.iter_mut().filter(|field| shown(field)) {
        field.advanced = false;
        "options".clone_into(&mut field.group);
    }
}

/// Labels that several fields share get their node's title.
fn tell_apart(fields: &mut [Field]) {
    let mut count: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for field in fields.iter() {
        *count.entry((field.advanced, field.label.clone())).or_default() += 1;
    }
    for field in fields.iter_mut() {
        if !field.advanced
            && count.get(&(false, field.label.clone())).is_some_and(|count| *count > 1)
            && field.label != field.node_title
        {
            field.label = format!("{} ({})", field.label, field.node_title);
        }
    }
}

/// What is changed first comes first; then by node as people count.
fn order(a: &Field, b: &Field) -> Ordering {
    let rank = |field: &Field| if field.advanced { Kind::Choice } else { field.kind };
    let number = |field: &Field| field.node_id.parse::<u64>().unwrap_or(u64::MAX);
    // The order of inputs in a node stays, as the sort is stable.
    let key = |field: &Field| (field.advanced, rank(field).min(Kind::Text), number(field));
    key(a).cmp(&key(b)).then_with(|| a.node_id.cmp(&b.node_id))
}

/// A name for people: `sampler_name` is "Sampler name".
fn named(input: &str) -> String {
    match input {
        "ckpt_name" => "Checkpoint".to_owned(),
        "lora_name" => "LoRA".to_owned(),
        "vae_name" => "VAE".to_owned(),
        "unet_name" => "Diffusion model".to_owned(),
        "fps" => "Frames per second".to_owned(),
        _ => super::super::describe::humanised(&readable(input)), // any other input
    }
}

/// A value for people and pages: exact, also where numbers are floating-point.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(readable(text).into_owned()),
        Value::Number(number) if is_large(number) => Value::String(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

fn is_large(number: &Number) -> bool {
    let text = number.to_string();
    let digits = text.trim_start_matches('-');
    digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u64>().map_or(true, |number| number > EXACT)
}
