//! A full disk under a running server: new runs are refused, everything acknowledged goes on, and room heals it without a restart.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Server, refuses, sample};
use crate::namespace::{Mounted, Rights, within};
use crate::support::{Comfy, Place, text};

/// Takes room on the disk of a directory.
struct Filler(PathBuf);

impl Filler {
    /// Writes until so many bytes are left.
    fn leaving(dir: &Path, left: u64) -> Self {
        let path = dir.join("filler");
        let mut file = File::create(&path).expect("a name takes no room");
        loop {
            let free = free(dir);
            let part = usize::try_from(free.saturating_sub(left)).expect("a small disk").min(64 << 10);
            if part == 0 || file.write_all(&vec![0; part]).is_err() {
                return Self(path);
            }
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("it was made above");
    }
}

fn free(dir: &Path) -> u64 {
    let stat = rustix::fs::statvfs(dir).expect("a disk");
    stat.f_bavail * stat.f_frsize
}

/// A server on a disk of 16 MiB, of which its reserve takes the half.
struct Small {
    server: Server,
    comfy: Comfy,
    args: [&'static str; 2],
    /// Goes before the place that it is mounted in.
    disk: Mounted,
    place: Place,
    /// What was acknowledged, and how it ended.
    known: BTreeMap<String, Option<&'static str>>,
}

impl Small {
    fn new(min_free_mib: &'static str) -> Self {
        let place = Place::new();
        let disk = Mounted::new(&["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs"], &place.data()).expect("mounted");
        let comfy = Comfy::slow();
        let args = ["--min-free-mib", min_free_mib];
        let server = Server::start(&place, &[&args[..], &["--url", &comfy.url()]].concat());
        Self { server, comfy, args, place, disk, known: BTreeMap::new() }
    }

    fn data(&self) -> PathBuf {
        self.place.data()
    }

    fn start(&mut self, wish: &Value) -> String {
        let run = self.server.run(wish);
        self.known.insert(run.clone(), None);
        run
    }

    fn running(&mut self, wish: &Value) -> String {
        let run = self.start(wish);
        self.server.sees(&run, |view| view["phase"] == "running");
        run
    }

    fn ends(&mut self, run: &str, status: &'static str) {
        let view = self.server.ended(run);
        assert_eq!(view["status"], status, "{view:#}");
        self.known.insert(run.to_owned(), Some(status));
    }

    fn cancel(&mut self, run: &str) {
        let answer = self.server.ask("POST", &format!("/api/v1/runs/{run}/cancel"), b"");
        assert_eq!(answer.status, 202, "{}", answer.text());
        self.ends(run, "cancelled");
    }

    /// New runs are refused at both doors.
    fn refuses_runs(&self, says: &[&str]) {
        let before = self.server.runs().len();
        self.server.execute(&json!({ "workflow": sample("06_text") }).to_string()).refuses(507, "disk_full", says);
        let file = self.place.workflow("06_text");
        refuses(&self.place.ends(&["run", &file]), &["run"], 1, "disk_full", says);
        assert_eq!(self.server.runs().len(), before);
    }

    /// Everything acknowledged is there, as it was seen.
    fn loses_nothing(&self) {
        let listed: BTreeMap<String, String> =
            self.server.runs().iter().map(|run| (text(run, "run_id"), text(run, "status"))).collect();
        assert_eq!(listed.len(), self.known.len(), "{listed:#?}");
        for (run, status) in &self.known {
            let now = listed.get(run).unwrap_or_else(|| panic!("run {run} was acknowledged and is not there"));
            assert!(status.is_none_or(|status| status == now), "{run}: {status:?} became {now}");
        }
    }

