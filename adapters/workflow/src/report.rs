//! What is wrong with a workflow, and what was put right in one.

use std::fmt;

/// Why a canvas file cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It has not the shape of a canvas file.
    NotACanvas,
    /// The instance has no such class of nodes.
    UnknownClass,
    /// The value is made by the page: a drawing, a recording, a camera.
    NeedsBrowser,
    /// A subgraph holds itself, or links go round without a node.
    Circle,
    /// A link leads to a node that is not there.
    BrokenLink,
    /// A node that takes its value by name finds none of that name.
    UnknownName,
    /// It is larger than a workflow can sensibly be.
    TooLarge,
}

impl Reason {
    /// A stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotACanvas => "not_a_canvas",
            Self::UnknownClass => "unknown_class",
            Self::NeedsBrowser => "needs_browser",
            Self::Circle => "circle",
            Self::BrokenLink => "broken_link",
            Self::UnknownName => "unknown_name",
            Self::TooLarge => "too_large",
        }
    }
}

/// One reason why a canvas file cannot be converted, with the node and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The node by its path in the file, `5:21` for node 21 of the subgraph behind node 5; none where the file itself is meant.
    pub node: Option<String>,
    /// Its class.
    pub class: Option<String>,
    /// What kind of problem it is.
    pub reason: Reason,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, &self.class) {
            (Some(node), Some(class)) => write!(f, "node {node} ({class}): {}", self.message),
            (Some(node), None) => write!(f, "node {node}: {}", self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

/// Something that was put right, or that may not be what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The node by its path in the file, where one is meant.
    pub node: Option<String>,
    /// A stable name.
    pub code: &'static str,
    /// What was found and done.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node {node}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The advice that always works where the page is needed.
pub(crate) const EXPORT: &str = "Open the workflow in ComfyUI and use \"Export (API)\" in its menu.";
