//! Outputs on disk: in the making as `<n>.part`, whole as `<n>-<slug>.<ending>`.
//!
//! Invariants: a file with a final name is complete, hashed and synced, and never replaced; names are ours, what the instance calls a file is
//! only a label; the folder lies below the data directory.

mod copy;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use comfyd_adapters::comfy::ports::{OutputSink, PartFile};
use comfyd_adapters::digest::finished;
use comfyd_adapters::hot::Hot;
use comfyd_adapters::sniff::sniff;
use comfyd_engine::{RunId, SavedFile};
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256 as Hasher};

use copy::{Copies, Original};

use crate::intake::Rules;
use crate::live::Live;
use crate::offload::Offload;
use crate::store::{Disk, DiskFile, Replace};

/// The folder of a run's outputs.
pub(crate) fn folder(root: &Path, run: RunId) -> PathBuf {
    root.join("runs").join(run.to_string()).join("outputs")
}

/// The outputs of one data directory.
pub(crate) struct OutputFolder {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    offload: Offload,
    live: Arc<Live>,
    busy: Arc<Busy>,
    rules: Hot<Rules>,
    copies: Arc<Copies>,
}

/// The outputs in the making, so that no two tasks write one file.
#[derive(Default)]
struct Busy(Mutex<BTreeSet<(RunId, u32)>>);

/// One of them; free again when dropped.
struct Claim {
    busy: Arc<Busy>,
    key: (RunId, u32),
}

impl Claim {
    fn new(busy: &Arc<Busy>, key: (RunId, u32)) -> io::Result<Self> {
        let free = busy.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        if free {
            Ok(Self { busy: Arc::clone(busy), key })
        } else {
            Err(io::Error::other("this output is being fetched already"))
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl OutputFolder {
    /// Files wait while less is free than the rules want: what is left is for the log. Copies go to folders under their output roots only.
    pub(crate) fn new(root: PathBuf, disk: Arc<dyn Disk>, offload: Offload, live: Arc<Live>, rules: Hot<Rules>) -> Self {
        let copies = Arc::new(Copies::under(rules.clone()));
        Self { root, disk, offload, live, busy: Arc::default(), rules, copies }
    }
}

impl OutputSink for OutputFolder {
    fn open(&self, run: RunId, n: u32, label: &str) -> BoxFuture<'_, io::Result<Box<dyn PartFile>>> {
        let place = Place::new(&folder(&self.root, run), n, label);
        let room = Room { root: self.root.clone(), min_free: self.rules.get().min_free };
        let (disk, offload) = (Arc::clone(&self.disk), self.offload);
        let copy_to = self.live.view(run).and_then(|view| view.output_dir.clone()).map(PathBuf::from);
        let copy_to = copy_to.map(|folder| CopyTo { folder, copies: Arc::clone(&self.copies) });
        let claim = Claim::new(&self.busy, (run, n));
        Box::pin(async move {
            let claim = claim?;
            let part = offload.run(move || Part::open(disk, place, room)).await?;
            Ok(Box::new(OffloadedPart { part: Some(part), offload, copy_to, claim }) as Box<dyn PartFile>)
        })
    }
}

/// The names of one output.
#[derive(Clone, Debug)]
struct Place {
    folder: PathBuf,
    part: PathBuf,
    etag: PathBuf,
    name: String,
}

impl Place {
    fn new(folder: &Path, n: u32, label: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            part: folder.join(format!("{n}.part")),
            etag: folder.join(format!("{n}.part.etag")),
            name: local_name(n, label),
        }
    }

    fn whole(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The name without our number.
    fn label(&self) -> &str {
        self.name.split_once('-').map_or(self.name.as_str(), |(_, label)| label)
    }
}

/// `<n>-<slug>.<ending>` of what the instance calls the file: letters, digits, `_` and `-` stay.
fn local_name(n: u32, label: &str) -> String {
    let base = label.rsplit(['/', '\\']).next().unwrap_or_default();
    let (stem, ending) = match base.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem, ending),
        Some(_) | None => (base, ""),
    };
    let plain = |text: &str, most: usize| -> String {
        let mapped = text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' });
        mapped.take(most).collect::<String>().trim_matches('-').to_owned()
    };
    let (stem, ending) = (plain(stem, 80), plain(ending, 10).to_ascii_lowercase());
    let stem = if stem.is_empty() { "output".to_owned() } else { stem };
    if ending.is_empty() { format!("{n}-{stem}") } else { format!("{n}-{stem}.{ending}") }
}

