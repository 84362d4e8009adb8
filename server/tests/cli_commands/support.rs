//! A simulated ComfyUI, a data directory, and the binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use comfyd_fixtures::{FakeComfy, FakeConfig, FakeServer};
use serde_json::Value;

/// Nothing here takes a tenth of it, unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A simulated ComfyUI.
pub(crate) struct Comfy {
    runtime: tokio::runtime::Runtime,
    server: Option<FakeServer>,
    pub(crate) fake: FakeComfy,
}

impl Comfy {
    /// Many times faster than life.
    pub(crate) fn fast() -> Self {
        Self::at("127.0.0.1:0", 20.0)
    }

    /// At its own pace, so that something can happen meanwhile.
    pub(crate) fn slow() -> Self {
        Self::at("127.0.0.1:0", 1.0)
    }

    pub(crate) fn at(address: &str, time_scale: f64) -> Self {
        Self::with(address, FakeConfig { time_scale, ..FakeConfig::default() })
    }

    pub(crate) fn with(address: &str, config: FakeConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let fake = FakeComfy::new(config);
        let server = runtime.block_on(fake.listen(address)).expect("a free port");
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("written");
        self.path(name).to_str().expect("a plain name").to_owned()
    }

    /// A workflow of the fixtures as a file.
    pub(crate) fn workflow(&self, name: &str) -> String {
        self.file(&format!("{name}.json"), comfyd_fixtures::workflows::named(name).expect("a fixture").json)
    }

    /// The binary, with nothing of the caller's environment that it reads.
    pub(crate) fn comfyd(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_comfyd"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("COMFYD_DATA_DIR", self.data())
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn ends(&self, args: &[&str]) -> Ended {
        Ended::of(self.comfyd(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts"), args)
    }

    /// Starts it, and reads its lines while it runs.
    pub(crate) fn starts(&self, args: &[&str]) -> Started {
        self.started(&mut self.comfyd(args), &args.join(" "))
    }

    /// The same with a command that was made otherwise.
    #[expect(clippy::unused_self, reason = "what it starts is not to outlive its files")]
    pub(crate) fn started(&self, command: &mut Command, name: &str) -> Started {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Started { child, lines, errors: None, name: name.to_owned() }
    }

    /// The only run there is.
    pub(crate) fn only_run(&self) -> Value {
        let listed = self.ends(&["runs", "--json"]).is(0);
        let mut lines = listed.json();
        assert_eq!(lines.len(), 1, "{listed:?}");
        lines.remove(0)
    }
}

/// The text of a field.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}")).to_owned()
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    name: String,
}

impl Ended {
    pub(crate) fn of(mut child: Child, args: &[&str]) -> Self {
        // Read beside the waiting, as a full pipe would stop the process.
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let out = std::thread::spawn(move || read_all(stdout));
        let err = std::thread::spawn(move || read_all(stderr));
        let code = wait(&mut child, &args.join(" "));
        Self { code, out: out.join().expect("read"), err: err.join().expect("read"), name: args.join(" ") }
    }

    /// With this exit code.
    pub(crate) fn is(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "comfyd {}\nout: {}\nerr: {}", self.name, self.out, self.err);
        self
    }

    /// Its output as JSON lines.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Its output holds this.
    pub(crate) fn says(self, wanted: &str) -> Self {
        assert!(self.out.contains(wanted), "comfyd {}: no `{wanted}`\nout: {}\nerr: {}", self.name, self.out, self.err);
        self
    }

    /// Its standard error holds this.
    pub(crate) fn warns(self, wanted: &str) -> Self {
        assert!(self.err.contains(wanted), "comfyd {}: no `{wanted}`\nout: {}\nerr: {}", self.name, self.out, self.err);
        self
    }

    /// No escape in anything that it wrote.
    pub(crate) fn bare(self) -> Self {
        assert!(!self.out.contains('\u{1b}') && !self.err.contains('\u{1b}'), "{self:?}");
        self
    }
}

fn read_all(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        from.read_to_end(&mut bytes).expect("a pipe can be read");
    }
    String::from_utf8(bytes).expect("text")
}

fn wait(child: &mut Child, name: &str) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status.code();
        }
        if began.elapsed() > DEADLINE {
            // It may have ended meanwhile.
            let _ = child.kill();
            panic!("comfyd {name} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that runs.
pub(crate) struct Started {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
    errors: Option<BufReader<ChildStderr>>,
    name: String,
}

impl Started {
    /// Reads lines until one holds this; gives that line.
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).expect("a pipe can be read");
            assert!(count > 0, "comfyd {} ended without `{wanted}`: {seen}", self.name);
            if line.contains(wanted) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    /// The next line of its standard error.
    pub(crate) fn log_line(&mut self) -> String {
        let stderr = &mut self.child.stderr;
        let errors = self.errors.get_or_insert_with(|| BufReader::new(stderr.take().expect("a pipe")));
        let mut line = String::new();
        let count = errors.read_line(&mut line).expect("a pipe can be read");
        assert!(count > 0, "comfyd {} ended without the line", self.name);
        line
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).expect("not 0"), signal).expect("our child");
    }

    /// Waits for its end; gives the code and what it still wrote.
    pub(crate) fn ends(mut self) -> Ended {
        let (stderr, errors) = (self.child.stderr.take(), self.errors.take());
        let err = std::thread::spawn(move || read_all(stderr) + &read_all(errors));
        let mut lines = std::mem::replace(&mut self.lines, BufReader::new(empty()));
        let out = std::thread::spawn(move || read_all(Some(&mut lines)));
        let code = wait(&mut self.child, &self.name);
        Ended { code, out: out.join().expect("read"), err: err.join().expect("read"), name: self.name.clone() }
    }
}

/// A pipe with nothing in it.
fn empty() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("`true` is everywhere");
    let stdout = child.stdout.take().expect("a pipe");
    child.wait().expect("it ends");
    stdout
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended in good tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a server, with the token of the data directory.
pub(crate) fn get(data: &Path, path: &str) -> Value {
    let answer = answer(data, path);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).expect("JSON")
}

/// The same, as it came.
pub(crate) fn answer(data: &Path, path: &str) -> String {
    let about: Value = serde_json::from_slice(&std::fs::read(data.join("server.json")).expect("a server")).expect("JSON");
    let address = text(&about, "address");
    let token = std::fs::read_to_string(data.join("token")).expect("a token");
    let mut stream = TcpStream::connect(&address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        token.trim()
    )
    .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks a server of this directory by this name; gives the answer as it came.
pub(crate) fn head(data: &Path, host: &str) -> String {
    let about: Value = serde_json::from_slice(&std::fs::read(data.join("server.json")).expect("a server")).expect("JSON");
    let mut stream = TcpStream::connect(text(&about, "address")).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
