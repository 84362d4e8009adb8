//! Anything that an instance may say, and anything that may come of what it is asked.

use comfyd_engine::testkit::sha256_of_zeros;
use comfyd_engine::{
    ComfyEvent, Ending, LinkChange, NodeFailure, NodeProblem, NodeReport, Outcome, Produced, PromptId, RemoteFile, RemoteStatus,
    Verdict,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::kit::{error, saved_file};
use crate::strategies::{node, prompt, removal_came};

pub(crate) fn link() -> impl Strategy<Value = LinkChange> {
    prop_oneof![
        3 => any::<bool>().prop_map(|live| LinkChange::Up { version: None, live, process: None }),
        1 => Just(LinkChange::Down { why: "timeout".into(), obstacle: None }),
        1 => Just(LinkChange::Restarted { evidence: "another pid".into() }),
        1 => Just(LinkChange::Gap { why: "overflow".into() }),
        1 => Just(LinkChange::LetGo),
    ]
}

pub(crate) fn status() -> impl Strategy<Value = RemoteStatus> {
    prop_oneof![
        1 => (1u32..4).prop_map(|position| RemoteStatus::Pending { position }),
        1 => Just(RemoteStatus::Running),
        2 => Just(RemoteStatus::Absent),
        2 => ending().prop_map(|ending| RemoteStatus::Ended(Box::new(ending))),
    ]
}

pub(crate) fn ending() -> impl Strategy<Value = Ending> {
    let failure = node().prop_map(|node| NodeFailure {
        node: Some(node),
        class: None,
        message: "no".into(),
        exception: "ValueError".into(),
        traceback: String::new(),
    });
    let verdict = prop_oneof![
        2 => Just(Verdict::Succeeded),
        1 => failure.prop_map(Verdict::Failed),
        1 => proptest::option::of(node()).prop_map(|node| Verdict::Interrupted { node }),
    ];
    (verdict, vec(node(), 0..2), vec((node(), vec(output(), 0..3)), 0..3)).prop_map(|(verdict, cached, outputs)| Ending {
        verdict,
        cached,
        outputs,
        parents: vec![],
    })
}

pub(crate) fn output() -> impl Strategy<Value = Produced> {
    let file = |name: &str| RemoteFile {
        key: "images".into(),
        filename: name.into(),
        subfolder: String::new(),
        folder: "output".into(),
    };
    prop_oneof![
        select(vec!["a.png", "b.png", "c.png"]).prop_map(move |name| Produced::File(file(name))),
        Just(Produced::Text { key: "text".into(), text: "words".into() }),
    ]
}

pub(crate) fn comfy_event() -> impl Strategy<Value = ComfyEvent> {
    prompt().prop_flat_map(comfy_event_of)
}

/// What an instance says while this prompt is on its mind.
pub(crate) fn comfy_event_of(prompt: PromptId) -> impl Strategy<Value = ComfyEvent> {
    let prompt = move || Just(prompt.clone());
    let maybe = || proptest::option::weighted(0.8, prompt());
    let report = |node: &str, (done, total, finished): (u32, u32, bool)| NodeReport {
        node: node.into(),
        parent: node.contains('.').then(|| "2".into()),
        done,
        total,
        finished,
    };
    let figures = || (0u32..5, 0u32..5, any::<bool>());
    prop_oneof![
        3 => prompt().prop_map(|prompt| ComfyEvent::Started { prompt }),
        1 => (prompt(), vec(node(), 0..3)).prop_map(|(prompt, nodes)| ComfyEvent::Cached { prompt, nodes }),
        2 => (maybe(), node()).prop_map(|(prompt, node)| ComfyEvent::NodeStarted { prompt, node }),
        2 => (maybe(), node(), 0u32..6, 0u32..6)
            .prop_map(|(prompt, node, done, total)| ComfyEvent::NodeProgressed { prompt, node, done, total }),
        2 => (prompt(), figures(), figures()).prop_map(move |(prompt, one, two)| ComfyEvent::ProgressReported {
            prompt,
            nodes: vec![report("2", one), report("2.0.0.1", two)],
        }),
        2 => (prompt(), node(), vec(output(), 0..3))
            .prop_map(|(prompt, node, outputs)| ComfyEvent::NodeProduced { prompt, node, outputs }),
        1 => node().prop_map(|node| ComfyEvent::NodeTexted { node, text: "words".into() }),
        1 => (prompt(), node()).prop_map(|(prompt, node)| ComfyEvent::NodeBlocked { prompt, node, message: "no".into() }),
        1 => prompt().prop_map(|prompt| ComfyEvent::Ending { prompt }),
        1 => maybe().prop_map(|prompt| ComfyEvent::WentIdle { prompt }),
        1 => Just(ComfyEvent::QueueChanged { remaining: 1 }),
        1 => Just(ComfyEvent::Unknown { kind: "other".into() }),
    ]
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => staging_came(),
        8 => post_came(),
        2 => stop_came(),
        4 => collected(),
        2 => removal_came(),
        1 => log_read(),
        1 => Just(Outcome::TwinDeleted),
    ]
}

pub(crate) fn staging_came() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => any::<bool>().prop_map(|new| Outcome::Staged {
            prompt: sha256_of_zeros(),
            outputs: vec!["9".into()],
            uploaded: vec![],
            blob: new.then(|| vec![1]),
        }),
        1 => Just(Outcome::StagingFailed { error: error("upload_refused") }),
        1 => Just(Outcome::StagingDelayed { why: "busy".into() }),
    ]
}

pub(crate) fn post_came() -> impl Strategy<Value = Outcome> {
    let problem = NodeProblem {
        node: "10".into(),
        class: "Save".into(),
        reason: "value_not_in_list".into(),
        input: None,
        value: None,
        allowed: None,
        message: "no".into(),
    };
    prop_oneof![
        4 => (prompt(), any::<bool>()).prop_map(move |(prompt_id, partial)| Outcome::Accepted {
            prompt_id,
            problems: if partial { vec![problem.clone()] } else { vec![] },
            refused: if partial { vec!["10".into()] } else { vec![] },
        }),
        1 => Just(Outcome::Rejected { error: error("invalid_prompt") }),
        3 => Just(Outcome::NotSent { why: "refused".into() }),
        3 => Just(Outcome::Unclear { why: "reset".into() }),
    ]
}

pub(crate) fn stop_came() -> impl Strategy<Value = Outcome> {
    let why = || "because".to_owned();
    prop_oneof![Just(Outcome::Stopped), Just(Outcome::CannotStop { why: why() }), Just(Outcome::NotStopped { why: why() })]
}

pub(crate) fn log_read() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::LogRead { lines: vec![] }), Just(Outcome::LogRead { lines: vec!["got prompt".into()] })]
}

pub(crate) fn collected() -> impl Strategy<Value = Outcome> {
    let why = || "because".to_owned();
    prop_oneof![
        2 => (0u32..4).prop_map(|n| Outcome::Collected { n, file: saved_file(n) }),
        1 => (0u32..4).prop_map(move |n| Outcome::OutputGone { n, why: why() }),
        1 => (0u32..4).prop_map(move |n| Outcome::OutputDelayed { n, why: why() }),
    ]
}
