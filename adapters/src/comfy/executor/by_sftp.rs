//! Outputs by SFTP, where the way goes over SSH and the output folder is known: faster than `/view`, and resumed with any server.
//!
//! Invariants: `/view` alone says that a file is there or gone, and how long it is, as a file of the same name may be another server's; what cannot be
//! had by SFTP is fetched by `/view`; a way that is lost is no reason to begin anew; a path never leaves the output folder.

use comfyd_engine::RemoteFile;

use super::Executor;
use super::collect::{Fault, MAX_OUTPUT, Whole};
use crate::comfy::http::Measure;
use crate::comfy::ports::PartFile;
use crate::ssh::{FileError, RemoteStat};

/// Whether an output is to be had by SFTP, as far as its tries have told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BySftp {
    #[default]
    Perhaps,
    /// The machine's file transfer failed on it once without a new byte. What is here is not thrown away for that.
    Hardly,
    /// The machine's file transfer failed on it.
    No,
}

impl Executor {
    /// One try, from where the last one ended; none if it is not to be had this way.
    pub(super) async fn fetch_by_sftp(
        &self,
        part: &mut dyn PartFile,
        file: &RemoteFile,
        hope: &mut BySftp,
    ) -> Result<Option<Whole>, Fault> {
        let transport = self.deps.http.transport();
        let (Some(ssh), BySftp::Perhaps | BySftp::Hardly) = (transport.ssh(), *hope) else { return Ok(None) };
        // What came by the other way goes on by it.
        if part.offset() > 0 && part.etag().is_some_and(|etag| !etag.starts_with("sftp-")) {
            return Ok(None);
        }
        let Some(path) = ssh.output_dir().and_then(|dir| path_of(&dir, file)) else { return Ok(None) };
        let session = ssh.way().bulk();
        let Some(told) = self.bulk.measure(file).await? else { return Ok(None) };
        let stat = match session.stat(&path).await {
            Ok(stat) if stat.size <= MAX_OUTPUT => stat,
            // What is too large is told by the other way.
            Ok(_) => return Ok(None),
            Err(error) => return otherwise(error, hope, part.offset(), false),
        };
        if !is_the_same(&told, &stat) {
            tracing::debug!(name = %file.filename, "another file lies under the name of an output");
            return Ok(None);
        }
        if part.etag().as_deref() != Some(stat.version.as_str()) || part.offset() > stat.size {
            part.restart(Some(stat.version.clone())).await?;
        }
        let began = part.offset();
        let mut reader = match session.open_file(&path, stat.clone(), began).await {
            Ok(reader) => reader,
            Err(error) => return otherwise(error, hope, began, false),
        };
        loop {
            let bytes = match reader.piece().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(error) => return otherwise(error, hope, part.offset(), part.offset() > began),
            };
            if part.offset().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) > stat.size {
                return Err(Fault::There("the file grew while it was fetched".to_owned()));
            }
            part.write(bytes).await?;
        }
        // A file that is still being written is not whole, whatever its length was.
        match session.stat(&path).await {
            Ok(after) if part.offset() == stat.size && after == stat => Ok(Some(Whole::Confirmed)),
            Ok(after) => Err(Fault::There(format!("{} of {} bytes came, and the file changes", part.offset(), after.size))),
            Err(error) => otherwise(error, hope, part.offset(), part.offset() > began),
        }
    }
}

/// Whether the file that lies there is the one that `ComfyUI` means.
fn is_the_same(told: &Measure, found: &RemoteStat) -> bool {
    // Servers round the time up or down to whole seconds.
    let dates = [found.modified, found.modified + 1].map(http_date);
    told.length == found.size && told.modified.as_ref().is_none_or(|date| dates.contains(date))
}

/// What to do when it failed: the other way, unless the way to the machine itself is lost or this one still gets on; then what is here stays good.
fn otherwise(error: FileError, hope: &mut BySftp, here: u64, got_on: bool) -> Result<Option<Whole>, Fault> {
    tracing::debug!(%error, "an output did not come by SFTP");
    match error {
        FileError::Missing(_) | FileError::Denied(_) | FileError::Way(crate::ssh::SshError::Forbidden { .. }) => Ok(None),
        error @ FileError::Broken { .. } if got_on || (here > 0 && *hope == BySftp::Perhaps) => {
            *hope = if got_on { BySftp::Perhaps } else { BySftp::Hardly };
            Err(Fault::There(format!("SFTP: failed to {error}")))
        }
        FileError::Broken { .. } => {
            *hope = BySftp::No;
            Ok(None)
        }
        error @ FileError::Way(_) => Err(Fault::There(format!("SFTP: failed to {error}"))),
    }
}

/// A time as HTTP writes it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(unix: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years that begin in March, so that the day that some years have more comes last; from the first of March of the year 0 on.
    let of_era = days + 719_468;
    let (era, day) = (of_era / 146_097, of_era % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 2, 0) } else { (month - 10, 1) };
    let (weekday, month) = (DAYS[usize::try_from(days % 7).unwrap_or(0)], MONTHS[usize::try_from(month).unwrap_or(0)]);
    let year = year + era * 400 + next;
    format!("{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", second / 3_600, second / 60 % 60, second % 60)
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
    fn dates_as_http_writes_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(http_date(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
    }

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
