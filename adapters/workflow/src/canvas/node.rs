//! A node of a canvas file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::json::{id, list, object, text};

/// A node as the file has it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its id in its graph.
    pub id: String,
    /// Its class, or the id of the subgraph that it stands for.
    pub class: String,
    /// Its title, where it has one of its own.
    pub title: Option<String>,
    /// 0 for always, 2 for muted, 4 for bypassed.
    pub mode: i64,
    /// Its inputs.
    pub inputs: Vec<Slot>,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// What its widgets held.
    pub values: SavedValues,
    /// The same by name, in newer files.
    pub named_values: Option<Map<String, Value>>,
    /// What the page and its extensions keep with it.
    pub properties: Map<String, Value>,
    /// Where it stands.
    pub position: Option<[f64; 2]>,
    /// How large it is.
    pub size: Option<[f64; 2]>,
    /// What its widgets are set to whatever was saved, by name: not in the file, but what an old group node held for it.
    pub(crate) set: BTreeMap<String, Value>,
}

/// An input of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The type that it takes.
    pub kind: String,
    /// Its link.
    pub link: Option<i64>,
    /// The widget that it belongs to.
    pub widget: Option<String>,
    /// What people see.
    pub label: Option<String>,
}

/// An output of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The type that it gives.
    pub kind: String,
}

/// The saved values of widgets.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SavedValues {
    /// Nothing was saved.
    #[default]
    None,
    /// In the order of the widgets.
    InOrder(Vec<Value>),
    /// By name, as some packs write them.
    ByName(Map<String, Value>),
}

impl Node {
    /// Reads a node; none if it has no id or no class.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let values = match fields.get("widgets_values") {
            Some(Value::Array(values)) => SavedValues::InOrder(values.clone()),
            Some(Value::Object(values)) => SavedValues::ByName(values.clone()),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => SavedValues::None,
        };
        Some(Self {
            id: id(fields.get("id"))?,
            class: text(fields.get("type"))?.to_owned(),
            title: text(fields.get("title")).filter(|title| !title.is_empty()).map(str::to_owned),
            mode: fields.get("mode").and_then(Value::as_i64).unwrap_or(0),
            inputs: list(fields.get("inputs")).iter().map(Slot::read).collect(),
            outputs: list(fields.get("outputs")).iter().map(Output::read).collect(),
            values,
            named_values: object(fields.get("widgets_values_named")).cloned(),
            properties: object(fields.get("properties")).cloned().unwrap_or_default(),
            position: pair(fields.get("pos")),
            size: pair(fields.get("size")),
            set: BTreeMap::new(),
        })
    }

    /// A text among its properties.
    pub fn property(&self, name: &str) -> Option<&str> {
        text(self.properties.get(name))
    }
}

impl Slot {
    fn read(value: &Value) -> Self {
        Self {
            name: text(value.get("name")).unwrap_or_default().to_owned(),
            kind: type_text(value.get("type")),
            link: value.get("link").and_then(Value::as_i64),
            widget: value.get("widget").and_then(|widget| text(widget.get("name"))).map(str::to_owned),
            label: text(value.get("label")).map(str::to_owned),
        }
    }
}

impl Output {
    fn read(value: &Value) -> Self {
        Self { name: text(value.get("name")).unwrap_or_default().to_owned(), kind: type_text(value.get("type")) }
    }
}

/// The name of a type; anything goes where the file has a number, and a list of choices is a combo.
pub(super) fn type_text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(_)) => "COMBO".to_owned(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => "*".to_owned(),
    }
}

/// `[x, y]`, or `{"0": x, "1": y}` as typed arrays are saved.
fn pair(value: Option<&Value>) -> Option<[f64; 2]> {
    let value = value?;
    let at = |place: usize| value.get(place).or_else(|| value.get(place.to_string())).and_then(Value::as_f64);
    Some([at(0)?, at(1)?])
}
