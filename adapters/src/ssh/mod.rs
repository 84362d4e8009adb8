//! The way to machines that are reached over SSH.
//!
//! Invariants: no port is opened on this machine and no program is started; no key of a machine is trusted that somebody did not accept; secrets are
//! types that cannot be shown.
//! Absent: which instances there are and what was accepted for them; that is asked of a [`Trust`].

mod auth;
mod closing;
mod config;
mod destination;
mod dial;
mod doubt;
mod error;
mod exec;
mod files;
mod host_key;
mod known;
mod pace;
mod pipe;
mod probe;
mod secret;
mod session;
mod way;

pub use config::{KEEPALIVE, SshConfig, Surroundings, Trust};
pub use destination::{Destination, DestinationError, Hop, Parsed, SSH_PORT};
pub use error::{Presented, SshError};
pub use exec::{Answer, COMMAND_LIMIT, Ended, MAX_OUTPUT, Said, quoted};
pub use files::{FileError, RemoteReader, RemoteStat};
pub use host_key::{BadHostKey, HostKey};
pub use known::{KnownHosts, MAX_KNOWN_HOSTS, Source, Verdict, judge};
pub use pipe::Pipe;
pub use probe::Told;
pub use secret::Secret;
pub use session::Session;
pub use way::{SshTransport, SshWay};
