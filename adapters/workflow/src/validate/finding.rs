//! One thing that is wrong with a graph.

use std::fmt;

use serde_json::Value;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The instance has no such class.
    UnknownClass,
    /// The entry names no class.
    NoClass,
    /// No node of the graph is one at which workflows end.
    NoOutputs,
    /// The entry has no inputs.
    NoInputs,
    /// An input is neither set nor linked.
    RequiredInputMissing,
    /// The value is no number where one is needed.
    InvalidInputType,
    /// The number is too small.
    ValueSmallerThanMin,
    /// The number is too large.
    ValueBiggerThanMax,
    /// The value is none of the choices.
    ValueNotInList,
    /// The file is not among those that the instance lists; it looks for it itself.
    FileNotListed,
    /// The output that is linked gives something else.
    ReturnTypeMismatch,
    /// A list that is no link.
    BadLinkedInput,
    /// A link to a node that is not there.
    MissingNode,
    /// A link to an output that the node does not have.
    MissingOutput,
    /// The node waits for itself.
    Circle,
}

impl Kind {
    /// A stable name: that of ComfyUI where it has one for this.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownClass => "unknown_class",
            Self::NoClass => "no_class",
            Self::NoOutputs => "prompt_no_outputs",
            Self::NoInputs => "no_inputs",
            Self::RequiredInputMissing => "required_input_missing",
            Self::InvalidInputType => "invalid_input_type",
            Self::ValueSmallerThanMin => "value_smaller_than_min",
            Self::ValueBiggerThanMax => "value_bigger_than_max",
            Self::ValueNotInList => "value_not_in_list",
            Self::FileNotListed => "file_not_listed",
            Self::ReturnTypeMismatch => "return_type_mismatch",
            Self::BadLinkedInput => "bad_linked_input",
            Self::MissingNode => "missing_node",
            Self::MissingOutput => "missing_output",
            Self::Circle => "circle",
        }
    }

    /// Whether a value is none of a list, so that others of it may be meant.
    pub(super) fn is_of_a_list(self) -> bool {
        matches!(self, Self::ValueNotInList | Self::FileNotListed)
    }

    /// Whether ComfyUI refuses the whole graph for it, not only what depends on the node.
    pub fn refuses_all(self) -> bool {
        match self {
            Self::UnknownClass | Self::NoClass | Self::NoOutputs => true,
            Self::NoInputs
            | Self::RequiredInputMissing
            | Self::InvalidInputType
            | Self::ValueSmallerThanMin
            | Self::ValueBiggerThanMax
            | Self::ValueNotInList
            | Self::FileNotListed
            | Self::ReturnTypeMismatch
            | Self::BadLinkedInput
            | Self::MissingNode
            | Self::MissingOutput
            | Self::Circle => false,
        }
    }
}

/// One thing that is wrong with a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The node; none where the graph as a whole is meant.
    pub node: Option<String>,
    /// Its class.
    pub class: Option<String>,
    /// What is wrong.
    pub kind: Kind,
    /// The input.
    pub input: Option<String>,
    /// What it holds.
    pub value: Option<Value>,
    /// What it may hold.
    pub allowed: Option<String>,
    /// What is most like it, the nearest first.
    pub nearest: Vec<String>,
    /// The type that a linked output gives.
    pub given: Option<String>,
    /// Whether ComfyUI is sure to find the same; else the node or its pack has the last word.
    pub certain: bool,
}

/// A list of choices is written out up to this length.
pub(super) const MAX_SHOWN: usize = 300;

impl Finding {
    pub(super) fn of_graph(kind: Kind) -> Self {
        Self {
            node: None,
            class: None,
            kind,
            input: None,
            value: None,
            allowed: None,
            nearest: Vec::new(),
            given: None,
            certain: true,
        }
    }

    pub(super) fn of_node(node: &str, class: Option<&str>, kind: Kind) -> Self {
        Self { node: Some(node.to_owned()), class: class.map(str::to_owned), ..Self::of_graph(kind) }
    }

