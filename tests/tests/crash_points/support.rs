//! A story of one run, told over as many lives of the server as it takes, and what must be true in the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use comfyd_adapters::digest::sha256;
use comfyd_engine::journal::scan::{Rule, Verdict, scan_with};
use comfyd_engine::{Force, RunId, RunView};
use comfyd_fixtures::{FakeConfig, Folder, Picture, PostFault, workflows};
use comfyd_server::app::{Execute, Filter, Image, Images, Readiness, Source, Target};
use comfyd_server::problem::Problem;
use comfyd_server::store::{Disk, Fault, JournalVerdict, SimDisk, StreamVerdict};
use comfyd_server::testing::DATA;
use comfyd_tests::world::{URL, World, comparable, final_shape};
use serde_json::Value;

/// Longer than any story takes, the search for a lost submission included.
const PATIENCE: Duration = Duration::from_mins(10);
/// The settings of no story have more steps.
pub(crate) const MANY: u64 = 5_000;

/// What happens in a story.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may happen, and any may come with any")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tale {
    /// The workflow.
    pub(crate) workflow: &'static str,
    /// Inputs to set.
    pub(crate) inputs: &'static [(&'static str, &'static str)],
    /// Whether a picture is uploaded.
    pub(crate) image: bool,
    /// Whether it is cancelled once it runs.
    pub(crate) cancel: bool,
    /// Whether the answer to the submission is lost.
    pub(crate) lost_answer: bool,
    /// Whether the client asks again with a key; else it looks into the list.
    pub(crate) keyed: bool,
}

pub(crate) const SIMPLE: Tale =
    Tale { workflow: "01_simple_save", inputs: &[], image: false, cancel: false, lost_answer: false, keyed: false };
pub(crate) const SLOW: Tale =
    Tale { workflow: "20_custom_slow_previews", inputs: &[("1.steps", "6"), ("2.steps", "4")], keyed: true, ..SIMPLE };
pub(crate) const FAILING: Tale = Tale { workflow: "21_custom_fails_midway", keyed: true, ..SIMPLE };
pub(crate) const UPLOADING: Tale = Tale { workflow: "07_load_image", image: true, keyed: true, ..SIMPLE };
pub(crate) const CANCELLED: Tale = Tale { cancel: true, ..SLOW };
pub(crate) const LOST_ANSWER: Tale = Tale { lost_answer: true, ..SIMPLE };

impl Tale {
    /// What its client asks for.
    pub(crate) fn request(&self) -> Execute {
        let json = workflows::named(self.workflow).expect("a fixture").json;
        let picture = Image::Bytes { name: "mine.png".to_owned(), bytes: Bytes::from(Picture::finished(48, 32, 5).png(&[])) };
        Execute {
            target: Some(Target::Url(URL.to_owned())),
            inputs: self.inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            images: Images::InOrder(if self.image { vec![picture] } else { vec![] }),
            idempotency_key: self.keyed.then(|| "one of a kind".to_owned()),
            ..Execute::new(Source::Inline { text: json.to_owned(), file: None })
        }
    }

    /// A world for it: the instance is always the same, the disk loses by its seed.
    pub(crate) fn world(&self, seed: u64) -> World {
        let mut world = World::new(7, FakeConfig::default());
        world.disk = SimDisk::new(seed);
        if self.lost_answer {
            world.fake.tune(|knobs| knobs.next_posts.push_back(PostFault::DropReply));
        }
        world
    }
}

/// A disk that comes back after a loss of power.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// The step of the first life at which power goes.
    pub(crate) at: u64,
    /// The step of the second life at which it goes again.
    pub(crate) again: Option<u64>,
    /// What a loss of power leaves.
    pub(crate) end: fn(&SimDisk),
}

/// The power is gone: the teller must start the server again.
#[derive(Debug)]
struct Dark;

/// Who tells a story.
pub(crate) struct Teller {
    pub(crate) world: World,
    tale: Tale,
    cut: Option<Cut>,
    /// The one write or sync that fails.
    fault: Option<Fault>,
    /// How often power went.
    pub(crate) cuts: u32,
    /// How often the server said that something could not be stored.
    pub(crate) refusals: u32,
    /// Runs that the story is not about.
    more: Vec<RunId>,
    /// The run, as far as its client knows of one.
    run: Option<RunId>,
    /// Whether the cancelling was acknowledged.
    cancelled: bool,
    ending: Option<&'static str>,
}

