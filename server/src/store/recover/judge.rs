//! Judging every stream: what its log, its snapshot and the journal say together.
//!
//! Invariants: a stream whose snapshot names exactly the length of its log, and which the journal does not mention, is not
//! read; nothing about one stream keeps another from opening.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use comfyd_engine::journal::frame::HEADER_LEN;
use comfyd_engine::journal::scan::{Rule, Verdict, scan_with};
use comfyd_engine::{Seq, StreamId};

use super::complete::Completer;
use super::{RecoveredStream, StreamVerdict, at, tail};
use crate::store::attempts::{self, MAX_ATTEMPTS};
use crate::store::health::Shared;
use crate::store::journal::Tip;
use crate::store::log_file::READ_LIMIT;
use crate::store::snapshot::{SnapshotHead, chain_text, head};
use crate::store::types::OpenError;

type Judged = (Vec<RecoveredStream>, BTreeMap<StreamId, Tip>);

/// Judges all streams of the data directory.
pub(super) fn judge(shared: &Shared, completer: &Completer) -> Result<Judged, OpenError> {
    let mut names: BTreeSet<StreamId> = completer.streams().cloned().collect();
    let mut list = |kind: &str, dir: &Path| {
        let found = shared.disk.list(dir).map_err(at(dir))?;
        // Other names are not ours to judge.
        names.extend(found.iter().filter_map(|name| format!("{kind}/{name}").parse::<StreamId>().ok()));
        Ok::<(), OpenError>(())
    };
    list("run", &shared.layout.runs())?;
    list("instance", &shared.layout.instances())?;
    names.retain(|stream| !shared.graves.hold(stream));
    let mut streams = Vec::new();
    let mut tips = BTreeMap::new();
    for stream in names {
        let judged = judge_one(shared, completer, &stream).unwrap_or_else(|error| {
            let why = format!("it cannot be read: {error}");
            Some((quarantined(&stream, Seq(0), 0, why), Tip::default()))
        });
        if let Some((found, tip)) = judged {
            tips.insert(stream, tip);
            streams.push(found);
        }
    }
    Ok((streams, tips))
}

fn quarantined(stream: &StreamId, last: Seq, at: u64, why: String) -> RecoveredStream {
    let verdict = StreamVerdict::Quarantined { at, why };
    RecoveredStream { stream: stream.clone(), last, verdict, snapshot: None, checked: true }
}

/// Judges one stream; nothing if its directory holds no log and no sign that there was one.
fn judge_one(shared: &Shared, completer: &Completer, stream: &StreamId) -> io::Result<Option<(RecoveredStream, Tip)>> {
    let (disk, layout) = (&*shared.disk, &shared.layout);
    let state = match disk.read(&layout.state(stream), READ_LIMIT) {
        Ok(bytes) => head(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let len = disk.len(&layout.events(stream))?;
    let seen = completer.seen(stream);
    let mut judged = match (&state, len, seen) {
        (_, _, Some(seen)) if seen.quarantined.is_some() => {
            let why = seen.quarantined.clone().unwrap_or_default();
            quarantined(stream, seen.last, seen.len, why)
        }
        (None, None, _) => return Ok(None),
        (Some(_), None, _) => quarantined(stream, Seq(0), 0, "its log is missing".to_owned()),
        (Some(state), Some(len), None) if state.log_len == len && len > HEADER_LEN as u64 => RecoveredStream {
            stream: stream.clone(),
            last: state.seq,
            verdict: StreamVerdict::Ok,
            snapshot: Some(state.clone()),
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
    Ok(Some(RecoveredStream { stream: stream.clone(), last, verdict, snapshot, checked: true }))
}
