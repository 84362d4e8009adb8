//! Cutting off bytes that were never synced.

use std::io;
use std::path::Path;

use super::Cut;
use crate::store::disk::{Disk, parent, write_new};
use crate::store::log_file::READ_LIMIT;
use comfyd_adapters::digest::sha256;

/// Copies the bytes from `offset` on to a file beside, durably, then cuts them off.
pub(super) fn cut(disk: &dyn Disk, path: &Path, offset: u64) -> io::Result<Cut> {
    let bytes = disk.read(path, READ_LIMIT)?;
    let tail = &bytes[usize::try_from(offset).map_err(io::Error::other)?..];
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut turn = 0;
    let saved_as = loop {
        let candidate = format!("{name}.tail-{offset}-{turn}");
        if disk.len(&path.with_file_name(&candidate))?.is_none() {
            break candidate;
        }
        turn += 1;
    };
    write_new(disk, &path.with_file_name(&saved_as), tail)?.sync()?;
    disk.sync_dir(parent(path))?;
    let mut file = disk.open_append(path)?;
    file.set_len(offset)?;
    file.sync()?;
    Ok(Cut { offset, bytes: tail.len() as u64, sha256: sha256(tail), saved_as })
}