impl Teller {
    pub(crate) fn new(tale: Tale, seed: u64, cut: Option<Cut>) -> Self {
        let world = tale.world(seed);
        if let Some(cut) = cut {
            world.disk.plan(Fault::Power(cut.at));
        }
        Self { world, tale, cut, fault: None, cuts: 0, refusals: 0, more: vec![], run: None, cancelled: false, ending: None }
    }

    /// With one write or sync that fails.
    pub(crate) fn with_fault(tale: Tale, seed: u64, fault: Fault) -> Self {
        let teller = Self::new(tale, seed, None);
        teller.world.disk.plan(fault);
        Self { fault: Some(fault), ..teller }
    }

    fn about(&self) -> String {
        let cut = self.cut.map(|cut| (cut.at, cut.again));
        format!("{:?}, power cut at {cut:?}, failing {:?}, run {:?}", self.tale, self.fault, self.run)
    }

    /// Tells the story to its end; gives the run and its last view.
    pub(crate) async fn tell(&mut self) -> (RunId, RunView) {
        loop {
            self.revive().await;
            let Ok(found) = self.chapter().await else { continue };
            // Snapshots and bulk syncs come within a second.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            if self.world.disk.is_off() {
                continue;
            }
            if self.fault.is_some() {
                if self.one_more().await.is_ok() {
                    return found;
                }
                continue;
            }
            self.world.shut_down().await;
            if self.world.disk.is_off() {
                continue;
            }
            // A cut that never came must not come after the story.
            self.world.disk.kill();
            return found;
        }
    }

    /// After a failure the same server takes new work.
    async fn one_more(&mut self) -> Result<(), Dark> {
        let other = Tale { keyed: false, ..SIMPLE };
        let created = match self.world.server().app.execute(other.request()).await {
            Ok(created) => created.run_id,
            Err(problem) => return self.refused(&problem),
        };
        self.more.push(created);
        let view = self.world.wait(created, PATIENCE, |view| view.status.is_settled()).await;
        assert_eq!(view.status.as_str(), "completed", "{}", self.about());
        Ok(())
    }

    /// Starts the server, with power.
    async fn revive(&mut self) {
        loop {
            if self.world.disk.is_off() {
                self.world.kill_server().await;
                let cut = self.cut.expect("only a planned cut takes the power");
                (cut.end)(&self.world.disk);
                self.cuts += 1;
                if let Some(again) = cut.again.filter(|_| self.cuts == 1) {
                    self.world.disk.plan(Fault::Power(again));
                }
            }
            match self.world.try_start().await {
                Ok(()) => break,
                Err(_) if self.world.disk.is_off() => {}
                Err(_) if self.fault.is_some() && self.refusals == 0 => self.refusals += 1,
                Err(error) => panic!("{}: no start: {error:?}", self.about()),
            }
        }
        let found = &self.world.server().recovered;
        assert!(!matches!(found.journal, JournalVerdict::Damaged { .. }), "{}: {:?}", self.about(), found.journal);
        for stream in &found.streams {
            assert!(!matches!(stream.verdict, StreamVerdict::Quarantined { .. }), "{}: {stream:?}", self.about());
        }
    }

    /// One life of the server, until the run is over or the power goes.
    async fn chapter(&mut self) -> Result<(RunId, RunView), Dark> {
        let run = self.run().await?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.lit()?;
            let view = self.world.server().app.view(run).await;
            let view = match view {
                Ok(view) => view,
                Err(problem) => {
                    self.refused(&problem)?;
                    continue;
                }
            };
            assert!(
                tokio::time::Instant::now() < until,
                "{}: still {}/{}: {:?}",
                self.about(),
                view.status.as_str(),
                view.phase,
                view.attention
            );
            if view.status.is_settled() {
                let before = self.ending.replace(view.status.as_str());
                assert!(
                    before.is_none_or(|before| before == view.status.as_str()),
                    "{}: was {before:?}, is {}",
                    self.about(),
                    view.status.as_str()
                );
            } else {
                assert_eq!(self.ending, None, "{}: an ending came undone", self.about());
                self.act(run, &view).await?;
            }
            let fetched = view.outputs.iter().all(|output| output.downloaded || output.problem.is_some());
            if view.status.is_settled() && fetched && !view.owes_log {
                return Ok((run, view));
            }
            // Simulated time: fine enough that a server does not go on for long without power.
            tokio::time::sleep(Duration::from_millis(if self.cuts == 0 { 1 } else { 20 })).await;
        }
    }

    fn lit(&self) -> Result<(), Dark> {
        if self.world.disk.is_off() { Err(Dark) } else { Ok(()) }
    }

    /// The run: asked for until it is acknowledged, then for ever the same.
    async fn run(&mut self) -> Result<RunId, Dark> {
        let listed = self.listed();
        if let Some(run) = self.run {
            assert_eq!(listed, [run], "{}: an acknowledged run is there, and no other", self.about());
            return Ok(run);
        }
        assert!(listed.len() <= 1, "{}: {listed:?}", self.about());
        if let (Some(run), false) = (listed.first(), self.tale.keyed) {
            // Its acknowledgement was lost; the client finds it in the list.
            self.run = Some(*run);
            return Ok(*run);
        }
        match self.world.server().app.execute(self.tale.request()).await {
            Ok(created) => {
                assert!(listed.first().is_none_or(|run| *run == created.run_id && !created.fresh), "{}: a twin", self.about());
                self.run = Some(created.run_id);
                Ok(created.run_id)
            }
            Err(problem) => {
                self.refused(&problem)?;
                Err(Dark)
            }
        }
    }

    fn listed(&self) -> Vec<RunId> {
        let runs = self.world.server().app.list(&Filter { limit: 10, ..Filter::default() }).runs;
        for run in &runs {
            assert_eq!(run.quarantined, None, "{}", self.about());
        }
        runs.into_iter().map(|run| run.run_id).filter(|run| !self.more.contains(run)).collect()
    }

    /// What the story's person does.
    async fn act(&mut self, run: RunId, view: &RunView) -> Result<(), Dark> {
        let app = self.world.server().app.clone();
        if self.tale.cancel
            && !self.cancelled
            && view.progress.completed_nodes + usize::from(view.progress.current_node.is_some()) > 0
        {
            return match app.cancel(run, Force::No).await {
                Ok(()) => {
                    self.cancelled = true;
                    Ok(())
                }
                Err(problem) => self.refused(&problem),
            };
        }
        let unknown = view.attention.as_ref().is_some_and(|attention| attention.kind == "submit_unknown");
        if unknown && !view.stopping {
            assert_eq!(self.world.fake.ledger().prompt(&run.to_string()).accepted, 0, "{}: it is there", self.about());
            if let Err(problem) = app.resubmit(run).await {
                return self.refused(&problem);
            }
        }
        Ok(())
    }

    /// Without power anything may be refused; one failure of the disk may cost a few requests, and not the server.
    fn refused(&mut self, problem: &Problem) -> Result<(), Dark> {
        self.lit()?;
        let stays = self.world.server().app.readiness() == Readiness::Ready;
        self.refusals += 1;
        assert!(self.fault.is_some() && self.refusals <= 3 && stays, "{}: {problem:?}", self.about());
        assert!(matches!(problem.status, 503 | 507), "{}: {problem:?}", self.about());
        Ok(())
    }

    /// Checks what must be true after a story.
    pub(crate) async fn check(&mut self, run: RunId, view: &RunView) {
        let about = self.about();
        let record = self.world.fake.ledger().prompt(&run.to_string());
        let (posts, executions) = (record.posts, record.executions);
        if self.tale.cancel && self.cancelled {
            assert_eq!(view.status.as_str(), "cancelled", "{about}: a cancelling was acknowledged");
            assert!(posts <= 1 && executions <= 1, "{about}: {record:?}");
        } else {
            assert_eq!((posts, executions), (1, 1), "{about}: {record:?}");
        }
        assert_eq!(self.world.fake.ledger().prompts.len(), usize::from(posts > 0) + self.more.len(), "{about}: other prompts");
        check_files(&self.world, run, view, &about);
        self.world.start().await;
        let found = &self.world.server().recovered;
        assert_eq!(found.journal, JournalVerdict::Clean, "{about}");
        found.streams.iter().for_each(|stream| assert_eq!(stream.verdict, StreamVerdict::Ok, "{about}: {stream:?}"));
        assert_eq!(self.listed(), [run], "{about}");
        let after = self.world.view(run).await;
        assert_eq!(comparable(&after), comparable(view), "{about}: changed by a restart");
        check_state(&self.world, run, &about).await;
        self.world.shut_down().await;
    }

    /// What two tellings must agree in.
    pub(crate) fn shape(&self, view: &RunView) -> Value {
        if self.tale.cancel {
            // How far it came depends on when it was stopped.
            return serde_json::json!({ "status": view.status.as_str(), "phase": view.phase, "error": view.error, "stopping": view.stopping });
        }
        let mut shape = final_shape(view);
        if view.status.as_str() == "failed" {
            // Progress is never synced by itself, and nobody tells it again.
            shape["progress"]["progress_percent"] = Value::Null;
            for node in shape["nodes"].as_array_mut().into_iter().flatten().filter(|node| node["state"] == "failed") {
                node["progress"] = Value::Null;
            }
        }
        unnumber(&mut shape);
        if self.tale.image {
            // A picture holds its graph, which names the upload by who we are there; power may take that. Files are compared with the instance's.
            for output in shape["outputs"].as_array_mut().into_iter().flatten() {
                output["sha256"] = Value::Null;
            }
        }
        shape
    }
}

