//! What the store needs from a file system, so that tests can put a worse one underneath.
//!
//! Invariants: nothing is durable before its sync; a name is durable only after its directory's sync; every call that
//! changes something passes a [`crash_point`](super::crash_point). Absent: paths that come from users.

mod real;
mod sim;

use std::fmt::Debug;
use std::io;
use std::path::Path;

pub use real::RealDisk;
pub use sim::{Fault, SimDisk};

/// Whether a rename may replace a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// An existing target is replaced in one step.
    Yes,
    /// An existing target is an error.
    No,
}

/// A file open for appending; private to its owner.
pub trait DiskFile: Debug + Send {
    /// Writes all bytes at the end, in one write if the system allows.
    ///
    /// # Errors
    /// Some of the bytes may be there then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// The file's unsynced bytes are lost then, whatever a second call says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// The file is as it was.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Sets room aside up to `end` without changing the length; does nothing where that is not known.
    ///
    /// # Errors
    /// There is no such room.
    fn allocate(&mut self, end: u64) -> io::Result<()>;
}

/// Held as long as the lock; dropping it releases.
pub trait LockGuard: Debug + Send + Sync {}

/// A file system below one data directory. All paths are absolute; no final component is followed if it is a link.
pub trait Disk: Debug + Send + Sync {
    /// Creates a file that must not exist, mode 0600.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// It does not, or cannot be opened.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Reads at most `limit` bytes from the start of a file.
    ///
    /// # Errors
    /// It does not exist, or cannot be read.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Opens a file to be read from its start, a piece at a time; what it is replaced by meanwhile is not seen.
    ///
    /// # Errors
    /// It does not exist, or cannot be opened.
    fn reader(&self, path: &Path) -> io::Result<Box<dyn io::Read + Send>>;

    /// Up to `limit` bytes of a file from `offset`; fewer at its end.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read_at(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>>;

    /// The length of a file; nothing if there is none.
    ///
    /// # Errors
    /// That cannot be found out.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Gives a file another name in the same directory.
    ///
    /// # Errors
    /// With [`Replace::No`] the name exists; or the system refuses.
    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// There is none, or the system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything below it; links are removed, not followed. One that is not there is fine.
    ///
    /// # Errors
    /// The system refuses; a part may be gone then.
    fn remove_tree(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, sorted; none if it does not exist.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a directory and those above it, mode 0700; an existing one is fine.
    ///
    /// # Errors
    /// The system refuses.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Creates a directory in one that is there, mode 0700; an existing one is fine. A root that was moved away is not made anew by this.
    ///
    /// # Errors
    /// The system refuses, as where the directory above it is gone.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the bytes of a file durable that is not open here.
    ///
    /// # Errors
    /// As [`DiskFile::sync`].
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The names changed since the last sync may be lost then.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes everything below durable at once.
    ///
    /// # Errors
    /// As [`DiskFile::sync`], for any file.
    fn sync_all(&self, root: &Path) -> io::Result<()>;

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// That cannot be found out.
    fn free_bytes(&self, root: &Path) -> io::Result<u64>;

    /// Checks that a directory is ours alone to write.
    ///
    /// # Errors
    /// `PermissionDenied` with a text for people if it is not.
    fn check_private(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of a file, which is created if need be; nothing if somebody else holds it.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>>;

    /// A random number for the header of a new file.
    fn salt(&self) -> u32;

    /// Names the time since power came: bytes written since then can be read back, synced or not.
    fn boot(&self) -> String;
}

/// Tells whether an error means that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes a whole file under a temporary name and renames it into place; not durable yet.
pub(crate) fn put_unsynced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = temporary(path);
    write_new(disk, &temp, bytes)?;
    disk.rename(&temp, path, Replace::Yes)
}

/// Writes a whole file durably: temporary name, sync, rename, sync of the directory.
pub(crate) fn put_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = temporary(path);
    write_new(disk, &temp, bytes)?.sync()?;
    disk.rename(&temp, path, Replace::Yes)?;
    disk.sync_dir(parent(path))
}

/// Creates a file with these bytes; an older one of the name goes first.
pub(crate) fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<Box<dyn DiskFile>> {
    let mut file = match disk.create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(path)?;
            disk.create_new(path)?
        }
        other => other?,
    };
    file.append(bytes)?;
    Ok(file)
}

/// The name that a file has until it is whole.
pub(crate) fn temporary(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The directory of a file of the store.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().expect("every path of the store lies below the data directory")
}
