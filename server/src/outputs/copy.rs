//! Copies of outputs in the user's folder.
//!
//! Invariants: the folder really lies under an allowed root when the copy is made, whatever was checked before; a file under its final name is
//! whole and replaces nothing; the same bytes under the same name are one copy.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use comfyd_adapters::digest::finished;
use comfyd_adapters::hot::Hot;
use comfyd_engine::Sha256;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256 as Hasher};

use crate::beneath;
use crate::intake::Rules;

/// How many names are tried for one file.
const MAX_NAMES: u32 = 10_000;

/// What is copied.
pub(super) struct Original<'a> {
    pub(super) path: &'a Path,
    pub(super) label: &'a str,
    pub(super) size: u64,
    pub(super) sha256: &'a Sha256,
}

/// The copies of one data directory.
pub(super) struct Copies {
    rules: Hot<Rules>,
    /// The ones in the making, so that none takes another's temporary file for one that a crash left.
    making: Mutex<BTreeSet<PathBuf>>,
}

/// A file in the making; removed unless it got its final name.
struct Draft<'a> {
    folder: &'a OwnedFd,
    name: String,
    file: File,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // It has its final name, or nobody can do more than leave it there.
        let _ = unlinkat(self.folder, &self.name, AtFlags::empty());
    }
}

/// A name that this process is making; free again when dropped.
struct Claim<'a> {
    copies: &'a Copies,
    path: PathBuf,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.copies.making.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

impl Copies {
    /// Copies to folders under the output roots of these rules, which are without links.
    pub(super) fn under(rules: Hot<Rules>) -> Self {
        Self { rules, making: Mutex::default() }
    }

