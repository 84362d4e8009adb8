//! Files of the machine, by SFTP.
//!
//! Invariants: one SFTP session for each connection, shared, as servers may allow few; a transfer goes on where it ended if the file is the same, by
//! length and time; silence ends a transfer and never a wait without end.

use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::fs::File;
use russh_sftp::client::{Config, SftpSession};
use russh_sftp::protocol::{OpenFlags, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::closing::Closing;
use super::error::SshError;
use super::pipe::Pipe;
use super::session::{Live, Session};
use crate::digest::sha256;

/// How long nothing may come (reliability.md 8).
const SILENCE: Duration = Duration::from_secs(30);
/// How long a machine may take to begin it: one that never answers has none.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// How much is read in one go.
const PIECE: usize = 256 * 1024;
/// What is asked for, in words.
const WHAT: &str = "the file transfer (SFTP)";

/// What a file of the machine is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteStat {
    /// Its length.
    pub size: u64,
    /// What changes with its content: length and time.
    pub version: String,
    /// When it was changed, in seconds since 1970.
    pub modified: u64,
}

/// A file cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is not there, or no plain file.
    #[error("find {0} on the machine")]
    Missing(String),
    /// It may not be touched.
    #[error("open {0} on the machine: permission denied")]
    Denied(String),
    /// Something else is wrong with it.
    #[error("transfer {path}: {why}")]
    Broken {
        /// The file.
        path: String,
        /// What the machine said.
        why: String,
    },
    /// The way there is at fault.
    #[error(transparent)]
    Way(#[from] SshError),
}

/// A file that is being read.
pub struct RemoteReader {
    file: File,
    live: Arc<Live>,
    path: String,
    stat: RemoteStat,
}

impl Session {
    /// The SFTP session of this connection, begun if there is none.
    async fn sftp(&self) -> Result<(Arc<SftpSession>, Arc<Live>), SshError> {
        let live = self.live().await?;
        let mut kept = live.sftp.lock().await;
        if let Some(known) = kept.as_ref() {
            return known.clone().map(|sftp| (sftp, Arc::clone(&live)));
        }
        let (channel, of) = self.session(WHAT).await?;
        let begun = timeout(BEGIN_LIMIT, begin(channel)).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", BEGIN_LIMIT.as_secs());
            Err(SshError::Forbidden { what: WHAT.to_owned(), why })
        });
        // A connection that died meanwhile refuses nothing.
        let begun = match begun {
            Err(SshError::Forbidden { .. }) if !of.answers().await => {
                Err(SshError::Lost { why: format!("while {WHAT} was begun") })
            }
            begun => begun.map(Arc::new),
        };
        // The connection may have been made anew in between; its session belongs to that one. That there is none is remembered as long as it stands.
        let lost = matches!(begun, Err(SshError::Lost { .. }));
        if Arc::ptr_eq(&of, &live) && !lost {
            *kept = Some(begun.clone());
        }
        begun.map(|sftp| (sftp, of))
    }

    /// Forgets the SFTP session: it failed, and the next use begins another.
    async fn drop_sftp(live: &Live) {
        live.sftp.lock().await.take();
    }

    /// What a file is now.
    ///
    /// # Errors
    /// If it is not there, or no plain file.
    pub async fn stat(&self, path: &str) -> Result<RemoteStat, FileError> {
        let (sftp, live) = self.sftp().await?;
        let found = match sftp.metadata(path).await {
            Ok(found) => found,
            Err(error) => return Err(broken(&live, path, error).await),
        };
        if !found.is_regular() {
            return Err(FileError::Missing(path.to_owned()));
        }
        let size = found.size.unwrap_or(0);
        let modified = found.mtime.unwrap_or(0);
        Ok(RemoteStat { size, version: format!("sftp-{size}-{modified}"), modified: u64::from(modified) })
    }

    /// Opens a file for reading from a place on.
    ///
    /// # Errors
    /// If it is not there or may not be read.
    pub async fn open_file(&self, path: &str, stat: RemoteStat, offset: u64) -> Result<RemoteReader, FileError> {
        let (sftp, live) = self.sftp().await?;
        let mut file = match sftp.open(path).await {
            Ok(file) => file,
            Err(error) => return Err(broken(&live, path, error).await),
        };
        let seek = file.seek(SeekFrom::Start(offset)).await;
        seek.map_err(|error| FileError::Broken { path: path.to_owned(), why: error.to_string() })?;
        Ok(RemoteReader { file, live, path: path.to_owned(), stat })
    }

    /// Writes a file, from where an earlier try ended if its beginning is that long; nobody sees it under its name before it is whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_file(&self, path: &str, bytes: &Bytes) -> Result<(), FileError> {
        // Another content has another name, so that nothing goes on behind a beginning that is not its own.
        let part = format!("{path}.{}.part", &sha256(bytes).as_str()[..16]);
        let failed = |why: String| FileError::Broken { path: path.to_owned(), why };
        let (sftp, live) = self.sftp().await?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let there = match self.stat(&part).await {
            Ok(stat) if stat.size <= length => stat.size,
            Ok(_) | Err(_) => 0,
        };
        let flags = if there > 0 { OpenFlags::WRITE } else { OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE };
        let mut file = match sftp.open_with_flags(part.as_str(), flags).await {
            Ok(file) => file,
            Err(error) => return Err(broken(&live, path, error).await),
        };
        let from = usize::try_from(there).unwrap_or(bytes.len());
        let written = async {
            file.seek(SeekFrom::Start(there)).await?;
            for piece in bytes[from..].chunks(PIECE) {
                let sent = timeout(SILENCE, file.write_all(piece)).await;
                sent.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
            }
            file.flush().await
        };
        written.await.map_err(|error| failed(error.to_string()))?;
        file.close().await.map_err(|error| failed(error.to_string()))?;
        // The protocol's rename replaces nothing, so what was there is put aside until the new one has its place.
        let old = format!("{part}.old");
        let aside = sftp.rename(path, old.as_str()).await.is_ok();
        let renamed = sftp.rename(part.as_str(), path).await;
        if aside {
            let _ = if renamed.is_ok() { sftp.remove_file(old.as_str()).await } else { sftp.rename(old.as_str(), path).await };
        }
        renamed.map_err(|error| failed(error.to_string()))
    }

    /// Removes a file; one that is not there is removed.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub async fn remove_file(&self, path: &str) -> Result<(), FileError> {
        let (sftp, live) = self.sftp().await?;
        match sftp.remove_file(path).await {
            Ok(()) => Ok(()),
            Err(error) => match broken(&live, path, error).await {
                FileError::Missing(_) => Ok(()),
                other => Err(other),
            },
        }
    }
}

