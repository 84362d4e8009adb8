//! Input files of a workflow: which inputs load one, and which file goes where (surface.md 2.7).

use std::cmp::Ordering;

use comfyd_engine::NodeId;

use super::{Graph, WorkflowError, class_of, inputs, shown, title_of};

/// The inputs by which loading nodes name their file.
const FILE_INPUTS: [&str; 4] = ["image", "video", "audio", "file"];

/// Input files as a user assigns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    /// One per loading input, in the order of node ids.
    List(Vec<String>),
    /// By node id or title.
    ByNode(Vec<(String, String)>),
}

/// An input that names a file to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// The node.
    pub node: NodeId,
    /// Its class.
    pub class: String,
    /// Its title, where the workflow has one.
    pub title: Option<String>,
    /// The input.
    pub input: String,
    /// The file that it names now.
    pub current: String,
}

/// A file assigned to an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedImage {
    /// The node.
    pub node: NodeId,
    /// The input.
    pub input: String,
    /// The file as the user named it.
    pub file: String,
}

impl Graph {
    /// The inputs that name a file to load, in the order of node ids: `2` before `10`, numbers before words.
    pub fn image_inputs(&self) -> Vec<ImageInput> {
        let mut found: Vec<ImageInput> = self
            .nodes
            .iter()
            .filter(|(_, node)| class_of(node).contains("Load"))
            .filter_map(|(id, node)| {
                let (input, current) = FILE_INPUTS.iter().find_map(|name| {
                    let (input, value) = inputs(node).find(|(input, _)| input == name)?;
                    Some((input, value.as_str()?))
                })?;
                Some(ImageInput {
                    node: id.as_str().into(),
                    class: shown(class_of(node)),
                    title: title_of(node).map(shown),
                    input: input.clone(),
                    current: shown(current),
                })
            })
            .collect();
        found.sort_by(|a, b| natural(&a.node.0, &b.node.0));
        found
    }

    /// Which file goes into which input.
    ///
    /// # Errors
    /// If the counts differ, or a name fits no loading node, or one node is named twice.
    pub fn assign_images(&self, images: &Images) -> Result<Vec<AssignedImage>, WorkflowError> {
        let loaders = self.image_inputs();
        let assigned = |loader: &ImageInput, file: &str| AssignedImage {
            node: loader.node.clone(),
            input: loader.input.clone(),
            file: file.to_owned(),
        };
        match images {
            Images::List(files) if files.len() != loaders.len() => {
                Err(WorkflowError::ImageCount { given: files.len(), needed: loaders.len(), inputs: listed(&loaders) })
            }
            Images::List(files) => Ok(loaders.iter().zip(files).map(|(loader, file)| assigned(loader, file)).collect()),
            Images::ByNode(pairs) => {
                let mut out: Vec<AssignedImage> = Vec::new();
                for (name, file) in pairs {
                    let node = self.resolve(name)?;
                    let loader =
                        loaders.iter().find(|loader| loader.node.0 == node).ok_or_else(|| WorkflowError::NotALoader {
                            class: shown(self.nodes.get(&node).map(class_of).unwrap_or_default()),
                            node: shown(&node),
                            inputs: listed(&loaders),
                        })?;
                    if out.iter().any(|known| known.node == loader.node) {
                        return Err(WorkflowError::AssignedTwice { node: shown(&node) });
                    }
                    out.push(assigned(loader, file));
                }
                Ok(out)
            }
        }
    }
}

fn listed(loaders: &[ImageInput]) -> String {
    let one = |loader: &ImageInput| format!("{} ({})", loader.node, loader.title.as_ref().unwrap_or(&loader.class));
    loaders.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Ids as people count: numbers by value and first, the rest as texts.
fn natural(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}
