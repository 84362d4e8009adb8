//! The classes of nodes that an instance has, as `/object_info` describes them.
//!
//! Invariants: reading never fails on a part: what is not understood is kept as JSON and means nothing; the order of inputs is the one in
//! which ComfyUI's page lays them out.

mod input;

use serde_json::{Map, Value};

pub use input::{Input, Kind};

use crate::json::{list, object, text};

/// All classes of an instance.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    by_name: Map<String, Value>,
}

/// The text is no answer of `/object_info`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassesError {
    /// It is not JSON.
    #[error("the list of classes is not JSON: {0}")]
    NotJson(String),
    /// It is not an object of classes.
    #[error("the list of classes is not an object with a class for each name")]
    NotAnObject,
}

impl Classes {
    /// Reads an answer of `/object_info`.
    ///
    /// ```
    /// use comfyd_workflow::Classes;
    /// let classes = Classes::parse(r#"{"Note2": {"input": {"required": {"text": ["STRING", {}]}}, "output": []}}"#)?;
    /// assert_eq!(classes.class("Note2").map(|class| class.inputs().len()), Some(1));
    /// # Ok::<(), comfyd_workflow::classes::ClassesError>(())
    /// ```
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn parse(text: &str) -> Result<Self, ClassesError> {
        let value: Value = serde_json::from_str(text).map_err(|error| ClassesError::NotJson(error.to_string()))?;
        Self::from_value(value)
    }

    /// Takes an answer of `/object_info` that is parsed already.
    ///
    /// # Errors
    /// If it is no object.
    pub fn from_value(value: Value) -> Result<Self, ClassesError> {
        let Value::Object(by_name) = value else { return Err(ClassesError::NotAnObject) };
        Ok(Self { by_name })
    }

    /// The class of this name.
    pub fn class(&self, name: &str) -> Option<Class<'_>> {
        let (name, value) = self.by_name.get_key_value(name)?;
        value.as_object().map(|fields| Class { name, fields })
    }

    /// The names of all classes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The two groups of inputs that people set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Those that a node must have.
    Required,
    /// Those that it may have.
    Optional,
}

impl Group {
    /// Its key in `/object_info`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

/// One class of nodes.
#[derive(Clone, Copy, Debug)]
pub struct Class<'a> {
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Class<'a> {
    /// Its name, which is the `class_type` of its nodes.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// What nodes of it are called unless they have a title of their own.
    pub fn title(&self) -> &'a str {
        let shown = text(self.fields.get("display_name")).filter(|title| !title.is_empty());
        shown.or_else(|| text(self.fields.get("name")).filter(|title| !title.is_empty())).unwrap_or(self.name)
    }

    /// Whether its nodes are where a workflow ends.
    pub fn is_output(&self) -> bool {
        self.fields.get("output_node").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether it comes with ComfyUI, so that its validation is known.
    pub fn is_core(&self) -> bool {
        let module = text(self.fields.get("python_module")).unwrap_or_default();
        module == "nodes" || module.starts_with("comfy_extras.") || module.starts_with("comfy_api_nodes.")
    }

    /// The types of its outputs; a list of choices is `COMBO`.
    pub fn outputs(&self) -> Vec<&'a str> {
        list(self.fields.get("output")).iter().map(|kind| kind.as_str().unwrap_or("COMBO")).collect()
    }

    /// The name of the type that an output takes over from the inputs of the same template.
    pub fn output_template(&self, slot: usize) -> Option<&'a str> {
        text(list(self.fields.get("output_matchtypes")).get(slot))
    }

    /// The inputs as written: the required ones, then the optional ones.
    pub fn inputs(&self) -> Vec<Input<'a>> {
        let Some(groups) = object(self.fields.get("input")) else { return Vec::new() };
        let of = |group: Group| {
            let fields = object(groups.get(group.name()));
            fields.into_iter().flatten().map(move |(name, spec)| Input::read(name, spec, group))
        };
        of(Group::Required).chain(of(Group::Optional)).collect()
    }

    /// An input as `/object_info` writes it.
    pub(crate) fn spec(&self, input: &Input<'_>) -> Option<&'a Value> {
        object(self.fields.get("input"))?.get(input.group.name())?.get(&*input.name)
    }

    /// The names in `input_order`, if the class says an order.
    pub fn order(&self, group: Group) -> Option<Vec<&'a str>> {
        let order = object(self.fields.get("input_order"))?;
        let names = list(order.get(group.name()));
        Some(names.iter().filter_map(Value::as_str).collect())
    }
}