/// The version that a mark names, if it was made since the machine started: what was written then can be read back.
fn same_boot(mark: &str, boot: &str) -> Option<String> {
    mark.split_once('\n').filter(|(of, _)| *of == boot).map(|(_, etag)| etag.to_owned())
}

/// How many of the first bytes tell the media type.
const HEAD: usize = 512;
/// Files are read back in pieces of this size.
const PIECE: u64 = 1 << 20;

/// What must stay free of the disk.
struct Room {
    root: PathBuf,
    min_free: u64,
}

impl Room {
    fn check(&self, disk: &dyn Disk) -> io::Result<()> {
        let free = disk.free_bytes(&self.root)?;
        if free >= self.min_free {
            return Ok(());
        }
        let why = format!("only {} MiB are free on the disk; files wait for {} MiB", free >> 20, self.min_free >> 20);
        Err(io::Error::new(io::ErrorKind::StorageFull, why))
    }
}

/// A file in the making.
struct Part {
    disk: Arc<dyn Disk>,
    room: Room,
    place: Place,
    file: Option<Box<dyn DiskFile>>,
    hasher: Hasher,
    head: Vec<u8>,
    length: u64,
    etag: Option<String>,
}

impl Part {
    /// Takes up what an earlier try left: a part, or the whole file if only its record was lost.
    fn open(disk: Arc<dyn Disk>, place: Place, room: Room) -> io::Result<Self> {
        room.check(&*disk)?;
        disk.create_dir_all(&place.folder)?;
        let mut part = Self { disk, room, place, file: None, hasher: Hasher::new(), head: Vec::new(), length: 0, etag: None };
        let whole = part.place.whole();
        if part.disk.len(&whole)?.is_some() {
            // Renamed before its record was on disk: it cannot be told apart from a file of other bytes, so it is fetched again.
            part.disk.remove(&whole)?;
        }
        if part.disk.len(&part.place.part)?.is_none() {
            return Ok(part);
        }
        part.etag = match part.disk.read(&part.place.etag, 1024) {
            Ok(bytes) => String::from_utf8(bytes).ok().and_then(|mark| same_boot(&mark, &part.disk.boot())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if part.etag.is_none() {
            // Bytes of an unknown version, or that a loss of power may have torn, cannot be gone on with.
            part.restart(None)?;
            return Ok(part);
        }
        loop {
            let piece = part.disk.read_at(&part.place.part, part.length, PIECE)?;
            if piece.is_empty() {
                break;
            }
            part.take(&piece);
        }
        part.file = Some(part.disk.open_append(&part.place.part)?);
        Ok(part)
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.room.check(&*self.disk)?;
        if self.file.is_none() {
            self.file = Some(self.disk.create_new(&self.place.part)?);
        }
        let file = self.file.as_mut().expect("opened above");
        file.append(bytes)?;
        self.take(bytes);
        Ok(())
    }

    fn restart(&mut self, etag: Option<String>) -> io::Result<()> {
        self.file = None;
        for path in [&self.place.part, &self.place.etag] {
            if self.disk.len(path)?.is_some() {
                self.disk.remove(path)?;
            }
        }
        (self.hasher, self.head, self.length) = (Hasher::new(), Vec::new(), 0);
        if let Some(etag) = &etag {
            let mark = format!("{}\n{etag}", self.disk.boot());
            self.disk.create_new(&self.place.etag)?.append(mark.as_bytes())?;
        }
        self.etag = etag;
        Ok(())
    }

    /// Sync, rename without replacing, sync of the folder: only then may the record be written.
    fn finish(mut self, copy_to: Option<&CopyTo>) -> io::Result<SavedFile> {
        if self.file.is_none() {
            self.file = Some(self.disk.create_new(&self.place.part)?);
        }
        let mut file = self.file.take().expect("opened above");
        // Before the sync: if that fails, nobody goes on with this file, as a second sync of it would prove nothing.
        if self.disk.len(&self.place.etag)?.is_some() {
            self.disk.remove(&self.place.etag)?;
        }
        file.sync()?;
        drop(file);
        self.disk.rename(&self.place.part, &self.place.whole(), Replace::No)?;
        // A new folder's own name is in its parents.
        let mut parents = self.place.folder.ancestors().take(3);
        parents.try_for_each(|folder| self.disk.sync_dir(folder))?;
        let sha256 = finished(self.hasher);
        let (label, whole) = (self.place.label(), self.place.whole());
        let original = Original { path: &whole, label, size: self.length, sha256: &sha256 };
        let copied = copy_to.map(|to| to.copies.copy(&original, &to.folder));
        let (copied_to, copy_problem) = match copied {
            None => (None, None),
            Some(Ok(path)) => (Some(path.display().to_string()), None),
            Some(Err(error)) => (
                None,
                Some(format!(
                    "{} was not copied to the output folder: {error}. Fetch it with `comfyd outputs RUN --to DIR`.",
                    self.place.name
                )),
            ),
        };
        Ok(SavedFile {
            name: self.place.name.clone(),
            size: self.length,
            sha256,
            media_type: sniff(&self.head).map(str::to_owned),
            copied_to,
            copy_problem,
        })
    }
}

/// Where a copy goes.
struct CopyTo {
    folder: PathBuf,
    copies: Arc<Copies>,
}

/// A part whose file work runs where it may block.
struct OffloadedPart {
    part: Option<Part>,
    offload: Offload,
    copy_to: Option<CopyTo>,
    claim: Claim,
}

impl OffloadedPart {
    async fn with<T: Send + 'static>(&mut self, work: impl FnOnce(&mut Part) -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let mut part = self.part.take().ok_or_else(|| io::Error::other("an earlier write of this output was cut off"))?;
        let (part, done) = self
            .offload
            .run(move || {
                let done = work(&mut part);
                (part, done)
            })
            .await;
        self.part = Some(part);
        done
    }
}

impl PartFile for OffloadedPart {
    fn offset(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.length)
    }

