//! The way to the server of a data directory: the one that holds it, or one in this process.
//!
//! Invariants: whoever holds the directory is asked by HTTP, this process too; a server of this process serves until its clients are gone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::server::{Running, StartError, TokenError, home, start};
use crate::store::OpenError;

use super::access;
use super::args;
use super::client::{Client, Place};
use super::error::{CliError, Exit};
use super::out::Out;
use super::signals::Signals;

/// How long a server may take to come up, or to let go of its directory.
const COMING_UP: Duration = Duration::from_secs(15);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// After so many looks without a follower nobody is there.
const QUIET_LOOKS: u32 = 2;
/// After so many looks with followers the user is told why this process stays.
const TOLD_AFTER_LOOKS: u32 = 10;
/// How long the end waits until what runs uploaded is removed.
const TIDYING: Duration = Duration::from_secs(5);
/// A server that is asked to stop ends by itself within 10 s.
const GOING_DOWN: Duration = Duration::from_secs(10);

/// A way to a server.
pub(crate) struct Door {
    client: Client,
    own: Option<Running>,
}

impl Door {
    /// Goes to the server that the arguments name.
    pub(crate) async fn open(asked: &args::Door) -> Result<Self, CliError> {
        Self::open_with(asked, &[]).await
    }

    /// The same; a server of this process may also write copies of outputs below these directories.
    pub(crate) async fn open_with(asked: &args::Door, output_roots: &[PathBuf]) -> Result<Self, CliError> {
        let token = access::given_token(asked.token_file.as_deref())?;
        if let Some(url) = &asked.server {
            return Ok(Self { client: Client::for_url(url, token)?, own: None });
        }
        let dir = access::directory(&asked.data)?;
        let file = args::ConfigFile { file: std::env::var_os("COMFYD_CONFIG").map(PathBuf::from) };
        let mut options = super::config::read(&file, vec![])?.config.serve_options(dir.clone(), None);
        options.data_dir.clone_from(&dir);
        options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        // Who may start this process may also connect to any host and write where the user may.
        options.url_hosts = None;
        options.output_roots = Some([&home(), output_roots].concat());
        let began = Instant::now();
        loop {
            match start(options.clone()).await {
                Ok(running) => return Ok(Self::own(dir, running)),
                Err(StartError::Open(OpenError::Locked { holder, .. })) => {
                    if let Some(client) = reach(&dir, token.clone()).await {
                        return Ok(Self { client, own: None });
                    }
                    if began.elapsed() >= COMING_UP {
                        return Err(stuck(&dir, &holder));
                    }
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(cannot_start(&error)),
            }
        }
    }

    /// The way to a server of this process.
    pub(crate) fn own(dir: PathBuf, running: Running) -> Self {
        let client = Client::new(running.addr.to_string(), Some(running.token.clone()), Place::Directory(dir));
        Self { client, own: Some(running) }
    }

    /// The client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether this process is the server.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Lets go of the server; one of this process first serves its other clients to their end.
    pub(crate) async fn close(self, out: Out) {
        let Some(running) = self.own else { return };
        if let Ok(mut signals) = Signals::listen() {
            // A client that has just made a run needs a moment to follow it.
            let (mut quiet, mut busy, mut told_of_twins) = (0, 0u32, false);
            let began = Instant::now();
            while quiet < QUIET_LOOKS {
                let followed = running.app.live.followers() > 0;
                // What a run uploaded is removed after its end; where that takes long the next start goes on with it.
                // Nobody else would take a second copy of a prompt out of the queue; it is looked for a minute.
                let looks = running.app.live.looks_for_twins();
                let waits = followed || looks || (running.app.live.is_tidying() && began.elapsed() < TIDYING);
                if looks && !told_of_twins {
                    out.notice("What was posted again may have arrived twice: looking for the second one. Ctrl-C ends that.");
                    told_of_twins = true;
                }
                (quiet, busy) = (if waits { 0 } else { quiet + 1 }, busy.saturating_add(u32::from(followed)));
                // Our own connection may take a moment to be seen as gone.
                if followed && busy == TOLD_AFTER_LOOKS {
                    out.notice(
                        "Others follow their runs through this process: it serves them to their end. Ctrl-C stops it now.",
                    );
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = signals.next() => break,
                }
            }
        }
        told(stop(running).await);
    }

    /// Lets go at once.
    pub(crate) async fn leave(self) {
        if let Some(running) = self.own {
            told(stop(running).await);
        }
    }
}

/// The command has its own result; that its server ended badly is for the log.
fn told(stopped: Result<(), CliError>) {
    if let Err(error) = stopped {
        tracing::error!(%error, "server.stopped_badly");
    }
}

/// Stops a server of this process; what runs on its instances goes on there.
pub(crate) async fn stop(running: Running) -> Result<(), CliError> {
    running.stop();
    match tokio::time::timeout(GOING_DOWN, running.join()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let hint = "Start it again: everything acknowledged is on disk. Its log lines say what happened.";
            Err(CliError::new(Exit::Failed, "server_failed", format!("the server could not go on: {error}"), hint))
        }
        // Everything acknowledged is on disk, so ending the process now is safe.
        Err(_) => {
            tracing::warn!("server.stop_took_too_long");
            Ok(())
        }
    }
}

