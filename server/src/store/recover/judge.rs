//! Judging every stream: what its log, its snapshot and the journal say together.
//!
//! Invariants: a stream whose snapshot names exactly the length of its log, and which the journal does not mention, is not
//! read; nothing about one stream keeps another from opening.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use comfyd_engine::journal::frame::HEADER_LEN;
use comfyd_engine::journal::scan::{Rule, Verdict, scan_with};
use comfyd_engine::{RunId, Seq, StreamId};

use super::complete::Completer;
use super::{RecoveredStream, StreamVerdict, at, tail};
use crate::store::attempts::{self, MAX_ATTEMPTS};
use crate::store::health::Shared;
use crate::store::index::{Loaded, Over};
use crate::store::journal::Tip;
use crate::store::log_file::READ_LIMIT;
use crate::store::snapshot::{SnapshotHead, chain_text, head};
use crate::store::types::OpenError;

/// Fewer streams than this are not worth a thread.
const FEW: usize = 64;

/// What was found of all streams.
pub(super) struct Judged {
    /// Sorted.
    pub(super) streams: Vec<RecoveredStream>,
    pub(super) tips: BTreeMap<StreamId, Tip>,
    /// Runs that are over and that the index does not know.
    pub(super) new: BTreeSet<RunId>,
}

/// Judges all streams of the data directory: those that the index knows by what it says, the others by their files.
pub(super) fn judge(shared: &Shared, completer: &Completer, known: &mut Loaded) -> Result<Judged, OpenError> {
    let mut names: BTreeSet<StreamId> = completer.streams().cloned().collect();
    let mut list = |kind: &str, dir: &Path| {
        let found = shared.disk.list(dir).map_err(at(dir))?;
        // Other names are not ours to judge.
        names.extend(found.iter().filter_map(|name| format!("{kind}/{name}").parse::<StreamId>().ok()));
        Ok::<(), OpenError>(())
    };
    list("run", &shared.layout.runs())?;
    list("instance", &shared.layout.instances())?;
    list("setup", &shared.layout.setups())?;
    names.retain(|stream| !shared.graves.hold(stream));
    let mut judged = Judged { streams: Vec::new(), tips: BTreeMap::new(), new: BTreeSet::new() };
    let mut unknown = Vec::new();
    for stream in names {
        match indexed(shared, completer, known, &stream) {
            Some((found, tip)) => judged.add(found, tip),
            None => unknown.push(stream),
        }
    }
    for (found, tip) in judge_each(shared, completer, &known.suspects, &unknown) {
        judged.new.extend(found.over.as_ref().map(|over| over.run));
        judged.add(found, tip);
    }
    judged.streams.sort_by(|left, right| left.stream.cmp(&right.stream));
    Ok(judged)
}

impl Judged {
    fn add(&mut self, found: RecoveredStream, tip: Tip) {
        self.tips.insert(found.stream.clone(), tip);
        self.streams.push(found);
    }
}

/// A run that the index knows and the journal does not mention: its log has taken nothing since it was over. One whose log has another
/// length than the index says, or none, is judged by its files.
fn indexed(shared: &Shared, completer: &Completer, known: &mut Loaded, stream: &StreamId) -> Option<(RecoveredStream, Tip)> {
    let StreamId::Run(run) = stream else { return None };
    let over = known.over.remove(run).filter(|_| completer.seen(stream).is_none())?;
    if !matches!(shared.disk.len(&shared.layout.events(stream)), Ok(Some(len)) if len == over.log_len) {
        return None;
    }
    let tip = Tip { seq: over.seq, len: over.log_len, unchecked: true };
    let (stream, last) = (stream.clone(), over.seq);
    Some((RecoveredStream { stream, last, verdict: StreamVerdict::Ok, snapshot: None, over: Some(over), checked: false }, tip))
}

/// Judges streams by their files, on as many threads as the store may use.
fn judge_each(shared: &Shared, completer: &Completer, suspects: &[RunId], streams: &[StreamId]) -> Vec<(RecoveredStream, Tip)> {
    let judge = |stream: &StreamId| {
        let suspect = matches!(stream, StreamId::Run(run) if suspects.contains(run));
        judge_one(shared, completer, stream, suspect).unwrap_or_else(|error| {
            let why = format!("it cannot be read: {error}");
            Some((quarantined(stream, Seq(0), 0, why), Tip::default()))
        })
    };
    let threads = shared.options.threads.max(1);
    let share = streams.len().div_ceil(threads);
    if threads == 1 || share < FEW {
        return streams.iter().filter_map(judge).collect();
    }
    let judge = &judge;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            streams.chunks(share).map(|part| scope.spawn(move || part.iter().filter_map(judge).collect::<Vec<_>>())).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    })
}