    pub(super) fn with_input(mut self, name: &str) -> Self {
        self.input = Some(name.to_owned());
        self
    }

    pub(super) fn with_value(mut self, value: Value) -> Self {
        self.value = Some(value);
        self
    }

    pub(super) fn with_allowed(mut self, allowed: Option<String>) -> Self {
        self.allowed = allowed.map(|text| shortened(&text));
        self
    }

    pub(super) fn with_given(mut self, kind: &str) -> Self {
        self.given = Some(kind.to_owned());
        self
    }

    pub(super) fn likely(mut self) -> Self {
        self.certain = false;
        self
    }

    /// Adds the names that are most like what was meant.
    pub(super) fn with_nearest(mut self, nearest: Vec<String>) -> Self {
        self.nearest = nearest;
        self
    }

    /// What is wrong, for people.
    pub fn message(&self) -> String {
        let value = self.value.as_ref().map(|value| shortened(&value.to_string())).unwrap_or_default();
        let allowed = self.allowed.as_deref().unwrap_or_default();
        let input = self.input.as_deref().unwrap_or_default();
        match self.kind {
            Kind::UnknownClass => format!("the instance has no class `{}`", self.class.as_deref().unwrap_or_default()),
            Kind::NoClass => "it has no class_type".to_owned(),
            Kind::NoOutputs => "no node of the workflow gives an output".to_owned(),
            Kind::NoInputs => "it has no inputs, not even an empty list of them".to_owned(),
            Kind::RequiredInputMissing => format!("`{input}` is neither set nor linked"),
            Kind::InvalidInputType => format!("`{input}` is {value} and not {allowed}"),
            Kind::ValueSmallerThanMin | Kind::ValueBiggerThanMax => format!("`{input}` is {value}; {allowed}"),
            Kind::ValueNotInList if allowed.is_empty() => {
                format!("`{input}` is {value}, but the instance has nothing to choose there")
            }
            Kind::ValueNotInList => format!("`{input}` is {value}, which is none of: {allowed}"),
            Kind::FileNotListed => format!("`{input}` names {value}, which the instance does not list"),
            Kind::ReturnTypeMismatch => {
                format!("`{input}` takes {allowed}, but is linked to an output of type {}", self.given.as_deref().unwrap_or("?"))
            }
            Kind::BadLinkedInput => format!("`{input}` is {value}, which is no link: a node and the number of its output"),
            Kind::MissingNode => format!("`{input}` is linked to {value}, but the workflow has no such node"),
            Kind::MissingOutput => format!("`{input}` is linked to {value}, but {allowed}"),
            Kind::Circle => "it waits for its own result".to_owned(),
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        if let Some(nearest) = self.nearest.first() {
            return format!("Did you mean `{nearest}`?");
        }
        match self.kind {
            Kind::UnknownClass => "Install the nodes that bring it and restart ComfyUI.",
            Kind::NoClass | Kind::NoInputs | Kind::BadLinkedInput => {
                "Export the workflow again with \"Export (API)\" in ComfyUI's menu."
            }
            Kind::NoOutputs => "Add a node that saves or previews something.",
            Kind::RequiredInputMissing => "Set it, or link an output to it.",
            Kind::InvalidInputType | Kind::ValueSmallerThanMin | Kind::ValueBiggerThanMax => "Set another value.",
            Kind::ValueNotInList => "Choose one of them, or put the missing model where the instance looks for it.",
            Kind::FileNotListed => "Upload the file, or give it with the run.",
            Kind::ReturnTypeMismatch | Kind::MissingNode | Kind::MissingOutput => {
                "Link it to an output that gives what it takes."
            }
            Kind::Circle => "Take one of the links of the circle away.",
        }
        .to_owned()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, &self.class) {
            (Some(node), Some(class)) => write!(f, "node {node} ({class}): {}", self.message()),
            (Some(node), None) => write!(f, "node {node}: {}", self.message()),
            (None, _) => f.write_str(&self.message()),
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    text.chars().take(MAX_SHOWN).chain("...".chars()).collect()
}
