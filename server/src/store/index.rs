//! What is known of runs that are over, without opening their files: `index.log`.
//!
//! A copy of what logs and snapshots tell, so that a start need not read them all. It is written behind the work and never synced: after a
//! loss of power it may be short, torn or missing, and the runs that it does not know are opened as if there were none.
//!
//! Invariants: an entry counts only if its bytes are whole, its run's log has the length it says and the journal does not mention the run; nothing
//! is written behind bytes that are not whole. Absent: what an entry's data says.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use comfyd_engine::journal::frame::{FileHeader, FrameEncoder, MAX_PAYLOAD};
use comfyd_engine::journal::scan::{Frames, Prefix};
use comfyd_engine::{RunId, Seq};
use serde::{Deserialize, Serialize};

use super::disk::{DiskFile, Replace, temporary, write_new};
use super::health::Shared;
use super::log_file::READ_LIMIT;

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// The run.
    pub run: RunId,
    /// The last record of its log.
    pub seq: Seq,
    /// The length of its log.
    pub log_len: u64,
    /// What its list entry shows, as the caller wrote it.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// A record of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// A run that is over.
    Over(Over),
    /// A run whose log was found damaged: it is read whole at each start until it is well.
    Suspect {
        /// The run.
        run: RunId,
    },
    /// How far the logs have been looked through.
    Checked {
        /// The last one; none when a round is finished.
        run: Option<RunId>,
    },
}

/// What the file holds.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) over: BTreeMap<RunId, Over>,
    pub(crate) suspects: Vec<RunId>,
    checked: Option<RunId>,
    lines: u64,
    /// Where its whole records end; none if anything but whole records is in it, or it is not there.
    end: Option<Prefix>,
}

/// Reads the file; whatever is wrong with it only means that less is known.
pub(crate) fn load(shared: &Shared) -> Loaded {
    let path = shared.layout.index();
    let bytes = match shared.disk.read(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "index not readable: made anew");
            }
            return Loaded::default();
        }
    };
    let mut loaded = Loaded::default();
    let Ok(mut frames) = Frames::new(&bytes, 1) else {
        tracing::warn!("index has no header: made anew");
        return loaded;
    };
    let mut understood = true;
    for frame in frames.by_ref() {
        match rmp_serde::from_slice(frame.payload) {
            Ok(line) => loaded.add(line),
            // Of another version, which knew why.
            Err(_) => understood = false,
        }
    }
    if understood && frames.prefix().end == bytes.len() as u64 {
        loaded.end = Some(frames.prefix());
    } else {
        tracing::warn!(at = frames.prefix().end, "index not whole: made anew from what is, and from the runs");
    }
    loaded
}

impl Loaded {
    fn add(&mut self, line: Line) {
        self.lines += 1;
        match line {
            Line::Over(over) => {
                self.suspects.retain(|run| *run != over.run);
                self.over.insert(over.run, over);
            }
            Line::Suspect { run } => {
                self.over.remove(&run);
                self.suspects.push(run);
            }
            Line::Checked { run } => self.checked = run,
        }
    }
}

/// The file, written at its end.
#[derive(Debug)]
pub(crate) struct Index {
    shared: Arc<Shared>,
    file: Option<Box<dyn DiskFile>>,
    encoder: FrameEncoder,
    checked: Option<RunId>,
}

/// Beyond so many records that say nothing any more the file is written anew.
const SPARE: u64 = 1024;
/// One write has about this many bytes.
const PIECE: usize = 1 << 20;

impl Index {
    /// Goes on with a file: with what was known of it, all that is known now, and what of that is new.
    pub(crate) fn start(shared: Arc<Shared>, was: &Loaded, all: &[&Over], new: &[&Over]) -> Self {
        let encoder = FrameEncoder::new(shared.disk.salt(), 1);
        let mut index = Self { shared, file: None, encoder, checked: was.checked };
        let worth = all.len() as u64 + 1;
        let started = match was.end.filter(|_| was.lines <= 2 * worth + SPARE) {
            Some(end) => index.resume(end).and_then(|()| index.append(new.iter().map(|over| Line::Over((*over).clone())))),
            None => index.renew(was, all),
        };
        if let Err(error) = started {
            index.give_up(&error);
        }
        index
    }

    /// One that is not written: the store takes nothing.
    pub(crate) fn closed(shared: Arc<Shared>) -> Self {
        let encoder = FrameEncoder::new(0, 1);
        Self { shared, file: None, encoder, checked: None }
    }

    /// The last log that has been looked through.
    pub(crate) fn checked(&self) -> Option<RunId> {
        self.checked
    }

    /// Writes these behind what is there. What cannot be written is found in the runs with the next start.
    pub(crate) fn add(&mut self, lines: Vec<Line>) {
        for line in &lines {
            if let Line::Checked { run } = line {
                self.checked = *run;
            }
        }
        if self.file.is_some()
            && let Err(error) = self.append(lines.into_iter())
        {
            self.give_up(&error);
        }
    }

    /// Nothing may follow a write that failed: the next start makes the file anew.
    fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(%error, "index not written: the next start reads more");
        self.file = None;
    }

    fn resume(&mut self, end: Prefix) -> io::Result<()> {
        self.encoder = FrameEncoder::resume(end.salt, end.last, end.crc);
        self.file = Some(self.shared.disk.open_append(&self.shared.layout.index())?);
        Ok(())
    }

    fn renew(&mut self, was: &Loaded, all: &[&Over]) -> io::Result<()> {
        let path = self.shared.layout.index();
        let temp = temporary(&path);
        let header = FileHeader { salt: self.encoder.salt() }.encode();
        self.file = Some(write_new(&*self.shared.disk, &temp, &header)?);
        self.append(all.iter().map(|over| Line::Over((*over).clone())))?;
        let suspects = was.suspects.iter().filter(|run| all.binary_search_by_key(run, |over| &over.run).is_err());
        let more = suspects.map(|run| Line::Suspect { run: *run }).chain([Line::Checked { run: was.checked }]);
        self.append(more.collect::<Vec<_>>().into_iter())?;
        self.shared.disk.rename(&temp, &path, Replace::Yes)
    }

    fn append(&mut self, lines: impl Iterator<Item = Line>) -> io::Result<()> {
        let mut batch = Vec::new();
        for line in lines {
            let payload = rmp_serde::to_vec_named(&line).map_err(io::Error::other)?;
            if payload.len() > MAX_PAYLOAD {
                // It is opened instead.
                continue;
            }
            // Nothing is ever known to be durable here.
            self.encoder.push(&payload, 0, &mut batch).map_err(io::Error::other)?;
            if batch.len() >= PIECE {
                self.write(&batch)?;
                batch.clear();
            }
        }
        self.write(&batch)
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) if !batch.is_empty() => file.append(batch),
            Some(_) | None => Ok(()),
        }
    }
}
