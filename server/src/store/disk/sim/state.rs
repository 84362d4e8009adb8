//! Names and bytes of the disk in memory, and planned failures.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Change, Inode, Node, State};

/// Counts a plan down; tells whether this is the planned one.
pub(super) fn strikes(left: &mut Option<u64>) -> bool {
    match left {
        Some(0 | 1) => {
            *left = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

impl State {
    /// Every change passes here.
    pub(super) fn step(&mut self, what: &str, path: &Path) -> io::Result<()> {
        match &mut self.power_left {
            Some(0 | 1) => {
                self.power_left = Some(0);
                return Err(io::Error::other("the power is off"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.log.push(format!("{what} {}", path.display()));
        Ok(())
    }

    pub(super) fn disarm(&mut self) {
        (self.writes_left, self.syncs_left, self.power_left) = (None, None, None);
    }

    pub(super) fn used(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let size = |inode: &Inode| inode.allocated.max(inode.now.len() as u64);
        let of = |node: &Node| if let Node::File(inode) = node { Some(*inode) } else { None };
        self.names.values().filter_map(of).filter(|inode| seen.insert(*inode)).map(|inode| size(&self.inodes[inode])).sum()
    }

    pub(super) fn room(&self) -> u64 {
        self.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(self.used()))
    }

    pub(super) fn change(&mut self, change: Change) {
        Self::apply(&mut self.names, &change);
        self.changes.push(change);
    }

    pub(super) fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &Change) {
        if let Some(gone) = &change.gone {
            names.remove(gone);
        }
        if let Some((path, node)) = &change.come {
            names.insert(path.clone(), *node);
        }
    }

    pub(super) fn inode(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn need_dir(&self, dir: &Path) -> io::Result<()> {
        if self.names.get(dir) == Some(&Node::Dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn sync(&mut self, inode: usize) -> io::Result<()> {
        let failed = strikes(&mut self.syncs_left);
        let inode = &mut self.inodes[inode];
        if failed {
            inode.lies = true;
            return Err(io::Error::from_raw_os_error(5));
        }
        if !inode.lies {
            inode.synced.clone_from(&inode.now);
        }
        Ok(())
    }
}
