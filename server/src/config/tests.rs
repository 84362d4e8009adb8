//! Layers, errors and texts of the configuration.

use std::path::Path;

use serde_json::json;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, Layers) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("comfyd.yaml");
    std::fs::write(&path, text).expect("written");
    (dir, Layers { file: Some(path), ..Layers::default() })
}

fn read(text: &str) -> Result<Loaded, ConfigError> {
    load(&file(text).1)
}

fn complaints(text: &str) -> Vec<(String, u64, String)> {
    let error = read(text).expect_err("it is wrong");
    let line = |origin: &Origin| match origin {
        Origin::File { line, .. } => *line,
        Origin::Default | Origin::Variable(_) | Origin::Flag(_) => panic!("{origin}"),
    };
    let told = |complaint: &Complaint| (complaint.key.clone(), line(&complaint.origin), complaint.hint.clone());
    error.complaints().iter().map(told).collect()
}

#[test]
fn the_defaults_are_those_of_the_plan() {
    let workflow = ComfyuiWorkflow::default();
    assert_eq!(workflow.default_port, 18188);
    assert_eq!(workflow.state_file, None);
    assert_eq!(workflow.state_cleanup_delay_ms, 30_000);
    assert_eq!(workflow.websocket_reconnect_attempts, 3);
    assert_eq!(workflow.websocket_timeout_seconds, 60);
    assert_eq!(workflow.progress_poll_interval_ms, 2_000);
    assert_eq!(workflow.upload_chunk_size, 8_388_608);
    assert_eq!(workflow.download_timeout_seconds, 300);
    assert_eq!(workflow.max_concurrent_workflows, 3);
    assert_eq!(workflow.max_execution_time_hours, 24);
    assert_eq!(workflow.queue_timeout_minutes, 30);
}

#[test]
fn the_plan_s_own_file_is_read() {
    let text = "comfyui_workflow:\n  # Default ComfyUI API settings\n  default_port: 18188\n  state_file: /tmp/comfyui_workflow_state.json\n  \
        state_cleanup_delay_ms: 30000  # 30 seconds\n  websocket_reconnect_attempts: 3\n  websocket_timeout_seconds: 60\n  \
        progress_poll_interval_ms: 2000\n  upload_chunk_size: 8388608  # 8MB\n  download_timeout_seconds: 300\n  \
        temp_dir: /tmp/comfyui_workflows\n  max_concurrent_workflows: 3\n  max_execution_time_hours: 24\n  queue_timeout_minutes: 30\n";
    let workflow = read(text).expect("it is right").config.comfyui_workflow;
    assert_eq!(workflow.state_file.as_deref(), Some(Path::new("/tmp/comfyui_workflow_state.json")));
    assert_eq!(workflow.temp_dir.as_deref(), Some(Path::new("/tmp/comfyui_workflows")));
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(read(&example()).expect("it is right").config, Config::default());
    for text in ["", "# nothing\n", "server:\n", "instances: {}\n"] {
        assert_eq!(read(text).expect("it is right").config, Config::default(), "{text:?}");
    }
}

#[test]
fn the_example_in_the_documents_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/comfyd.example.yaml");
    let kept = std::fs::read_to_string(path).expect("it is there");
    assert_eq!(kept, example(), "write it again with `comfyd config default > docs/comfyd.example.yaml`");
}

#[test]
fn what_is_shown_reads_back_the_same() {
    let text = "server: {listen: '0.0.0.0:1', log_format: json, allowed_hosts: [a.example, 'b.example:1']}\n\
                instances:\n  gpu-a: {url: 'http://10.0.0.5:8188', label: 'true', default: true}\n  '2': {url: gpu}\n\
                retention: {max_runs: 5}\nstorage: {input_roots: []}\n";
    let loaded = read(text).expect("it is right");
    let again = read(&effective(&loaded)).expect("it is right");
    assert_eq!(again.config, loaded.config);
    assert_eq!(loaded.config.instances.len(), 2);
}

