//! What a caller gives to start a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use comfyd_engine::{InstanceId, Note, RunId};

use crate::instances::SshWish;

/// A wish to run a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execute {
    /// The workflow.
    pub source: Source,
    /// Where to run it; none for the server's default instance.
    pub target: Option<Target>,
    /// Values to set before it runs: `NODE.INPUT` (id or title) to a value, JSON text or plain text.
    pub inputs: Vec<(String, String)>,
    /// Pictures for the nodes that load some.
    pub images: Images,
    /// The canvas that the graph was made from, to be kept with it; none for what the workflow itself brings.
    pub canvas: Option<String>,
    /// What its user should know of how the graph was made.
    pub notes: Vec<Note>,
    /// Whether it is checked against the classes of its instance.
    pub validation: Validation,
    /// The name shown to people; the file's name without one.
    pub name: Option<String>,
    /// Where copies of the outputs go.
    pub output_dir: Option<PathBuf>,
    /// Larger goes first.
    pub priority: i32,
    /// The run that this one repeats.
    pub retry_of: Option<RunId>,
    /// The caller's key: the same key and body is one run.
    pub idempotency_key: Option<String>,
}

/// Where the workflow comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its JSON text as it came, so that numbers and key order stay.
    Inline {
        /// The text.
        text: String,
        /// The name of the file that it came from, where there was one.
        file: Option<String>,
    },
    /// A file of this machine, under `storage.input_roots`.
    File(PathBuf),
    /// A workflow template, by its name.
    Template(String),
}

/// Whether a run is checked before it is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// What the instance is known to refuse is refused here.
    #[default]
    Before,
    /// It is left to the instance: what that says of its classes may be incomplete.
    ByInstance,
}

/// Where to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An instance that is known.
    Instance(InstanceId),
    /// The address of a ComfyUI: loopback or an allowed host.
    Url(String),
    /// A ComfyUI that is reached over SSH.
    Ssh(SshWish),
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// A file of this machine, under `storage.input_roots`.
    File(PathBuf),
    /// Its bytes.
    Bytes {
        /// The name that the user gave it.
        name: String,
        /// The bytes.
        bytes: Bytes,
    },
}

/// Which picture goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    /// To the loading nodes in order of their ids; the counts must agree. Empty for none.
    InOrder(Vec<Image>),
    /// By node id or title.
    ByNode(BTreeMap<String, Image>),
}

impl Execute {
    /// A wish with everything optional left out.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            target: None,
            inputs: vec![],
            images: Images::InOrder(vec![]),
            canvas: None,
            notes: vec![],
            validation: Validation::Before,
            name: None,
            output_dir: None,
            priority: 0,
            retry_of: None,
            idempotency_key: None,
        }
    }
}
