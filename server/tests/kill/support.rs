//! A simulated ComfyUI, a data directory, the binary, and a client that tells an answer from a lost one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use comfyd_fixtures::{FakeComfy, FakeConfig, FakeServer, Folder};
use serde_json::Value;

/// Nothing here takes a tenth of it, unless it hangs or a restart of ComfyUI goes unseen: a prompt is looked for a minute then.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits for a condition.
pub(crate) fn wait_for<T>(what: &str, mut met: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = met() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {} s", DEADLINE.as_secs());
        std::thread::sleep(LOOK);
    }
}

/// A simulated ComfyUI on a port, many times faster than life.
pub(crate) struct Comfy {
    runtime: tokio::runtime::Runtime,
    server: Option<FakeServer>,
    pub(crate) fake: FakeComfy,
}

impl Comfy {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let fake = FakeComfy::new(FakeConfig { time_scale: 20.0, ..FakeConfig::default() });
        let server = runtime.block_on(fake.listen("127.0.0.1:0")).expect("a free port");
        Self { runtime, server: Some(server), fake }
    }

    pub(crate) fn url(&self) -> String {
        self.server.as_ref().expect("it listens until it is dropped").url()
    }
}

impl Drop for Comfy {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.server = None;
    }
}

/// A data directory and the files of a test.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain name").to_owned()
    }

    /// The binary, with nothing of the caller's environment that it reads.
    pub(crate) fn comfyd(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_comfyd"));
        command.args(args).env_clear().env("HOME", self.dir.path()).env("COMFYD_DATA_DIR", self.data()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, however it ends; gives how, and what it wrote.
    pub(crate) fn ends(command: &mut Command) -> (ExitStatus, String) {
        let mut child = Process(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts"));
        let mut stdout = child.0.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let status = wait_for("the end of the process", || child.0.try_wait().expect("our child"));
        (status, reader.join().expect("no panic").expect("a pipe can be read"))
    }

    /// Starts a server and waits until it listens; nothing if it ends before.
    pub(crate) fn serve(&self) -> Server {
        let mut command = self.comfyd(&["serve", "--listen", "127.0.0.1:0", "--min-free-mib", "1"]);
        let mut process = Process(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts"));
        let mut lines = BufReader::new(process.0.stdout.take().expect("a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a pipe can be read");
        assert!(line.contains("comfyd listens"), "no start: {line:?}");
        let about: Value =
            serde_json::from_slice(&std::fs::read(self.data().join("server.json")).expect("written")).expect("JSON");
        let address = about["address"].as_str().expect("an address").to_owned();
        let token = std::fs::read_to_string(self.data().join("token")).expect("a token").trim().to_owned();
        Server { process, client: Client { address, token } }
    }

    /// The log of a run is whole, and the state beside it is what it folds to. No server may hold the directory.
    pub(crate) fn verify(&self, run: &str, about: &str) {
        let log = self.data().join("runs").join(run).join("events.log");
        let (status, said) = Self::ends(&mut self.comfyd(&["log", "verify", log.to_str().expect("a plain name"), "--json"]));
        assert!(status.success(), "{about}: {said}");
    }

    /// Every stored output is what the instance has.
    pub(crate) fn outputs_are_right(&self, comfy: &Comfy, view: &Value, about: &str) {
        let folder = self.data().join("runs").join(text(view, "run_id")).join("outputs");
        for output in view["outputs"].as_array().expect("a list") {
            assert_eq!(output["downloaded"], true, "{about}: {output}");
            let Some(name) = output["local_name"].as_str() else { continue };
            let stored = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{about}: {name}: {error}"));
            let at = Folder::named(&text(output, "folder")).expect("a folder");
            let remote = comfy.fake.file(at, &text(output, "subfolder"), &text(output, "filename")).expect("it has what it made");
            assert!(stored == remote, "{about}: {name} differs from what the instance made");
            assert_eq!(output["size"], stored.len(), "{about}");
        }
    }
}

/// The text of a field.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}")).to_owned()
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended in good tests.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells whether a process was killed.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(rustix::process::Signal::KILL.as_raw())
}

/// A server that listens.
pub(crate) struct Server {
    process: Process,
    pub(crate) client: Client,
}

impl Server {
    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.process.0.kill().expect("our child");
        self.process.0.wait().expect("our child");
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        let id = i32::try_from(self.process.0.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("not 0");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("our child");
        let status = wait_for("an orderly end", || self.process.0.try_wait().expect("our child"));
        assert!(status.success(), "{status}");
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: String,
    token: String,
}

impl Client {
    /// Asks; an error means that the answer is not known.
    pub(crate) fn ask(&self, method: &str, path: &str, key: Option<&str>, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        let (address, token, len) = (&self.address, &self.token, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{key}");
        let rest = format!("Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all((head + &rest).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "no whole answer");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        Ok((status, serde_json::from_str(body).map_err(|_| cut())?))
    }

    /// Asks a server that lives for something that is there.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None, "").expect("the server lives");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The ids of all runs.
    pub(crate) fn runs(&self) -> Vec<String> {
        let listed = self.get("/api/v1/runs?limit=1000");
        let runs = listed["runs"].as_array().expect("a list");
        for run in runs {
            assert_eq!(run["quarantined"], Value::Null, "{run}");
        }
        runs.iter().map(|run| text(run, "run_id")).collect()
    }

    /// Waits until a run is over; one that was never handed over is handed over again, as its user would do.
    pub(crate) fn over(&self, run: &str, comfy: &Comfy) -> Value {
        let lost = |view: &Value| view["phase"] == "in_doubt" && comfy.fake.ledger().prompt(&text(view, "prompt_id")).posts == 0;
        let found = wait_for(&format!("the end of run {run}"), || {
            let view = self.get(&format!("/api/v1/runs/{run}"));
            (is_over(&view) || lost(&view)).then_some(view)
        });
        if is_over(&found) {
            return found;
        }
        // It would look for a minute. A port that is refused shows that the process which may have had it is gone.
        comfy.fake.kill();
        let attention = |kinds: &[&str]| {
            wait_for(&format!("{kinds:?} of run {run}"), || {
                let view = self.get(&format!("/api/v1/runs/{run}"));
                kinds.iter().any(|kind| view["attention"]["kind"] == *kind).then_some(())
            });
        };
        attention(&["unreachable", "submit_unknown"]);
        comfy.fake.start();
        attention(&["submit_unknown"]);
        assert_eq!(comfy.fake.ledger().prompt(run).posts, 0, "it is not there");
        let (status, body) = self.ask("POST", &format!("/api/v1/runs/{run}/resubmit"), None, "{}").expect("the server lives");
        assert_eq!(status, 202, "{body}");
        wait_for(&format!("the end of run {run}"), || Some(self.get(&format!("/api/v1/runs/{run}"))).filter(is_over))
    }
}

/// Whether a run has ended and has all of its outputs.
pub(crate) fn is_over(view: &Value) -> bool {
    let settled = ["completed", "failed", "cancelled"].iter().any(|status| view["status"] == *status);
    settled && view["outputs"].as_array().expect("a list").iter().all(|output| output["downloaded"] == true)
}

/// How many kills were asked for.
pub(crate) fn kills() -> Option<u64> {
    std::env::var("COMFYD_KILLS").ok().map(|text| text.parse().expect("COMFYD_KILLS is a number"))
}
