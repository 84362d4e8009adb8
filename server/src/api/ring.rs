//! What was last told of one run, kept once for all who watch it.
//!
//! Invariants: versions are numbered without gaps, and the patches of the newest of them are kept, bounded in number and in bytes; a reader has only
//! its place. Who fell behind what is kept gets the whole state anew, so a slow reader costs nobody anything.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use comfyd_engine::{RunView, Seq, Time};
use serde_json::{Map, Value, json};

use super::sse;
use crate::patch::{live_shape, patch_between};

/// How many patches are kept.
const KEPT: usize = 256;
/// How many bytes of patches are kept; one is kept whatever its size.
const KEPT_BYTES: usize = 1 << 20;

/// How a reader wants the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The state in the live shape, then merge patches.
    Patches,
    /// Whole states in the shape of `GET /api/v1/runs/{id}`.
    States,
}

/// What readers call places of logs: `<boot>:<seq>`. Records that were told before they were synced may be lost with the power, and others take
/// their numbers; so a place that another life of the server told is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places(Arc<str>);

impl Places {
    /// Those of this life; `boot` is a word that no other life of the server uses.
    pub(super) fn new(boot: &str) -> Self {
        Self(boot.into())
    }

    /// The id of a place.
    pub(super) fn id(&self, seq: Seq) -> String {
        format!("{}:{seq}", self.0)
    }

    /// The place that an id names; nothing if this life of the server did not tell it.
    pub(super) fn read(&self, id: &str) -> Option<Seq> {
        id.strip_prefix(&*self.0)?.strip_prefix(':')?.parse().ok().map(Seq)
    }
}

/// A state that was told.
pub(super) struct Told {
    /// Its number.
    pub(super) version: u64,
    /// The run, as served then.
    pub(super) view: Arc<RunView>,
    places: Places,
    live: OnceLock<Bytes>,
    listed: OnceLock<Bytes>,
}

impl Told {
    /// A state that nobody follows on: that of a run which is over.
    pub(super) fn only(view: Arc<RunView>, places: Places) -> Self {
        Self { version: 0, view, places, live: OnceLock::new(), listed: OnceLock::new() }
    }

    /// The `state` event. The text is made when it is first asked for.
    pub(super) fn event(&self, form: Form) -> Bytes {
        let id = self.places.id(self.view.seq);
        let text = match form {
            Form::Patches => self.live.get_or_init(|| sse::first("state", &id, &live_shape(&self.view).to_string())),
            Form::States => self.listed.get_or_init(|| {
                let text = serde_json::to_string(&*self.view).expect("a view is plain data");
                sse::first("state", &id, &text)
            }),
        };
        text.clone()
    }

    /// The patch to this state from one that the reader has of an earlier place of the log.
    pub(super) fn since(&self, base: &RunView) -> Bytes {
        patch(&self.places.id(self.view.seq), &with_served(patch_between(base, &self.view), Served::of(&self.view)))
    }
}

/// The fields that also depend on when the run is looked at, so that the log's fold does not know what a reader was told.
#[derive(Clone, Copy, Debug)]
struct Served {
    place: Option<u32>,
    estimate: Option<Time>,
}

impl Served {
    fn of(view: &RunView) -> Self {
        Self { place: view.progress.queue_position, estimate: view.timing.estimated_completion }
    }
}

/// A patch that sets those fields in any case.
fn with_served(mut patch: Value, served: Served) -> Value {
    let fields =
        [("progress", "queue_position", json!(served.place)), ("timing", "estimated_completion", json!(served.estimate))];
    for (part, name, value) in fields {
        if let Some(part) = patch.as_object_mut().map(|patch| patch.entry(part).or_insert_with(|| Value::Object(Map::new())))
            && let Some(part) = part.as_object_mut()
        {
            part.insert(name.to_owned(), value);
        }
    }
    patch
}

fn patch(id: &str, patch: &Value) -> Bytes {
    sse::event("patch", Some(id), &patch.to_string())
}

/// The patch that leads to a version.
struct Kept {
    version: u64,
    seq: Seq,
    served: Served,
    event: Bytes,
}

/// See the module.
pub(super) struct Ring {
    newest: Arc<Told>,
    kept: VecDeque<Kept>,
    bytes: usize,
}

/// What a reader at some version gets next.
pub(super) enum Next {
    /// This event, and the version it is at then.
    Event(Bytes, u64),
    /// The whole newest state: it is new, or too far behind for patches.
    State(Arc<Told>),
    /// Nothing yet.
    UpToDate,
}

impl Ring {
    /// Begins with a state.
    pub(super) fn new(view: Arc<RunView>, places: Places) -> Self {
        let newest = Told { version: 1, ..Told::only(view, places) };
        Self { newest: Arc::new(newest), kept: VecDeque::new(), bytes: 0 }
    }

    /// The newest state.
    pub(super) fn newest(&self) -> &Arc<Told> {
        &self.newest
    }

    /// Tells a new state; its version.
    pub(super) fn tell(&mut self, view: Arc<RunView>) -> u64 {
        let places = self.newest.places.clone();
        let event = patch(&places.id(view.seq), &patch_between(&self.newest.view, &view));
        let version = self.newest.version + 1;
        self.bytes += event.len();
        self.kept.push_back(Kept { version, seq: view.seq, served: Served::of(&view), event });
        while self.kept.len() > KEPT || (self.bytes > KEPT_BYTES && self.kept.len() > 1) {
            let gone = self.kept.pop_front().expect("more than one is kept");
            self.bytes -= gone.event.len();
        }
        self.newest = Arc::new(Told { version, ..Told::only(view, places) });
        version
    }

    /// What comes after a version.
    pub(super) fn after(&self, version: u64, form: Form) -> Next {
        if version >= self.newest.version {
            return Next::UpToDate;
        }
        let first = self.kept.front().map_or(u64::MAX, |kept| kept.version);
        let place = usize::try_from(version + 1 - first.min(version + 1)).ok().filter(|_| version + 1 >= first);
        match place.and_then(|place| self.kept.get(place)).filter(|_| form == Form::Patches) {
            Some(kept) => Next::Event(kept.event.clone(), kept.version),
            None => Next::State(Arc::clone(&self.newest)),
        }
    }

    /// The version that a reader is at who has seen this place of the log last, and what makes it so; nothing if that is no longer kept.
    pub(super) fn place_of(&self, seq: Seq) -> Option<(Bytes, u64)> {
        let newest = (self.newest.view.seq == seq).then(|| (Served::of(&self.newest.view), self.newest.version));
        let kept = || self.kept.iter().rev().find(|kept| kept.seq == seq).map(|kept| (kept.served, kept.version));
        let (served, version) = newest.or_else(kept)?;
        Some((patch(&self.newest.places.id(seq), &with_served(json!({}), served)), version))
    }
}
