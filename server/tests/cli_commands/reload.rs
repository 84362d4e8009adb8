//! A server whose configuration changes while it runs, and how it tells what it does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Comfy, DEADLINE, Place, Started, text};

/// A server with a file.
struct Serving {
    comfy: Comfy,
    place: Place,
    file: String,
    process: Started,
}

impl Serving {
    fn with(comfy: Comfy, keys: &str) -> Self {
        let place = Place::new();
        let file = place.file("comfyd.yaml", &Self::text(&comfy, keys));
        let args = ["serve", "--listen", "127.0.0.1:0", "--config", &file];
        let mut command = place.comfyd(&args);
        let mut serving = place.started(command.env_remove("RUST_LOG"), "serve");
        serving.until("comfyd listens");
        Self { comfy, place, file, process: serving }
    }

    fn text(comfy: &Comfy, keys: &str) -> String {
        format!("server: {{log_format: json, default_url: '{}'}}\n{keys}", comfy.url())
    }

    fn write(&self, keys: &str) {
        // As editors do: a new file in the place of the old one.
        let new = self.place.file("comfyd.yaml.new", &Self::text(&self.comfy, keys));
        std::fs::rename(new, &self.file).expect("renamed");
    }

    /// Waits for a log line with this message.
    fn until(&mut self, message: &str) -> Value {
        self.until_that(|event| event["message"] == message)
    }

    fn until_that(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.process.log_line();
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if wanted(&event) {
                return event;
            }
        }
    }

    fn ends(self) -> String {
        self.process.signal(Signal::TERM);
        self.process.ends().is(0).err
    }
}

#[test]
fn a_changed_file_counts_at_once_and_a_bad_one_changes_nothing() {
    let mut server = Serving::with(Comfy::fast(), "storage: {min_free_mib: 1073741824}\n");
    let workflow = server.place.workflow("01_simple_save");
    server.place.ends(&["run", &workflow]).is(1).warns("error[disk_full]");
    server.write("storage: {min_free_mib: 0}\nlimits: {open_runs: 0}\n");
    let refused = server.until("config.refused");
    assert!(text(&refused, "error").contains("`limits.open_runs`"), "{refused}");
    server.place.ends(&["run", &workflow]).is(1).warns("error[disk_full]");
    server.write("storage: {min_free_mib: 0}\n");
    assert_eq!(text(&server.until("config.changed"), "keys"), "storage.min_free_mib");
    server.place.ends(&["run", &workflow]).is(0).says("completed");
    server.ends();
}

#[test]
fn sighup_reads_the_file_again_and_names_what_must_wait() {
    let mut server =
        Serving::with(Comfy::slow(), "comfyui_workflow: {max_concurrent_workflows: 1}\nlimits: {submitted_ahead: 9}\n");
    let workflow = server.place.workflow("20_custom_slow_previews");
    let runs: Vec<String> =
        (0..3).map(|_| text(&server.place.ends(&["run", &workflow, "--detach", "--json"]).is(0).json()[0], "run_id")).collect();
    let submitted = |server: &Serving| {
        let listed = server.place.ends(&["runs", "--json"]).is(0).json();
        listed.iter().filter(|run| text(run, "phase") != "waiting").count()
    };
    server.until("workflow.started");
    assert_eq!(submitted(&server), 1, "the others wait: one may go at a time");
    server.write("comfyui_workflow: {max_concurrent_workflows: 3, state_file: state.json}\nlimits: {submitted_ahead: 9}\n");
    server.process.signal(Signal::HUP);
    assert_eq!(text(&server.until("config.needs_start"), "keys"), "comfyui_workflow.state_file");
    assert_eq!(text(&server.until("config.changed"), "keys"), "comfyui_workflow.max_concurrent_workflows");
    let began = Instant::now();
    while submitted(&server) < 3 {
        assert!(began.elapsed() < DEADLINE, "the others never went");
    }
    for run in &runs {
        server.place.ends(&["cancel", run]).is(0);
    }
    server.ends();
}

