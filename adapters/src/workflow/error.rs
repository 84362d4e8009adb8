//! What can be wrong with a workflow, or with a change to one.

use super::limits::{MAX_BYTES, MAX_DEPTH, MAX_NODE_ID, MAX_NODES};

/// A text is no workflow that can be run, or a change does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowError {
    /// It is too long.
    #[error("the workflow has {bytes} bytes; the limit is {MAX_BYTES}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It is nested too deeply.
    #[error("the workflow is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It is no JSON.
    #[error("the workflow is not JSON: {reason} at line {line}, column {column}")]
    NotJson {
        /// What the parser says.
        reason: String,
        /// 1 for the first.
        line: usize,
        /// 1 for the first.
        column: usize,
    },
    /// It is JSON, but no object.
    #[error("the workflow is {found} and not an object of nodes")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// It is what the canvas saves.
    #[error("this is a canvas file, not a workflow in API format")]
    CanvasFormat,
    /// It is empty.
    #[error("the workflow has no nodes")]
    NoNodes,
    /// It has too many nodes.
    #[error("the workflow has {nodes} nodes; the limit is {MAX_NODES}")]
    TooManyNodes {
        /// How many.
        nodes: usize,
    },
    /// The key of an entry is too long.
    #[error("the id of node {node} has {bytes} bytes; the limit is {MAX_NODE_ID}")]
    LongNodeId {
        /// Its beginning.
        node: String,
        /// How long it is.
        bytes: usize,
    },
    /// An entry has no class.
    #[error("node {node} has no class_type")]
    NoClass {
        /// Its key.
        node: String,
    },
    /// A link leads nowhere.
    #[error("input `{input}` of node {node} is linked to node {to}, which is not in the workflow")]
    BrokenLink {
        /// The node with the link.
        node: String,
        /// Its input.
        input: String,
        /// The node that is missing.
        to: String,
    },
    /// No node has this id or title.
    #[error("no node has the id or title `{name}`")]
    UnknownNode {
        /// What was asked for.
        name: String,
        /// What it is most like.
        nearest: Option<String>,
    },
    /// Several nodes have this title.
    #[error("several nodes have the title `{title}`: {ids}")]
    AmbiguousTitle {
        /// The title.
        title: String,
        /// Their ids.
        ids: String,
    },
    /// The node has no such input.
    #[error("node {node} ({class}) has no input `{input}`")]
    UnknownInput {
        /// The node.
        node: String,
        /// Its class.
        class: String,
        /// What was asked for.
        input: String,
        /// What it is most like.
        nearest: Option<String>,
        /// All of its inputs.
        known: String,
    },
    /// The list of images does not fit.
    #[error("{given} images are given, but {needed} inputs of the workflow load one")]
    ImageCount {
        /// How many were given.
        given: usize,
        /// How many inputs load one.
        needed: usize,
        /// Those inputs.
        inputs: String,
    },
    /// The node loads no file.
    #[error("node {node} ({class}) loads no file")]
    NotALoader {
        /// The node.
        node: String,
        /// Its class.
        class: String,
        /// The inputs that do.
        inputs: String,
    },
    /// Two files are given for one node.
    #[error("two files are given for node {node}")]
    AssignedTwice {
        /// The node.
        node: String,
    },
}

impl WorkflowError {
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self::NotJson { reason, line: error.line(), column: error.column() }
    }

    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "workflow_too_large",
            Self::TooDeep => "workflow_too_deep",
            Self::NotJson { .. } => "workflow_not_json",
            Self::NotAnObject { .. } => "workflow_not_an_object",
            Self::CanvasFormat => "workflow_canvas_format",
            Self::NoNodes => "workflow_empty",
            Self::TooManyNodes { .. } => "workflow_too_many_nodes",
            Self::LongNodeId { .. } => "workflow_long_node_id",
            Self::NoClass { .. } => "workflow_no_class",
            Self::BrokenLink { .. } => "workflow_broken_link",
            Self::UnknownNode { .. } => "unknown_node",
            Self::AmbiguousTitle { .. } => "ambiguous_title",
            Self::UnknownInput { .. } => "unknown_input",
            Self::ImageCount { .. } => "image_count",
            Self::NotALoader { .. } => "not_a_loader",
            Self::AssignedTwice { .. } => "image_assigned_twice",
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        const EXPORT: &str = "Use \"Export (API)\" in ComfyUI's menu to write the file.";
        match self {
            Self::TooLarge { .. } | Self::TooDeep | Self::TooManyNodes { .. } => {
                "Split the workflow, or keep large data in files that its nodes load.".to_owned()
            }
            Self::LongNodeId { .. } => "Give the node a shorter id, here and in the links to it.".to_owned(),
            Self::CanvasFormat => {
                "Export it with \"Export (API)\" in ComfyUI's menu; \"Save\" and \"Export\" write the canvas, which only the page can run."
                    .to_owned()
            }
            Self::NotJson { .. } | Self::NotAnObject { .. } | Self::NoNodes | Self::NoClass { .. } | Self::BrokenLink { .. } => {
                EXPORT.to_owned()
            }
            Self::UnknownNode { nearest, .. } => match nearest {
                Some(nearest) => format!("Did you mean `{nearest}`? Node ids are the keys of the workflow file."),
                None => "Node ids are the keys of the workflow file; titles stand in its _meta fields.".to_owned(),
            },
            Self::AmbiguousTitle { .. } => "Name the node by its id.".to_owned(),
            Self::UnknownInput { nearest, known, .. } => match nearest {
                Some(nearest) => format!("Did you mean `{nearest}`? Its inputs: {known}."),
                None if known.is_empty() => "It has no inputs.".to_owned(),
                None => format!("Its inputs: {known}."),
            },
            Self::ImageCount { inputs, .. } | Self::NotALoader { inputs, .. } if inputs.is_empty() => {
                "No node of the workflow loads a file.".to_owned()
            }
            Self::ImageCount { inputs, .. } => {
                format!("Give one file for each, in this order, or name the nodes: {inputs}.")
            }
            Self::NotALoader { inputs, .. } => format!("These do: {inputs}."),
            Self::AssignedTwice { .. } => "Give one file per node; an id and a title may name the same node.".to_owned(),
        }
    }
}
