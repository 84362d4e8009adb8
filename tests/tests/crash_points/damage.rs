//! Files that were cut or have rotted: the server starts, the damaged run is shown as such, all others live.

use std::path::{Path, PathBuf};
use std::time::Duration;

use comfyd_engine::journal::scan::{Rule, Verdict, scan};
use comfyd_engine::{Force, RunId, RunView, Seq};
use comfyd_fixtures::workflows;
use comfyd_server::app::{Execute, Filter, Readiness, Source};
use comfyd_server::live::Summary;
use comfyd_server::store::{Disk, RecoveredStream, SimDisk, StreamVerdict};
use comfyd_server::testing::DATA;
use comfyd_tests::world::{World, comparable, in_simulation};

use crate::support::{SIMPLE, SLOW, Tale, folder};

const SOON: Duration = Duration::from_mins(1);

/// A data directory with a finished run to be damaged, another finished one, and one that executes.
struct Past {
    world: World,
    victim: RunView,
    other: RunView,
    open: RunId,
}

impl Past {
    async fn new(tale: Tale) -> Self {
        let mut world = SIMPLE.world(21);
        world.start().await;
        let victim = Self::finished(&world, tale).await;
        let other = Self::finished(&world, Tale { workflow: "06_text", ..SIMPLE }).await;
        let open = world.server().app.execute(Tale { keyed: false, ..SLOW }.request()).await.expect("stored").run_id;
        world.wait(open, SOON, |view| view.progress.current_node.is_some()).await;
        Self { world, victim, other, open }
    }

    /// The same after an orderly stop: everything is in the logs of the runs.
    async fn stopped(tale: Tale) -> Self {
        let mut past = Self::new(tale).await;
        past.world.shut_down().await;
        past.world.disk.kill();
        past
    }

    async fn finished(world: &World, tale: Tale) -> RunView {
        let run = world.server().app.execute(tale.request()).await.expect("stored").run_id;
        let over = |view: &RunView| view.status.is_settled() && view.outputs.iter().all(|output| output.downloaded);
        let view = world.wait(run, SOON, over).await;
        assert_eq!(view.status.as_str(), "completed");
        view
    }

    fn log(&self) -> PathBuf {
        folder(self.victim.run_id).join("events.log")
    }

    fn bytes(&self, path: &Path) -> Vec<u8> {
        self.world.disk.read(path, u64::MAX).expect("it is there")
    }

    /// A world with a damaged copy of the disk, and its server.
    async fn damaged(&self, damage: impl FnOnce(&SimDisk)) -> World {
        let mut world = self.world.fork();
        damage(&world.disk);
        world.start().await;
        world
    }

    /// The others are as they were, and the server takes work; `fully` also looks at what cannot depend on a single byte.
    async fn others_live(&self, world: &World, fully: bool, about: &str) {
        assert_eq!(world.server().app.readiness(), Readiness::Ready, "{about}");
        assert_eq!(listed(world, self.other.run_id, about).quarantined, None, "{about}");
        assert_eq!(listed(world, self.open, about).quarantined, None, "{about}");
        if !fully {
            return;
        }
        assert_eq!(comparable(&world.view(self.other.run_id).await), comparable(&self.other), "{about}");
        assert!(!world.view(self.open).await.status.is_settled(), "{about}");
    }

    /// The open run ends, and so does a new one.
    async fn others_end(&self, world: &World, about: &str) {
        let new = world.server().app.execute(SIMPLE.request()).await.unwrap_or_else(|problem| panic!("{about}: {problem:?}"));
        for run in [self.open, new.run_id] {
            assert_eq!(world.wait(run, SOON, |view| view.status.is_settled()).await.status.as_str(), "completed", "{about}");
        }
    }

    /// It is listed with a reason and no shorter than it was; it can be read up to the damage and not be changed.
    async fn is_set_aside(&self, world: &World, about: &str) {
        let run = self.victim.run_id;
        let app = &world.server().app;
        match app.view(run).await {
            Ok(view) => {
                assert!(view.warnings.iter().any(|warning| warning.code == "log_damaged"), "{about}: {view:?}");
                assert!(view.seq < self.victim.seq, "{about}");
            }
            Err(problem) => assert_eq!((problem.status, problem.code.as_str()), (409, "quarantined"), "{about}: {problem:?}"),
        }
        let shown = listed(world, run, about);
        assert!(shown.quarantined.as_ref().is_some_and(|why| why.len() > 10), "{about}: {shown:?}");
        let refused = app.cancel(run, Force::No).await.expect_err("it may not be changed");
        assert_eq!((refused.status, refused.code.as_str()), (409, "quarantined"), "{about}: {refused:?}");
    }
}

