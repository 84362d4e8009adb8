//! What nodes make: files and texts.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, Sha256};

/// Something that a node reported in its ui data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Produced {
    /// A file on the instance.
    File(RemoteFile),
    /// A text.
    Text {
        /// The key under which the node reported it.
        key: String,
        /// The text, at most 64 KiB.
        text: String,
    },
}

/// A file on the instance as `/view` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RemoteFile {
    /// The key under which the node reported it: `images`, `gifs`, `audio`, `3d` ...
    pub key: String,
    /// The name: a label, never used as a local path.
    pub filename: String,
    /// The folder below the type's folder; may be empty.
    #[serde(default)]
    pub subfolder: String,
    /// `output`, `temp` or `input`.
    pub folder: String,
}

/// An output of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its number in the run: 1 for the first.
    pub n: u32,
    /// The node that reported it; an inner id where a node expanded.
    pub node: NodeId,
    /// What it is.
    pub produced: Produced,
}

/// A file that is stored here: complete, hashed and synced under its final name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFile {
    /// The name in the run's `outputs` folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// The media type that its first bytes tell.
    #[serde(default)]
    pub media_type: Option<String>,
    /// Where a copy was put, as the user wanted.
    #[serde(default)]
    pub copied_to: Option<String>,
    /// Why there is no copy.
    #[serde(default)]
    pub copy_problem: Option<String>,
}
