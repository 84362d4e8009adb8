//! Reading the journal's files in order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use comfyd_engine::journal::entry::Entry;
use comfyd_engine::journal::scan::{Rule, Verdict, scan_with};
use comfyd_engine::{Seq, StreamId};

use super::at;
use super::complete::Completer;
use crate::store::disk::put_synced;
use crate::store::guard::Age;
use crate::store::health::Shared;
use crate::store::layout::journal_first;
use crate::store::log_file::READ_LIMIT;
use crate::store::types::OpenError;

/// What the journal's files hold.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// All of them, oldest first.
    pub(super) files: Vec<PathBuf>,
    /// The number of the next record.
    pub(super) next: u64,
    /// The file that ends in bytes which were never synced, and where they begin.
    pub(super) torn: Option<(PathBuf, u64)>,
    /// Whether a file with records has been read, which the next must follow.
    anchored: bool,
    /// Why nothing may be written.
    pub(super) damage: Option<String>,
}

/// Reads all files and completes the streams' logs from them.
pub(super) fn replay(shared: &Shared, age: Age, completer: &mut Completer) -> Result<Replay, OpenError> {
    let dir = shared.layout.journal_dir();
    let names = shared.disk.list(&dir).map_err(at(&dir))?;
    for name in names.iter().filter(|name| name.strip_suffix(".new").is_some()) {
        let path = dir.join(name);
        shared.disk.remove(&path).map_err(at(&path))?;
    }
    let firsts: Vec<u64> = names.iter().filter_map(|name| journal_first(name)).collect();
    let mut replay = Replay { next: 1, ..Replay::default() };
    if firsts.is_empty() && age == Age::Known {
        replay.damage = Some("there is no journal file".to_owned());
    }
    for first in firsts {
        if replay.damage.is_none() {
            replay.file(shared, first, completer)?;
        }
    }
    if replay.torn.is_some()
        && let Some(ahead) = completer.ahead()
    {
        replay.damage = Some(format!("it ends before records that are in the log of {ahead}, so synced bytes are missing"));
    }
    Ok(replay)
}

impl Replay {
    fn file(&mut self, shared: &Shared, first: u64, completer: &mut Completer) -> Result<(), OpenError> {
        let path = shared.layout.journal(first);
        let bytes = shared.disk.read(&path, READ_LIMIT).map_err(at(&path))?;
        let mut entries: BTreeMap<StreamId, Vec<(Seq, &[u8])>> = BTreeMap::new();
        let mut undecodable = None;
        let found = scan_with(&bytes, Rule { first, floor: None }, |frame| match Entry::decode(frame.payload) {
            Ok(entry) if undecodable.is_none() => {
                entries.entry(entry.stream).or_default().push((entry.seq, entry.payload));
            }
            Ok(_) => {}
            Err(error) => undecodable = undecodable.take().or(Some(format!("record {}: {error}", frame.seq))),
        });
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.files.push(path.clone());
        let empty = found.prefix.records == 0;
        let follows = first == self.next || !self.anchored;
        if !follows {
            // An empty one that comes too early was left by a rotation that failed: the file before it went on.
            if !empty || first > self.next {
                self.damage = Some(format!("{name} does not follow the file before it, which ends before {}", self.next));
            }
            return Ok(());
        }
        if !empty && let Some((torn, at)) = &self.torn {
            self.damage = Some(format!("{} changed at byte {at}, which was synced before {name}", torn.display()));
            return Ok(());
        }
        self.anchored |= !empty;
        // The last process may have died before it synced; nothing may be in a stream's log that the journal can lose.
        let durable =
            if completer.distrusted() { put_synced(&*shared.disk, &path, &bytes) } else { shared.disk.sync_file(&path) };
        durable.map_err(at(&path))?;
        // What the journal holds of a removed run does not count.
        for (stream, records) in entries.into_iter().filter(|(stream, _)| !shared.graves.hold(stream)) {
            completer.complete(&stream, &records)?;
        }
        self.next = found.prefix.last + 1;
        match found.verdict {
            Verdict::Clean => {}
            Verdict::TornTail { at } => self.torn = Some((path, at)),
            // A journal file gets its name when its header is durable.
            Verdict::CutHeader => self.damage = Some(format!("{name} has no header")),
            Verdict::Damaged { at, why } => self.damage = Some(format!("{name} at byte {at}: {why}")),
            Verdict::BadHeader(why) => self.damage = Some(format!("{name}: {why}")),
        }
        if let Some(why) = undecodable {
            self.damage = Some(format!("{name}, {why}"));
        }
        Ok(())
    }
}
