//! Removing what a run uploaded, once it is over.

use serde::{Deserialize, Serialize};

use crate::id::Sha256;
use crate::time::Timestamp;

/// The intent of removing: what no other open run of ours uses, and only if it is still what was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsRemovalIntended {
    /// The files.
    pub files: Vec<InputFile>,
}

/// A file that was uploaded to an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputFile {
    /// Its name below the instance's input folder.
    pub name: String,
    /// The hash of what was uploaded.
    pub blob: Sha256,
}

/// The files could not be removed this time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsRemovalDelayed {
    /// What went wrong.
    pub why: String,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// Nothing more is done about what the run uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsRemoved {
    /// The names of the files that were removed.
    pub removed: Vec<String>,
    /// Those that were not.
    #[serde(default)]
    pub left: Vec<InputLeft>,
}

/// A file that was not removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputLeft {
    /// Its name.
    pub name: String,
    /// Why it was left.
    pub why: String,
}
