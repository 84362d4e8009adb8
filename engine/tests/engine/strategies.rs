//! Any sequence of inputs over two instances and four runs.
//!
//! Plain chance seldom gets far, so histories are made of snippets too: short sequences that lead somewhere.

use comfyd_engine::testkit::{Rig, instance_id, planned_node, run_id, sha256_of_zeros, small_run};
use comfyd_engine::{
    Addressed, ClientId, ComfyEvent, Command, CommandId, Connection, Ending, Expect, Force, HostKeyTrusted, Input, InstanceSetup,
    InstanceSource, Limits, LinkChange, LogRepaired, NodeFailure, NodeId, Outcome, Produced, PromptId, RemoteStatus, Request,
    RunId, RunSpec, SshConnection, Upload, Verdict, Workload,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::reports::{collected, comfy_event, comfy_event_of, link, log_read, outcome, output, post_came, status, stop_came};

/// One thing that happens in a history.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Wait(u64),
    /// Somebody sets the wall clock back.
    SetBack(u64),
    Say(Input),
    /// An answer to some command that was given; mostly the newest of its kind.
    Answer(Pick, Outcome),
    Crash,
}

#[derive(Clone, Debug)]
pub(crate) enum Pick {
    NewestPost(RunId),
    OldestPost(RunId),
    Newest(RunId),
    Any(Index),
}

/// What came of an act.
pub(crate) enum Came<'a> {
    Turn { input: &'a Input },
    Restart { owed: Vec<Addressed> },
}

