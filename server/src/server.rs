//! A whole server: data directory, core loop, HTTP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::comfy::tuning::Tuning;
use comfyd_adapters::env::{SystemClock, SystemRng};
use comfyd_adapters::hot::Hot;
use comfyd_adapters::ssh::Surroundings;
use comfyd_adapters::transport::{Address, TcpTransport, Transport};
use comfyd_engine::Limits;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Bounds, Names, Secret, Security};
use crate::app::{App, RetentionRules};
use crate::assembly::{Ground, assemble};
use crate::core::{CoreConfig, RecoverError};
use crate::dispatch::ByUrl;
use crate::instances::{COMFYUI_PORT, InstanceEntry, surroundings};
use crate::intake::Rules;
use crate::live::Summary;
use crate::offload::Offload;
use crate::spool::Spool;
use crate::state_copy;
use crate::store::{Digest, Disk, FileStore, OpenError, Options, RealDisk};
use crate::templates::Library;

pub use crate::token::{TokenError, stored_token};

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
    /// The instances of the configuration file; none if there is no file, so that what earlier ones said stays.
    pub instances: Option<Vec<InstanceEntry>>,
    /// Hosts that a `url` may name beside loopback; none for any host.
    pub url_hosts: Option<Vec<String>>,
    /// More `Host` values to answer to.
    pub allowed_hosts: Vec<String>,
    /// The address behind a proxy that speaks TLS: `https://name[:port]`.
    pub public_url: Option<String>,
    /// Origins whose pages may ask with the token.
    pub cors_origins: Vec<String>,
    /// Folders whose files may be read; by default the user's home while listening on loopback, else none.
    pub input_roots: Option<Vec<PathBuf>>,
    /// Folders that copies of outputs may go to, with the same default.
    pub output_roots: Option<Vec<PathBuf>>,
    /// Folders with workflow templates, the first of which wins; by default `workflows` in the data directory, which is made then.
    pub template_dirs: Option<Vec<PathBuf>>,
    /// The engine's limits.
    pub limits: Limits,
    /// The rhythms and patience of everything that speaks to instances.
    pub tuning: Tuning,
    /// New runs are refused below this much free disk space, in bytes.
    pub min_free: u64,
    /// How many clients may be connected.
    pub bounds: Bounds,
    /// Where the files of forms are kept while they come in; none for memory.
    pub temp_dir: Option<PathBuf>,
    /// How much of the past is kept; [`App::set_retention`] changes it while the server runs.
    pub retention: RetentionRules,
    /// How long an ended run or workflow stays in the live view.
    pub state_cleanup_delay: Duration,
    /// Where a copy of the newest active run's state is kept for tools that watch one file; none by default. It is removed when no run is active.
    pub state_file: Option<PathBuf>,
    /// `ComfyUI`'s port on machines that are reached over SSH, where none is told.
    pub comfyui_port: u16,
    /// What connections over SSH use of this machine; by default the home, the agent and the known host keys of whoever runs it.
    pub surroundings: Option<Surroundings>,
}

impl ServeOptions {
    /// With the defaults for this data directory.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            token: None,
            default_url: None,
            instances: None,
            url_hosts: Some(vec![]),
            comfyui_port: COMFYUI_PORT,
            allowed_hosts: vec![],
            public_url: None,
            cors_origins: vec![],
            input_roots: None,
            output_roots: None,
            template_dirs: None,
            limits: Limits::default(),
            tuning: Tuning::default(),
            min_free: 512 << 20,
            bounds: Bounds::default(),
            temp_dir: None,
            retention: RetentionRules::default(),
            state_cleanup_delay: Duration::from_secs(30),
            state_file: None,
            surroundings: None,
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
    /// The data directory's token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
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
    core: JoinHandle<Result<(), JoinError>>,
    core_stop: CancellationToken,
    keeper: JoinHandle<()>,
    /// What works beside the core loop and ends before it: generic workflows, the state file.
    beside: TaskTracker,
    beside_stop: CancellationToken,
    server_json: PathBuf,
    levers: Levers,
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

    /// Goes by newer options from now on, as far as they can change while it runs: all but directory, address and token.
    pub async fn change(&self, newer: &ServeOptions) {
        self.levers.rules.set(rules(newer, self.levers.listen));
        self.levers.tuning.set(newer.tuning.clone());
        self.levers.names.send_replace(names(newer));
        self.app.set_retention(newer.retention);
        self.app.history.store.set_min_free(newer.min_free);
        self.app.core.limit(newer.limits.clone()).await;
        if let Some(entries) = &newer.instances {
            self.app.instances.declare(entries.clone()).await;
        }
    }

