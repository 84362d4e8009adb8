//! What a loss of power leaves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Inode, Node, State};

/// Bytes that a disk writes at once.
const SECTOR: usize = 512;

impl State {
    /// The next number of the seed (splitmix64).
    pub(super) fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.rng;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() % (bound.max(1) as u64)).expect("it is below a usize")
    }

    /// Power is lost and comes back.
    pub(super) fn crash(&mut self) {
        self.boot += 1;
        self.powered += 1;
        self.locks.clear();
        self.disarm();
        let mut names = std::mem::take(&mut self.kept);
        for change in std::mem::take(&mut self.changes) {
            if self.below(2) == 0 {
                Self::apply(&mut names, &change);
            }
        }
        self.names = reachable(names);
        self.kept = self.names.clone();
        for index in 0..self.inodes.len() {
            let mut inode = std::mem::take(&mut self.inodes[index]);
            if inode.now != inode.synced {
                inode.now = self.torn(&inode);
            }
            self.inodes[index] = Inode { synced: inode.now.clone(), now: inode.now, allocated: 0, lies: false };
        }
    }

    /// A mixture of what was synced and what was written, sector by sector.
    fn torn(&mut self, inode: &Inode) -> Vec<u8> {
        let (short, long) = (inode.now.len().min(inode.synced.len()), inode.now.len().max(inode.synced.len()));
        let len = match self.below(3) {
            0 => inode.synced.len(),
            1 => inode.now.len(),
            // Anything between: the length and the bytes travel apart.
            _ => short + self.below(long - short + 1),
        };
        let mut out = vec![0; len];
        for start in (0..len).step_by(SECTOR) {
            let source = if self.below(2) == 0 { &inode.now } else { &inode.synced };
            let end = (start + SECTOR).min(len).min(source.len());
            if start < end {
                out[start..end].copy_from_slice(&source[start..end]);
            }
        }
        out
    }
}

/// Names whose directories are there.
fn reachable(names: BTreeMap<PathBuf, Node>) -> BTreeMap<PathBuf, Node> {
    let dirs: std::collections::BTreeSet<PathBuf> =
        names.iter().filter(|(_, node)| **node == Node::Dir).map(|(path, _)| path.clone()).collect();
    names.into_iter().filter(|(path, _)| path.ancestors().skip(1).all(|dir| dirs.contains(dir))).collect()
}
