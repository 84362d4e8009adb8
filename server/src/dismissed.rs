//! What its user does not want to see as active any more. The logs know nothing of it.
//!
//! Invariants: a name is on disk before it counts. The file is only a hint: without it, or with one that cannot be read, everything shows again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use comfyd_engine::StreamId;
use tokio::sync::Mutex;

use crate::offload::Offload;
use crate::store::{Disk, put_whole};

/// The longest file that is read.
const MAX_FILE: u64 = 4 << 20;

/// Runs and workflows that are not shown as active.
#[derive(Debug)]
pub(crate) struct Dismissed {
    disk: Arc<dyn Disk>,
    offload: Offload,
    path: PathBuf,
    names: RwLock<BTreeSet<StreamId>>,
    /// One change at a time, so that the file is never older than what was answered.
    turn: Mutex<()>,
}

impl Dismissed {
    /// Reads the file of a data directory.
    pub(crate) async fn open(root: &Path, disk: Arc<dyn Disk>, offload: Offload) -> Self {
        let path = root.join("dismissed.json");
        let (from, file) = (Arc::clone(&disk), path.clone());
        let names = match offload.run(move || from.read(&file, MAX_FILE)).await {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                tracing::warn!(%error, "dismissed.json not read: what was dismissed shows again");
                BTreeSet::new()
            }
        };
        Self { disk, offload, path, names: RwLock::new(names), turn: Mutex::new(()) }
    }

    /// Whether this one was dismissed.
    pub(crate) fn has(&self, stream: &StreamId) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains(stream)
    }

    /// Dismisses some, and forgets those that would not be shown anyway.
    pub(crate) async fn add(&self, more: &[StreamId], shows: impl Fn(&StreamId) -> bool) -> io::Result<()> {
        self.change(|names| {
            names.retain(|name| shows(name));
            names.extend(more.iter().cloned());
        })
        .await
    }

    /// Shows one again.
    pub(crate) async fn remove(&self, stream: &StreamId) -> io::Result<()> {
        if !self.has(stream) {
            return Ok(());
        }
        self.change(|names| names.retain(|name| name != stream)).await
    }

    async fn change(&self, change: impl FnOnce(&mut BTreeSet<StreamId>)) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        let mut names = self.names.read().unwrap_or_else(PoisonError::into_inner).clone();
        change(&mut names);
        let text: Vec<String> = names.iter().map(StreamId::to_string).collect();
        let bytes = serde_json::to_vec(&text).map_err(io::Error::other)?;
        let (disk, path) = (Arc::clone(&self.disk), self.path.clone());
        self.offload.run(move || put_whole(&*disk, &path, &bytes)).await?;
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> BTreeSet<StreamId> {
    let names: Vec<String> = serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "dismissed.json not understood: what was dismissed shows again");
        vec![]
    });
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use comfyd_engine::StreamId;

    use super::Dismissed;
    use crate::offload::Offload;
    use crate::store::{Disk, SimDisk};

    fn named(name: &str) -> StreamId {
        name.parse().expect("a good name")
    }

    #[tokio::test]
    async fn what_was_dismissed_stays_so_after_a_power_cut() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).expect("room");
        disk.sync_dir(Path::new("/")).expect("the directory itself is there to stay");
        let open = || Dismissed::open(Path::new("/data"), Arc::new(disk.clone()), Offload::Inline);
        let dismissed = open().await;
        dismissed.add(&[named("setup/a"), named("setup/b")], |_| true).await.expect("stored");
        dismissed.remove(&named("setup/b")).await.expect("stored");
        disk.crash();
        let dismissed = open().await;
        assert!(dismissed.has(&named("setup/a")) && !dismissed.has(&named("setup/b")));
        dismissed.add(&[named("setup/c")], |name| *name != named("setup/a")).await.expect("stored");
        assert!(!dismissed.has(&named("setup/a")) && dismissed.has(&named("setup/c")));
    }

    #[tokio::test]
    async fn a_spoilt_file_dismisses_nothing() {
        let disk = SimDisk::new(2);
        disk.create_dir_all(Path::new("/data")).expect("room");
        crate::store::put_whole(&disk, Path::new("/data/dismissed.json"), b"[\"run/x\", 3").expect("stored");
        let dismissed = Dismissed::open(Path::new("/data"), Arc::new(disk), Offload::Inline).await;
        assert!(!dismissed.has(&named("setup/a")));
    }
}