fn listed(world: &World, run: RunId, about: &str) -> Summary {
    let runs = world.server().app.list(&Filter { limit: 100, ..Filter::default() }).runs;
    runs.into_iter().find(|summary| summary.run_id == run).unwrap_or_else(|| panic!("{about}: run {run} is not listed"))
}

fn found(world: &World, run: RunId) -> &RecoveredStream {
    let streams = &world.server().recovered.streams;
    streams.iter().find(|found| found.stream == comfyd_engine::StreamId::Run(run)).expect("it is found")
}

fn flip(disk: &SimDisk, path: &Path, at: usize) {
    disk.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
}

#[test]
fn a_log_that_is_shorter_than_its_snapshot_says_is_set_aside() {
    in_simulation(async {
        let past = Past::stopped(SIMPLE).await;
        let log = past.log();
        for len in (0..past.bytes(&log).len()).step_by(3) {
            let about = format!("cut to {len} bytes");
            let mut world = past.damaged(|disk| disk.edit(&log, |bytes| bytes.truncate(len))).await;
            past.is_set_aside(&world, &about).await;
            let shown = listed(&world, past.victim.run_id, &about);
            assert_eq!(
                (shown.seq, shown.status, shown.outputs),
                (past.victim.seq, past.victim.status, past.victim.outputs.len()),
                "{about}"
            );
            assert_eq!(world.disk.len(&log).expect("readable"), Some(len as u64), "{about}: nothing is cut off");
            past.others_live(&world, len % 48 == 0, &about).await;
            world.kill_server().await;
        }
        let mut world = past.damaged(|disk| disk.remove(&log).expect("removed")).await;
        past.is_set_aside(&world, "removed").await;
        past.others_end(&world, "removed").await;
        world.shut_down().await;
    });
}

#[test]
fn every_byte_that_rots_is_found_when_the_run_is_read() {
    in_simulation(async {
        let past = Past::stopped(SIMPLE).await;
        let log = past.log();
        for at in 0..past.bytes(&log).len() {
            let about = format!("byte {at} has changed");
            let mut world = past.damaged(|disk| flip(disk, &log, at)).await;
            let before = world.disk.read(&log, u64::MAX).expect("readable");
            past.is_set_aside(&world, &about).await;
            past.others_live(&world, at % 16 == 0, &about).await;
            world.kill_server().await;
            assert_eq!(world.disk.read(&log, u64::MAX).expect("readable"), before, "{about}: nothing is touched");
        }
    });
}

/// Without a snapshot only the last batch can be taken for one that was never synced.
#[test]
fn without_a_snapshot_the_recovery_rule_decides_and_says_so() {
    in_simulation(async {
        // Long enough for its log to be synced more than once.
        let past = Past::stopped(Tale { keyed: false, ..SLOW }).await;
        // A run that goes on is not to be posted again here: it only recovers.
        past.world.fake.kill();
        let (log, run) = (past.log(), past.victim.run_id);
        let total = past.bytes(&log).len();
        let (mut repaired, mut refused) = (0, 0);
        let cuts = (0..total).step_by(5).map(|len| (format!("cut to {len} bytes"), len, None));
        let flips = (0..total).step_by(5).map(|at| (format!("byte {at} has changed"), total, Some(at)));
        for (about, len, flipped) in cuts.chain(flips) {
            let mut world = past.world.fork();
            world.disk.remove(&folder(run).join("state.json")).expect("removed");
            // It tells the length of a log too.
            drop(world.disk.remove(&Path::new(DATA).join("index.log")));
            world.disk.sync_all(DATA.as_ref()).expect("durable");
            world.disk.edit(&log, |bytes| bytes.truncate(len));
            if let Some(at) = flipped {
                flip(&world.disk, &log, at);
            }
            let before = world.disk.read(&log, u64::MAX).expect("readable");
            let rule = scan(&before, Rule::default());
            world.start().await;
            // Lets the core loop begin.
            tokio::time::sleep(Duration::from_millis(20)).await;
            match rule.verdict {
                // Of a log without a whole header nothing is known but that it was begun.
                Verdict::CutHeader => assert_eq!(world.disk.len(&log).expect("readable"), None, "{about}"),
                // A cut between two records cannot be told from a log that has just come so far.
                Verdict::Clean if rule.prefix.records > 0 => {
                    assert_eq!(listed(&world, run, &about).quarantined, None, "{about}");
                }
                Verdict::TornTail { at } => {
                    repaired += 1;
                    is_repaired(&world, run, &before, usize::try_from(at).expect("short"), &about).await;
                }
                Verdict::Clean | Verdict::Damaged { .. } | Verdict::BadHeader(_) => {
                    refused += 1;
                    past.is_set_aside(&world, &about).await;
                    assert_eq!(world.disk.read(&log, u64::MAX).expect("readable"), before, "{about}: nothing is touched");
                }
            }
            past.others_live(&world, false, &about).await;
            world.kill_server().await;
        }
        assert!(repaired > 500 && refused > 500, "{repaired} repaired, {refused} refused");
    });
}