/// The server that the directory announces, if it answers.
pub(crate) async fn reach(dir: &Path, token: Option<String>) -> Option<Client> {
    let address = access::announced(dir)?;
    let token = token.or_else(|| access::kept_token(dir));
    let client = Client::new(address, token, Place::Directory(dir.to_owned()));
    client.get_bytes("/healthz").await.is_ok().then_some(client)
}

fn stuck(dir: &Path, holder: &str) -> CliError {
    let message = format!("the data directory {} is held by another comfyd ({holder}) that does not answer", dir.display());
    CliError::new(
        Exit::Unreachable,
        "directory_locked",
        message,
        "Wait until it has ended, or stop it, or name another --data-dir.",
    )
}

/// Why the token of a data directory cannot be used, for people.
pub(crate) fn token_unusable(error: &TokenError) -> CliError {
    let code = match error {
        TokenError::Read { .. } => "file_unreadable",
        TokenError::Write { .. } => "file_unwritable",
        TokenError::Short { .. } => "token_too_short",
        TokenError::Shared { .. } => "token_not_private",
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    CliError::failed(code, format!("failed to {error}{cause}"), error.hint())
}

/// Why a server cannot start, for people.
pub(crate) fn cannot_start(error: &StartError) -> CliError {
    let mut message = format!("failed to {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    if let StartError::Token(error) = error {
        return token_unusable(error);
    }
    let (exit, code, hint) = match error {
        StartError::Open(OpenError::Locked { .. }) => {
            (Exit::Usage, "directory_locked", "Talk to that server, stop it, or name another --data-dir.")
        }
        StartError::Open(OpenError::NotPrivate(_)) => {
            (Exit::Failed, "directory_not_private", "It must belong to you and be writable by nobody else: chmod go-w.")
        }
        StartError::Open(OpenError::Layout { .. }) => {
            (Exit::Failed, "directory_newer", "Use the comfyd that wrote it, or a newer one.")
        }
        StartError::Open(OpenError::Io { .. } | OpenError::Thread(_)) => {
            (Exit::Failed, "directory_unusable", "Check the path, its permissions and the free space.")
        }
        StartError::Recover(_) => (Exit::Failed, "recovery_failed", "Look at the logs with `comfyd log verify`."),
        StartError::Listen { .. } => (Exit::Failed, "cannot_listen", "Name a free address with --listen."),
        StartError::Exposed(_) => (Exit::Usage, "token_needed", "Or forward the port: ssh -L 8787:127.0.0.1:8787 HOST."),
        StartError::Token(_) | StartError::Write { .. } => {
            (Exit::Failed, "file_unwritable", "Check the permissions and the free space.")
        }
    };
    CliError::new(exit, code, message, hint)
}
