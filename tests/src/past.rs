//! A long past: many finished runs in a data directory, written as the server writes them.

use comfyd_engine::journal::envelope::Body as _;
use comfyd_engine::testkit::small_prompt;
use comfyd_engine::{
    ClientId, ComfyEvent, Command, Ending, Engine, Fact, Input, InstanceId, Limits, LinkChange, NodeFailure, Outcome, Recorded,
    Request, RunEvent, RunId, RunSpec, RunView, Seq, StreamId, Timestamp, Verdict, Workload,
};
use comfyd_server::store::{Append, Class, FileStore, Sync};
use comfyd_server::testing::state_of;

/// Where the past begins: 2024-11-21T10:15:00Z.
pub const BEGIN: Timestamp = Timestamp(1_732_184_100_000);
/// From one run to the next.
pub const STEP_MS: u64 = 1_000;
/// Every so many-th run failed.
pub const FAILING: u64 = 10;
/// How many runs are stored with one write.
const PIECE: u64 = 200;

/// The `n`-th run of a past, from 0; later ones sort after earlier ones.
pub fn run(n: u64) -> RunId {
    let (ms, tail) = (BEGIN.0 + n * STEP_MS, n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16);
    let text = format!("{:08x}-{:04x}-7000-8000-{tail:012x}", ms >> 16, ms & 0xffff);
    text.parse().expect("a lower-case UUID")
}

/// The name of the `n`-th run.
pub fn name(n: u64) -> String {
    format!("{} {}", ["portrait", "upscale 4x", "Größe", "inpaint"][usize::try_from(n % 4).unwrap_or(0)], n / 4)
}

/// Writes the runs `from..until` into a store, a few thousand a second, and makes them durable.
///
/// # Panics
/// If the store does not take them.
pub async fn write(store: &FileStore, from: u64, until: u64) {
    for first in (from..until).step_by(usize::try_from(PIECE).unwrap_or(1)) {
        let told: Vec<_> = (first..until.min(first + PIECE)).map(tell).collect();
        let appends = told.iter().map(|(run, facts, _)| Append {
            stream: StreamId::Run(*run),
            expected: Seq(0),
            payloads: facts.iter().map(|recorded| recorded.event.encode(recorded.at)).collect(),
            class: Class::Ordinary,
        });
        store.append_all(appends.collect(), Sync::Lazy).await.expect("stored");
        for (run, _, view) in &told {
            store.snapshot(&StreamId::Run(*run), view.seq, state_of(view));
        }
        // Snapshots that come before their records are written are late.
        store.flush().await.expect("durable");
    }
}

/// What happened in the `n`-th run: its facts, and how it ended.
fn tell(n: u64) -> (RunId, Vec<Recorded<RunEvent>>, RunView) {
    let run = run(n);
    let at = Timestamp(BEGIN.0 + n * STEP_MS);
    let gpu: InstanceId = format!("gpu-{}", n % 3).parse().expect("a good name");
    let mut engine = Engine::new(Limits::default());
    let mut facts = Vec::new();
    let mut say = |engine: &mut Engine, ms: u64, input: Input| {
        let step = engine.handle(at.plus_ms(ms), input).expect("nothing is refused");
        facts.extend(step.facts.into_iter().filter_map(|fact| match fact {
            Fact::Run(_, recorded) => Some(recorded),
            Fact::Instance(..) => None,
        }));
        step.commands
    };
    let url = "http://127.0.0.1:8188".to_owned();
    say(&mut engine, 0, Input::AddInstance { instance: gpu.clone(), client: ClientId("past".into()), url });
    say(&mut engine, 0, Input::Link(gpu.clone(), LinkChange::Up { version: None, live: true, process: None }));
    let spec = Box::new(RunSpec::new(&name(n), gpu.clone(), Workload::Prompt(small_prompt())));
    let commands = say(&mut engine, 0, Input::Request(run, Request::Create { spec, blobs: vec![] }));
    let accepted = Outcome::Accepted { prompt_id: run.into(), problems: vec![], refused: vec![] };
    say(&mut engine, 1, Input::Outcome(commands[0].id.clone(), accepted));
    say(&mut engine, 2, Input::Observed(gpu, ComfyEvent::Started { prompt: run.into() }));
    let failed = || NodeFailure {
        node: Some("2".into()),
        class: Some("Class2".into()),
        message: format!("CUDA out of memory: tried to allocate {n} MiB"),
        exception: "OutOfMemoryError".into(),
        traceback: String::new(),
    };
    let verdict = if n % FAILING == FAILING - 1 { Verdict::Failed(failed()) } else { Verdict::Succeeded };
    let ending = Ending { verdict, cached: vec![], outputs: vec![], parents: vec![] };
    let commands = say(&mut engine, 900, Input::Reconciled(run, comfyd_engine::RemoteStatus::Ended(Box::new(ending))));
    // After a failure the instance is asked for the end of its log, and this one tells nothing.
    for asked in commands.iter().filter(|asked| matches!(asked.command, Command::ReadLog {})) {
        say(&mut engine, 901, Input::Outcome(asked.id.clone(), Outcome::LogRead { lines: vec![] }));
    }
    let over = engine.retire(run).expect("it is over");
    (run, facts, RunView::of(&over))
}
