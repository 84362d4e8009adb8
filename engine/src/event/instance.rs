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
    }
}

/// An instance became known, with the `clientId` that is ours there from now on.
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
