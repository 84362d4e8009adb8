//! Reading the configuration again while the server runs.
//!
//! Invariants: a file that is wrong changes nothing at all; what only a start can change is named; what has not changed is not touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::Value;
use tokio::sync::mpsc;

use super::config::{default_file, layers};
use super::notify::{READY, reloading, tell};
use crate::config::{Loaded, load};
use crate::logging::Logging;
use crate::server::{Running, ServeOptions};

/// An editor writes a file in several steps; it is read when it has been left alone for so long.
const QUIET: Duration = Duration::from_millis(100);

/// What is needed to read the configuration again.
pub(crate) struct Reloader {
    /// The file that was named; without one the default is looked for each time.
    named: Option<PathBuf>,
    flags: Vec<(&'static str, Value, String)>,
    /// As the server was started: some of it holds until it ends.
    started: Loaded,
    current: Loaded,
    options: ServeOptions,
    logging: Logging,
}

impl Reloader {
    pub(crate) fn new(
        named: Option<PathBuf>,
        flags: Vec<(&'static str, Value, String)>,
        loaded: Loaded,
        options: ServeOptions,
        logging: Logging,
    ) -> Self {
        Self { named, flags, started: loaded.clone(), current: loaded, options, logging }
    }

    /// The file that is in use.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.named.clone().or_else(default_file)
    }

    /// Reads everything again, and has the server go by it.
    pub(crate) async fn reload(&mut self, running: &Running) {
        tell(&reloading());
        match load(&layers(self.file(), self.flags.clone())) {
            Ok(newer) => self.take(newer, running).await,
            Err(error) => tracing::error!(%error, hint = error.hint(), "config.refused"),
        }
        tell(READY);
    }

    async fn take(&mut self, newer: Loaded, running: &Running) {
        let waiting = self.started.needs_start(&newer);
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(" "), hint = "They change with the next start.", "config.needs_start");
        }
        let changed = self.current.changes(&newer);
        if changed.is_empty() {
            return;
        }
        let (data_dir, token) = (self.options.data_dir.clone(), self.options.token.clone());
        running.change(&newer.config.serve_options(data_dir, token)).await;
        self.logging.choose(&newer.config.server.log);
        tracing::info!(keys = changed.join(" "), "config.changed");
        self.current = newer;
    }
}

/// Tells when a file may have changed.
pub(crate) struct FileWatch {
    changes: mpsc::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl FileWatch {
    /// Watches a file, or nothing. Its folder is watched, as editors put a new file in the place of the old one.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        let (told, changes) = mpsc::channel(1);
        let watcher = file.and_then(|file| watch(file, told).inspect_err(unwatched).ok());
        Self { changes, _watcher: watcher }
    }

    /// Waits for the next change. May be cancelled: then the change is told by what follows it, or not at all if it was one alone.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // Nothing is watched.
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {}
    }
}

fn unwatched(error: &notify::Error) {
    tracing::warn!(%error, hint = "Send SIGHUP after a change.", "config.not_watched");
}

fn watch(file: &Path, told: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let file = std::path::absolute(file)?;
    let name = file.file_name().map(ToOwned::to_owned);
    // A folder of a cluster's configuration is exchanged by a link of this name.
    let ours = move |path: &PathBuf| path.file_name() == name.as_deref() || path.file_name().is_some_and(|name| name == "..data");
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read = |kind: &EventKind| matches!(kind, EventKind::Access(_));
        if event.is_ok_and(|event| !read(&event.kind) && event.paths.iter().any(&ours)) {
            // Full: a change is told already.
            let _ = told.try_send(());
        }
    })?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
