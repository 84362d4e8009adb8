//! Outputs by SFTP, where the way goes over SSH and the output folder is known: faster than `/view`, and resumed with any server.
//!
//! Invariants: what cannot be had this way is asked of `/view`, which alone says that a file is gone; a path never leaves the output folder.

use comfyd_engine::RemoteFile;

use super::Executor;
use super::collect::{Fault, MAX_OUTPUT, Whole};
use crate::comfy::ports::PartFile;
use crate::ssh::FileError;

impl Executor {
    /// One try, from where the last one ended; none if it is not to be had this way.
    pub(super) async fn fetch_by_sftp(&self, part: &mut dyn PartFile, file: &RemoteFile) -> Result<Option<Whole>, Fault> {
        let transport = self.deps.http.transport();
        let Some(ssh) = transport.ssh() else { return Ok(None) };
        let Some(path) = ssh.output_dir().and_then(|dir| path_of(&dir, file)) else { return Ok(None) };
        let session = ssh.way().bulk();
        let stat = match session.stat(&path).await {
            Ok(stat) if stat.size <= MAX_OUTPUT => stat,
            // What is too large is told by the other way.
            Ok(_) => return Ok(None),
            Err(error) => return Ok(otherwise(&error)),
        };
        if part.etag().as_deref() != Some(stat.version.as_str()) || part.offset() > stat.size {
            part.restart(Some(stat.version.clone())).await?;
        }
        let mut reader = match session.open_file(&path, stat.clone(), part.offset()).await {
            Ok(reader) => reader,
            Err(error) => return Ok(otherwise(&error)),
        };
        let there = |error: FileError| Fault::There(format!("SFTP: failed to {error}"));
        while let Some(bytes) = reader.piece().await.map_err(there)? {
            if part.offset().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) > stat.size {
                return Err(Fault::There("the file grew while it was fetched".to_owned()));
            }
            part.write(bytes).await?;
        }
        // A file that is still being written is not whole, whatever its length was.
        let after = session.stat(&path).await.map_err(there)?;
        if part.offset() != stat.size || after != stat {
            return Err(Fault::There(format!("{} of {} bytes came, and the file changes", part.offset(), after.size)));
        }
        Ok(Some(Whole::Confirmed))
    }
}

/// The machine has no SFTP, or no such file where it was looked for.
fn otherwise(error: &FileError) -> Option<Whole> {
    tracing::debug!(%error, "an output is not to be had by SFTP");
    None
}

/// Where an output lies; none if that is not below the folder.
fn path_of(dir: &str, file: &RemoteFile) -> Option<String> {
    let inside = |part: &str| part.is_empty() || part.split('/').all(|name| !matches!(name, "" | "." | ".."));
    let plain = |text: &str| !text.contains(['\0', '\\']);
    let name = &file.filename;
    let good = file.folder == "output" && !name.is_empty() && !name.contains('/') && plain(name) && plain(&file.subfolder);
    if !good || !inside(name) || !inside(&file.subfolder) {
        return None;
    }
    let dir = dir.trim_end_matches('/');
    Some(if file.subfolder.is_empty() { format!("{dir}/{name}") } else { format!("{dir}/{}/{name}", file.subfolder) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_folder() {
        let at = |folder: &str, subfolder: &str, filename: &str| {
            let file = RemoteFile {
                key: "images".into(),
                filename: filename.into(),
                subfolder: subfolder.into(),
                folder: folder.into(),
            };
            path_of("/out/", &file)
        };
        assert_eq!(at("output", "", "a.png").as_deref(), Some("/out/a.png"));
        assert_eq!(at("output", "x/y", "a b.png").as_deref(), Some("/out/x/y/a b.png"));
        for (folder, subfolder, filename) in [
            ("temp", "", "a.png"),
            ("output", "", ""),
            ("output", "", ".."),
            ("output", "..", "a"),
            ("output", "/etc", "passwd"),
            ("output", "x/../..", "a"),
            ("output", "x//y", "a"),
            ("output", "", "../a"),
            ("output", "", "a\0b"),
            ("output", "..\\x", "a"),
        ] {
            assert_eq!(at(folder, subfolder, filename), None, "{folder} {subfolder} {filename}");
        }
    }
}
