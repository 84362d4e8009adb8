//! What is wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::load::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where it was said.
    pub origin: Origin,
    /// The key, with its sections.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`: {}. {}", self.origin, self.key, self.message, self.hint)
    }
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("read {path}: it is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is no YAML.
    #[error("read {origin} as YAML: {why}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// Why.
        why: String,
    },
    /// Keys or values are wrong.
    #[error("{}", lines(.0))]
    Wrong(Vec<Complaint>),
}

impl ConfigError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "Check the path and its permissions.",
            Self::TooLarge { .. } => "Name a comfyd.yaml; `comfyd config default` prints one.",
            Self::Syntax { .. } => "Correct the line; `comfyd config default` prints a file that is right.",
            Self::Wrong(_) => "`comfyd config default` prints every key with its meaning.",
        }
    }

    /// Every single thing that is wrong; empty if the file could not be read at all.
    pub fn complaints(&self) -> &[Complaint] {
        match self {
            Self::Wrong(complaints) => complaints,
            Self::Read { .. } | Self::TooLarge { .. } | Self::Syntax { .. } => &[],
        }
    }
}

fn lines(complaints: &[Complaint]) -> String {
    complaints.iter().map(Complaint::to_string).collect::<Vec<_>>().join("\n")
}
