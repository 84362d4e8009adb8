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
        /// Somebody accepted the key of a machine on the way there.
        HostKeyTrusted = "host_key_trusted", 1, Ack;
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
    /// Which process it is, where the way there tells: another one remembers nothing of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

/// The instance does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDown {
    /// What was tried and what came of it.
    pub why: String,
    /// What stands in the way until a person acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
}

/// What stands in the way to an instance until a person acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// Nobody has accepted the key that the machine presents.
    HostKeyUnknown(HostKeyShown),
    /// The machine presents another key than the one that it is known by.
    HostKeyChanged(HostKeyShown),
    /// The machine's key is not to be trusted: it was revoked, or what is known of it cannot be read.
    HostKeyRefused,
    /// The machine does not let us in.
    AuthFailed,
    /// The private key needs its passphrase.
    KeyLocked,
}

/// A key that a machine presents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKeyShown {
    /// The machine: its host, or `[host]:port`.
    pub machine: String,
    /// The fingerprint: `SHA256:` and 43 characters.
    pub fingerprint: String,
}

/// Somebody accepted the key of a machine on the way there, instead of those that were accepted before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKeyTrusted {
    /// The machine: its host, or `[host]:port`.
    pub machine: String,
    /// The algorithm of the key, such as `ssh-ed25519`.
    pub algorithm: String,
    /// The public key, in base64.
    pub key: String,
    /// Its fingerprint: `SHA256:` and 43 characters.
    pub fingerprint: String,
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
    /// Over SSH, to a port of the machine itself.
    Ssh(SshConnection),
}

/// The way to an instance over SSH. No secret is in it: keys and passwords are named by their files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshConnection {
    /// What tells it from others: machine, user, way and port of `ComfyUI`, as an URL of `ssh:`.
    pub url: String,
    /// Machine, user and way as a command: `ssh -p 40738 root@198.51.100.7`.
    pub command: String,
    /// `ComfyUI`'s port on the machine.
    pub comfyui_port: u16,
    /// The file of the private key, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The file of the password, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// `ComfyUI`'s output folder on the machine, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_dir: Option<String>,
}

impl Connection {
    /// The address that is spoken to.
    pub fn url(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Ssh(ssh) => &ssh.url,
        }
    }

    /// The way over SSH, if that is it.
    pub fn ssh(&self) -> Option<&SshConnection> {
        match self {
            Self::Url(_) => None,
            Self::Ssh(ssh) => Some(ssh),
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
