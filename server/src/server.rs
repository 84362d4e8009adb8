//! A whole server: data directory, core loop, HTTP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::digest::hex;
use comfyd_adapters::env::{SystemClock, SystemRng};
use comfyd_adapters::transport::{Address, TcpTransport, Transport};
use comfyd_engine::Limits;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Secret, Security};
use crate::app::App;
use crate::assembly::{Ground, assemble};
use crate::core::{CoreConfig, RecoverError};
use crate::dispatch::Connector;
use crate::intake::Rules;
use crate::offload::Offload;
use crate::store::{Disk, FileStore, OpenError, Options, RealDisk};

/// How to start.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where to listen. Anything but loopback needs a token that was given.
    pub listen: SocketAddr,
    /// The token; without one the data directory's is used, and made if there is none.
    pub token: Option<String>,
    /// Where a run goes that names no instance.
    pub default_url: Option<String>,
    /// Hosts that a `url` may name beside loopback; none for any host.
    pub url_hosts: Option<Vec<String>>,
    /// More `Host` values to answer to.
    pub allowed_hosts: Vec<String>,
    /// Folders whose files may be read.
    pub input_roots: Vec<PathBuf>,
    /// Folders that copies of outputs may go to.
    pub output_roots: Vec<PathBuf>,
    /// The engine's limits.
    pub limits: Limits,
    /// The rhythm of polling instances that have runs.
    pub poll: Duration,
    /// New runs are refused below this much free disk space, in bytes.
    pub min_free: u64,
}

impl ServeOptions {
    /// With the defaults for this data directory: loopback, the user's home for files.
    pub fn new(data_dir: PathBuf) -> Self {
        let home: Vec<PathBuf> =
            std::env::var_os("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok()).into_iter().collect();
        Self {
            data_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            token: None,
            default_url: None,
            url_hosts: Some(vec![]),
            allowed_hosts: vec![],
            input_roots: home.clone(),
            output_roots: home,
            limits: Limits::default(),
            poll: Duration::from_secs(2),
            min_free: 512 << 20,
        }
    }
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be opened.
    #[error("open the data directory")]
    Open(#[from] OpenError),
    /// Its logs cannot be folded.
    #[error("recover the logs")]
    Recover(#[from] RecoverError),
    /// The address cannot be listened on.
    #[error("listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An address that others reach, without a token of the user's.
    #[error("listen on {0}: other machines can reach it; give a token with --token-file or COMFYD_TOKEN, or listen on 127.0.0.1")]
    Exposed(SocketAddr),
    /// A file of the data directory cannot be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its token.
    pub token: String,
    /// What it can do.
    pub app: App,
    stop: CancellationToken,
    api: JoinHandle<io::Result<()>>,
    core: JoinHandle<()>,
    core_stop: CancellationToken,
    server_json: PathBuf,
}

impl Running {
    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The page, logged in.
    pub fn page(&self) -> String {
        format!("{}/#token={}", self.url(), self.token)
    }

    /// Asks it to stop: no new requests, everything to disk. What runs on the instances goes on there.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// If its HTTP side failed.
    pub async fn join(self) -> io::Result<()> {
        let served = self.api.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        // Requests are over, so nothing comes to the core loop any more but what adapters see.
        self.core_stop.cancel();
        self.core.await.map_err(io::Error::other)?;
        // Only a hint for other commands; a stale one is harmless.
        drop(std::fs::remove_file(&self.server_json));
        served
    }
}

/// Starts a server: opens and locks the data directory, recovers, listens, and begins to look for its runs.
///
/// # Errors
/// What is in the way. Nothing is left running then.
pub async fn start(options: ServeOptions) -> Result<Running, StartError> {
    if !options.listen.ip().is_loopback() && options.token.is_none() {
        return Err(StartError::Exposed(options.listen));
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let root = options.data_dir.clone();
    let opening = (root.clone(), Arc::clone(&disk));
    let store_options = Options { min_free: options.min_free, ..Options::default() };
    let opened = Offload::Threads.run(move || FileStore::open(&opening.0, opening.1, store_options)).await;
    let (store, recovered) = opened?;
    let token = match options.token {
        Some(token) => token,
        None => stored_token(&root).map_err(|source| StartError::Write { path: root.join("token"), source })?,
    };
    let listener =
        TcpListener::bind(options.listen).await.map_err(|source| StartError::Listen { addr: options.listen, source })?;
    let addr = listener.local_addr().map_err(|source| StartError::Listen { addr: options.listen, source })?;
    let ground = Ground {
        root: root.clone(),
        disk,
        offload: Offload::Threads,
        clock: Arc::new(SystemClock::default()),
        rng: Arc::new(SystemRng::default()),
        connector: over_tcp(),
        core: CoreConfig { limits: options.limits, ..CoreConfig::default() },
        rules: Rules {
            default_url: options.default_url,
            url_hosts: options.url_hosts,
            input_roots: canonical(options.input_roots),
            output_roots: canonical(options.output_roots),
            min_free: options.min_free,
        },
        poll: options.poll,
    };
    let assembled = assemble(ground, store, recovered).await?;
    let server_json = root.join("server.json");
    let about = serde_json::json!({ "address": addr.to_string(), "pid": std::process::id() });
    write_private(&server_json, about.to_string().as_bytes())
        .map_err(|source| StartError::Write { path: server_json.clone(), source })?;
    let (stop, core_stop) = (CancellationToken::new(), CancellationToken::new());
    let security = Security { token: Secret::new(token.clone()), allowed_hosts: options.allowed_hosts, port: addr.port() };
    let router = api::router(assembled.app.clone(), security);
    let core = tokio::spawn(assembled.core.run(core_stop.clone()));
    let api = tokio::spawn(api::serve(listener, router, stop.clone()));
    tracing::info!(%addr, data_dir = %root.display(), "server.started");
    Ok(Running { addr, token, app: assembled.app, stop, api, core, core_stop, server_json })
}

fn canonical(roots: Vec<PathBuf>) -> Vec<PathBuf> {
    roots.into_iter().filter_map(|root| root.canonicalize().ok()).collect()
}

fn over_tcp() -> Connector {
    Arc::new(|_, url| {
        let address = Address::parse(url).ok()?;
        Some(Arc::new(TcpTransport::new(address)) as Arc<dyn Transport>)
    })
}

/// The data directory's token: 256 random bits, made on first use.
///
/// # Errors
/// If it cannot be read or written.
pub fn stored_token(root: &Path) -> io::Result<String> {
    let path = root.join("token");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0u8; 32];
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    if filled != random.len() {
        return Err(io::Error::other("the system gave too few random bytes"));
    }
    let token = hex(&random);
    write_private(&path, token.as_bytes())?;
    Ok(token)
}

/// Writes a small file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
