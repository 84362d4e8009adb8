//! The way to machines that are reached over SSH.
//!
//! Invariants: no port is opened on this machine and no program is started; no key of a machine is trusted that somebody did not accept; secrets are
//! types that cannot be shown.
//! Absent: which instances there are and what was accepted for them; that is asked for through a port.

mod destination;
mod host_key;
mod known;
mod secret;

pub use destination::{Destination, DestinationError, Hop, Parsed, SSH_PORT};
pub use host_key::{BadHostKey, HostKey};
pub use known::{KnownHosts, MAX_KNOWN_HOSTS, Source, Verdict, judge};
pub use secret::Secret;