#[test]
fn a_name_that_is_allowed_while_it_runs_is_answered() {
    let mut server = Serving::with(Comfy::fast(), "");
    let about = std::fs::read_to_string(server.place.data().join("server.json")).expect("it tells where it listens");
    let about: Value = serde_json::from_str(&about).expect("JSON");
    let asked = || {
        let mut stream = TcpStream::connect(text(&about, "address")).expect("it listens");
        let request = "GET /healthz HTTP/1.1\r\nHost: comfy.example\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!(asked(), "421");
    let allowed = Serving::text(&server.comfy, "").replace("{log_format", "{allowed_hosts: [comfy.example], log_format");
    std::fs::write(&server.file, allowed).expect("written");
    assert_eq!(text(&server.until("config.changed"), "keys"), "server.allowed_hosts");
    assert_eq!(asked(), "200");
    server.ends();
}

#[test]
fn what_is_logged_can_change_and_runs_are_told_by_name() {
    let mut server = Serving::with(Comfy::fast(), "");
    let workflow = server.place.workflow("01_simple_save");
    server.place.ends(&["run", &workflow]).is(0);
    let started = server.until("workflow.started");
    for field in ["workflow_id", "run", "instance", "timestamp", "level"] {
        assert!(!text(&started, field).is_empty(), "{started}");
    }
    assert_eq!((text(&started, "workflow_type"), text(&started, "user")), ("comfyui".to_owned(), "local".to_owned()));
    assert!(text(&started, "timestamp").ends_with('Z'), "times are UTC: {started}");
    assert!(started["node_count"].as_u64().is_some_and(|count| count > 0), "{started}");
    let completed = server.until("workflow.completed");
    assert_eq!(completed["workflow_id"], started["workflow_id"]);
    assert_eq!(completed["output_count"], 1);
    assert!(completed["execution_time_seconds"].is_number(), "{completed}");
    std::fs::write(&server.file, Serving::text(&server.comfy, "").replace("{log_format", "{log: debug, log_format"))
        .expect("written");
    assert_eq!(text(&server.until("config.changed"), "keys"), "server.log");
    server.place.ends(&["run", &workflow]).is(0);
    server.until_that(|event| event["level"] == "DEBUG");
    server.ends();
}

#[test]
fn a_service_manager_is_told() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let path = place.path("notify");
    let manager = UnixDatagram::bind(&path).expect("bound");
    manager.set_read_timeout(Some(DEADLINE)).expect("set");
    let told = || {
        let mut said = [0; 256];
        let length = manager.recv(&mut said).expect("told in time");
        String::from_utf8(said[..length].to_vec()).expect("text")
    };
    let url = comfy.url();
    let mut command = place.comfyd(&["serve", "--listen", "127.0.0.1:0", "--url", &url]);
    let serving = place.started(command.env("NOTIFY_SOCKET", &path), "serve");
    assert_eq!(told(), "READY=1");
    serving.signal(Signal::HUP);
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1");
    serving.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    serving.ends().is(0);
}

#[test]
fn the_unit_is_accepted_by_systemd() {
    let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../resources/systemd/comfyd.service");
    let text = std::fs::read_to_string(&unit).expect("it is there");
    for part in
        ["Type=notify", "ExecReload=", "LoadCredential=token:", "StateDirectory=comfyd", "Restart=always", "TimeoutStopSec="]
    {
        assert!(text.contains(part), "{part}");
    }
    // Its binary is elsewhere while it is tested.
    let place = Place::new();
    let copy = place.file("comfyd.service", &text.replace("/usr/local/bin/comfyd", env!("CARGO_BIN_EXE_comfyd")));
    let verified = std::process::Command::new("systemd-analyze").args(["verify", "--man=no", &copy]).output();
    let Ok(verified) = verified else {
        // Without systemd there is nobody to ask; the parts were looked at above.
        return;
    };
    let told = String::from_utf8_lossy(&verified.stderr);
    let about_us: Vec<&str> = told.lines().filter(|line| line.contains("comfyd.service")).collect();
    assert!(about_us.is_empty(), "{about_us:?}");
}