/// Outputs are numbered as they are reported, and a report that was missed comes later.
fn unnumber(shape: &mut Value) {
    let outputs = shape["outputs"].as_array_mut().expect("a view has outputs");
    for output in outputs.iter_mut() {
        output["n"] = Value::Null;
        let name = output["local_name"].as_str().and_then(|name| name.split_once('-')).map(|(_, name)| Value::from(name));
        output["local_name"] = name.unwrap_or_default();
    }
    outputs.sort_by_key(ToString::to_string);
}

/// Where the files of a run are.
pub(crate) fn folder(run: RunId) -> PathBuf {
    Path::new(DATA).join("runs").join(run.to_string())
}

/// Every stored output is what the instance has, and nothing else lies about.
pub(crate) fn check_files(world: &World, run: RunId, view: &RunView, about: &str) {
    let outputs = folder(run).join("outputs");
    let mut known = Vec::new();
    for output in &view.outputs {
        assert_eq!(output.problem, None, "{about}");
        assert!(output.downloaded, "{about}: {output:?}");
        let Some(name) = &output.local_name else { continue };
        let stored = world.disk.read(&outputs.join(name), u64::MAX).unwrap_or_else(|error| panic!("{about}: {name}: {error}"));
        let remote =
            Folder::named(&output.folder).and_then(|folder| world.fake.file(folder, &output.subfolder, &output.filename));
        let remote = remote.expect("the instance has what it made");
        assert!(
            stored == remote,
            "{about}: {name} differs from what the instance made: {} of {} bytes",
            stored.len(),
            remote.len()
        );
        assert_eq!(output.size, Some(stored.len() as u64), "{about}");
        assert_eq!(output.sha256, Some(sha256(&stored)), "{about}");
        known.push(name.clone());
    }
    known.sort();
    assert_eq!(world.disk.list(&outputs).expect("a folder"), known, "{about}: leftovers");
}

