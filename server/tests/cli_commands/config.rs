//! `config`, and a server that is started with a file.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Comfy, Place};

#[test]
fn what_is_wrong_is_told_at_once_with_its_line() {
    let place = Place::new();
    let bad = place.file("bad.yaml", "server:\n  lisen: 127.0.0.1:1\nlimits:\n  open_runs: none\n");
    let told = place.ends(&["config", "check", &bad]).is(2).bare().warns("error[bad_config]").warns("hint:");
    for part in ["bad.yaml:2: `server.lisen`", "Did you mean `server.listen`?", "bad.yaml:4: `limits.open_runs`"] {
        assert!(told.err.contains(part), "{part}: {}", told.err);
    }
    let verdict: Value = serde_json::from_str(&place.ends(&["config", "check", "--json", &bad]).is(2).out).expect("JSON");
    assert_eq!(verdict["ok"], false);
    assert_eq!(verdict["problems"].as_array().map(Vec::len), Some(2), "{verdict}");
    place.ends(&["serve", "--config", &bad]).is(2).warns("error[bad_config]");
    place.ends(&["config", "check", "/nowhere.yaml"]).is(2).warns("error[file_not_found]");
    assert!(!place.data().exists(), "nothing was started");
}

#[test]
fn the_printed_default_is_right_and_changes_nothing() {
    let place = Place::new();
    let text = place.ends(&["config", "default"]).is(0).out;
    let file = place.file("all.yaml", &text);
    place.ends(&["config", "check", &file]).is(0).says("everything is right");
    let shown = |args: &[&str]| {
        let out = place.ends(args).is(0).out;
        out.lines().map(|line| line.split(" # ").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["config", "show", "--config", &file]), shown(&["config", "show"]));
}

#[test]
fn a_server_goes_by_its_file_its_environment_and_its_flags() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    std::fs::create_dir_all(place.path(".config/comfyd")).expect("made");
    let data = place.path("configured");
    let text = format!(
        "server:\n  listen: 127.0.0.1:1\n  data_dir: {}\n  default_url: {}\n  log_format: json\n",
        data.display(),
        comfy.url()
    );
    let file = place.file(".config/comfyd/comfyd.yaml", &text);
    let without = |args: &[&str]| {
        let mut command = place.comfyd(args);
        command.env_remove("COMFYD_DATA_DIR");
        command
    };
    let shown = without(&["config", "show"]).output().expect("it ends");
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains(&format!("data_dir: \"{}\" # {file}:3", data.display())), "{shown}");
    let mut command = without(&["serve", "--listen", "127.0.0.1:0"]);
    let mut serving = place.started(&mut command, "serve");
    serving.until("comfyd listens");
    // Commands of the same user read the same file.
    let workflow = place.workflow("01_simple_save");
    let ran = without(&["run", &workflow]).output().expect("it ends");
    assert!(ran.status.success(), "{ran:?}");
    assert!(data.join("server.json").exists() && !place.data().exists());
    serving.signal(Signal::TERM);
    let ended = serving.ends().is(0);
    let first: Value = serde_json::from_str(ended.err.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["message"], "server.started", "{first}");
}
