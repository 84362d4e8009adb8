//! The file system of the machine.
//!
//! Invariants: files 0600, directories 0700, links never followed at the last component, descriptors never inherited.

use std::collections::hash_map::RandomState;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, FallocateFlags, OFlags, RenameFlags};

use super::{Disk, DiskFile, LockGuard, Replace};
use crate::store::crash_point;

/// The real file system.
///
/// ```
/// # use comfyd_server::store::{Disk, RealDisk};
/// let dir = std::env::temp_dir();
/// assert!(RealDisk.free_bytes(&dir)? > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl LockGuard for RealLock {}

/// std adds `O_CLOEXEC`; this adds `O_NOFOLLOW`.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

impl DiskFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        crash_point("write");
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        crash_point("fdatasync");
        self.0.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        crash_point("truncate");
        self.0.set_len(len)
    }

    fn allocate(&mut self, end: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, end) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        crash_point("create");
        Ok(Box::new(RealFile(options().append(true).create_new(true).open(path)?)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(options().append(true).open(path)?)))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = options().read(true).open(path)?;
        let len = file.metadata()?.len().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0) + 1);
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(options().read(true).open(path)?))
    }

    fn read_at(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
        let mut file = options().read(true).open(path)?;
        file.seek(io::SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> io::Result<()> {
        crash_point("rename");
        match replace {
            Replace::Yes => std::fs::rename(from, to),
            Replace::No => Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        crash_point("remove");
        std::fs::remove_file(path)
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            // The type of the entry itself: a link to a directory is no directory.
            if entry.file_type()?.is_dir() {
                self.remove_tree(&entry.path())?;
            } else {
                self.remove(&entry.path())?;
            }
        }
        crash_point("rmdir");
        std::fs::remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not text is not one of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        crash_point("mkdir");
        DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        crash_point("mkdir");
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        crash_point("fdatasync");
        options().read(true).open(path)?.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        crash_point("sync_dir");
        File::open(dir)?.sync_all()
    }

    fn sync_all(&self, root: &Path) -> io::Result<()> {
        crash_point("syncfs");
        Ok(rustix::fs::syncfs(File::open(root)?)?)
    }

    fn free_bytes(&self, root: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn check_private(&self, dir: &Path) -> io::Result<()> {
        let meta = std::fs::metadata(dir)?;
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", dir.display())));
        if !meta.is_dir() {
            return refuse("is not a directory");
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return refuse("belongs to another user");
        }
        if meta.mode() & 0o022 != 0 {
            return refuse("can be written by others: run chmod go-w on it");
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let mut file = options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // For people only: the lock is the descriptor.
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(Box::new(RealLock { _file: file })))
    }

    fn salt(&self) -> u32 {
        // The standard library's only source of random numbers: the keys of its hash maps.
        let random = RandomState::new().build_hasher().finish();
        u32::try_from(random >> 32).expect("the upper half has 32 bits")
    }

    fn boot(&self) -> String {
        static BOOT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        // Where the system does not tell, each process takes itself for the first since the start.
        let unknown = || format!("process {}-{}", std::process::id(), self.salt());
        let told = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned());
        BOOT.get_or_init(|| told().unwrap_or_else(|_| unknown())).clone()
    }
}