    /// The same after a restart, and by the logs themselves.
    fn loses_nothing_over_a_restart(self) {
        self.loses_nothing();
        let Self { server, comfy, args, place, disk, known } = self;
        server.stop();
        let server = Server::start(&place, &[&args[..], &["--url", &comfy.url()]].concat());
        let again = Self { server, comfy, args, disk, place, known };
        again.loses_nothing();
        for run in again.known.keys() {
            again.place.ends(&["log", "verify", run]).is(0);
        }
        again.server.stop();
    }
}

/// A run that takes a while and gives a text.
fn slow_text(steps: u32) -> Value {
    let slow = json!({ "class_type": "SlowSteps", "inputs": { "steps": steps, "step_ms": 100, "seed": steps, "preview": "none", "fail_at": 0,
        "fail_kind": "RuntimeError", "width": 64, "height": 64 } });
    json!({ "workflow": { "1": slow, "2": { "class_type": "PreviewAny", "inputs": { "source": ["1", 1] } } } })
}

#[test]
fn at_every_level_runs_end_and_can_be_cancelled_and_room_heals_it() {
    within("full_disk::at_every_level_runs_end_and_can_be_cancelled_and_room_heals_it", Rights::Memory, || {
        let mut small = Small::new("2");
        let first = small.start(&json!({ "workflow": sample("01_simple_save") }));
        small.ends(&first, "completed");
        for (turn, left) in [1 << 20, 64 << 10, 0].into_iter().enumerate() {
            let turn = u32::try_from(turn).expect("few");
            let ending = small.running(&slow_text(15 + turn));
            let filler = Filler::leaving(&small.data(), left);
            small.refuses_runs(&["MiB are free", "Free disk space", "2 MiB"]);
            small.ends(&ending, "completed");
            small.loses_nothing();
            drop(filler);

            let stopped = small.running(&slow_text(600 + turn));
            let filler = Filler::leaving(&small.data(), left);
            small.refuses_runs(&["Free disk space"]);
            small.cancel(&stopped);
            small.loses_nothing();
            drop(filler);

            let after = small.start(&json!({ "workflow": sample("01_simple_save") }));
            small.ends(&after, "completed");
        }
        small.loses_nothing_over_a_restart();
    });
}

#[test]
fn files_wait_for_room_and_come_by_themselves() {
    within("full_disk::files_wait_for_room_and_come_by_themselves", Rights::Memory, || {
        let mut small = Small::new("2");
        let mut wish = slow_text(10);
        wish["workflow"]["3"] = json!({ "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "a" } });
        let run = small.running(&wish);
        let filler = Filler::leaving(&small.data(), 256 << 10);
        let view = small.server.sees(&run, |view| !view["attention"].is_null());
        assert_eq!((&view["status"], &view["phase"]), (&json!("executing"), &json!("collecting")), "{view:#}");
        let message = view["attention"]["message"].as_str().expect("a message");
        assert!(message.contains("MiB are free"), "{message}");
        drop(filler);
        small.ends(&run, "completed");
        let view = small.server.view(&run);
        assert_eq!(view["attention"], Value::Null, "{view:#}");
        assert!(view["outputs"].as_array().expect("a list").iter().any(|output| output["local_name"].is_string()), "{view:#}");
        small.loses_nothing_over_a_restart();
    });
}

#[test]
fn with_not_a_byte_left_what_was_acknowledged_stays() {
    within("full_disk::with_not_a_byte_left_what_was_acknowledged_stays", Rights::Memory, || {
        let mut small = Small::new("0");
        let blocking = small.running(&slow_text(600));
        let filler = Filler::leaving(&small.data(), 0);
        // The journal has room set aside; beyond it a run is refused.
        let mut refused = None;
        for n in 0..60 {
            let mut wish = slow_text(1);
            wish["workflow"]["1"]["inputs"]["padding"] = json!(format!("{n}{}", "x".repeat(200_000)));
            let answer = small.server.execute(&wish.to_string());
            if answer.status == 200 {
                small.known.insert(text(&answer.json(), "run_id"), None);
            } else {
                refused = Some(answer);
                break;
            }
        }
        assert!(small.known.len() > 3, "some fit in: {}", small.known.len());
        refused.expect("not all fit in").refuses(507, "disk_full", &["disk is full", "Free disk space"]);
        // A large workflow does not go into the journal.
        let mut large = slow_text(1);
        large["workflow"]["1"]["inputs"]["padding"] = json!("x".repeat(1_000_000));
        small.server.execute(&large.to_string()).refuses(507, "disk_full", &["Free disk space"]);
        small.cancel(&blocking);
        small.loses_nothing();
        drop(filler);
        let queued: Vec<String> = small.known.iter().filter(|(_, status)| status.is_none()).map(|(run, _)| run.clone()).collect();
        for run in queued {
            small.ends(&run, "completed");
        }
        let after = small.start(&json!({ "workflow": sample("01_simple_save") }));
        small.ends(&after, "completed");
        assert_eq!(small.comfy.fake.ledger().posts(), u32::try_from(small.known.len()).expect("few"), "each was posted once");
        small.loses_nothing_over_a_restart();
    });
}
