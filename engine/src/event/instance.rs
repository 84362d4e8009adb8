//! The facts of an instance's stream.

use serde::{Deserialize, Serialize};

use super::macros::events;
use crate::id::ClientId;

events! {
    /// A fact about an instance.
    InstanceEvent {
        /// It became known.
        InstanceAdded = "instance_added", 1, Ack;
        /// It answers.
        InstanceUp = "instance_up", 1, Note;
        /// It does not answer.
        InstanceDown = "instance_down", 1, Note;
        /// It was restarted: its queue and history are gone.
        InstanceRestarted = "instance_restarted", 1, Ack;
        /// Somebody said how it is reached and what it is called.
        InstanceConfigured = "instance_configured", 1, Ack;
        /// It is no longer to be used.
        InstanceRemoved = "instance_removed", 1, Ack;
        /// The way there was let go, as no run needs it.
        InstanceLetGo = "instance_let_go", 1, Note;
    }
}

/// An instance became known by a run that named its address, with the `clientId` that is ours there from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceAdded {
    /// The `clientId` of our socket.
    pub client: ClientId,
    /// Its address, as a URL.
    pub url: String,
}

/// The instance answers and our socket is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceUp {
    /// `comfyui_version` of `/system_stats`, where it tells.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether frames can be expected: our socket is open and answered.
    pub live: bool,
}

/// The instance does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDown {
    /// What was tried and what came of it.
    pub why: String,
}

/// The instance's process is another one than before; its memory is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRestarted {
    /// What showed it: a refused port, a finished prompt that is gone from history.
    pub evidence: String,
}

/// Somebody said how the instance is reached and what it is called; the newest such fact holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceConfigured {
    /// The `clientId` of our socket; the one of before if it was known.
    pub client: ClientId,
    /// How it is reached and what it is called.
    pub setup: InstanceSetup,
}

/// The instance is no longer to be used; its runs stay in history, and who we are there is kept for its return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRemoved {}

/// The way to the instance was let go, as no run needed it for a while: nothing is known of it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceLetGo {}

/// How an instance is reached and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSetup {
    /// The way there.
    pub connection: Connection,
    /// What people call it, where that is not its name.
    #[serde(default)]
    pub label: Option<String>,
    /// Who says so.
    pub source: InstanceSource,
    /// Whether runs that name no instance go there.
    #[serde(default)]
    pub default: bool,
}

/// The way to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// Straight to its address.
    Url(String),
}

impl Connection {
    /// The address that is spoken to.
    pub fn url(&self) -> &str {
        match self {
            Self::Url(url) => url,
        }
    }
}

/// Who made an instance known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceSource {
    /// A run that named its address.
    Adhoc,
    /// A person or a program, by the API or the command line.
    Api,
    /// The configuration file; only the file changes it.
    Config,
}

impl InstanceSource {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adhoc => "adhoc",
            Self::Api => "api",
            Self::Config => "config",
        }
    }
}
