//! What the tables share: a run in each phase, inputs with short names, and `check`.

use comfyd_engine::testkit::{Rig, instance_id, run_id, small_run};
use comfyd_engine::{
    Addressed, ComfyEvent, Command, CommandId, Ending, Fact, Force, Input, InstanceId, Limits, LinkChange, NodeFailure, NodeId,
    NodeReport, Outcome, Produced, Refusal, RemoteFile, RemoteStatus, Request, RunError, RunEvent, RunId, RunSpec, SavedFile,
    Seq, Step, StreamId, Verdict,
};

/// The run that the tables are about.
pub(crate) fn first() -> RunId {
    run_id(1)
}

pub(crate) fn gpu() -> InstanceId {
    instance_id("gpu-a")
}

/// Says an input to a run in some phase and compares everything that follows.
#[track_caller]
pub(crate) fn check(mut given: Rig, when: Input, then_events: &[&str], then_commands: &[&str]) -> Rig {
    let step = given.say(when).expect("it is granted");
    assert_step(&step, then_events, then_commands);
    given
}

/// Like `check`, after some time.
#[track_caller]
pub(crate) fn check_after(mut given: Rig, ms: u64, when: Input, then_events: &[&str], then_commands: &[&str]) -> Rig {
    given.wait_ms(ms);
    check(given, when, then_events, then_commands)
}

#[track_caller]
pub(crate) fn refuses(mut given: Rig, when: Input, why: &Refusal) {
    let before = given.engine().clone();
    assert_eq!(given.say(when).as_ref(), Err(why));
    assert!(before.runs().eq(given.engine().runs()), "a refused request changes nothing");
}

#[track_caller]
pub(crate) fn assert_step(step: &Step, then_events: &[&str], then_commands: &[&str]) {
    let events: Vec<String> = step.facts.iter().map(fact_word).collect();
    let commands: Vec<String> = step.commands.iter().map(command_word).collect();
    assert_eq!((events, commands), (owned(then_events), owned(then_commands)), "facts and commands");
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A fact as the tables write it: its kind, what matters in it, and whose it is if not the first run's.
pub(crate) fn fact_word(fact: &Fact) -> String {
    match fact {
        Fact::Run(run, recorded) if *run == first() => event_word(&recorded.event),
        Fact::Run(run, recorded) => {
            let n = run.to_string();
            format!("{}:{}", &n[n.len() - 1..], event_word(&recorded.event))
        }
        Fact::Instance(instance, recorded) => format!("{instance}:{}", recorded.event.kind()),
    }
}

fn event_word(event: &RunEvent) -> String {
    let detail = match event {
        RunEvent::SubmitIntended(fact) => fact.attempt.to_string(),
        RunEvent::QueueMoved(fact) => fact.position.to_string(),
        RunEvent::NodeStarted(fact) => fact.node.to_string(),
        RunEvent::NodeFinished(fact) => fact.node.to_string(),
        RunEvent::NodeBlocked(fact) => fact.node.to_string(),
        RunEvent::NodesCached(fact) => fact.nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join("+"),
        RunEvent::NodesProgressed(fact) => {
            fact.nodes.iter().map(|node| format!("{}:{}/{}", node.node, node.done, node.total)).collect::<Vec<_>>().join("+")
        }
        RunEvent::OutputsFound(fact) => fact.outputs.iter().map(|output| output.n.to_string()).collect::<Vec<_>>().join("+"),
        RunEvent::OutputSaved(fact) => fact.n.to_string(),
        RunEvent::OutputLost(fact) => fact.n.to_string(),
        RunEvent::OutputDelayed(fact) => fact.n.to_string(),
        RunEvent::OutputRetried(fact) => fact.n.to_string(),
        RunEvent::TwinFound(fact) => if fact.running { "running" } else { "" }.to_owned(),
        RunEvent::ResubmitRequested(fact) => if fact.by_policy { "by policy" } else { "" }.to_owned(),
        RunEvent::AttentionRaised(fact) => fact.kind.as_str().to_owned(),
        RunEvent::AttentionCleared(fact) => fact.kind.as_str().to_owned(),
        RunEvent::Failed(fact) => fact.error.code.clone(),
        _ => String::new(), // All others say it by their kind.
    };
    format!("{} {detail}", event.kind()).trim_end().to_owned()
}

fn command_word(said: &Addressed) -> String {
    match &said.command {
        Command::Stage { .. } => "stage".into(),
        Command::Dispatch { attempt, .. } => format!("dispatch {attempt}"),
        Command::Reconcile { .. } => "reconcile".into(),
        Command::Dequeue { .. } => "dequeue".into(),
        Command::Interrupt { force: false, .. } => "interrupt".into(),
        Command::Interrupt { force: true, .. } => "interrupt by force".into(),
        Command::DeleteTwin { .. } => "delete the twin".into(),
        Command::ReadLog {} => "read the log".into(),
        Command::Collect { n, .. } => format!("collect {n}"),
        Command::RemoveInputs { files } => {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            format!("remove {}", names.join("+"))
        }
    }
}

// Runs in each phase, made by the inputs that lead there.

pub(crate) fn idle() -> Rig {
    idle_with(Limits::default())
}

pub(crate) fn idle_with(limits: Limits) -> Rig {
    let mut rig = Rig::new(limits);
    rig.online("gpu-a");
    rig
}

/// The instance does not answer, so the run waits.
pub(crate) fn waiting() -> Rig {
    let rig = then(idle(), down("refused"));
    then(rig, create(small_run("gpu-a")))
}

pub(crate) fn staging() -> Rig {
    then(idle(), create(needs_staging()))
}

pub(crate) fn submitting() -> Rig {
    then(idle(), create(small_run("gpu-a")))
}

pub(crate) fn in_doubt() -> Rig {
    then(submitting(), unclear())
}

/// Looked for until the search was given up.
pub(crate) fn given_up() -> Rig {
    let mut rig = in_doubt();
    for ms in [0, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000] {
        rig.wait_ms(ms);
        rig = then(rig, absent());
    }
    assert_eq!(attention(&rig), Some("submit_unknown"));
    rig
}

pub(crate) fn pending() -> Rig {
    then(submitting(), accepted())
}

pub(crate) fn running() -> Rig {
    then(pending(), started())
}

pub(crate) fn collecting() -> Rig {
    then(running(), succeeded_with(&[("9", file("a.png"))]))
}

pub(crate) fn completed() -> Rig {
    then(running(), succeeded())
}

pub(crate) fn failed() -> Rig {
    then(running(), crashed_in("2"))
}

pub(crate) fn cancelled() -> Rig {
    then(waiting(), cancel())
}

#[track_caller]
pub(crate) fn then(mut rig: Rig, input: Input) -> Rig {
    rig.say(input).expect("it is granted");
    rig
}

pub(crate) fn phase(rig: &Rig) -> &'static str {
    rig.run(first()).phase().as_str()
}

