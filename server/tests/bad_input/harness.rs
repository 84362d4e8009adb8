//! A running `comfyd serve` with its simulated ComfyUI, and the proof that a refusal left nothing behind.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use comfyd_fixtures::Ledger;
use serde_json::{Value, json};

use crate::http::{Answer, ask};
use crate::support::{Comfy, DEADLINE, Ended, Place, text};

/// Looks until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    token: String,
    log: PathBuf,
}

impl Server {
    /// Starts it on the data directory of a place.
    pub(crate) fn start(place: &Place, more: &[&str]) -> Self {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
        args.extend_from_slice(more);
        let log = (0..1000).map(|n| place.path(&format!("serve-{n}.log"))).find(|path| !path.exists()).expect("a free name");
        let mut command = place.comfyd(&args);
        command.env("RUST_BACKTRACE", "1").env("RUST_LOG", "debug");
        command.stdout(Stdio::piped()).stderr(File::create(&log).expect("a log file"));
        let mut child = command.spawn().expect("the binary starts");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("text");
        let link = said.trim().split_once("Open http://").and_then(|(_, link)| link.split(' ').next());
        let address = link.unwrap_or_else(|| panic!("no link in {said:?}: {}", read(&log))).to_owned();
        let token = read(&place.data().join("token"));
        Self { child, address, token, log }
    }

    /// Asks with the token; a body is sent as JSON.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.ask_with(method, path, &[("Content-Type", "application/json")], body)
    }

    /// Asks with the token and these headers.
    pub(crate) fn ask_with(&self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("Host", self.address.as_str()), ("Authorization", bearer.as_str())];
        headers.extend_from_slice(more);
        ask(&self.address, method, path, &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }

    /// Asks for a run by the plan's route.
    pub(crate) fn execute(&self, body: &str) -> Answer {
        self.ask("POST", "/comfyui/workflow/execute", body.as_bytes())
    }

    /// Starts a run; its id.
    pub(crate) fn run(&self, wish: &Value) -> String {
        let answer = self.execute(&wish.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        text(&answer.json(), "run_id")
    }

    pub(crate) fn view(&self, run: &str) -> Value {
        self.get(&format!("/api/v1/runs/{run}")).json()
    }

    /// The run, once it is as wanted.
    pub(crate) fn sees(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let mut look = || {
            last = self.view(run);
            wanted(&last).then(|| last.clone())
        };
        let began = Instant::now();
        loop {
            if let Some(view) = look() {
                return view;
            }
            assert!(began.elapsed() < DEADLINE, "the run does not get there: {last:#}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn ended(&self, run: &str) -> Value {
        self.sees(run, |view| !view["timing"]["end_time"].is_null())
    }

    /// The list of runs.
    pub(crate) fn runs(&self) -> Vec<Value> {
        self.get("/api/v1/runs?limit=1000").json()["runs"].as_array().expect("a list").clone()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Ends it in order; it must have served without a panic.
    pub(crate) fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = until("the server stops", || self.child.try_wait().expect("our child"));
        let log = self.log();
        assert!(status.success(), "{status}: {log}");
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended in good tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).expect("a log")).expect("a log is text")
}

/// A server, its simulated ComfyUI and its files.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) comfy: Comfy,
    pub(crate) place: Place,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Comfy::fast())
    }

    pub(crate) fn with(comfy: Comfy) -> Self {
        let place = Place::new();
        let server = Server::start(&place, &["--url", &comfy.url()]);
        Self { server, comfy, place }
    }

    /// Everything that a refused wish must leave as it is.
    pub(crate) fn traces(&self) -> Traces {
        let stored = |name: &str| match std::fs::read_dir(self.place.data().join(name)) {
            Ok(entries) => entries.count(),
            Err(_) => 0,
        };
        let Ledger { prompts, uploads, .. } = self.comfy.fake.ledger();
        Traces { listed: self.server.runs(), stored: stored("runs"), posts: prompts.len(), uploads: uploads.len() }
    }

    /// Runs a command; it must refuse with this exit code, once, in the one shape of errors, and print nothing else.
    pub(crate) fn cli_refuses(&self, args: &[&str], exit: i32, code: &str, says: &[&str]) {
        refuses(&self.place.ends(args), args, exit, code, says);
    }
}

/// What is there of runs.
#[derive(Debug, PartialEq)]
pub(crate) struct Traces {
    listed: Vec<Value>,
    stored: usize,
    posts: usize,
    uploads: usize,
}

/// A command refused with this exit code, once, in the one shape of errors, and printed nothing else.
pub(crate) fn refuses(ended: &Ended, args: &[&str], exit: i32, code: &str, says: &[&str]) {
    let Ended { out, err, .. } = ended;
    assert_eq!(ended.code, Some(exit), "{args:?}\nout: {out}\nerr: {err}");
    assert!(err.starts_with(&format!("error[{code}]: ")), "{args:?}: {err}");
    assert_eq!(err.matches("error[").count(), 1, "{args:?}: {err}");
    let hint = err.split_once("\nhint: ").unwrap_or_else(|| panic!("{args:?}: no hint: {err}")).1;
    assert!(!hint.trim().is_empty(), "{args:?}: {err}");
    for wanted in says {
        assert!(err.contains(wanted), "{args:?}: no `{wanted}` in {err}");
    }
    for leaked in ["panicked", "backtrace", ".rs:"] {
        assert!(!err.contains(leaked), "{args:?}: {err}");
    }
}

/// The API's wish for a workflow that is given as text.
pub(crate) fn wish(workflow: &str) -> String {
    match serde_json::from_str::<Value>(workflow) {
        Ok(_) => format!("{{\"workflow\":{workflow}}}"),
        // What is no JSON can only be sent as a text.
        Err(_) => json!({ "workflow": workflow }).to_string(),
    }
}

/// A sample workflow.
pub(crate) fn sample(name: &str) -> Value {
    serde_json::from_str(comfyd_fixtures::workflows::named(name).expect("a sample").json).expect("JSON")
}