    fn etag(&self) -> Option<String> {
        self.part.as_ref().and_then(|part| part.etag.clone())
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(self.with(move |part| part.write(&bytes)))
    }

    fn restart(&mut self, etag: Option<String>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(self.with(move |part| part.restart(etag)))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, io::Result<SavedFile>> {
        let Self { part, offload, copy_to, claim } = *self;
        Box::pin(async move {
            let part = part.ok_or_else(|| io::Error::other("an earlier write of this output was cut off"))?;
            let saved = offload.run(move || part.finish(copy_to.as_ref())).await;
            drop(claim);
            saved
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_ours_whatever_the_label() {
        let is = |label: &str, name: &str| assert_eq!(local_name(3, label), name, "{label:?}");
        is("ComfyUI_00001_.png", "3-ComfyUI_00001_.png");
        is("../../.ssh/authorized_keys", "3-authorized_keys");
        is("/etc/passwd", "3-passwd");
        is("..", "3-output");
        is("", "3-output");
        is("a\\b\\c.PNG", "3-c.png");
        is("x\0y\n.mp4", "3-x-y.mp4");
        is("\u{202e}gnp.exe", "3-gnp.exe");
        is(&"a".repeat(300), &format!("3-{}", "a".repeat(80)));
        is(".hidden", "3-hidden");
    }
}