/// Begins the file transfer on a channel.
async fn begin(channel: Channel<Msg>) -> Result<SftpSession, SshError> {
    let refused = |why: &str| SshError::Forbidden { what: WHAT.to_owned(), why: why.to_owned() };
    let (mut incoming, outgoing) = channel.split();
    let outgoing = Closing::new(outgoing);
    outgoing.request_subsystem(true, "sftp").await.map_err(|error| SshError::Lost { why: error.to_string() })?;
    loop {
        match incoming.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => return Err(refused("the machine has none")),
            Some(ChannelMsg::Close) => return Err(refused("the machine ended it")),
            Some(_) => {} // Windows, and what a shell says before.
            None => return Err(SshError::Lost { why: format!("while {WHAT} was begun") }),
        }
    }
    let config = Config { request_timeout_secs: SILENCE.as_secs(), ..Config::default() };
    let pipe = Pipe::of_halves(incoming, outgoing.kept(), Box::new(()));
    SftpSession::new_with_config(pipe, config).await.map_err(|error| refused(&error.to_string()))
}

/// What an error of the file transfer means.
async fn broken(live: &Live, path: &str, error: SftpError) -> FileError {
    let path = path.to_owned();
    match error {
        SftpError::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => FileError::Missing(path),
            StatusCode::PermissionDenied => FileError::Denied(path),
            other => FileError::Broken { path, why: format!("{other}: {}", status.error_message) },
        },
        other => {
            Session::drop_sftp(live).await;
            interrupted(live, path, other.to_string()).await
        }
    }
}

/// Tells a way that is lost from a file that cannot be had.
async fn interrupted(live: &Live, path: String, why: String) -> FileError {
    if live.answers().await { FileError::Broken { path, why } } else { FileError::Way(SshError::Lost { why }) }
}

impl RemoteReader {
    /// What the file was when it was opened.
    pub fn stat(&self) -> &RemoteStat {
        &self.stat
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// If the connection ends, or nothing comes for too long.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, FileError> {
        let mut piece = BytesMut::with_capacity(PIECE);
        let why = match timeout(SILENCE, self.file.read_buf(&mut piece)).await {
            Ok(Ok(0)) => return Ok(None),
            Ok(Ok(_)) => return Ok(Some(piece.freeze())),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("nothing came for {} s", SILENCE.as_secs()),
        };
        // The next use begins another one, which may do better.
        Session::drop_sftp(&self.live).await;
        Err(interrupted(&self.live, self.path.clone(), why).await)
    }
}
