//! The calls of a disk, on the one in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::state::strikes;
use super::{Change, Inode, Node, SimDisk, SimFile, SimLock, State};
use crate::store::disk::{Disk, DiskFile, LockGuard, Replace, parent};

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.boot == self.boot { Ok(state) } else { Err(io::Error::other("this file was open before the crash")) }
    }
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.step("write", Path::new(""))?;
        let mut part = bytes.len();
        let mut result = Ok(());
        if strikes(&mut state.writes_left) {
            part /= 2;
            result = Err(io::Error::from_raw_os_error(5));
        }
        let inode = &state.inodes[self.inode];
        let spare = inode.allocated.saturating_sub(inode.now.len() as u64);
        let room = usize::try_from(state.room().saturating_add(spare)).unwrap_or(usize::MAX);
        if part > room {
            part = room;
            result = Err(io::ErrorKind::StorageFull.into());
        }
        state.inodes[self.inode].now.extend_from_slice(&bytes[..part]);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state()?;
        state.step("sync", Path::new(""))?;
        state.sync(self.inode)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.step("truncate", Path::new(""))?;
        let inode = &mut state.inodes[self.inode];
        inode.now.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn allocate(&mut self, end: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let inode = &state.inodes[self.inode];
        let more = end.saturating_sub(inode.allocated.max(inode.now.len() as u64));
        if more > state.room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = &mut state.inodes[self.inode];
        inode.allocated = inode.allocated.max(end);
        Ok(())
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step("create", path)?;
        state.need_dir(parent(path))?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        let come = Some((path.to_owned(), Node::File(inode)));
        state.change(Change { dir: parent(path).to_owned(), gone: None, come });
        drop(state);
        Ok(self.file(inode))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.state().inode(path)?;
        Ok(self.file(inode))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.state();
        let bytes = &state.inodes[state.inode(path)?].now;
        Ok(bytes[..bytes.len().min(usize::try_from(limit).unwrap_or(usize::MAX))].to_vec())
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.read(path, u64::MAX)?)))
    }

    fn read_at(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
        let all = self.read(path, offset.saturating_add(limit))?;
        Ok(all.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec())
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.state();
        match state.inode(path) {
            Ok(inode) => Ok(Some(state.inodes[inode].now.len() as u64)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> io::Result<()> {
        let mut state = self.state();
        state.step("rename", to)?;
        let inode = state.inode(from)?;
        if replace == Replace::No && state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let come = Some((to.to_owned(), Node::File(inode)));
        state.change(Change { dir: parent(to).to_owned(), gone: Some(from.to_owned()), come });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("remove", path)?;
        state.inode(path)?;
        state.change(Change { dir: parent(path).to_owned(), gone: Some(path.to_owned()), come: None });
        Ok(())
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        let below: Vec<PathBuf> = {
            let state = self.state();
            let paths = state.names.range(dir.to_owned()..).map(|(path, _)| path.clone());
            paths.take_while(|path| path.starts_with(dir)).collect()
        };
        // What lies deepest goes first.
        for path in below.into_iter().rev() {
            let mut state = self.state();
            state.step("remove", &path)?;
            state.change(Change { dir: parent(&path).to_owned(), gone: Some(path), come: None });
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let below = state.names.range(dir.to_owned()..).map(|(path, _)| path).take_while(|path| path.starts_with(dir));
        let names = below.filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("mkdir", dir)?;
        let missing: Vec<PathBuf> = dir.ancestors().filter(|dir| !state.names.contains_key(*dir)).map(Path::to_owned).collect();
        for dir in missing.into_iter().rev() {
            state.change(Change { dir: parent(&dir).to_owned(), gone: None, come: Some((dir, Node::Dir)) });
        }
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("mkdir", dir)?;
        if state.names.contains_key(dir) {
            return Ok(());
        }
        if !state.names.contains_key(parent(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change { dir: parent(dir).to_owned(), gone: None, come: Some((dir.to_owned(), Node::Dir)) });
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("sync", path)?;
        let inode = state.inode(path)?;
        state.sync(inode)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("sync_dir", dir)?;
        if strikes(&mut state.syncs_left) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let (done, rest) = std::mem::take(&mut state.changes).into_iter().partition(|change| change.dir == dir);
        state.changes = rest;
        let done: Vec<Change> = done;
        for change in &done {
            State::apply(&mut state.kept, change);
        }
        Ok(())
    }

    fn sync_all(&self, root: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("sync_all", root)?;
        let failed = strikes(&mut state.syncs_left);
        for inode in &mut state.inodes {
            if failed && inode.now != inode.synced {
                inode.lies = true;
            } else if !inode.lies {
                inode.synced.clone_from(&inode.now);
            }
        }
        if failed {
            return Err(io::Error::from_raw_os_error(5));
        }
        state.changes.clear();
        state.kept = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self, _root: &Path) -> io::Result<u64> {
        Ok(self.state().room())
    }

    fn check_private(&self, dir: &Path) -> io::Result<()> {
        self.state().need_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let mut state = self.state();
        if !state.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        let boot = state.boot;
        drop(state);
        Ok(Some(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), boot })))
    }

    fn salt(&self) -> u32 {
        u32::try_from(self.state().random() >> 32).expect("the upper half has 32 bits")
    }

    fn boot(&self) -> String {
        self.state().powered.to_string()
    }
}
