//! The stored form of events: frozen samples, unknown kinds, missing and unknown fields.
//!
//! The samples in `tests/events` were written once and must be readable for ever. A kind of a new version gets a file of its own and an upcast;
//! no file is ever written anew.
#![expect(clippy::disallowed_methods, reason = "tests read the samples from files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use comfyd_engine::journal::envelope::{Body, DecodeError, read};
use comfyd_engine::{InstanceEvent, NodeStarted, Outbox, Recorded, RunEvent, SetupEvent, SyncClass, Timestamp, Workload};
use serde::Serialize;

use crate::kit::failed;
use crate::samples::{AT, instance_events, run_events, setup_events};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events")
}

/// Reads the frozen sample of a kind; where there is none yet, leaves one to be looked at and moved there.
fn frozen(kind: &str, version: u32, fresh: &[u8]) -> Result<Vec<u8>, String> {
    let name = format!("{kind}.v{version}.msgpack");
    std::fs::read(folder().join(&name)).map_err(|_| {
        let proposal = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        std::fs::write(&proposal, fresh).expect("the temporary folder of tests is writable");
        format!("{kind} has no sample: check {} and move it to tests/events", proposal.display())
    })
}

#[test]
fn every_kind_has_a_frozen_sample_that_is_still_understood() {
    let kinds: Vec<(&str, u32)> = run_events().iter().map(|event| (event.kind(), event.version())).collect();
    assert_eq!(kinds, RunEvent::KINDS, "one sample of each kind, in order");
    let missing: Vec<String> = run_events().iter().filter_map(|event| changed(event, event.kind(), event.version())).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_kind_of_an_instance_has_one_too() {
    let kinds: Vec<(&str, u32)> = instance_events().iter().map(|event| (event.kind(), event.version())).collect();
    assert_eq!(kinds, InstanceEvent::KINDS, "one sample of each kind, in order");
    let events = instance_events();
    let missing: Vec<String> = events.iter().filter_map(|event| changed(event, event.kind(), event.version())).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_kind_of_a_generic_workflow_has_one_too() {
    let kinds: Vec<(&str, u32)> = setup_events().iter().map(|event| (event.kind(), event.version())).collect();
    assert_eq!(kinds, SetupEvent::KINDS, "one sample of each kind, in order");
    let events = setup_events();
    let missing: Vec<String> = events.iter().filter_map(|event| changed(event, event.kind(), event.version())).collect();
    assert_eq!(missing, Vec::<String>::new());
}

fn changed<E: Body + PartialEq + std::fmt::Debug>(event: &E, kind: &str, version: u32) -> Option<String> {
    match frozen(kind, version, &event.encode(AT)).map(|bytes| read::<E>(&bytes)) {
        Ok(Ok((AT, Some(read)))) if read == *event => None,
        Ok(other) => Some(format!("{kind}: {other:?}")),
        Err(missing) => Some(missing),
    }
}

/// What newer versions added to a run's beginning, which the frozen sample does not have.
#[test]
fn a_canvas_is_stored_with_its_run() {
    let canvas = comfyd_engine::testkit::sha256_of_zeros();
    let Some(RunEvent::RunCreated(mut created)) = run_events().into_iter().next() else { panic!("a run begins with that") };
    let Workload::Prompt(prompt) = &mut created.spec.workload;
    prompt.canvas = Some(canvas.clone());
    let named = created.spec.blobs().filter(|blob| **blob == canvas).count();
    assert!(named >= 2, "the graph and the canvas are kept for as long as the run");
    let event = RunEvent::RunCreated(created);
    assert_eq!(read::<RunEvent>(&event.encode(AT)).ok(), Some((AT, Some(event))));
}

#[test]
fn every_sample_on_disk_is_still_understood() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).expect("the samples are there") {
        let path = entry.expect("a file").path();
        let bytes = std::fs::read(&path).expect("a readable file");
        let understood =
            read::<RunEvent>(&bytes).is_ok() || read::<InstanceEvent>(&bytes).is_ok() || read::<SetupEvent>(&bytes).is_ok();
        assert!(understood, "{}", path.display());
        count += 1;
    }
    assert!(count >= RunEvent::KINDS.len() + InstanceEvent::KINDS.len() + SetupEvent::KINDS.len());
}