pub(crate) fn attention(rig: &Rig) -> Option<&'static str> {
    rig.run(first()).attention().map(|attention| attention.kind.as_str())
}

// Inputs.

pub(crate) fn create(spec: RunSpec) -> Input {
    create_as(first(), spec)
}

pub(crate) fn create_as(run: RunId, spec: RunSpec) -> Input {
    Input::Request(run, Request::Create { spec: Box::new(spec), blobs: vec![] })
}

/// A run whose output nodes are not known yet.
pub(crate) fn needs_staging() -> RunSpec {
    let mut spec = small_run("gpu-a");
    let comfyd_engine::Workload::Prompt(prompt) = &mut spec.workload;
    prompt.outputs = None;
    spec
}

pub(crate) fn cancel() -> Input {
    Input::Request(first(), Request::Cancel { force: Force::No })
}

pub(crate) fn cancel_by_force() -> Input {
    Input::Request(first(), Request::Cancel { force: Force::Yes })
}

pub(crate) fn resubmit() -> Input {
    Input::Request(first(), Request::Resubmit)
}

/// The answer to the first `Dispatch` of the first run, which its second fact causes.
pub(crate) fn answer(outcome: Outcome) -> Input {
    answer_to(2, outcome)
}

pub(crate) fn answer_to(seq: u64, outcome: Outcome) -> Input {
    Input::Outcome(CommandId { stream: StreamId::Run(first()), seq: Seq(seq), index: 0 }, outcome)
}

/// The answer to the newest `Dispatch` of the first run.
pub(crate) fn answer_newest(rig: &Rig, outcome: Outcome) -> Input {
    Input::Outcome(rig.newest_dispatch(first()).expect("it was posted"), outcome)
}

pub(crate) fn taken() -> Outcome {
    Outcome::Accepted { prompt_id: first().into(), problems: vec![], refused: vec![] }
}

pub(crate) fn accepted() -> Input {
    answer(taken())
}

pub(crate) fn rejected() -> Input {
    answer(Outcome::Rejected { error: error("invalid_prompt") })
}

pub(crate) fn error(code: &str) -> RunError {
    RunError {
        code: code.into(),
        message: "no".into(),
        hint: "mend it".into(),
        node_id: None,
        node_type: None,
        details: None,
        problems: vec![],
    }
}

