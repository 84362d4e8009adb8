//! Removing what was uploaded, by SFTP: `ComfyUI` itself has no way to do it.
//!
//! Invariants: only a file that bears a name of ours and holds what we uploaded is removed; doing it twice does no harm; what can never be removed is
//! told from what cannot be removed now.

use comfyd_engine::{InputFile, InputLeft, Outcome, Sha256};
use sha2::{Digest as _, Sha256 as Hasher};

use super::Executor;
use crate::digest::finished;
use crate::ssh::{FileError, Session, SshError};

/// How large an upload may be: a file that is larger is not read, as it is none of ours.
pub const MAX_UPLOAD: u64 = 64 << 20;

/// What became of one file.
enum Fate {
    Removed,
    /// It stays, for this reason.
    Left(String),
}

impl Executor {
    pub(super) async fn remove_inputs(&self, files: &[InputFile]) -> Outcome {
        let all = |why: &str| {
            let left = files.iter().map(|file| InputLeft { name: file.name.clone(), why: why.to_owned() });
            Outcome::InputsRemoved { removed: vec![], left: left.collect() }
        };
        let transport = self.deps.http.transport();
        let Some(ssh) = transport.ssh() else { return all("the instance is not reached over SSH") };
        let folder = match ssh.input_dir().await {
            Ok(Some(folder)) => folder,
            Ok(None) => return all("the machine does not tell where ComfyUI keeps its inputs"),
            Err(SshError::Forbidden { what, why }) => return all(&format!("the machine refuses {what}: {why}")),
            Err(error) => return Outcome::InputsDelayed { why: format!("failed to {error}") },
        };
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for file in files {
            match self.remove_input(ssh.way().bulk(), &folder, file).await {
                Ok(Fate::Removed) => removed.push(file.name.clone()),
                Ok(Fate::Left(why)) => left.push(InputLeft { name: file.name.clone(), why }),
                Err(why) => return Outcome::InputsDelayed { why },
            }
        }
        Outcome::InputsRemoved { removed, left }
    }

    async fn remove_input(&self, session: &Session, folder: &str, file: &InputFile) -> Result<Fate, String> {
        let left = |why: &str| Ok(Fate::Left(why.to_owned()));
        let Some(path) = path_of(folder, file) else { return left("it is no name that comfyd gives") };
        let done = async {
            if holds(session, &path).await? != Some(file.blob.clone()) {
                return Ok(Fate::Left("it is not what was uploaded".to_owned()));
            }
            session.remove_file(&path).await.map(|()| Fate::Removed)
        };
        match done.await {
            Ok(fate) => Ok(fate),
            Err(FileError::Missing(_)) => left("it is not there"),
            Err(FileError::Denied(_)) => left("the machine does not allow it"),
            Err(FileError::Way(SshError::Forbidden { what, why })) => {
                Ok(Fate::Left(format!("the machine refuses {what}: {why}")))
            }
            Err(error @ (FileError::Broken { .. } | FileError::Way(_))) => Err(format!("failed to {error}")),
        }
    }
}

/// The hash of a file; none of one that is larger than any upload.
async fn holds(session: &Session, path: &str) -> Result<Option<Sha256>, FileError> {
    let stat = session.stat(path).await?;
    if stat.size > MAX_UPLOAD {
        return Ok(None);
    }
    let mut reader = session.open_file(path, stat, 0).await?;
    let mut hasher = Hasher::new();
    while let Some(piece) = reader.piece().await? {
        hasher.update(&piece);
    }
    Ok(Some(finished(hasher)))
}

/// Where an upload lies; none if the server gave it a name that is not ours, or one that is not below the folder.
fn path_of(folder: &str, file: &InputFile) -> Option<String> {
    let (name, below) = match file.name.rsplit_once('/') {
        Some((subfolder, name)) => (name, subfolder.split('/').all(|part| !matches!(part, "" | "." | ".."))),
        None => (file.name.as_str(), true),
    };
    let ours = name.starts_with(&format!("comfyd_{}", &file.blob.as_str()[..16]));
    let plain = !file.name.contains(['\0', '\\']);
    (ours && below && plain).then(|| format!("{}/{}", folder.trim_end_matches('/'), file.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn only_names_of_ours_below_the_folder() {
        let at = |name: &str| path_of("/in/", &InputFile { name: name.into(), blob: sha256(b"") });
        assert_eq!(at("comfyd_e3b0c44298fc1c14_1234.png").as_deref(), Some("/in/comfyd_e3b0c44298fc1c14_1234.png"));
        assert_eq!(at("a/b/comfyd_e3b0c44298fc1c14_1 (1).png").as_deref(), Some("/in/a/b/comfyd_e3b0c44298fc1c14_1 (1).png"));
        for name in [
            "",
            "photo.png",
            "comfyd_0000000000000000_1234.png",
            "/comfyd_e3b0c44298fc1c14.png",
            "../comfyd_e3b0c44298fc1c14.png",
            "a/../../comfyd_e3b0c44298fc1c14.png",
            "a//comfyd_e3b0c44298fc1c14.png",
            "comfyd_e3b0c44298fc1c14/../../etc/passwd",
            "comfyd_e3b0c44298fc1c14\0.png",
            "..\\comfyd_e3b0c44298fc1c14.png",
        ] {
            assert_eq!(at(name), None, "{name}");
        }
    }
}
