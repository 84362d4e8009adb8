//! The files of a form while it comes in.
//!
//! Invariants: a file in the temporary folder has no name there, so that a crash leaves nothing of it; its owner alone can read it.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Where the files of forms are kept; memory without a folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spool(Option<Arc<PathBuf>>);

impl Spool {
    /// Keeps them in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        unnamed(folder)?;
        Ok(Self(Some(Arc::new(folder.to_owned()))))
    }

    /// A place for one file.
    pub(crate) async fn open(&self) -> io::Result<Spooled> {
        let Some(folder) = self.0.clone() else { return Ok(Spooled::Memory(BytesMut::new())) };
        let file = tokio::task::spawn_blocking(move || unnamed(&folder)).await.map_err(io::Error::other)??;
        Ok(Spooled::Disk(File::from_std(file), 0))
    }
}

/// A new file that is gone as soon as nobody has it open.
fn unnamed(folder: &Path) -> io::Result<std::fs::File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let name = format!("comfyd-{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        match std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            // Another process had our number once.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file that is coming in.
#[derive(Debug)]
pub(crate) enum Spooled {
    Memory(BytesMut),
    Disk(File, usize),
}

impl Spooled {
    /// How many bytes came.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Disk(_, length) => *length,
        }
    }

    /// Takes more.
    pub(crate) async fn take(&mut self, more: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => bytes.extend_from_slice(more),
            Self::Disk(file, length) => {
                file.write_all(more).await?;
                *length += more.len();
            }
        }
        Ok(())
    }

    /// Everything that came.
    pub(crate) async fn whole(self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.freeze()),
            Self::Disk(mut file, length) => {
                file.flush().await?;
                file.rewind().await?;
                let mut bytes = Vec::with_capacity(length);
                file.read_to_end(&mut bytes).await?;
                Ok(bytes.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_file_comes_back_as_it_came_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("new/temp");
        let spool = Spool::in_folder(&folder).expect("made");
        assert_eq!(std::fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
        for spool in [spool, Spool::default()] {
            let mut file = spool.open().await.expect("opened");
            for piece in ["one ", "two ", "three"] {
                file.take(piece.as_bytes()).await.expect("taken");
            }
            assert_eq!(file.len(), 13);
            assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0, "it has no name");
            assert_eq!(file.whole().await.expect("read"), "one two three");
        }
        assert!(Spool::in_folder(Path::new("/proc/nowhere")).is_err());
    }
}
