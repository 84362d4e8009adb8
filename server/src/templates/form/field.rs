//! A field of a form.

use serde::Serialize;
use serde_json::Value;

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What the result shows.
    Prompt,
    /// What it must not show.
    NegativePrompt,
    /// A picture to load.
    Image,
    /// A video to load.
    Video,
    /// A sound to load.
    Audio,
    /// A width or a height in pixels.
    Size,
    /// What chance begins with.
    Seed,
    /// How many steps are sampled.
    Steps,
    /// How strongly the prompt guides.
    Cfg,
    /// The sampling method.
    Sampler,
    /// How noise goes down over the steps.
    Scheduler,
    /// A model file.
    Model,
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// On or off.
    Boolean,
    /// One of several.
    Choice,
}

/// A value of a workflow that can be changed.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Field {
    /// `NODE.INPUT`: what `inputs` and `--set` take.
    pub id: String,
    /// The node.
    pub node_id: String,
    /// The node's title, or its class.
    pub node_title: String,
    /// The node's class.
    pub node_type: String,
    /// The input.
    pub input: String,
    /// What it is for.
    pub kind: Kind,
    /// What to call it.
    pub label: String,
    /// The value that the workflow has; whole numbers beyond 2^53 as texts.
    pub default: Value,
    /// The least value, where an instance told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// The greatest value, where an instance told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// The distance of values, where an instance told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Value>,
    /// The values to choose from, where an instance told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<Value>>,
    /// Whether the text may have several lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<bool>,
    /// What the node's author says about it, where an instance told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tooltip: Option<String>,
    /// Whether the node cannot do without it.
    pub required: bool,
    /// Whether most people leave it alone.
    pub advanced: bool,
    /// What it belongs with: `prompt`, `media`, `size`, `sampling`, `model`, `options`, or `node:ID`.
    pub group: String,
}