/// Lives through a history; `look` sees the state after each act.
pub(crate) fn live(acts: &[Act], mut look: impl FnMut(&Rig, Came<'_>)) -> Rig {
    let mut rig = Rig::new(Limits {
        max_concurrent: 2,
        // Both ways are lived through.
        resubmit_unknown: acts.len().is_multiple_of(2),
        ..Limits::default()
    });
    for act in acts {
        let input = match act {
            Act::Wait(ms) => {
                rig.wait_ms(*ms);
                Some(Input::Deadline)
            }
            Act::SetBack(ms) => {
                rig.set_back_ms(*ms);
                None
            }
            Act::Say(input) => Some(input.clone()),
            Act::Answer(pick, outcome) => picked(&rig, pick).map(|id| Input::Outcome(id, outcome.clone())),
            Act::Crash => {
                let owed = rig.crash();
                look(&rig, Came::Restart { owed });
                None
            }
        };
        if let Some(input) = input {
            // A request may well be refused here.
            drop(rig.say(input.clone()));
            look(&rig, Came::Turn { input: &input });
        }
    }
    rig
}

fn picked(rig: &Rig, pick: &Pick) -> Option<CommandId> {
    let is_stage = |said: &&Addressed| matches!(said.command, Command::Stage { .. });
    let is_post = |said: &&Addressed| matches!(said.command, Command::Dispatch { .. });
    let said = match pick {
        Pick::NewestPost(run) => rig.said().iter().rfind(|said| said.run == *run && (is_post(said) || is_stage(said))),
        Pick::OldestPost(run) => rig.said().iter().find(|said| said.run == *run && is_post(said)),
        Pick::Newest(run) => rig.said().iter().rfind(|said| said.run == *run),
        Pick::Any(index) => (!rig.said().is_empty()).then(|| index.get(rig.said())),
    };
    said.map(|said| said.id.clone())
}

/// Any history.
pub(crate) fn history() -> impl Strategy<Value = Vec<Act>> {
    (beginning(), vec(snippet(), 1..30)).prop_map(|(beginning, snippets)| [beginning, snippets.concat()].concat())
}

/// Mostly both instances answer and have some runs already; without that little happens.
fn beginning() -> impl Strategy<Value = Vec<Act>> {
    let runs = vec(proptest::option::weighted(0.7, spec()), 4);
    let created = (runs, any::<bool>()).prop_map(|(runs, ssh)| {
        let specs = (1u8..).map(run_id).zip(runs).filter_map(|(run, spec)| Some((run, spec?)));
        let homes = specs.map(|(run, spec)| create(run, RunSpec { instance: instance_id(home(run)), ..spec }));
        let first = if ssh { over_ssh("gpu-a") } else { comes_up("gpu-a") };
        first.into_iter().chain(comes_up("gpu-b")).chain(homes).collect()
    });
    prop_oneof![9 => created, 1 => Just(vec![])]
}

fn snippet() -> impl Strategy<Value = Vec<Act>> {
    prop_oneof![
        6 => any_act().prop_map(|act| vec![act]),
        2 => instance().prop_map(|at| comes_up(&at)),
        2 => place().prop_flat_map(|(run, at)| spec_at(at).prop_map(move |spec| vec![create(run, spec)])),
        3 => place().prop_map(|(run, at)| begins(run, &at)),
        3 => (run(), vec(Just(()), 1..6)).prop_flat_map(|(run, times)| {
            let events: Vec<_> = times.iter().map(|()| comfy_event_of(run.into())).collect();
            events.prop_map(move |events| works(run, home(run), events))
        }),
        2 => (run(), 1usize..8, select(vec![0, 1_000, 20_000, 60_000])).prop_map(|(run, times, ms)| looks(run, times, ms)),
        1 => place().prop_map(|(run, at)| whole_life(run, &at)),
        1 => place().prop_map(|(run, at)| remote_restart(run, &at)),
        1 => place().prop_map(|(run, at)| arrives_twice(run, &at)),
        3 => (place(), vec(output(), 1..3), collected()).prop_map(|((run, at), outputs, came)| produces(run, &at, outputs, came)),
        1 => (run(), post_came()).prop_map(|(run, came)| comes_twice(run, &came)),
        1 => (instance(), input()).prop_map(|(at, input)| restarts_twice(&at, input)),
        1 => (run(), stop_came()).prop_map(|(run, came)| stops(run, came)),
        3 => (run(), removal_came()).prop_map(|(run, came)| removes(run, came)),
        2 => (run(), log_read()).prop_map(|(run, came)| fails(run, came)),
    ]
}

fn comes_up(instance: &str) -> Vec<Act> {
    let id = instance_id(instance);
    let add = Input::AddInstance { instance: id.clone(), client: ClientId("us".into()), url: "http://there".into() };
    vec![Act::Say(add), Act::Say(Input::Link(id, LinkChange::Up { version: None, live: true, process: None }))]
}

fn create(run: RunId, spec: RunSpec) -> Act {
    Act::Say(Input::Request(run, Request::Create { spec: Box::new(spec), blobs: vec![] }))
}

fn took(run: RunId) -> Act {
    Act::Answer(Pick::NewestPost(run), Outcome::Accepted { prompt_id: run.into(), problems: vec![], refused: vec![] })
}

fn begins(run: RunId, instance: &str) -> Vec<Act> {
    let staged = Outcome::Staged { prompt: sha256_of_zeros(), outputs: vec!["9".into()], uploaded: vec![], blob: None };
    vec![
        Act::Answer(Pick::NewestPost(run), staged),
        took(run),
        Act::Say(Input::Observed(instance_id(instance), ComfyEvent::Started { prompt: run.into() })),
    ]
}

fn looks(run: RunId, times: usize, ms: u64) -> Vec<Act> {
    let look = vec![Act::Wait(ms), Act::Say(Input::Reconciled(run, RemoteStatus::Absent))];
    vec![look; times].concat()
}

fn works(run: RunId, instance: &str, events: Vec<ComfyEvent>) -> Vec<Act> {
    let mut acts = begins(run, instance);
    acts.extend(events.into_iter().map(|event| Act::Say(Input::Observed(instance_id(instance), event))));
    acts
}

fn whole_life(run: RunId, instance: &str) -> Vec<Act> {
    let mut acts = comes_up(instance);
    acts.push(create(run, small_run(instance)));
    acts.extend(begins(run, instance));
    let ending = Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] };
    acts.push(Act::Say(Input::Reconciled(run, RemoteStatus::Ended(Box::new(ending)))));
    acts
}

fn remote_restart(run: RunId, instance: &str) -> Vec<Act> {
    let change = LinkChange::Restarted { evidence: "another pid".into() };
    let absent = Act::Say(Input::Reconciled(run, RemoteStatus::Absent));
    let again = Act::Say(Input::Request(run, Request::Resubmit));
    vec![took(run), Act::Say(Input::Link(instance_id(instance), change)), absent, again]
}

fn arrives_twice(run: RunId, instance: &str) -> Vec<Act> {
    let seen = Act::Say(Input::TwinSeen(run));
    let deleted = Act::Answer(Pick::NewestPost(run), Outcome::TwinDeleted);
    [remote_restart(run, instance), vec![took(run), seen, deleted]].concat()
}

