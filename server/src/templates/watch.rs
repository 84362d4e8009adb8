//! Tells when something changes in the template folders.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// What a watch is of: a folder that is made anew under the same name is another one.
type Identity = (u64, u64);

/// Watches folders, each for itself and not below it.
#[derive(Default)]
pub(super) struct Watcher {
    /// None where the system offers none.
    inner: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
}

impl Watcher {
    /// One that wakes this when something changed.
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        let told = move |event: notify::Result<Event>| {
            // An error means that events may be lost, so it is a change too.
            if event.as_ref().map_or(true, |event| changes(event.kind)) {
                wake.notify_one();
            }
        };
        let inner = notify::recommended_watcher(told);
        if let Err(error) = &inner {
            tracing::warn!(%error, "templates.not_watched");
        }
        Self { inner: inner.ok(), watched: BTreeMap::new() }
    }

    /// Watches these folders and no others; whether it does.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> bool {
        let Some(inner) = &mut self.inner else { return false };
        let now: BTreeMap<&PathBuf, Identity> = folders.iter().filter_map(|path| Some((path, identity(path)?))).collect();
        self.watched.retain(|path, known| {
            let same = now.get(path) == Some(known);
            if !same {
                // It may be gone, and its watch with it.
                let _ = inner.unwatch(path);
            }
            same
        });
        let mut all = now.len() == folders.len();
        for (path, identity) in now {
            if self.watched.contains_key(path) {
                continue;
            }
            match inner.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(path.clone(), identity)),
                Err(error) => {
                    tracing::debug!(%error, folder = %path.display(), "templates.folder_not_watched");
                    all = false;
                }
            }
        }
        all
    }
}

fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().filter(std::fs::Metadata::is_dir).map(|meta| (meta.dev(), meta.ino()))
}

/// Whether files may be others than before; reading them is nothing new.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
        EventKind::Access(_) => false,
    }
}
