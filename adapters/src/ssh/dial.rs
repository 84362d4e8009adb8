//! Makes a connection: the way there, the machine's key, who we are.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::auth::log_in;
use super::config::SshConfig;
use super::destination::Hop;
use super::error::{Presented, SshError};
use super::host_key::HostKey;
use super::known::{KnownHosts, Source, Verdict, judge};
use super::pipe::Pipe;
use crate::transport::refused_address;

/// How long the way there and the exchange of keys may take (reliability.md 8).
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take to be let in.
const AUTH_LIMIT: Duration = Duration::from_secs(20);
/// How many times in a row the other end may be silent.
const KEEPALIVES: usize = 3;
/// What may be on its way to us on one channel: enough for 1 Gbit/s over 60 ms.
const WINDOW: u32 = 8 * 1024 * 1024;

/// Guards the way: nothing is sent to a machine whose key is not trusted.
pub(super) struct Gate {
    hop: Hop,
    accepted: Vec<HostKey>,
    files: Arc<Vec<KnownHosts>>,
}

/// Why a connection could not be made or went down.
#[derive(Debug)]
pub(super) enum Stop {
    Verdict(Box<SshError>),
    Protocol(russh::Error),
}

impl From<russh::Error> for Stop {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl client::Handler for Gate {
    type Error = Stop;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Stop> {
        let bad = |why: String| Stop::Verdict(Box::new(SshError::Handshake { to: self.hop.authority(), why }));
        let key = match presented {
            PublicKeyOrCertificate::PublicKey { key, .. } => HostKey::of(key).map_err(|error| bad(error.to_string()))?,
            // None is asked for.
            PublicKeyOrCertificate::Certificate(_) => return Err(bad("it presented a certificate".into())),
        };
        let verdict = judge(&self.hop, &key, &self.accepted, &self.files);
        let presented = Box::new(Presented { machine: self.hop.name(), key });
        let error = match verdict {
            Verdict::Known(_) => return Ok(true),
            Verdict::Unknown => SshError::HostKeyUnknown(presented),
            Verdict::Changed { before, source } => {
                let before: Vec<String> = before.into_iter().map(|(algorithm, print)| format!("{algorithm} {print}")).collect();
                let source_of = match source {
                    Source::Accepted => "accepted".to_owned(),
                    Source::File(path) => path.display().to_string(),
                };
                SshError::HostKeyChanged { presented, before: before.join(", "), source_of }
            }
            Verdict::Revoked(path) => SshError::HostKeyRevoked { presented, by: path.display().to_string() },
            Verdict::Unreadable { path, why } => SshError::KnownHosts { path: path.display().to_string(), why },
        };
        Err(Stop::Verdict(Box::new(error)))
    }
}

/// A connection that we are let in by.
pub(super) struct Dialled {
    pub(super) handle: Handle<Gate>,
    /// The hop before it, which carries it.
    pub(super) _jump: Option<Arc<Handle<Gate>>>,
}

/// Makes a connection.
pub(super) async fn dial(config: &SshConfig) -> Result<Dialled, SshError> {
    let paths = config.surroundings.known_hosts.clone();
    let read = tokio::task::spawn_blocking(move || paths.iter().map(|path| KnownHosts::read(path)).collect::<Vec<_>>()).await;
    let files = Arc::new(read.map_err(|error| SshError::KnownHosts { path: "the files".into(), why: error.to_string() })?);
    let target = &config.destination.target;
    let Some(jump) = &config.destination.jump else {
        let stream = within(CONNECT_LIMIT, "the SSH port", tcp(target)).await?;
        let handle = hop(config, target, files, stream).await?;
        return Ok(Dialled { handle, _jump: None });
    };
    let stream = within(CONNECT_LIMIT, "the SSH port of the jump host", tcp(jump)).await?;
    let first = Arc::new(hop(config, jump, Arc::clone(&files), stream).await?);
    let opening = first.channel_open_direct_tcpip(target.host.clone(), u32::from(target.port), "127.0.0.1", 0);
    let channel = within(CONNECT_LIMIT, "the jump host", async {
        opening.await.map_err(|error| SshError::Connect { to: target.authority(), why: format!("the jump host says: {error}") })
    });
    let stream = Pipe::over(channel.await?, Box::new(Arc::clone(&first)));
    let handle = hop(config, target, files, stream).await?;
    Ok(Dialled { handle, _jump: Some(first) })
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Result<T, SshError>>) -> Result<T, SshError> {
    let late = || SshError::Timeout { what: what.to_owned(), seconds: limit.as_secs() };
    timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

async fn tcp(hop: &Hop) -> Result<TcpStream, SshError> {
    let unresolved = |why: String| SshError::Resolve { host: hop.host.clone(), why };
    let found = tokio::net::lookup_host((hop.host.as_str(), hop.port)).await.map_err(|error| unresolved(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    for address in &found {
        if let Some(why) = refused_address(address.ip()) {
            return Err(unresolved(format!("it is {}, {why}: comfyd never connects there", address.ip())));
        }
    }
    let failed = |error: std::io::Error| SshError::Connect { to: hop.authority(), why: error.to_string() };
    let stream = TcpStream::connect(found.as_slice()).await.map_err(failed)?;
    // Requests are small and answered at once: waiting to fill packets only costs time.
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// One machine: its key, and then who we are.
async fn hop<S>(config: &SshConfig, hop: &Hop, files: Arc<Vec<KnownHosts>>, stream: S) -> Result<Handle<Gate>, SshError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted = config.trust.accepted(hop);
    let known: Vec<String> = match accepted.as_slice() {
        [] => files.iter().flat_map(|file| file.algorithms(hop)).collect(),
        some => some.iter().map(|key| key.algorithm().to_owned()).collect(),
    };
    let settings = Arc::new(settings(config, &known));
    let gate = Gate { hop: hop.clone(), accepted, files };
    let begun = async {
        client::connect_stream(settings, stream, gate).await.map_err(|stop| match stop {
            Stop::Verdict(error) => *error,
            Stop::Protocol(error) => SshError::Handshake { to: hop.authority(), why: error.to_string() },
        })
    };
    let mut handle = within(CONNECT_LIMIT, "the SSH handshake", begun).await?;
    within(AUTH_LIMIT, "the login", log_in(&mut handle, config, hop)).await?;
    Ok(handle)
}

fn settings(config: &SshConfig, known: &[String]) -> client::Config {
    let mut settings = client::Config {
        keepalive_interval: Some(config.keepalive),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        window_size: WINDOW,
        ..client::Config::default()
    };
    // A machine with several keys is asked for the one that it is known by; another would look like a changed key.
    let mut keys: Vec<Algorithm> = settings.preferred.key.to_vec();
    keys.sort_by_key(|algorithm| !known.iter().any(|known| is_of(known, algorithm)));
    settings.preferred.key = Cow::Owned(keys);
    settings
}

/// Whether a key of this type signs by this algorithm: an RSA key signs by several.
fn is_of(key: &str, algorithm: &Algorithm) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => key == "ssh-rsa",
        other => other.as_str() == key,
    }
}