fn produces(run: RunId, instance: &str, outputs: Vec<Produced>, came: Outcome) -> Vec<Act> {
    let event = ComfyEvent::NodeProduced { prompt: run.into(), node: "9".into(), outputs };
    vec![Act::Say(Input::Observed(instance_id(instance), event)), Act::Answer(Pick::NewestPost(run), came)]
}

/// The same answer comes again when the next attempt may be under way.
fn comes_twice(run: RunId, came: &Outcome) -> Vec<Act> {
    let answer = |pick| Act::Answer(pick, came.clone());
    vec![answer(Pick::NewestPost(run)), Act::Wait(2_000), answer(Pick::OldestPost(run)), Act::Wait(2_000)]
}

fn restarts_twice(instance: &str, input: Input) -> Vec<Act> {
    [vec![Act::Crash, Act::Crash], comes_up(instance), vec![Act::Say(input)]].concat()
}

fn stops(run: RunId, came: Outcome) -> Vec<Act> {
    let wish = Act::Say(Input::Request(run, Request::Cancel { force: Force::No }));
    vec![wish, Act::Answer(Pick::NewestPost(run), came)]
}

/// A run ends, and what it uploaded is removed.
fn removes(run: RunId, came: Outcome) -> Vec<Act> {
    let ending = Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] };
    let mut acts = begins(run, home(run));
    acts.push(Act::Say(Input::Reconciled(run, RemoteStatus::Ended(Box::new(ending)))));
    acts.push(Act::Answer(Pick::Newest(run), came));
    acts
}

/// A run fails at a node, and the instance's log is read.
fn fails(run: RunId, came: Outcome) -> Vec<Act> {
    let failure = NodeFailure {
        node: Some("2".into()),
        class: None,
        message: "no".into(),
        exception: "ValueError".into(),
        traceback: String::new(),
    };
    let ending = Ending { verdict: Verdict::Failed(failure), cached: vec![], outputs: vec![], parents: vec![] };
    let mut acts = begins(run, home(run));
    acts.push(Act::Say(Input::Reconciled(run, RemoteStatus::Ended(Box::new(ending)))));
    acts.push(Act::Answer(Pick::Newest(run), came));
    acts
}

pub(crate) fn removal_came() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::InputsRemoved { removed: vec!["comfyd".into()], left: vec![] }),
        Just(Outcome::InputsDelayed { why: "away".into() }),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => select(vec![0u64, 1, 100, 1_000, 5_000, 30_000, 61_000, 2_400_000, 90_000_000]).prop_map(Act::Wait),
        1 => Just(Act::SetBack(10_000)),
        1 => Just(Act::Crash),
        20 => input().prop_map(Act::Say),
        6 => (pick(), outcome()).prop_map(|(pick, outcome)| Act::Answer(pick, outcome)),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![3 => run().prop_map(Pick::NewestPost), 1 => run().prop_map(Pick::OldestPost), 1 => any::<Index>().prop_map(Pick::Any)]
}

fn run() -> impl Strategy<Value = RunId> {
    (1u8..=4).prop_map(run_id)
}

/// Where a run is at home.
fn home(run: RunId) -> &'static str {
    if run == run_id(1) || run == run_id(3) { "gpu-a" } else { "gpu-b" }
}

/// A run with an instance, mostly its own.
fn place() -> impl Strategy<Value = (RunId, String)> {
    (run(), instance(), 0..10).prop_map(|(run, any, chance)| (run, if chance == 0 { any } else { home(run).to_owned() }))
}

fn instance() -> impl Strategy<Value = String> {
    select(vec!["gpu-a".to_owned(), "gpu-b".to_owned()])
}

pub(crate) fn node() -> impl Strategy<Value = NodeId> {
    select(vec!["1", "2", "9", "2.0.0.1", "2.0.0.2", "alien"]).prop_map(NodeId::from)
}

pub(crate) fn prompt() -> impl Strategy<Value = PromptId> {
    prop_oneof![9 => run().prop_map(PromptId::from), 1 => Just(PromptId("theirs".into()))]
}

fn spec() -> impl Strategy<Value = RunSpec> {
    instance().prop_flat_map(spec_at)
}