    /// Puts a copy into the folder, under a name that is free there; gives the path.
    pub(super) fn copy(&self, original: &Original<'_>, folder: &Path) -> io::Result<PathBuf> {
        let (real, fd) = self.open(folder)?;
        let label = original.label;
        let (stem, ending) = label.rsplit_once('.').map_or((label, String::new()), |(stem, ending)| (stem, format!(".{ending}")));
        for n in 0..MAX_NAMES {
            let name = if n == 0 { label.to_owned() } else { format!("{stem}-{n}{ending}") };
            let Some(_claim) = self.claim(real.join(&name)) else { continue };
            if exists(&fd, &name)? {
                if is_copy(&fd, &name, original)? {
                    return Ok(folder.join(name));
                }
                continue;
            }
            if write(&fd, &name, original)? {
                rustix::fs::fsync(&fd)?;
                return Ok(folder.join(name));
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name are there"))
    }

    /// The real folder, opened without following links below its root.
    fn open(&self, folder: &Path) -> io::Result<(PathBuf, OwnedFd)> {
        let there = folder.ancestors().find_map(|there| Some((there.canonicalize().ok()?, there)));
        let (real, there) = there.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let rest = folder.strip_prefix(there).map_err(io::Error::other)?;
        let rules = self.rules.get();
        let root = rules.output_roots.iter().find(|root| real.starts_with(root));
        let root = root.ok_or_else(|| {
            let why = format!("{} lies outside of the folders that may be written", real.display());
            io::Error::new(io::ErrorKind::PermissionDenied, why)
        })?;
        let real = real.join(rest);
        let below = real.strip_prefix(root).map_err(io::Error::other)?;
        let fd = beneath::folder(root, below)?;
        Ok((real, fd))
    }

    fn claim(&self, path: PathBuf) -> Option<Claim<'_>> {
        let free = self.making.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        free.then_some(Claim { copies: self, path })
    }
}

fn exists(folder: &OwnedFd, name: &str) -> io::Result<bool> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file is the copy already, as after a crash before that was recorded.
fn is_copy(folder: &OwnedFd, name: &str, original: &Original<'_>) -> io::Result<bool> {
    let Ok(fd) = openat(folder, name, beneath::READ, Mode::empty()) else {
        // A link, or not ours to read: in any case not what we wrote.
        return Ok(false);
    };
    let mut file = File::from(fd);
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() != original.size {
        return Ok(false);
    }
    let mut hasher = Hashing(Hasher::new());
    io::copy(&mut file, &mut hasher)?;
    Ok(finished(hasher.0) == *original.sha256)
}

struct Hashing(Hasher);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the copy beside its name, syncs it, and gives it the name; says whether the name was free all the while.
fn write(folder: &OwnedFd, name: &str, original: &Original<'_>) -> io::Result<bool> {
    let Some(mut draft) = draft(folder, format!(".{name}.part-comfyd"))? else { return Ok(false) };
    io::copy(&mut beneath::regular_file(original.path)?, &mut draft.file)?;
    draft.file.sync_all()?;
    let named = match renameat_with(folder, &draft.name, folder, name, RenameFlags::NOREPLACE) {
        // Not every file system knows it; a link never replaces either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => linkat(folder, &draft.name, folder, name, AtFlags::empty()),
        named => named,
    };
    match named {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A new temporary file; none if another process is making this one.
fn draft(folder: &OwnedFd, name: String) -> io::Result<Option<Draft<'_>>> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || openat(folder, &name, flags, Mode::RUSR | Mode::WUSR);
    let fd = match create() {
        Err(Errno::EXIST) if is_left(folder, &name) => {
            unlinkat(folder, &name, AtFlags::empty())?;
            create()?
        }
        Err(Errno::EXIST) => return Ok(None),
        made => made?,
    };
    let file = File::from(fd);
    // Tells other processes that it is not left over; file systems without locks do without.
    let _ = file.try_lock();
    Ok(Some(Draft { folder, name, file }))
}

/// Whether a temporary file is one that a crash left: nobody holds it.
fn is_left(folder: &OwnedFd, name: &str) -> bool {
    match openat(folder, name, beneath::READ, Mode::empty()) {
        Ok(fd) => !matches!(File::from(fd).try_lock(), Err(TryLockError::WouldBlock)),
        // A link or a thing of another kind, which is not what anybody writes into.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Yard {
        dir: tempfile::TempDir,
        root: PathBuf,
        copies: Copies,
        sha256: Sha256,
    }

    impl Yard {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let root = dir.path().canonicalize().expect("it is there").join("allowed");
            std::fs::create_dir(&root).expect("made");
            std::fs::write(dir.path().join("1-a.png"), "bytes").expect("written");
            let rules = Hot::new(Rules { output_roots: vec![root.clone()], ..Rules::default() });
            Self { root, copies: Copies::under(rules), sha256: finished(Hasher::new_with_prefix("bytes")), dir }
        }

        fn folder(&self) -> &Path {
            &self.root
        }

        fn copy_to(&self, folder: &Path) -> io::Result<PathBuf> {
            let path = self.dir.path().join("1-a.png");
            self.copies.copy(&Original { path: &path, label: "a.png", size: 5, sha256: &self.sha256 }, folder)
        }

        fn names(folder: &Path) -> Vec<String> {
            let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<_> = entries.map(|name| name.into_string().expect("text")).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_same_bytes_under_the_same_name_are_one_copy() {
        let yard = Yard::new();
        let folder = yard.folder().join("new/deep");
        assert_eq!(yard.copy_to(&folder).expect("copied"), folder.join("a.png"));
        assert_eq!(yard.copy_to(&folder).expect("there already"), folder.join("a.png"));
        assert_eq!(Yard::names(&folder), ["a.png"]);
        std::fs::write(folder.join("a.png"), "other").expect("written");
        assert_eq!(yard.copy_to(&folder).expect("copied"), folder.join("a-1.png"));
        assert_eq!(std::fs::read(folder.join("a.png")).expect("kept"), b"other");
        assert_eq!(std::fs::read(folder.join("a-1.png")).expect("copied"), b"bytes");
    }

    #[test]
    fn a_folder_that_was_moved_out_of_the_roots_is_not_written() {
        let yard = Yard::new();
        let elsewhere = tempfile::tempdir().expect("a folder");
        let folder = yard.folder().join("out");
        symlink(elsewhere.path(), &folder).expect("linked");
        for bad in [folder.as_path(), &folder.join("deep"), elsewhere.path(), Path::new("/")] {
            assert_eq!(yard.copy_to(bad).expect_err("outside").kind(), io::ErrorKind::PermissionDenied, "{}", bad.display());
        }
        assert_eq!(Yard::names(elsewhere.path()), [] as [&str; 0]);
    }

    #[test]
    fn what_a_crash_left_is_replaced_and_a_failure_leaves_nothing() {
        let yard = Yard::new();
        let folder = yard.folder().to_owned();
        std::fs::write(folder.join(".a.png.part-comfyd"), "by").expect("written");
        assert_eq!(yard.copy_to(&folder).expect("copied"), folder.join("a.png"));
        assert_eq!(Yard::names(&folder), ["a.png"]);
        std::fs::remove_file(folder.join("a.png")).expect("removed");
        std::fs::remove_file(yard.dir.path().join("1-a.png")).expect("removed");
        yard.copy_to(&folder).expect_err("there is nothing to copy");
        assert_eq!(Yard::names(&folder), [] as [&str; 0]);
    }

    #[test]
    fn a_temporary_file_that_somebody_writes_is_left_alone() {
        let yard = Yard::new();
        let folder = yard.folder().to_owned();
        let held = File::create(folder.join(".a.png.part-comfyd")).expect("made");
        held.lock().expect("locked");
        assert_eq!(yard.copy_to(&folder).expect("copied"), folder.join("a-1.png"));
        let secret = yard.dir.path().join("secret");
        std::fs::write(&secret, "s").expect("written");
        symlink(&secret, folder.join(".a-2.png.part-comfyd")).expect("linked");
        symlink(&secret, folder.join("b.png")).expect("linked");
        std::fs::write(folder.join("a-1.png"), "other").expect("written");
        assert_eq!(yard.copy_to(&folder).expect("copied"), folder.join("a-2.png"));
        assert_eq!(std::fs::read(&secret).expect("kept"), b"s");
    }
}