fn quarantined(stream: &StreamId, last: Seq, at: u64, why: String) -> RecoveredStream {
    let verdict = StreamVerdict::Quarantined { at, why };
    RecoveredStream { stream: stream.clone(), last, verdict, snapshot: None, over: None, checked: true }
}

/// Judges one stream; nothing if its directory holds no log and no sign that there was one.
fn judge_one(
    shared: &Shared,
    completer: &Completer,
    stream: &StreamId,
    suspect: bool,
) -> io::Result<Option<(RecoveredStream, Tip)>> {
    let (disk, layout) = (&*shared.disk, &shared.layout);
    let text = match disk.read(&layout.state(stream), READ_LIMIT) {
        Ok(bytes) => String::from_utf8(bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let state = text.as_ref().and_then(|text| head(text.as_bytes()));
    let len = disk.len(&layout.events(stream))?;
    let seen = completer.seen(stream);
    let mut judged = match (&state, len, seen) {
        (_, _, Some(seen)) if seen.quarantined.is_some() => {
            let why = seen.quarantined.clone().unwrap_or_default();
            quarantined(stream, seen.last, seen.len, why)
        }
        (None, None, _) => return Ok(None),
        (Some(_), None, _) => quarantined(stream, Seq(0), 0, "its log is missing".to_owned()),
        (Some(state), Some(len), None) if !suspect && state.log_len == len && len > HEADER_LEN as u64 => RecoveredStream {
            stream: stream.clone(),
            last: state.seq,
            verdict: StreamVerdict::Ok,
            snapshot: Some(state.clone()),
            over: None,
            checked: false,
        },
        (_, Some(_), _) => match read_whole(shared, stream, state)? {
            Some(judged) => judged,
            None => return Ok(None),
        },
    };
    let tip = Tip { seq: judged.last, len: disk.len(&layout.events(stream))?.unwrap_or(0), unchecked: !judged.checked };
    let attempts = attempts::count(disk, layout, stream)?;
    if attempts >= MAX_ATTEMPTS && judged.verdict == StreamVerdict::Ok {
        let why = format!("its replay began {attempts} times and never ended; remove the file `replaying` to try again");
        judged.verdict = StreamVerdict::Quarantined { at: tip.len, why };
    }
    if let (StreamId::Run(run), StreamVerdict::Ok, Some(snapshot), Some(digest)) =
        (stream, &judged.verdict, &judged.snapshot, shared.options.digest)
        && snapshot.seq == judged.last
    {
        let data = text.and_then(|text| digest(*run, &text));
        judged.over = data.map(|data| Over { run: *run, seq: judged.last, log_len: tip.len, data });
    }
    Ok(Some((judged, tip)))
}

/// Reads a log, repairs its end if that may be done, and compares it with its snapshot.
fn read_whole(shared: &Shared, stream: &StreamId, state: Option<SnapshotHead>) -> io::Result<Option<RecoveredStream>> {
    let (disk, layout) = (&*shared.disk, &shared.layout);
    let path = layout.events(stream);
    let bytes = disk.read(&path, READ_LIMIT)?;
    let mut fits = false;
    let floor = state.as_ref().map(|state| state.log_len);
    let found = scan_with(&bytes, Rule { first: 1, floor }, |frame| {
        let place =
            |state: &SnapshotHead| state.seq.0 == frame.seq && state.log_len == frame.end && state.chain == chain_text(frame.crc);
        fits = fits || state.as_ref().is_some_and(place);
    });
    let last = Seq(found.prefix.last);
    let verdict = match found.verdict {
        Verdict::Clean => StreamVerdict::Ok,
        Verdict::CutHeader => {
            // Creation was cut, and nothing says that there had been a record.
            disk.remove(&path)?;
            return Ok(None);
        }
        Verdict::TornTail { at } => {
            let cut = tail::cut(disk, &path, at)?;
            tracing::warn!(%stream, offset = cut.offset, bytes = cut.bytes, "torn end of a log cut off");
            StreamVerdict::Repaired(cut)
        }
        Verdict::Damaged { at, why } => return Ok(Some(quarantined(stream, last, at, why.to_string()))),
        Verdict::BadHeader(why) => return Ok(Some(quarantined(stream, last, 0, why.to_string()))),
    };
    let snapshot = state.filter(|_| fits);
    if snapshot.is_none() && disk.len(&layout.state(stream))?.is_some() {
        // Torn, or it shows records that have been written again since; the log can make it anew.
        tracing::info!(%stream, "snapshot does not fit the log and is dropped");
        disk.remove(&layout.state(stream))?;
        disk.sync_dir(&layout.stream_dir(stream))?;
    }
    Ok(Some(RecoveredStream { stream: stream.clone(), last, verdict, snapshot, over: None, checked: true }))
}