/// The bytes that were cut off are kept beside the log, and a run that goes on tells it.
async fn is_repaired(world: &World, run: RunId, before: &[u8], at: usize, about: &str) {
    let found = found(world, run);
    let StreamVerdict::Repaired(cut) = &found.verdict else { panic!("{about}: {found:?}") };
    let saved = world.disk.read(&folder(run).join(&cut.saved_as), u64::MAX).expect("the end is kept");
    assert_eq!((saved.as_slice(), cut.offset), (&before[at..], at as u64), "{about}");
    let shown = listed(world, run, about);
    if shown.seq.0 == 0 {
        assert!(shown.quarantined.is_some(), "{about}: nothing is left of it");
        return;
    }
    assert_eq!(shown.quarantined, None, "{about}");
    let kinds = world.kinds(run).await;
    let left = usize::try_from(found.last.0).expect("short");
    let over = kinds[..left].iter().any(|kind| kind == "completed");
    assert_eq!(kinds[left..].iter().any(|kind| kind == "log_repaired"), !over, "{about}: {kinds:?}");
}

#[test]
fn a_snapshot_that_rots_harms_nobody() {
    in_simulation(async {
        let past = Past::stopped(SIMPLE).await;
        let state = folder(past.victim.run_id).join("state.json");
        for at in (0..past.bytes(&state).len()).step_by(3) {
            let about = format!("byte {at} of state.json has changed");
            let mut world = past.damaged(|disk| flip(disk, &state, at)).await;
            let shown = listed(&world, past.victim.run_id, &about);
            if shown.quarantined.is_none() {
                assert_eq!(comparable(&world.view(past.victim.run_id).await), comparable(&past.victim), "{about}");
            }
            past.others_live(&world, at % 16 == 0, &about).await;
            world.kill_server().await;
        }
    });
}

#[test]
fn a_snapshot_of_an_open_run_that_rots_does_not_hold_it_up() {
    for n in 0..24 {
        in_simulation(async {
            let past = Past::stopped(SIMPLE).await;
            let state = folder(past.open).join("state.json");
            let text = String::from_utf8(past.bytes(&state)).expect("text");
            // A digit of its place in the log becomes another one; the rest is sampled.
            let place = text.find("\"seq\":").expect("it names its place") + "\"seq\":".len();
            let about = format!("part {n} of {text}");
            let damage = |disk: &SimDisk| match n {
                0 => disk.edit(&state, |bytes| bytes[place] ^= 1),
                n => flip(disk, &state, n * text.len() / 24),
            };
            let mut world = past.damaged(damage).await;
            if listed(&world, past.open, &about).quarantined.is_none() {
                past.others_end(&world, &about).await;
            }
            world.shut_down().await;
        });
    }
}

#[test]
fn a_damaged_log_of_an_instance_stops_no_run() {
    in_simulation(async {
        let past = Past::stopped(SIMPLE).await;
        let log = PathBuf::from(DATA).join("instances/127.0.0.1-8188/events.log");
        for at in 0..past.bytes(&log).len() {
            let about = format!("byte {at} of the instance's log has changed");
            let mut world = past.damaged(|disk| flip(disk, &log, at)).await;
            past.others_live(&world, at % 16 == 0, &about).await;
            world.kill_server().await;
        }
    });
    for part in 0..12 {
        in_simulation(async {
            let past = Past::stopped(SIMPLE).await;
            let log = PathBuf::from(DATA).join("instances/127.0.0.1-8188/events.log");
            let len = past.bytes(&log).len() * part / 12;
            let about = format!("the instance's log was cut to {len} bytes");
            let mut world = past.damaged(|disk| disk.edit(&log, |bytes| bytes.truncate(len))).await;
            past.others_end(&world, &about).await;
            world.shut_down().await;
            let about = format!("byte {len} of the instance's log has changed");
            let past = Past::stopped(SIMPLE).await;
            let mut world = past.damaged(|disk| flip(disk, &log, len)).await;
            past.others_end(&world, &about).await;
            world.shut_down().await;
        });
    }
}

