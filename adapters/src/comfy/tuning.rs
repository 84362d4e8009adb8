//! The rhythms and patience of everything that speaks to a ComfyUI.

use std::time::Duration;

use crate::ssh::KEEPALIVE;

/// May change at any time; what is under way takes it up with its next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// The rhythm of polling while runs are watched.
    pub poll: Duration,
    /// After so many failures in a row to open the socket the instance is used by polling alone; reconnecting goes on.
    pub socket_attempts: u32,
    /// A socket that carries nothing for so long is dead; it is pinged at least four times meanwhile.
    pub socket_silence: Duration,
    /// The most that is handed to a connection at once.
    pub upload_piece: usize,
    /// A download that brings nothing for so long is begun again where it stopped.
    pub download_silence: Duration,
    /// How often a machine that is reached over SSH is asked whether it is there; after three questions without an answer the connection is dead.
    pub ssh_keepalive: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(2),
            socket_attempts: 3,
            socket_silence: Duration::from_mins(1),
            upload_piece: 8 << 20,
            download_silence: Duration::from_mins(5),
            ssh_keepalive: KEEPALIVE,
        }
    }
}