#[test]
fn later_layers_go_first() {
    let (_dir, mut layers) = file("server:\n  listen: 127.0.0.1:1\n  log: warn\nlimits:\n  open_runs: 7\n");
    let variable = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    layers.environment = vec![
        variable("COMFYD_SERVER__LISTEN", "127.0.0.1:2"),
        variable("COMFYD_LIMITS__OPEN_RUNS", "8"),
        variable("COMFYD_SERVER__ALLOWED_HOSTS", "a.example, b.example"),
        variable("COMFYD_TOKEN", "not ours"),
        variable("PATH", "/bin"),
    ];
    layers.flags = vec![("server.listen", json!("127.0.0.1:3"), "--listen".to_owned())];
    let loaded = load(&layers).expect("it is right");
    assert_eq!(loaded.config.server.listen.port(), 3);
    assert_eq!(loaded.config.server.log, "warn");
    assert_eq!(loaded.config.server.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(loaded.config.limits.open_runs, 8);
    assert_eq!(loaded.origin("server.listen").to_string(), "--listen");
    assert_eq!(loaded.origin("limits.open_runs").to_string(), "COMFYD_LIMITS__OPEN_RUNS");
    assert!(loaded.origin("server.log").to_string().ends_with("comfyd.yaml:3"), "{}", loaded.origin("server.log"));
    assert_eq!(loaded.origin("server.data_dir"), Origin::Default);
}

#[test]
fn everything_wrong_is_told_with_its_line() {
    let text = "server:\n  lisen: 127.0.0.1:1\n  log_format: xml\ncomfy_workflow:\n  a: 1\nlimits:\n  open_runs: 0\n  submitted_ahead: many\n\
                instances:\n  Gpu: {url: gpu}\n  b: {url: 'http://u:p@h:1', labl: x}\n  c: {}\nretention: 5\n";
    let told = complaints(text);
    let keys: Vec<(&str, u64)> = told.iter().map(|(key, line, _)| (key.as_str(), *line)).collect();
    let expected = [
        ("server.lisen", 2),
        ("server.log_format", 3),
        ("comfy_workflow", 4),
        ("limits.open_runs", 7),
        ("limits.submitted_ahead", 8),
        ("instances.Gpu", 10),
        ("instances.b.url", 11),
        ("instances.b.labl", 11),
        ("instances.c", 12),
        ("retention", 13),
    ];
    assert_eq!(keys, expected);
    assert_eq!(told[0].2, "Did you mean `server.listen`?");
    assert_eq!(told[1].2, "Write human or json.");
    assert_eq!(told[2].2, "Did you mean `comfyui_workflow`?");
    assert_eq!(told[3].2, "Write a whole number from 1 to 1000000.");
    let error = read(text).expect_err("it is wrong").to_string();
    assert!(!error.contains("u:p"), "what may hold a password is not repeated: {error}");
}

#[test]
fn what_is_no_mapping_or_no_yaml_is_refused() {
    assert_eq!(complaints("- a\n")[0].0, "(the file)");
    for text in ["server: {", "server:\n  listen: a\n  listen: b\n", "server:\n\tlog: a\n"] {
        let error = read(text).expect_err("it is wrong");
        assert!(matches!(error, ConfigError::Syntax { .. }), "{text:?}: {error}");
    }
    let missing = Layers { file: Some("/nowhere/comfyd.yaml".into()), ..Layers::default() };
    assert!(matches!(load(&missing), Err(ConfigError::Read { .. })));
}

#[test]
fn variables_are_checked_too() {
    let with = |name: &str, text: &str| {
        let environment = vec![(name.to_owned(), text.to_owned())];
        load(&Layers { environment, ..Layers::default() })
    };
    let hint = |name: &str, text: &str| with(name, text).expect_err("it is wrong").complaints()[0].hint.clone();
    assert_eq!(hint("COMFYD_SERVER__LISEN", "x"), "Did you mean `COMFYD_SERVER__LISTEN`?");
    assert_eq!(hint("COMFYD_LIMITS__OPEN_RUNS", "-1"), "Write a whole number from 1 to 1000000.");
    assert_eq!(hint("COMFYD_INSTANCES__A__URL", "x"), "Write them below `instances:`.");
    let off = with("COMFYD_RETENTION__MAX_RUNS", "").expect("empty is none");
    assert_eq!(off.config.retention.max_runs, None);
}

#[test]
fn there_is_one_default_instance() {
    let text = "instances:\n  a: {url: a, default: true}\n  b: {url: b, default: true}\nserver: {default_url: c}\n";
    let keys: Vec<String> = complaints(text).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["instances.b", "server.default_url"]);
}

#[test]
fn paths_begin_at_the_file() {
    let (dir, layers) = file("server: {data_dir: data, token_file: /etc/token}\nstorage: {input_roots: [in]}\n");
    let config = load(&layers).expect("it is right").config;
    assert_eq!(config.server.data_dir, Some(dir.path().join("data")));
    assert_eq!(config.server.token_file.as_deref(), Some(Path::new("/etc/token")));
    assert_eq!(config.storage.input_roots, Some(vec![dir.path().join("in")]));
}

#[test]
fn what_only_a_start_can_change_is_named() {
    let old = read("server: {listen: '127.0.0.1:1', log: warn}").expect("it is right");
    let new = read("server: {listen: '127.0.0.1:2', log: info}").expect("it is right");
    assert_eq!(old.needs_start(&new), ["server.listen"]);
    assert_eq!(old.changes(&new), ["server.log"]);
    assert_eq!(old.changes(&read("instances: {a: {url: a}}").expect("it is right")), ["server.log", "instances"]);
    assert_eq!(old.needs_start(&old), Vec::<&str>::new());
}
