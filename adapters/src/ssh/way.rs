//! The way to a ComfyUI that is reached over SSH.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::BoxFuture;

use super::config::SshConfig;
use super::error::SshError;
use super::probe::Told;
use super::session::{NOTHING_LISTENS, Session};
use crate::transport::{Stream, Transport};

/// The way to one machine: a connection for what must be quick, and one for what is large, so that neither holds the other up. Clones share both.
#[derive(Clone)]
pub struct SshWay {
    control: Session,
    bulk: Session,
    /// What it told of each port.
    told: Arc<Mutex<BTreeMap<u16, Told>>>,
    lease: Arc<Mutex<Weak<Lease>>>,
}

/// Held by whoever may need the connections; they end with the last.
struct Lease(Session, Session);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.hang_up();
        self.1.hang_up();
    }
}

impl SshWay {
    /// A way that is not gone yet.
    pub fn new(config: SshConfig) -> Self {
        let control = Session::new(Arc::new(config));
        Self { bulk: control.beside(), control, told: Arc::default(), lease: Arc::default() }
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

    /// Whether somebody may need the connections.
    pub fn is_used(&self) -> bool {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
    }

    /// The way to a port of the machine. The connections are kept while it is held.
    pub fn to_port(&self, port: u16) -> SshTransport {
        let mut held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = held.upgrade().unwrap_or_else(|| {
            let lease = Arc::new(Lease(self.control.clone(), self.bulk.clone()));
            *held = Arc::downgrade(&lease);
            lease
        });
        drop(held);
        SshTransport { way: self.clone(), port, output_dir: None, large: false, _lease: lease }
    }
}

/// The way to one port of a machine.
#[derive(Clone)]
pub struct SshTransport {
    way: SshWay,
    port: u16,
    output_dir: Option<String>,
    large: bool,
    _lease: Arc<Lease>,
}

impl SshTransport {
    /// The machine that it goes to.
    pub fn way(&self) -> &SshWay {
        &self.way
    }

    /// The same, where somebody said where outputs go there.
    #[must_use]
    pub fn with_output_dir(self, output_dir: Option<String>) -> Self {
        Self { output_dir, ..self }
    }

    /// Where outputs go there, if that is known.
    pub fn output_dir(&self) -> Option<String> {
        self.output_dir.clone().or_else(|| self.told()?.output_dir)
    }

    fn told(&self) -> Option<Told> {
        self.way.told.lock().unwrap_or_else(PoisonError::into_inner).get(&self.port).cloned()
    }

    /// Where `ComfyUI` keeps its inputs there: as the machine tells it, else beside the outputs, where somebody said where those go.
    ///
    /// # Errors
    /// If the machine cannot be asked, or `ComfyUI` is down: then it may tell once it is up.
    pub async fn input_dir(&self) -> Result<Option<String>, SshError> {
        if let Some(known) = self.told().and_then(|told| told.input_dir) {
            return Ok(Some(known));
        }
        let beside = self.output_dir.as_deref().and_then(|dir| dir.trim_end_matches('/').strip_suffix("/output"));
        if let Some(base) = beside {
            return Ok(Some(format!("{base}/input")));
        }
        let told = self.way.control.probe(self.port).await?;
        if told.down {
            return Err(SshError::PortRefused { port: self.port, why: NOTHING_LISTENS.into() });
        }
        Ok(told.input_dir)
    }

    /// The port there.
    pub fn port(&self) -> u16 {
        self.port
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

    fn process(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            match self.way.control.probe(self.port).await {
                Ok(told) => {
                    let process = told.process.clone();
                    let mut all = self.way.told.lock().unwrap_or_else(PoisonError::into_inner);
                    let known = all.entry(self.port).or_default();
                    *known = told.after(known);
                    drop(all);
                    process
                }
                // A machine without a shell: then a restart is told by what is forgotten.
                Err(error) => {
                    tracing::debug!(%error, "ssh.process_not_told");
                    None
                }
            }
        })
    }

    fn bulk(&self) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(Self { large: true, ..self.clone() }))
    }

    fn ssh(&self) -> Option<&SshTransport> {
        Some(self)
    }
}