/// `state.json` is the canonical fold of the prefix that it names, byte for byte, and the log agrees.
pub(crate) async fn check_state(world: &World, run: RunId, about: &str) {
    let state = world.disk.read(&folder(run).join("state.json"), u64::MAX).unwrap_or_else(|error| panic!("{about}: {error}"));
    let head: Value = serde_json::from_slice(&state).unwrap_or_else(|error| panic!("{about}: {error}"));
    let log = world.disk.read(&folder(run).join("events.log"), u64::MAX).expect("a log");
    let mut place = None;
    let found = scan_with(&log, Rule { first: 1, floor: head["log_len"].as_u64() }, |frame| {
        place = Some((frame.seq, frame.end, format!("{:08x}", frame.crc)));
    });
    assert_eq!(found.verdict, Verdict::Clean, "{about}");
    let (seq, end, chain) = place.expect("a log has records");
    assert_eq!(head["seq"], seq, "{about}: the state is behind");
    let folded = world.server().app.view_at(run, comfyd_engine::Seq(seq)).await.expect("the log folds");
    let mut wanted = serde_json::to_value(&folded).expect("a view is plain data");
    wanted["log_len"] = end.into();
    wanted["chain"] = chain.into();
    assert_eq!(String::from_utf8_lossy(&state), sorted(wanted).to_string(), "{about}");
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

/// Where two values differ.
pub(crate) fn differences(left: &Value, right: &Value) -> Vec<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            let of = |map: &serde_json::Map<String, Value>, key: &String| map.get(key).cloned().unwrap_or_default();
            let below = |key| -> Vec<String> {
                differences(&of(left, key), &of(right, key)).into_iter().map(|line| format!("{key}.{line}")).collect()
            };
            keys.into_iter().flat_map(below).collect()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let pairs = left.iter().zip(right).enumerate();
            pairs
                .flat_map(|(n, (left, right))| differences(left, right).into_iter().map(move |line| format!("{n}.{line}")))
                .collect()
        }
        (left, right) if left == right => vec![],
        (left, right) => vec![format!(": {left} is not {right}")],
    }
}
