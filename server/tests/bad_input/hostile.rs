//! Texts from outside that would move a cursor, turn the writing or become a page: shown, never obeyed.

use comfyd_fixtures::{FakeConfig, NodeRegistry, Script};
use serde_json::{Value, json};

use crate::harness::House;
use crate::support::{Comfy, Ended};

/// Control characters of both kinds, a window title, colours, a line of its own, turned writing, tags, and a page.
const NASTY: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{7f}\r\nerror[forged]: \u{202e}gnp.\u{2066}\u{200b}\u{e0041}<script>alert(1)</script>&\"'";

fn is_bad(c: char) -> bool {
    let turns = matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}');
    (c.is_control() && c != '\n') || turns
}

fn clean(what: &str, text: &str) {
    let bad: Vec<char> = text.chars().filter(|c| is_bad(*c)).collect();
    assert!(bad.is_empty(), "{what} holds {bad:?}: {text:?}");
}

fn clean_command(house: &House, args: &[&str]) -> Ended {
    let ended = house.place.ends(args);
    clean(&format!("{args:?}"), &ended.out);
    clean(&format!("{args:?}, stderr"), &ended.err);
    assert!(!ended.out.lines().any(|line| line.starts_with("error[forged]")), "{args:?}: {}", ended.out);
    ended
}

#[test]
fn hostile_texts_are_shown_and_not_obeyed() {
    let nodes = NodeRegistry::standard()
        .script(
            "SaveImage",
            Script::new().text(NASTY).file(&format!("{}.png", NASTY.replace('/', "-")), b"<html><script>".to_vec()),
        )
        .script("PreviewAny", Script::new().fail_at(0, NASTY, NASTY));
    let house = House::with(Comfy::with("127.0.0.1:0", FakeConfig { nodes, time_scale: 20.0, ..FakeConfig::default() }));
    let image = json!({ "class_type": "EmptyImage", "inputs": { "width": 64, "height": 64, "batch_size": 1, "color": 0, NASTY: NASTY }, "_meta": { "title": NASTY } });
    let good = json!({ NASTY: image, "2": { "class_type": "SaveImage", "inputs": { "images": [NASTY, 0], "filename_prefix": "a" }, "_meta": { "title": NASTY } } });
    let failing = json!({ NASTY: image, "2": { "class_type": "PreviewAny", "inputs": { "source": [NASTY, 0] } } });
    let unknown = json!({ NASTY: { "class_type": NASTY, "inputs": {} } });

    let mut runs = Vec::new();
    for (workflow, status) in [(&good, "completed"), (&failing, "failed"), (&unknown, "failed")] {
        let answer = house.server.execute(&json!({ "workflow": workflow, "workflow_name": NASTY }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let run = answer.json()["run_id"].as_str().expect("an id").to_owned();
        let view = house.server.ended(&run);
        assert_eq!(view["status"], status, "{view:#}");
        runs.push(run);
        let file = house.place.file("nasty.json", &workflow.to_string());
        clean_command(&house, &["run", &file, "--name", NASTY]);
        clean_command(&house, &["run", &file, "--name", NASTY, "--json"]);
    }
    api_stays_json(&house, &runs);
    for run in &runs {
        for args in [
            &["show", run] as &[&str],
            &["show", run, "--json"],
            &["watch", run],
            &["watch", run, "--json"],
            &["outputs", run],
            &["outputs", run, "--json"],
            &["replay", run],
            &["replay", run, "--view"],
            &["replay", run, "--json"],
            &["replay", run, "--events"],
            &["log", "cat", run],
        ] {
            clean_command(&house, args);
        }
    }
    clean_command(&house, &["runs"]).is(0);
    let listed = clean_command(&house, &["runs", "--json"]).is(0).json();
    assert!(
        listed.iter().any(|run| run["workflow_name"].as_str().is_some_and(|name| name.contains("<script>"))),
        "programs get it all"
    );

    // Nasty words that are refused come back in errors.
    let file = house.place.file("nasty.json", &good.to_string());
    for args in [
        &["run", &file, "--set", &format!("{NASTY}.x=1")] as &[&str],
        &["run", &file, "--set", &format!("2.{NASTY}=1")],
        &["run", &file, "--url", NASTY],
        &["run", NASTY],
        &["show", NASTY],
        &["replay", NASTY],
        &["runs", "--server", NASTY, "--token-file", &file],
    ] {
        clean_command(&house, args).is(2);
        let json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        clean_command(&house, &json).is(2);
    }
    fetched_names_are_plain(&house, &runs[0]);
    log_lines_are_ours(&house.server.stop());
}

/// Every answer about it is JSON of JSON's type, which no browser takes for a page, and heads hold no line of a stranger.
fn api_stays_json(house: &House, runs: &[String]) {
    for run in runs {
        for path in ["", "/outputs", "/log", "/at/1"].map(|part| format!("/api/v1/runs/{run}{part}")) {
            let answer = house.server.get(&path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let kind = if path.ends_with("/log") { "application/x-ndjson" } else { "application/json" };
            let head = answer.head.to_ascii_lowercase();
            assert!(head.contains(&format!("content-type: {kind}\r\n")) && head.contains("nosniff"), "{head}");
            let raw = answer.text();
            assert!(!raw.chars().any(|c| c.is_ascii_control() && !matches!(c, '\n' | '\u{7f}')), "{path}: {raw:?}");
        }
        let page = house.server.get(&format!("/api/v1/runs/{NASTY_PATH}"));
        page.refuses(404, "unknown_run", &[]);
    }
    let view: Value = house.server.view(&runs[0]);
    let file =
        view["outputs"].as_array().expect("a list").iter().find(|output| output["local_name"].is_string()).expect("a file");
    let content = house.server.get(&format!("/api/v1/runs/{}/outputs/{}/content", runs[0], file["n"]));
    let head = content.head.to_ascii_lowercase();
    assert_eq!(content.status, 200, "{head}");
    assert!(head.contains("content-disposition: attachment") && head.contains("content-security-policy: sandbox"), "{head}");
    assert!(
        !head.contains("text/html")
            && !head.contains("<script>")
            && !head.chars().any(|c| c.is_control() && c != '\r' && c != '\n'),
        "{head}"
    );
    assert!(!head.lines().any(|line| line.starts_with("error[forged]")), "{head}");
}

const NASTY_PATH: &str = "%1b%5d0%3bowned%07%0d%0aX-Injected:%20yes";

fn fetched_names_are_plain(house: &House, run: &str) {
    let to = house.place.path("fetched");
    let to_text = to.display().to_string();
    clean_command(house, &["outputs", run, "--to", &to_text]).is(0);
    let names: Vec<String> = std::fs::read_dir(&to)
        .expect("made")
        .map(|entry| entry.expect("a name").file_name().into_string().expect("text"))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')), "{names:?}");
}

/// Every line of the log begins with its time: nobody wrote one of their own.
fn log_lines_are_ours(log: &str) {
    clean("the log", log);
    for line in log.lines() {
        let time = line.get(..20).unwrap_or_default();
        let is_time = time.len() == 20 && time[..4].bytes().all(|b| b.is_ascii_digit()) && time.contains('T');
        assert!(is_time, "a line that is none of ours: {line:?}");
    }
    assert!(log.lines().count() > 10, "the log was looked at");
}
