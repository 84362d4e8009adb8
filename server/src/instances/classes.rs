//! What classes of nodes an instance has: fetched when somebody asks, and kept while it is the same process.
//!
//! Invariants: an answer is valid JSON and at most 64 MiB; few are kept; one fetch serves all who wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError};

use bytes::Bytes;
use comfyd_adapters::comfy::lenient::to_strict;
use comfyd_adapters::digest::sha256;
use comfyd_engine::{InstanceId, Reach, Timestamp};
use comfyd_workflow::Classes as Descriptions;
use serde::de::IgnoredAny;
use tokio::sync::Mutex;

use super::board::Known;
use super::look::does_not_answer;
use super::service::Instances;
use crate::problem::Problem;

/// How many instances' answers are kept: one can have 64 MiB.
const MAX_KEPT: usize = 4;
/// How long an answer is good while no link tells of a restart.
const UNWATCHED_MS: u64 = 60_000;
/// The longest name of a class.
const MAX_CLASS: usize = 300;

/// All classes of an instance, or one of them, as JSON.
#[derive(Clone, Debug)]
pub struct Classes {
    /// The text.
    pub json: Bytes,
    /// The hash of the text.
    pub sha256: String,
    /// The same, read; made when somebody needs it.
    read: Arc<OnceLock<Arc<Descriptions>>>,
}

impl Classes {
    fn of(json: Bytes) -> Self {
        let sha256 = sha256(&json).to_string();
        Self { json, sha256, read: Arc::default() }
    }

    /// The classes, read once for all who ask. Reading megabytes takes a moment: not for the tasks that serve.
    pub(crate) fn descriptions(&self) -> Arc<Descriptions> {
        // The text was found to be an object when it came.
        let read = || {
            Arc::new(
                serde_json::from_slice(&self.json)
                    .ok()
                    .and_then(|value| Descriptions::from_value(value).ok())
                    .unwrap_or_default(),
            )
        };
        Arc::clone(self.read.get_or_init(read))
    }
}

/// The process that an answer is of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    url: String,
    boot: u64,
    /// Since when it answers; none while nobody watches it.
    up: Option<Timestamp>,
}

#[derive(Debug)]
struct Kept {
    of: Process,
    at: Timestamp,
    classes: Classes,
}

/// The last fetch that came to nothing.
#[derive(Debug)]
struct Failed {
    of: Process,
    at: Timestamp,
    why: Problem,
}

/// What is known of one instance.
#[derive(Debug, Default)]
struct Place {
    kept: Option<Kept>,
    failed: Option<Failed>,
}

type Slot = Arc<Mutex<Place>>;

/// The answers that are kept.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    slots: std::sync::Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    uses: u64,
    /// Each with the number of its last use.
    by_instance: BTreeMap<InstanceId, (u64, Slot)>,
}

impl Shelf {
    fn slot(&self, id: &InstanceId) -> Slot {
        // Every statement leaves the map whole, so a panic elsewhere does not spoil it.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.uses += 1;
        let now = slots.uses;
        let (last, slot) = slots.by_instance.entry(id.clone()).or_default();
        *last = now;
        let slot = Arc::clone(slot);
        while slots.by_instance.len() > MAX_KEPT {
            let oldest = slots.by_instance.iter().min_by_key(|(_, (last, _))| *last).map(|(id, _)| id.clone());
            oldest.map(|id| slots.by_instance.remove(&id));
        }
        slot
    }

    /// The place of an instance that was asked for its classes before; looking makes none and so pushes none out.
    fn known(&self, id: &InstanceId) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.uses += 1;
        let now = slots.uses;
        let (last, slot) = slots.by_instance.get_mut(id)?;
        *last = now;
        Some(Arc::clone(slot))
    }
}

