//! A file system in memory that forgets what was not synced.
//!
//! Invariants: one seed replays everything; a crash keeps of the unsynced bytes an arbitrary set of 512-byte sectors, and
//! of the unsynced names an arbitrary subset of changes; a file whose sync failed never becomes durable again, whatever
//! later syncs say. Absent: bit rot; tests write that themselves with [`SimDisk::edit`].

mod crash;
mod ops;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DiskFile, LockGuard};

/// A planned failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th write from now on (1 = the next) fails after half of its bytes.
    Write(u64),
    /// The n-th sync from now on fails, and what it should have kept is lost in a crash.
    Sync(u64),
    /// The n-th change of any kind from now on, and everything after it, fails until [`SimDisk::crash`].
    Power(u64),
}

/// A file system in memory; clones are handles of the same one, so that a restart can be simulated.
///
/// ```
/// # use comfyd_server::store::{Disk, SimDisk};
/// # use std::path::Path;
/// let disk = SimDisk::new(1);
/// disk.create_dir_all(Path::new("/data"))?;
/// disk.create_new(Path::new("/data/log"))?.append(b"never synced")?;
/// disk.crash_hard();
/// assert_eq!(disk.len(Path::new("/data/log"))?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone, Debug)]
struct State {
    rng: u64,
    boot: u64,
    /// How often power came back.
    powered: u64,
    inodes: Vec<Inode>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names that a crash cannot take back.
    kept: BTreeMap<PathBuf, Node>,
    /// Changes of names that were not synced, in order.
    changes: Vec<Change>,
    locks: BTreeSet<PathBuf>,
    writes_left: Option<u64>,
    syncs_left: Option<u64>,
    power_left: Option<u64>,
    capacity: Option<u64>,
    log: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    allocated: u64,
    /// Its sync failed once: later ones lie.
    lies: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

/// One atomic change of names: what goes, what comes.
#[derive(Clone, Debug)]
struct Change {
    dir: PathBuf,
    gone: Option<PathBuf>,
    come: Option<(PathBuf, Node)>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    boot: u64,
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    boot: u64,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

impl SimDisk {
    /// An empty file system whose crashes follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let names = BTreeMap::from([(PathBuf::from("/"), Node::Dir)]);
        Self(Arc::new(Mutex::new(State {
            rng: seed,
            boot: 0,
            powered: 0,
            inodes: Vec::new(),
            kept: names.clone(),
            names,
            changes: Vec::new(),
            locks: BTreeSet::new(),
            writes_left: None,
            syncs_left: None,
            power_left: None,
            capacity: None,
            log: Vec::new(),
        })))
    }

    /// Plans a failure.
    pub fn plan(&self, fault: Fault) {
        let mut state = self.state();
        match fault {
            Fault::Write(nth) => state.writes_left = Some(nth),
            Fault::Sync(nth) => state.syncs_left = Some(nth),
            // Power that is off stays off.
            Fault::Power(_) if state.power_left == Some(0) => {}
            Fault::Power(nth) => state.power_left = Some(nth.max(1)),
        }
    }

    /// Limits the bytes of all files together; `None` takes the limit away.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The bytes of all files together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Whether a planned loss of power has come.
    pub fn is_off(&self) -> bool {
        self.state().power_left == Some(0)
    }

    /// Whether a planned failed write or sync is still to come.
    pub fn is_threatened(&self) -> bool {
        let state = self.state();
        state.writes_left.is_some() || state.syncs_left.is_some()
    }

    /// A second disk with the same bytes and names, and a future of its own.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Loses power and comes back: an arbitrary part of what was not synced is gone.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// Loses power and comes back with nothing but what was synced.
    pub fn crash_hard(&self) {
        let mut state = self.state();
        state.changes.clear();
        for inode in &mut state.inodes {
            inode.now.clone_from(&inode.synced);
        }
        state.crash();
    }

    /// Kills the process only: all that was written stays, locks and open files go.
    pub fn kill(&self) {
        let mut state = self.state();
        if state.power_left == Some(0) {
            // The power went first.
            return state.crash();
        }
        state.boot += 1;
        state.locks.clear();
        state.disarm();
    }

    /// Changes the bytes of a file behind the store's back, durably: bit rot, or a person.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(Node::File(inode)) = state.names.get(path).copied() {
            let inode = &mut state.inodes[inode];
            edit(&mut inode.now);
            inode.synced.clone_from(&inode.now);
        }
    }

    /// The names of the changes made since the last call, for counting them.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: usize) -> Box<dyn DiskFile> {
        let boot = self.state().boot;
        Box::new(SimFile { disk: self.clone(), inode, boot })
    }
}
