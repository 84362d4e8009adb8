//! How fast the core is: folding, reading, and showing a run.

use comfyd_engine::journal::envelope::{Body, read};
use comfyd_engine::journal::frame::{FileHeader, FrameEncoder};
use comfyd_engine::journal::scan::{Rule, scan_with};
use comfyd_engine::testkit::{Rig, instance_id, planned_node, run_id, small_run};
use comfyd_engine::{
    ComfyEvent, Engine, Fact, Input, Limits, NodeReport, NodesProgressed, Outbox, Recorded, Request, Run, RunEvent, RunView, Seq,
    Workload,
};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const NODES: usize = 60;

/// A run of 60 nodes that made this many events, most of them progress.
fn log(events: usize) -> Vec<Recorded<RunEvent>> {
    let mut rig = Rig::new(Limits::default());
    rig.online("gpu-a");
    let mut spec = small_run("gpu-a");
    let Workload::Prompt(prompt) = &mut spec.workload;
    prompt.nodes = (0..NODES).map(|n| planned_node(&n.to_string(), &[])).collect();
    prompt.outputs = Some(prompt.nodes.iter().map(|node| node.id.clone()).collect());
    rig.say(Input::Request(run_id(1), Request::Create { spec: Box::new(spec), blobs: vec![] })).expect("a new run");
    let mut done = 0;
    while rig.log().len() < events + 2 {
        rig.wait_ms(100);
        done += 1;
        let node = (done / 50) % NODES;
        let report = |n: usize, finished| NodeReport {
            node: n.to_string().as_str().into(),
            parent: None,
            done: u32::try_from(done).expect("few"),
            total: u32::MAX,
            finished,
        };
        let nodes = vec![report((node + NODES - 1) % NODES, done > 50 && done < 50 * NODES), report(node, false)];
        let frame = ComfyEvent::ProgressReported { prompt: run_id(1).into(), nodes };
        rig.say(Input::Observed(instance_id("gpu-a"), frame)).expect("a frame");
        if done > 50 * (NODES - 1) {
            break;
        }
    }
    let mut log: Vec<Recorded<RunEvent>> = rig
        .log()
        .iter()
        .filter_map(|fact| match fact {
            Fact::Run(_, recorded) => Some(recorded.clone()),
            Fact::Instance(..) => None,
        })
        .collect();
    // Longer logs repeat the newest progress: the fold does the same work for each.
    let last = log.iter().rev().find(|recorded| recorded.event.kind() == "nodes_progressed").expect("progress").clone();
    while log.len() < events {
        let seq = Seq(log.len() as u64 + 1);
        log.push(Recorded { seq, ..last.clone() });
    }
    log.truncate(events);
    log
}

fn fold(log: &[Recorded<RunEvent>], outbox: &mut Outbox) -> Run {
    let mut run = Run::created(run_id(1), &log[0]).expect("the first fact creates it");
    for recorded in &log[1..] {
        run.apply(recorded, outbox).expect("the log folds");
    }
    run
}

#[divan::bench]
fn apply_one(bencher: Bencher<'_, '_>) {
    let log = log(1_000);
    let run = fold(&log, &mut Outbox::muted());
    let next = Recorded { seq: run.seq().next(), ..log[999].clone() };
    bencher.with_inputs(|| run.clone()).bench_local_values(|mut run| {
        run.apply(black_box(&next), &mut Outbox::muted()).expect("it follows");
        run
    });
}

#[divan::bench(args = [1_000, 100_000])]
fn fold_events(bencher: Bencher<'_, '_>, events: usize) {
    let log = log(events);
    bencher.counter(ItemsCount::new(events)).bench_local(|| fold(black_box(&log), &mut Outbox::muted()));
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let payloads: Vec<Vec<u8>> = log(10_000).iter().map(|recorded| recorded.event.encode(recorded.at)).collect();
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    bencher.counter(ItemsCount::new(payloads.len())).counter(BytesCount::new(bytes)).bench_local(|| {
        for payload in &payloads {
            black_box(read::<RunEvent>(black_box(payload)).expect("it was written here"));
        }
    });
}

