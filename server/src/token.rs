//! The token of a data directory.
//!
//! Invariants: it is never replaced by itself, as people and programs keep it; a file that others can read is not used.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use comfyd_adapters::digest::hex;

use crate::server::write_private;

/// The shortest token that is taken from the file, in bytes.
const SHORTEST: usize = 32;

/// The data directory's token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A new one cannot be made.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can be guessed.
    #[error("use the token in {path}: it is shorter than {SHORTEST} characters")]
    Short {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it.
    #[error("use the token in {path}: others may have read it (mode {mode:03o}, not 600)")]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl TokenError {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } | Self::Write { .. } => "Check the permissions and the free space.".to_owned(),
            Self::Short { path } => format!("Remove {}: the next start makes a new one.", path.display()),
            Self::Shared { path, .. } => {
                let path = path.display();
                format!("chmod 600 {path}, or remove it if somebody else may know it: the next start makes a new one.")
            }
        }
    }
}

/// The data directory's token: 256 random bits, made on first use.
///
/// # Errors
/// If it cannot be read or written, is too short, or can be read by others.
pub fn stored_token(root: &Path) -> Result<String, TokenError> {
    let path = root.join("token");
    match read(&path) {
        Ok((_, mode)) if mode & 0o077 != 0 => Err(TokenError::Shared { path, mode }),
        Ok((token, _)) if token.len() < SHORTEST => Err(TokenError::Short { path }),
        Ok((token, _)) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(&path).map_err(|source| TokenError::Write { path: path.clone(), source })
        }
        Err(source) => Err(TokenError::Read { path, source }),
    }
}

/// The token and the file's permission bits.
fn read(path: &Path) -> io::Result<(String, u32)> {
    let mut file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((io::read_to_string(&mut file)?.trim().to_owned(), mode))
}

fn make(path: &Path) -> io::Result<String> {
    let mut random = [0u8; 32];
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    if filled != random.len() {
        return Err(io::Error::other("the system gave too few random bytes"));
    }
    let token = hex(&random);
    write_private(path, token.as_bytes())?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_never_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        let token = stored_token(dir.path()).expect("made");
        assert_eq!(stored_token(dir.path()).expect("kept"), token);
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        for shared in [0o604, 0o640, 0o666] {
            mode(shared);
            let error = stored_token(dir.path()).expect_err("others can read it");
            assert!(matches!(error, TokenError::Shared { .. }) && error.hint().contains("chmod 600"), "{error}");
        }
        mode(0o600);
        assert_eq!(stored_token(dir.path()).expect("private again"), token);
        for short in ["", "secret", &token[..31]] {
            std::fs::write(&path, short).expect("written");
            let error = stored_token(dir.path()).expect_err("it can be guessed");
            assert!(matches!(error, TokenError::Short { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("kept"), short);
        }
    }
}
