//! `replay` and `log`: any place of any log, without a server and through one.

use serde_json::Value;

use crate::support::{Comfy, Place, get, text};

/// A run to look into: its id and its log.
fn recorded(place: &Place, workflow: &str) -> (String, String) {
    let comfy = Comfy::fast();
    // Some of them fail, which is as good a log as any.
    place.ends(&["run", &place.workflow(workflow), "--url", &comfy.url()]);
    let id = text(&place.only_run(), "run_id");
    let log = place.data().join("runs").join(&id).join("events.log").display().to_string();
    (id, log)
}

/// What is not folded but computed when served.
fn as_folded(mut view: Value) -> Value {
    view["timing"]["estimated_completion"] = Value::Null;
    if let Value::Object(fields) = &mut view {
        fields.remove("success");
    }
    view
}

#[test]
fn replay_at_every_event_is_what_the_server_folds_there() {
    let place = Place::new();
    let (id, log) = recorded(&place, "22_custom_expand_and_lists");
    let events = place.ends(&["log", "cat", &log]).is(0).bare().json();
    assert!(events.len() > 10, "{events:?}");
    assert!(events.iter().zip(1..).all(|(event, seq)| event["seq"] == seq), "{events:?}");
    assert_eq!(events[0]["kind"], "run_created");
    let blob = events.iter().find(|event| event["kind"] == "blob_stored").expect("the graph travels in the log");
    assert!(blob["data"]["bytes"]["len"].as_u64().is_some_and(|len| len > 0), "{blob}");

    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0"]);
    serving.until("comfyd listens");
    let mut settled = false;
    for event in &events {
        let seq = event["seq"].to_string();
        let replayed = place.ends(&["replay", &log, "--at", &seq, "--json"]).is(0).json().remove(0);
        let served = get(&place.data(), &format!("/api/v1/runs/{id}/at/{seq}"));
        assert_eq!(as_folded(replayed.clone()), as_folded(served), "at {seq}");
        settled |= matches!(event["kind"].as_str(), Some("completed" | "failed" | "cancelled"));
        assert_eq!(matches!(replayed["status"].as_str(), Some("completed" | "failed" | "cancelled")), settled, "at {seq}");
        let until =
            place.ends(&["replay", &log, "--until", event["at"].as_str().expect("a time"), "--json"]).is(0).json().remove(0);
        assert!(until["seq"].as_u64() >= event["seq"].as_u64(), "until {event}");
    }
    // The run's id goes through the server that holds the directory.
    let last = place.ends(&["replay", &id, "--json"]).is(0).json().remove(0);
    assert_eq!(last["seq"], events.len());
    assert_eq!(last["run_id"], id.as_str());
    assert_eq!(place.ends(&["log", "cat", &id]).is(0).json(), events);
}

#[test]
fn replay_shows_states_and_events_to_people() {
    let place = Place::new();
    let (id, log) = recorded(&place, "01_simple_save");
    let workflow_id = text(&place.only_run(), "workflow_id");
    place.ends(&["replay", &log]).is(0).bare().says("completed").says("output 1 image");
    place.ends(&["replay", &id, "--view"]).is(0).bare().says("100.0%").says("✓ ");
    place.ends(&["replay", &workflow_id, "--at", "1"]).is(0).says("queued/waiting").says("· ");
    place.ends(&["replay", &log, "--events"]).is(0).bare().says("run_created").says("completed");
    place.ends(&["replay", &log, "--at", "999"]).is(2).warns("error[no_such_event]");
    place.ends(&["replay", &log, "--at", "0"]).is(2).warns("error[no_such_event]");
    place.ends(&["replay", &log, "--until", "yesterday"]).is(2).warns("error[bad_time]");
    let copy = place.path("elsewhere.log");
    std::fs::copy(&log, &copy).expect("copied");
    let copied = place.ends(&["replay", copy.to_str().expect("plain"), "--json"]).is(0);
    assert_eq!(copied.json(), place.ends(&["replay", &log, "--json"]).is(0).json(), "a copy is the same run");
}

#[test]
fn a_damaged_log_is_told_and_its_whole_part_is_saved() {
    let place = Place::new();
    let (_, log) = recorded(&place, "01_simple_save");
    place.ends(&["log", "verify", &log]).is(0).bare().says("whole").says("state.json is the fold");
    let clean = place.ends(&["log", "verify", &log, "--json"]).is(0).json().remove(0);
    assert_eq!((&clean["ok"], &clean["state"]), (&Value::Bool(true), &Value::from("same")));

    let state = std::path::Path::new(&log).with_file_name("state.json");
    let kept = std::fs::read_to_string(&state).expect("a state");
    std::fs::write(&state, kept.replace("\"completed\"", "\"cancelled\"")).expect("written");
    place.ends(&["log", "verify", &log]).is(1).says("is not the fold");
    std::fs::write(&state, kept).expect("written");

    let whole = std::fs::read(&log).expect("a log");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&log, &bytes).expect("written");
    place.ends(&["log", "verify", &log]).is(1).says("damaged");
    assert_eq!(place.ends(&["log", "verify", &log, "--json"]).is(1).json()[0]["ok"], false);

    let saved = place.path("saved.log").display().to_string();
    place.ends(&["log", "salvage", &log, "--to", &saved]).is(0).says("saved");
    place.ends(&["log", "salvage", &log, "--to", &saved]).is(2).warns("error[file_exists]");
    place.ends(&["log", "verify", &saved]).is(0).says("whole");
    assert_eq!(std::fs::read(&log).expect("a log"), bytes, "the log itself is untouched");
    let salvaged = std::fs::read(&saved).expect("saved");
    assert!(!salvaged.is_empty() && whole.starts_with(&salvaged));
}

#[test]
fn logs_are_exported() {
    let place = Place::new();
    let (id, log) = recorded(&place, "06_text");
    let raw = place.path("copy.log").display().to_string();
    place.ends(&["log", "export", &id, "--to", &raw]).is(0);
    assert_eq!(std::fs::read(&raw).expect("written"), std::fs::read(&log).expect("a log"));
    let lines = place.path("copy.jsonl").display().to_string();
    place.ends(&["log", "export", &log, "--to", &lines]).is(0);
    assert_eq!(std::fs::read_to_string(&lines).expect("written"), place.ends(&["log", "cat", &log]).is(0).out);
    place.ends(&["log", "export", &log, "--to", &lines]).is(2).warns("error[file_exists]");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let place = Place::new();
    let (_, log) = recorded(&place, "01_simple_save");
    let mut child = place.comfyd(&["log", "cat", &log]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = child.stdout(writer).stderr(std::process::Stdio::piped()).spawn().expect("the binary starts");
    let ended = crate::support::Ended::of(child, &["log", "cat"]).is(141);
    assert!(ended.err.is_empty(), "{}", ended.err);
}