/// What a log costs at the least: the same bytes through `rmp-serde` into the type that is in most of them.
#[divan::bench]
fn raw_decode(bencher: Bencher<'_, '_>) {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "read for the reading's sake")]
    struct Raw<'a> {
        at: u64,
        kind: &'a str,
        version: u32,
        optional: bool,
        data: NodesProgressed,
    }
    let payloads: Vec<Vec<u8>> = progress(10_000).iter().map(|recorded| recorded.event.encode(recorded.at)).collect();
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    bencher.counter(ItemsCount::new(payloads.len())).counter(BytesCount::new(bytes)).bench_local(|| {
        for payload in &payloads {
            black_box(rmp_serde::from_slice::<Raw<'_>>(black_box(payload)).expect("it was written here"));
        }
    });
}

/// The progress of a log, so that every record is of one kind.
fn progress(events: usize) -> Vec<Recorded<RunEvent>> {
    let log = log(events * 2);
    log.into_iter().filter(|recorded| recorded.event.kind() == "nodes_progressed").take(events).collect()
}

/// The same bytes as a log file is scanned: frames, checksums, chain, and the event in each.
#[divan::bench]
fn scan_and_decode(bencher: Bencher<'_, '_>) {
    let progress = progress(10_000);
    let file = file_of(&progress);
    bencher.counter(ItemsCount::new(progress.len())).counter(BytesCount::new(file.len())).bench_local(|| {
        scan_with(black_box(&file), Rule::default(), |frame| {
            black_box(read::<RunEvent>(frame.payload).expect("it was written here"));
        })
    });
}

/// A whole log as recovery reads it: scanned, decoded and folded.
#[divan::bench]
fn replay(bencher: Bencher<'_, '_>) {
    let log = log(10_000);
    let file = file_of(&log);
    bencher.counter(ItemsCount::new(log.len())).counter(BytesCount::new(file.len())).bench_local(|| {
        let mut run: Option<Run> = None;
        scan_with(black_box(&file), Rule::default(), |frame| {
            let (at, event) = read::<RunEvent>(frame.payload).expect("it was written here");
            let recorded = Recorded { seq: Seq(frame.seq), at, event: event.expect("a known kind") };
            match &mut run {
                Some(run) => run.apply(&recorded, &mut Outbox::muted()).expect("the log folds"),
                None => run = Some(Run::created(run_id(1), &recorded).expect("the first fact creates it")),
            }
        });
        run
    });
}

fn file_of(log: &[Recorded<RunEvent>]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(7, 1);
    let mut file = FileHeader { salt: encoder.salt() }.encode().to_vec();
    for recorded in log {
        encoder.push(&recorded.event.encode(recorded.at), 0, &mut file).expect("records are small");
    }
    file
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let log = log(10_000);
    bencher.counter(ItemsCount::new(log.len())).bench_local(|| {
        for recorded in &log {
            black_box(black_box(&recorded.event).encode(recorded.at));
        }
    });
}

#[divan::bench]
fn handle_a_frame(bencher: Bencher<'_, '_>) {
    let mut engine = Engine::new(Limits::default());
    let mut rig = Rig::new(Limits::default());
    rig.online("gpu-a");
    rig.say(Input::Request(run_id(1), Request::Create { spec: Box::new(small_run("gpu-a")), blobs: vec![] })).expect("a new run");
    for fact in rig.log() {
        engine.apply(fact, &mut Outbox::muted()).expect("it was folded live");
    }
    let mut done = 0;
    bencher.bench_local(|| {
        done += 1;
        let node = comfyd_engine::NodeId::from("2");
        let frame = ComfyEvent::NodeProgressed { prompt: Some(run_id(1).into()), node, done, total: u32::MAX };
        engine.handle(rig.now(), Input::Observed(instance_id("gpu-a"), frame)).expect("a frame")
    });
}

#[divan::bench]
fn project_a_view(bencher: Bencher<'_, '_>) {
    let run = fold(&log(2_000), &mut Outbox::muted());
    bencher.bench_local(|| RunView::of(black_box(&run)));
}
