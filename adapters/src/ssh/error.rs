//! What can go wrong on the way over SSH.

use std::io;

use comfyd_engine::{HostKeyShown, Obstacle};

use super::host_key::HostKey;

/// The key of a machine, and which machine presented it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The machine as `known_hosts` has it: `[198.51.100.7]:40738`.
    pub machine: String,
    /// Its key.
    pub key: HostKey,
}

/// Something on the way over SSH did not go well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// The name leads nowhere.
    #[error("resolve {host}: {why}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
    /// No connection to the SSH port.
    #[error("connect to {to} over SSH: {why}")]
    Connect {
        /// Host and port.
        to: String,
        /// What the system said.
        why: String,
    },
    /// What answers does not speak SSH as it should.
    #[error("begin SSH with {to}: {why}")]
    Handshake {
        /// Host and port.
        to: String,
        /// What went wrong.
        why: String,
    },
    /// Nobody has accepted the machine's key yet.
    #[error("trust {}: its host key {} is not known yet", .0.machine, .0.key)]
    HostKeyUnknown(Box<Presented>),
    /// The machine had other keys.
    #[error("trust {}: its host key changed from {before} to {}", .presented.machine, .presented.key)]
    HostKeyChanged {
        /// What it presents now.
        presented: Box<Presented>,
        /// What it was known by: algorithms and fingerprints.
        before: String,
        /// Who says so: `accepted`, or the path of a file.
        source_of: String,
    },
    /// The key was revoked.
    #[error("trust {}: its host key {} is revoked by {by}", .presented.machine, .presented.key)]
    HostKeyRevoked {
        /// What it presents.
        presented: Box<Presented>,
        /// The file that says so.
        by: String,
    },
    /// A file of known keys cannot be read, so that nothing is sure.
    #[error("read the known host keys in {path}: {why}")]
    KnownHosts {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The machine lets us in with nothing that was offered.
    #[error("log in as {user} at {to}: the machine refused {tried}")]
    Auth {
        /// Who.
        user: String,
        /// Host and port.
        to: String,
        /// What was offered.
        tried: String,
    },
    /// The private key needs its passphrase.
    #[error("use the private key {path}: it is encrypted, and its passphrase is not known")]
    KeyLocked {
        /// The file.
        path: String,
    },
    /// The private key or the password file cannot be used.
    #[error("use {path}: {why}")]
    KeyUnusable {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// Nothing listens on the port at the other end.
    #[error("reach port {port} on the machine: nothing listens there ({why})")]
    PortRefused {
        /// The port.
        port: u16,
        /// What the machine said.
        why: String,
    },
    /// The machine forbids what is needed.
    #[error("open {what} on the machine: it is forbidden there ({why})")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// What the machine said.
        why: String,
    },
    /// The machine could not do it now.
    #[error("open {what} on the machine: {why}")]
    Channel {
        /// What was asked for.
        what: String,
        /// What the machine said.
        why: String,
    },
    /// The connection ended.
    #[error("use the SSH connection: it was lost ({why})")]
    Lost {
        /// What is known of its end.
        why: String,
    },
    /// Nothing came in time.
    #[error("wait for {what}: nothing within {seconds} s")]
    Timeout {
        /// For what.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl SshError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } => "ssh_unreachable",
            Self::Handshake { .. } => "ssh_handshake",
            Self::HostKeyUnknown(_) => "host_key_unknown",
            Self::HostKeyChanged { .. } => "host_key_changed",
            Self::HostKeyRevoked { .. } => "host_key_revoked",
            Self::KnownHosts { .. } => "known_hosts_unreadable",
            Self::Auth { .. } => "auth_failed",
            Self::KeyLocked { .. } => "key_locked",
            Self::KeyUnusable { .. } => "key_unusable",
            Self::PortRefused { .. } => "port_refused",
            Self::Forbidden { .. } => "ssh_forbidden",
            Self::Channel { .. } => "ssh_channel",
            Self::Lost { .. } => "connection_lost",
            Self::Timeout { .. } => "no_answer",
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "Check the spelling of the host.",
            Self::Connect { .. } => "Check that the machine runs, and its SSH port: rentals get a new one with every start.",
            Self::Handshake { .. } => "Check host and port: another program than an SSH server may answer there.",
            Self::HostKeyUnknown(_) => {
                "Compare the fingerprint with what the rental site shows, and accept it: comfyd instances trust NAME."
            }
            Self::HostKeyChanged { .. } => {
                "Another machine may have got this address, or somebody stands between. If you know why it changed, add it as a new instance, or replace the key: comfyd instances trust NAME --replace."
            }
            Self::HostKeyRevoked { .. } => "The key must not be used any more: ask who runs the machine.",
            Self::KnownHosts { .. } => "Repair the file or its permissions; without it nothing is known of the machine for sure.",
            Self::Auth { .. } => {
                "Check the user, and that the machine has the public key. Then test the instance: comfyd instances test NAME."
            }
            Self::KeyLocked { .. } => "Give the passphrase: comfyd instances unlock NAME. Or add the key to the agent: ssh-add.",
            Self::KeyUnusable { .. } => "Give the path of a private key that comfyd may read, in OpenSSH or PEM format.",
            Self::PortRefused { .. } => "Check that ComfyUI runs on the machine, and its port (`comfyui_port`).",
            Self::Forbidden { .. } => {
                "The machine's SSH server must allow it: AllowTcpForwarding yes, and for files Subsystem sftp, in sshd_config."
            }
            Self::Channel { .. } => "comfyd tries again; the machine may allow few sessions (MaxSessions in sshd_config).",
            Self::Lost { .. } | Self::Timeout { .. } => "comfyd connects again by itself.",
        }
    }

    /// What stands in the way until a person acts: trying again before is of no use, or does harm.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let shown = |presented: &Presented| HostKeyShown {
            machine: presented.machine.clone(),
            fingerprint: presented.key.fingerprint().to_owned(),
        };
        match self {
            Self::HostKeyUnknown(presented) => Some(Obstacle::HostKeyUnknown(shown(presented))),
            Self::HostKeyChanged { presented, .. } => Some(Obstacle::HostKeyChanged(shown(presented))),
            Self::HostKeyRevoked { .. } | Self::KnownHosts { .. } => Some(Obstacle::HostKeyRefused),
            Self::Auth { .. } | Self::KeyUnusable { .. } => Some(Obstacle::AuthFailed),
            Self::KeyLocked { .. } => Some(Obstacle::KeyLocked),
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::PortRefused { .. }
            | Self::Forbidden { .. }
            | Self::Channel { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. } => None,
        }
    }

    /// The step of the way that it belongs to.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } | Self::Handshake { .. } | Self::Timeout { .. } => "connect",
            Self::HostKeyUnknown(_) | Self::HostKeyChanged { .. } | Self::HostKeyRevoked { .. } | Self::KnownHosts { .. } => {
                "host_key"
            }
            Self::Auth { .. } | Self::KeyLocked { .. } | Self::KeyUnusable { .. } | Self::Lost { .. } => "auth",
            Self::PortRefused { .. } | Self::Forbidden { .. } | Self::Channel { .. } => "forward",
        }
    }

    /// The key that the machine presented and that can be accepted.
    pub fn presented(&self) -> Option<&Presented> {
        match self {
            Self::HostKeyUnknown(presented) | Self::HostKeyChanged { presented, .. } => Some(presented),
            Self::HostKeyRevoked { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::KnownHosts { .. }
            | Self::Auth { .. }
            | Self::KeyLocked { .. }
            | Self::KeyUnusable { .. }
            | Self::PortRefused { .. }
            | Self::Forbidden { .. }
            | Self::Channel { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. } => None,
        }
    }

    /// The one that an error of a connection was made of.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<SshError> for io::Error {
    fn from(error: SshError) -> Self {
        let kind = match &error {
            // Only this one says that no process listens on ComfyUI's port.
            SshError::PortRefused { .. } => io::ErrorKind::ConnectionRefused,
            SshError::Timeout { .. } => io::ErrorKind::TimedOut,
            SshError::Lost { .. } => io::ErrorKind::ConnectionReset,
            SshError::Resolve { .. } | SshError::Connect { .. } | SshError::Handshake { .. } | SshError::Channel { .. } => {
                io::ErrorKind::NotConnected
            }
            SshError::HostKeyUnknown(_)
            | SshError::HostKeyChanged { .. }
            | SshError::HostKeyRevoked { .. }
            | SshError::KnownHosts { .. }
            | SshError::Auth { .. }
            | SshError::KeyLocked { .. }
            | SshError::KeyUnusable { .. }
            | SshError::Forbidden { .. } => io::ErrorKind::PermissionDenied,
        };
        Self::new(kind, error)
    }
}
