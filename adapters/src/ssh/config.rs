//! What a connection needs to know, and whom it asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::destination::{Destination, Hop};
use super::host_key::HostKey;
use super::secret::Secret;
use crate::env::Rng;

/// What was said of the machines of one instance. Asked anew for every connection.
pub trait Trust: Send + Sync {
    /// The keys that were accepted for this machine.
    fn accepted(&self, hop: &Hop) -> Vec<HostKey>;

    /// The passphrase of the private key, where somebody gave it.
    fn passphrase(&self) -> Option<Secret>;

    /// The password, where somebody gave it.
    fn password(&self) -> Option<Secret>;
}

/// What is used of the machine that comfyd runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Where `~/` leads, and the default keys lie.
    pub home: Option<PathBuf>,
    /// The socket of the agent.
    pub agent: Option<PathBuf>,
    /// Files of known host keys; they are read, never written.
    pub known_hosts: Vec<PathBuf>,
}

impl Surroundings {
    /// A path as somebody wrote it, with `~/` resolved.
    pub fn resolve(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            (Some(_) | None, _) => Path::new(path).to_owned(),
        }
    }
}

/// Everything about a connection.
#[derive(Clone)]
pub struct SshConfig {
    /// Where it goes.
    pub destination: Destination,
    /// The file of the private key, where one was named: then no other is offered.
    pub identity: Option<PathBuf>,
    /// The file of the password, where one was named.
    pub password_file: Option<PathBuf>,
    /// What is used of this machine.
    pub surroundings: Surroundings,
    /// Whom to ask.
    pub trust: Arc<dyn Trust>,
    /// How often the other end is asked whether it is there.
    pub keepalive: std::time::Duration,
    /// Chance, for the waits between two attempts.
    pub rng: Arc<dyn Rng>,
}

/// How often the other end is asked whether it is there (reliability.md 8).
pub const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(15);