pub(crate) fn not_sent() -> Outcome {
    Outcome::NotSent { why: "refused".into() }
}

pub(crate) fn unclear() -> Input {
    answer(Outcome::Unclear { why: "reset".into() })
}

pub(crate) fn staged() -> Outcome {
    let prompt = comfyd_engine::testkit::sha256_of_zeros();
    Outcome::Staged { prompt, outputs: vec!["9".into()], uploaded: vec![], blob: None }
}

pub(crate) fn found(status: RemoteStatus) -> Input {
    Input::Reconciled(first(), status)
}

pub(crate) fn absent() -> Input {
    found(RemoteStatus::Absent)
}

pub(crate) fn in_queue(position: u32) -> Input {
    found(RemoteStatus::Pending { position })
}

pub(crate) fn ended(verdict: Verdict, outputs: &[(&str, Produced)]) -> Input {
    let outputs = outputs.iter().map(|(node, item)| (NodeId::from(*node), vec![item.clone()])).collect();
    found(RemoteStatus::Ended(Box::new(Ending { verdict, cached: vec![], outputs, parents: vec![] })))
}

pub(crate) fn succeeded() -> Input {
    ended(Verdict::Succeeded, &[])
}

pub(crate) fn succeeded_with(outputs: &[(&str, Produced)]) -> Input {
    ended(Verdict::Succeeded, outputs)
}

pub(crate) fn interrupted() -> Input {
    ended(Verdict::Interrupted { node: Some("2".into()) }, &[])
}

pub(crate) fn crashed_in(node: &str) -> Input {
    let failure = NodeFailure {
        node: Some(node.into()),
        class: Some("KSampler".into()),
        message: "out of memory".into(),
        exception: "torch.OutOfMemoryError".into(),
        traceback: "at line 1".into(),
    };
    ended(Verdict::Failed(failure), &[])
}

pub(crate) fn log_read(lines: &[&str]) -> Input {
    answer_to(99, Outcome::LogRead { lines: lines.iter().map(|line| (*line).to_owned()).collect() })
}

pub(crate) fn file(name: &str) -> Produced {
    Produced::File(RemoteFile { key: "images".into(), filename: name.into(), subfolder: String::new(), folder: "output".into() })
}

pub(crate) fn text(words: &str) -> Produced {
    Produced::Text { key: "text".into(), text: words.into() }
}

pub(crate) fn observe(event: ComfyEvent) -> Input {
    Input::Observed(gpu(), event)
}

pub(crate) fn started() -> Input {
    observe(ComfyEvent::Started { prompt: first().into() })
}

pub(crate) fn node_started(node: &str) -> Input {
    observe(ComfyEvent::NodeStarted { prompt: Some(first().into()), node: node.into() })
}

pub(crate) fn step(node: &str, done: u32, total: u32) -> Input {
    observe(ComfyEvent::NodeProgressed { prompt: Some(first().into()), node: node.into(), done, total })
}

pub(crate) fn produced(node: &str, outputs: Vec<Produced>) -> Input {
    observe(ComfyEvent::NodeProduced { prompt: first().into(), node: node.into(), outputs })
}

pub(crate) fn report(node: &str, done: u32, total: u32) -> NodeReport {
    NodeReport { node: node.into(), parent: None, done, total, finished: false }
}

pub(crate) fn finished(node: &str) -> NodeReport {
    NodeReport { finished: true, ..report(node, 1, 1) }
}

pub(crate) fn reports(nodes: Vec<NodeReport>) -> Input {
    observe(ComfyEvent::ProgressReported { prompt: first().into(), nodes })
}

pub(crate) fn saved(n: u32) -> Input {
    answer_to(99, Outcome::Collected { n, file: saved_file(n) })
}

pub(crate) fn saved_file(n: u32) -> SavedFile {
    let sha256 = comfyd_engine::testkit::sha256_of_zeros();
    SavedFile {
        name: format!("{n}-a.png"),
        size: 10,
        sha256,
        media_type: Some("image/png".into()),
        copied_to: None,
        copy_problem: None,
    }
}

pub(crate) fn up() -> Input {
    Input::Link(gpu(), LinkChange::Up { version: None, live: true, process: None })
}

pub(crate) fn down(why: &str) -> Input {
    Input::Link(gpu(), LinkChange::Down { why: why.into(), obstacle: None })
}

pub(crate) fn restarted_remotely() -> Input {
    Input::Link(gpu(), LinkChange::Restarted { evidence: "another pid".into() })
}

pub(crate) fn frames_missed() -> Input {
    Input::Link(gpu(), LinkChange::Gap { why: "overflow".into() })
}