impl Instances {
    /// The classes of an instance, or one of them; `fresh` asks it again.
    pub(crate) async fn classes(&self, name: &str, class: Option<&str>, fresh: bool) -> Result<Classes, Problem> {
        let known = self.known(name)?;
        if let Some(class) = class {
            return self.one_class(&known, class).await;
        }
        let of = process(&known);
        let slot = self.shelf.slot(known.instance.id());
        let asked = self.clock.now();
        let mut place = slot.lock().await;
        if let Some(kept) = place.kept.as_ref().filter(|kept| !fresh && kept.of == of) {
            let watched = of.up.is_some();
            if watched || self.clock.now().since(kept.at) < UNWATCHED_MS {
                return Ok(kept.classes.clone());
            }
        }
        // Whoever waited for a fetch that came to nothing has waited long enough.
        if let Some(failed) = place.failed.as_ref().filter(|failed| failed.of == of && failed.at > asked) {
            return Err(failed.why.clone());
        }
        match self.fetch(&known, None).await {
            Ok(classes) => {
                *place = Place { kept: Some(Kept { of, at: self.clock.now(), classes: classes.clone() }), failed: None };
                Ok(classes)
            }
            Err(why) => {
                place.failed = Some(Failed { of, at: self.clock.now(), why: why.clone() });
                Err(why)
            }
        }
    }

    /// The classes of an instance, if they were asked for and it is still the same process.
    pub(crate) fn kept_classes(&self, name: &str) -> Option<Classes> {
        let known = self.known(name).ok()?;
        let slot = self.shelf.known(known.instance.id())?;
        // Somebody who fetches them holds the place: then there are none yet.
        let place = slot.try_lock().ok()?;
        place.kept.as_ref().filter(|kept| kept.of == process(&known)).map(|kept| kept.classes.clone())
    }

    /// One class is short, and asked for each time: its lists of models change without a restart.
    async fn one_class(&self, known: &Known, class: &str) -> Result<Classes, Problem> {
        let unknown = || {
            let class: String = class.chars().take(100).collect();
            let message = format!("instance {} has no class `{class}`", known.instance.id());
            Problem::new(
                404,
                "unknown_class",
                message,
                "Check its spelling, or install the nodes that bring it and restart ComfyUI.",
            )
        };
        if class.is_empty() || class.len() > MAX_CLASS {
            return Err(unknown());
        }
        let found = self.fetch(known, Some(class)).await?;
        if found.json.trim_ascii() == b"{}" { Err(unknown()) } else { Ok(found) }
    }

    async fn fetch(&self, known: &Known, class: Option<&str>) -> Result<Classes, Problem> {
        let id = known.instance.id();
        let _place = self.place().await;
        let http = comfyd_adapters::comfy::http::Client::new(self.way(id, &known.instance.setup().connection)?);
        let text = http.classes(class).await.map_err(|error| does_not_answer(id, &error))?;
        // Reading and hashing megabytes must not hold up others.
        let read = self.offload.run(move || read(&text)).await;
        read.map_err(|why| {
            let message = format!("the answer of instance {id} to GET /object_info is no JSON object: {why}");
            Problem::new(502, "not_comfyui", message, "Check host and port: another program than ComfyUI seems to answer there.")
        })
    }
}

/// Python writes `NaN` and `Infinity`, which is no JSON to others.
fn read(text: &[u8]) -> Result<Classes, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let strict = to_strict(text);
    serde_json::from_str::<IgnoredAny>(&strict).map_err(|error| error.to_string())?;
    if !strict.trim_start().starts_with('{') {
        return Err("it is something else".to_owned());
    }
    Ok(Classes::of(Bytes::from(strict.into_owned())))
}

fn process(known: &Known) -> Process {
    let up = match known.instance.reach() {
        Reach::Online { since, .. } if known.linked => Some(*since),
        Reach::Online { .. } | Reach::Offline { .. } => None,
    };
    Process { url: known.instance.url().to_owned(), boot: known.instance.boot(), up }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_becomes_json() {
        let classes = read(br#"{"A": {"input": {"x": ["FLOAT", {"max": Infinity}]}}}"#).expect("an object");
        assert!(serde_json::from_slice::<serde_json::Value>(&classes.json).is_ok(), "{:?}", classes.json);
        for bad in [&b"[]"[..], b"<html>", b"", b"{", b"\xff{}"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn few_answers_are_kept() {
        let shelf = Shelf::default();
        let id = |n: usize| format!("gpu-{n}").parse::<InstanceId>().expect("a good name");
        let first = shelf.slot(&id(0));
        for n in 1..MAX_KEPT {
            shelf.slot(&id(n));
        }
        assert!(Arc::ptr_eq(&first, &shelf.slot(&id(0))), "used again, so it is not the oldest");
        shelf.slot(&id(MAX_KEPT));
        assert!(Arc::ptr_eq(&first, &shelf.slot(&id(0))));
        assert_eq!(shelf.slots.lock().expect("not poisoned").by_instance.len(), MAX_KEPT);
    }
}