    /// Asks it to stop: no new requests, everything to disk. What runs on the instances goes on there.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it is asked to stop, or cannot go on.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// If its HTTP side or its core loop failed.
    pub async fn join(self) -> io::Result<()> {
        let served = self.api.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        // It ends with the server; what it left undone it takes up again.
        self.keeper.await.map_err(io::Error::other)?;
        self.beside_stop.cancel();
        self.beside.close();
        self.beside.wait().await;
        // Requests are over, so nothing comes to the core loop any more but what adapters see.
        self.core_stop.cancel();
        self.core.await.and_then(|ended| ended).map_err(io::Error::other)?;
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
    let digest = Some(Summary::kept_of_state as Digest);
    let store_options = Options { min_free: options.min_free, digest, ..Options::default() };
    let opened = Offload::Threads.run(move || FileStore::open(&opening.0, opening.1, store_options)).await;
    let (store, recovered) = opened?;
    let token = match &options.token {
        Some(token) => token.clone(),
        None => stored_token(&root)?,
    };
    let listener =
        TcpListener::bind(options.listen).await.map_err(|source| StartError::Listen { addr: options.listen, source })?;
    let addr = listener.local_addr().map_err(|source| StartError::Listen { addr: options.listen, source })?;
    let spool = match &options.temp_dir {
        Some(folder) => Spool::in_folder(folder).map_err(|source| StartError::Write { path: folder.clone(), source })?,
        None => Spool::default(),
    };
    let (names, answered_to) = watch::channel(names(&options));
    let (rules, tuning) = (Hot::new(rules(&options, options.listen)), Hot::new(options.tuning));
    let ground = Ground {
        root: root.clone(),
        disk,
        offload: Offload::Threads,
        clock: Arc::new(SystemClock::default()),
        rng: Arc::new(SystemRng::default()),
        by_url: over_tcp(),
        surroundings: options.surroundings.clone().unwrap_or_else(surroundings),
        core: CoreConfig { limits: options.limits, ..CoreConfig::default() },
        rules: rules.clone(),
        tuning: tuning.clone(),
        spool,
        retention: options.retention,
        templates: Library::open(template_dirs(options.template_dirs, &root)),
        state_cleanup_delay: options.state_cleanup_delay,
    };
    let assembled = assemble(ground, store, recovered).await?;
    let server_json = root.join("server.json");
    let about = serde_json::json!({ "address": addr.to_string(), "pid": std::process::id() });
    write_private(&server_json, about.to_string().as_bytes())
        .map_err(|source| StartError::Write { path: server_json.clone(), source })?;
    let (stop, core_stop) = (CancellationToken::new(), CancellationToken::new());
    let security = Security { token: Secret::new(token.clone()), port: addr.port(), names: answered_to };
    let router = api::router_within(assembled.app.clone(), security, options.bounds);
    let keeper = tokio::spawn(assembled.keeper.run(stop.clone()));
    let (work, gone) = (assembled.core.spawn(core_stop.clone()), stop.clone());
    let core = tokio::spawn(async move {
        let ended = work.await;
        if let Err(error) = &ended {
            // A server without its core loop shows what is past and takes nothing: better none, so that whoever watches starts it again.
            tracing::error!(%error, "core.died");
            gone.cancel();
        }
        ended
    });
    let (instances, ends) = (Arc::clone(&assembled.app.instances), core_stop.clone());
    if let Some(entries) = options.instances {
        instances.declare(entries).await;
    }
    tokio::spawn(async move { ends.run_until_cancelled(instances.keep_declared()).await });
    let (beside, beside_stop) = (TaskTracker::new(), CancellationToken::new());
    let (work, gone) = (tokio::spawn(assembled.setups.run(beside_stop.clone())), stop.clone());
    beside.spawn(async move {
        if let Err(error) = work.await {
            // As with the core loop: better no server than one that leaves workflows standing.
            tracing::error!(%error, "setups.died");
            gone.cancel();
        }
    });
    if let Some(path) = options.state_file {
        beside.spawn(state_copy::keep(assembled.app.clone(), path, beside_stop.clone()));
    }
    let api = tokio::spawn(api::serve_within(listener, router, stop.clone(), options.bounds));
    tracing::info!(%addr, data_dir = %root.display(), "server.started");
    let levers = Levers { listen: options.listen, rules, tuning, names };
    Ok(Running { addr, token, app: assembled.app, stop, api, core, core_stop, keeper, beside, beside_stop, server_json, levers })
}

/// The names to answer to.
fn names(options: &ServeOptions) -> Names {
    Names {
        allowed_hosts: options.allowed_hosts.clone(),
        public_url: options.public_url.clone(),
        cors_origins: options.cors_origins.clone(),
    }
}

/// What callers may do; the address is the one that is listened on, whatever newer options say.
fn rules(options: &ServeOptions, listen: SocketAddr) -> Rules {
    Rules {
        default_url: options.default_url.clone(),
        url_hosts: options.url_hosts.clone(),
        comfyui_port: options.comfyui_port,
        input_roots: roots(options.input_roots.clone(), listen),
        output_roots: roots(options.output_roots.clone(), listen),
        min_free: options.min_free,
    }
}

/// What can change while it runs.
struct Levers {
    listen: SocketAddr,
    rules: Hot<Rules>,
    tuning: Hot<Tuning>,
    names: watch::Sender<Names>,
}

/// The folders that the user named. Where only this machine asks, its user's home is the default; who comes from afar gets no file unasked.
fn roots(named: Option<Vec<PathBuf>>, listen: SocketAddr) -> Vec<PathBuf> {
    let named = named.unwrap_or_else(|| if listen.ip().is_loopback() { home() } else { vec![] });
    named.into_iter().filter_map(|root| root.canonicalize().ok()).collect()
}

/// The folders that the user named, or one in the data directory.
fn template_dirs(named: Option<Vec<PathBuf>>, root: &Path) -> Vec<PathBuf> {
    named.unwrap_or_else(|| {
        let own = root.join("workflows");
        match std::fs::create_dir(&own) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Runs do not need it; it is looked for again with each request for templates.
            Err(error) => tracing::warn!(%error, folder = %own.display(), "templates.folder_not_made"),
        }
        vec![own]
    })
}

/// The user's home, as a list of roots; empty if it is not known.
pub(crate) fn home() -> Vec<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).into_iter().collect()
}

fn over_tcp() -> ByUrl {
    Arc::new(|_, url| {
        let address = Address::parse(url).ok()?;
        Some(Arc::new(TcpTransport::new(address)) as Arc<dyn Transport>)
    })
}

/// Writes a small file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