fn spec_at(instance: String) -> impl Strategy<Value = RunSpec> {
    (-1i32..2, any::<bool>(), any::<bool>(), 0..3).prop_map(move |(priority, known, wide, pictures)| {
        let mut spec = RunSpec { priority, ..small_run(&instance) };
        let Workload::Prompt(prompt) = &mut spec.workload;
        if wide {
            prompt.nodes.push(planned_node("10", &["1"]));
        }
        prompt.outputs = known.then(|| vec!["9".into(), "10".into()]);
        // One picture is the same for all.
        prompt.uploads = (0..pictures).map(|n| picture(if n == 0 { '0' } else { 'a' })).collect();
        spec
    })
}

fn picture(digit: char) -> Upload {
    let blob = digit.to_string().repeat(64).parse().expect("64 hex digits");
    Upload { blob, node: "1".into(), input: digit.to_string(), file_name: "cat.png".into() }
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => (run(), request()).prop_map(|(run, request)| Input::Request(run, request)),
        8 => (instance(), comfy_event(), 0..10).prop_map(|(any, event, chance)| {
            let run = (1..=4).map(run_id).find(|run| event.prompt() == Some(&PromptId::from(*run)));
            let instance = run.filter(|_| chance > 0).map_or(any, |run| home(run).to_owned());
            Input::Observed(instance_id(&instance), event)
        }),
        3 => (instance(), link()).prop_map(|(instance, change)| Input::Link(instance_id(&instance), change)),
        1 => run().prop_map(Input::TwinSeen),
        6 => (run(), status()).prop_map(|(run, status)| Input::Reconciled(run, status)),
        1 => Just(Input::Restarted),
        1 => run().prop_map(|run| Input::CaughtUp(vec![run])),
        1 => run().prop_map(|run| Input::Repaired(run, LogRepaired { offset: 20, bytes: 3, sha256: sha256_of_zeros() })),
        1 => Just(Input::Deadline),
        2 => set_instance(),
        1 => (instance(), any::<bool>(), select(vec!["one", "two"])).prop_map(|(instance, replace, key)| Input::TrustHostKey {
            instance: instance_id(&instance),
            key: HostKeyTrusted {
                machine: "gpu".into(),
                algorithm: "ssh-ed25519".into(),
                key: key.into(),
                fingerprint: format!("SHA256:{key}"),
            },
            replace,
        }),
        1 => (instance(), any::<bool>()).prop_map(|(instance, config)| {
            Input::RemoveInstance { instance: instance_id(&instance), by: source(config) }
        }),
    ]
}

fn source(config: bool) -> InstanceSource {
    if config { InstanceSource::Config } else { InstanceSource::Api }
}

fn set_instance() -> impl Strategy<Value = Input> {
    let expects = select(vec![Expect::New, Expect::Known, Expect::Any]);
    let urls = select(vec!["http://gpu-a:8188", "http://gpu-b:8188", "http://there", "ssh://gpu-a", "ssh://gpu-b"]);
    (instance(), urls, any::<(bool, bool)>(), expects).prop_map(|(instance, url, (config, default), expect)| Input::SetInstance {
        instance: instance_id(&instance),
        client: ClientId("other".into()),
        setup: InstanceSetup { connection: way(url), label: None, source: source(config), default },
        expect,
    })
}

/// The way that an address stands for.
fn way(url: &str) -> Connection {
    if !url.starts_with("ssh:") {
        return Connection::Url(url.into());
    }
    let (identity, password_file, output_dir) = (None, None, None);
    Connection::Ssh(SshConnection {
        url: url.into(),
        command: "ssh gpu".into(),
        comfyui_port: 1,
        identity,
        password_file,
        output_dir,
    })
}

/// What an instance over SSH is.
fn over_ssh(instance: &str) -> Vec<Act> {
    let id = instance_id(instance);
    let connection = way(&format!("ssh://{instance}"));
    let setup = InstanceSetup { connection, label: None, source: InstanceSource::Api, default: false };
    let set = Input::SetInstance { instance: id.clone(), client: ClientId("us".into()), setup, expect: Expect::Any };
    vec![Act::Say(set), Act::Say(Input::Link(id, LinkChange::Up { version: None, live: true, process: None }))]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => (spec(), vec(Just((sha256_of_zeros(), vec![1, 2])), 0..2))
            .prop_map(|(spec, blobs)| Request::Create { spec: Box::new(spec), blobs }),
        1 => select(vec![Force::No, Force::Yes]).prop_map(|force| Request::Cancel { force }),
        1 => Just(Request::Resubmit),
        1 => Just(Request::LetGo),
    ]
}
