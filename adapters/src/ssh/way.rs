//! The way to a ComfyUI that is reached over SSH.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::config::SshConfig;
use super::session::Session;
use crate::transport::{Stream, Transport};

/// The way to one machine: a connection for what must be quick, and one for what is large, so that neither holds the other up. Clones share both.
#[derive(Clone)]
pub struct SshWay {
    control: Session,
    bulk: Session,
}

impl SshWay {
    /// A way that is not gone yet.
    pub fn new(config: SshConfig) -> Self {
        let config = Arc::new(config);
        Self { control: Session::new(Arc::clone(&config)), bulk: Session::new(config) }
    }

    /// The connection for what must be quick.
    pub fn control(&self) -> &Session {
        &self.control
    }

    /// The connection for what is large.
    pub fn bulk(&self) -> &Session {
        &self.bulk
    }

    /// Somebody has looked: what was refused may be tried again.
    pub fn try_again(&self) {
        self.control.try_again();
        self.bulk.try_again();
    }

    /// The way to a port of the machine.
    pub fn to_port(&self, port: u16) -> SshTransport {
        SshTransport { way: self.clone(), port, large: false }
    }
}

/// The way to one port of a machine.
#[derive(Clone)]
pub struct SshTransport {
    way: SshWay,
    port: u16,
    large: bool,
}

impl SshTransport {
    /// The machine that it goes to.
    pub fn way(&self) -> &SshWay {
        &self.way
    }
}

impl Transport for SshTransport {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let session = if self.large { &self.way.bulk } else { &self.way.control };
            Ok(Box::new(session.stream(self.port).await?) as Box<dyn Stream>)
        })
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn bulk(&self) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(Self { large: true, ..self.clone() }))
    }
}