#[test]
fn a_log_that_rots_under_a_running_server_takes_only_its_own_run() {
    in_simulation(async {
        let mut past = Past::new(SIMPLE).await;
        let (log, open) = (folder(past.open).join("events.log"), past.open);
        flip(&past.world.disk, &log, 700);
        let app = past.world.server().app.clone();
        // Somebody looks into the log, which finds the damage.
        app.log(open, Seq(0)).await.expect("what is whole can be read");
        assert!(listed(&past.world, open, "after reading").quarantined.is_some());
        let refused = app.cancel(open, Force::No).await.expect_err("it may not be changed");
        assert_eq!(refused.code, "quarantined");
        let new = app.execute(SIMPLE.request()).await.expect("others go on").run_id;
        let view = past.world.wait(new, SOON, |view| view.status.is_settled()).await;
        assert_eq!(view.status.as_str(), "completed");
        assert!(listed(&past.world, open, "in the end").quarantined.is_some());
        past.world.shut_down().await;
    });
}

#[test]
fn a_damaged_journal_makes_the_server_read_only_and_hides_nothing() {
    in_simulation(async {
        let mut past = Past::new(SIMPLE).await;
        // The logs of the runs are synced within a second; the journal still has everything.
        tokio::time::sleep(Duration::from_secs(2)).await;
        past.world.kill_server().await;
        past.world.disk.crash_hard();
        let dir = PathBuf::from(DATA).join("journal");
        let name = past.world.disk.list(&dir).expect("a folder").pop().expect("a journal file");
        let journal = dir.join(name);
        let (mut refused, mut repaired) = (0, 0);
        for at in (0..past.bytes(&journal).len()).step_by(13) {
            let about = format!("byte {at} of the journal has changed");
            let mut world = past.damaged(|disk| flip(disk, &journal, at)).await;
            match world.server().app.readiness() {
                Readiness::ReadOnly(why) => {
                    refused += 1;
                    assert!(why.len() > 10, "{about}: {why}");
                    let problem = world.server().app.execute(SIMPLE.request()).await.expect_err("nothing can be stored");
                    assert_eq!(problem.status, 503, "{about}: {problem:?}");
                    // What the journal's files have lost is in the logs of the runs.
                    assert_eq!(comparable(&world.view(past.other.run_id).await), comparable(&past.other), "{about}");
                }
                Readiness::Ready => {
                    repaired += 1;
                    past.others_live(&world, true, &about).await;
                }
                Readiness::Starting => panic!("{about}: it has started"),
            }
            world.kill_server().await;
        }
        assert!(refused > 50, "{refused} refused, {repaired} repaired");
    });
}

#[test]
fn a_run_whose_workflow_is_gone_is_shown_and_fails() {
    in_simulation(async {
        let mut past = Past::new(SIMPLE).await;
        let app = &past.world.server().app;
        // So many wait before it that it has nothing but its first record; its workflow is too large for the log.
        for _ in 0..4 {
            app.execute(Tale { keyed: false, ..SLOW }.request()).await.expect("stored");
        }
        let padding = " ".repeat(300 << 10);
        let text = workflows::named(SIMPLE.workflow).expect("a fixture").json.to_owned() + &padding;
        let request = Execute { source: Source::Inline { text, file: None }, ..SIMPLE.request() };
        let large = app.execute(request).await.expect("stored").run_id;
        assert_eq!(past.world.view(large).await.seq, Seq(1));
        past.world.kill_server().await;
        past.world.disk.crash_hard();
        let blobs = PathBuf::from(DATA).join("blobs");
        let mut world = past
            .damaged(|disk| {
                let stored = disk.list(&blobs).expect("listed");
                assert!(!stored.is_empty(), "the large workflow is a file");
                for name in stored {
                    disk.remove(&blobs.join(name)).expect("removed");
                }
            })
            .await;
        listed(&world, large, "without its workflow");
        let view = world.wait(large, SOON, |view| view.status.is_settled()).await;
        assert_eq!(view.status.as_str(), "failed");
        let error = view.error.expect("why");
        assert!(error.code == "workflow_missing" && error.message.contains("blobs/"), "{error:?}");
        world.shut_down().await;
    });
}