#[derive(Serialize)]
struct Written<D> {
    at: u64,
    kind: &'static str,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    optional: Option<bool>,
    data: D,
    later: u8,
}

fn written(kind: &'static str, version: u32, optional: Option<bool>, data: impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(&Written { at: 5, kind, version, optional, data, later: 1 }).expect("plain data")
}

fn map(fields: &[(&'static str, &'static str)]) -> BTreeMap<&'static str, &'static str> {
    fields.iter().copied().collect()
}

#[test]
fn an_unknown_kind_is_skipped_only_if_it_is_optional() {
    let newer = map(&[("anything", "at all")]);
    assert_eq!(read::<RunEvent>(&written("node_praised", 1, Some(true), &newer)), Ok((Timestamp(5), None)));
    assert_eq!(read::<RunEvent>(&written("completed", 2, Some(true), &newer)), Ok((Timestamp(5), None)));
    for optional in [Some(false), None] {
        let refused = DecodeError::UnknownKind { kind: "node_praised".into(), version: 1 };
        assert_eq!(read::<RunEvent>(&written("node_praised", 1, optional, &newer)), Err(refused));
        let refused = DecodeError::UnknownKind { kind: "completed".into(), version: 2 };
        assert_eq!(read::<RunEvent>(&written("completed", 2, optional, &newer)), Err(refused));
    }
}

#[test]
fn later_fields_are_tolerated_and_missing_ones_have_defaults() {
    let data = map(&[("node", "3"), ("mood", "good")]);
    let started = RunEvent::from(NodeStarted { node: "3".into(), parent: None });
    assert_eq!(read::<RunEvent>(&written("node_started", 1, None, &data)), Ok((Timestamp(5), Some(started))));
}

#[test]
fn other_bytes_are_refused() {
    assert!(matches!(read::<RunEvent>(b""), Err(DecodeError::Envelope { .. })));
    assert!(matches!(read::<RunEvent>(&[0x80]), Err(DecodeError::Envelope { .. })));
    let wrong = written("node_started", 1, Some(true), map(&[("nod", "3")]));
    assert!(matches!(read::<RunEvent>(&wrong), Err(DecodeError::Body { kind, .. }) if kind == "node_started"));
    for event in run_events() {
        let whole = event.encode(AT);
        for end in 0..whole.len() {
            assert!(read::<RunEvent>(&whole[..end]).is_err(), "{} cut at {end}", event.kind());
        }
    }
}

#[test]
fn intents_and_endings_are_synced_and_progress_is_not() {
    let class =
        |kind: &str| run_events().iter().find(|event| event.kind() == kind).map(RunEvent::sync_class).expect("a known kind");
    for kind in ["run_created", "submit_intended", "submitted", "cancel_requested", "resubmit_requested", "completed", "failed"] {
        assert_eq!(class(kind), SyncClass::Ack, "{kind}");
    }
    assert_eq!((class("nodes_progressed"), class("node_finished")), (SyncClass::Tick, SyncClass::Note));
}

/// The kinds that may follow an ending, as docs/format.md has them.
pub(crate) fn after_an_ending() -> BTreeSet<&'static str> {
    let text = include_str!("../../../docs/format.md");
    let (_, behind) = text.split_once("Behind it come only these").expect("the page says what follows an ending");
    let rows = behind.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let kinds = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    kinds.collect()
}

#[test]
fn what_may_follow_an_ending_is_taken_there() {
    let run = failed().run(comfyd_engine::testkit::run_id(1)).clone();
    let kinds = after_an_ending();
    let samples: Vec<RunEvent> = run_events().into_iter().filter(|event| kinds.contains(event.kind())).collect();
    let known: BTreeSet<&str> = samples.iter().map(RunEvent::kind).collect();
    assert_eq!(known, kinds, "the page names kinds that there are");
    for event in samples {
        let (mut run, phase, kind) = (run.clone(), run.phase().as_str(), event.kind());
        run.apply(&Recorded { seq: run.seq().next(), at: AT, event }, &mut Outbox::new()).expect(kind);
        assert_eq!(run.phase().as_str(), phase, "{kind}");
    }
}
