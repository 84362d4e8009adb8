//! A template as lists show it, and its content.

use std::path::PathBuf;

use comfyd_adapters::workflow::Graph;

use super::describe::{humanised, summary_of, title_of};
use super::form::{Kind, derive};
use super::scan::Stamps;
use crate::problem::Problem;

/// Where a template comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built into the program.
    Builtin,
    /// One of the user's folders.
    User,
}

impl Origin {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::User => "user",
        }
    }
}

/// Where the files of a template are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the program.
    Builtin,
    /// `NAME/` below a folder.
    Folder { root: PathBuf, folder: String },
    /// `NAME.json` below a folder.
    File { root: PathBuf, file: String },
}

/// A model file that a template names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededModel {
    /// The file, as the input names it.
    pub file: String,
    /// The folder of `ComfyUI`'s models that such files lie in, where the input tells.
    pub folder: Option<&'static str>,
    /// The node that loads it.
    pub node_id: String,
    /// The input that names it.
    pub input: String,
}

/// A template as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The first lines of its description.
    pub summary: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// How many nodes it has; 0 if it cannot be used.
    pub node_count: usize,
    /// The models that it names.
    pub needs_models: Vec<NeededModel>,
    /// Whether it has a preview picture.
    pub has_preview: bool,
    /// Why it cannot be used.
    pub error: Option<Problem>,
    pub(super) place: Place,
    pub(super) stamps: Stamps,
}

/// What a template holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The graph, as the file has it.
    pub text: String,
    /// The graph, read.
    pub graph: Graph,
    /// The description, in Markdown.
    pub description: Option<String>,
}

impl Template {
    /// One that can be used.
    pub(super) fn usable(name: &str, origin: Origin, place: Place, content: &Content) -> Self {
        let description = content.description.as_deref();
        Self {
            name: name.to_owned(),
            title: description.and_then(title_of).unwrap_or_else(|| humanised(name)),
            summary: description.and_then(summary_of),
            origin,
            node_count: content.graph.nodes().count(),
            needs_models: needed(&content.graph),
            has_preview: false,
            error: None,
            place,
            stamps: Stamps::default(),
        }
    }

    /// One that cannot.
    pub(super) fn broken(name: &str, place: Place, error: Problem) -> Self {
        Self {
            name: name.to_owned(),
            title: humanised(name),
            summary: None,
            origin: Origin::User,
            node_count: 0,
            needs_models: vec![],
            has_preview: false,
            error: Some(error),
            place,
            stamps: Stamps::default(),
        }
    }

    /// What a run of it says as its `workflow_file`.
    pub fn file(&self) -> String {
        match &self.place {
            Place::Builtin => format!("resources/workflows/{}/workflow.json", self.name),
            Place::Folder { root, folder } => root.join(folder).join("workflow.json").display().to_string(),
            Place::File { root, file } => root.join(file).display().to_string(),
        }
    }
}

fn needed(graph: &Graph) -> Vec<NeededModel> {
    let fields = derive(graph, None);
    let models = fields.into_iter().filter(|field| field.kind == Kind::Model);
    models
        .filter_map(|field| {
            let file = field.default.as_str().filter(|file| !file.is_empty())?.to_owned();
            Some(NeededModel {
                file,
                folder: super::form::model_folder(&field.node_type, &field.input),
                node_id: field.node_id,
                input: field.input,
            })
        })
        .collect()
}
