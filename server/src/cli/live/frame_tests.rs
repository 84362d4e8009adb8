//! Pictures of runs, word for word.

use comfyd_engine::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::cli::live::plain::Plain;

fn node(id: &str, class: &str, state: &str) -> Value {
    json!({"node_id": id, "node_type": class, "state": state})
}

fn run(nodes: &[Value]) -> RunDoc {
    let value = json!({
        "seq": 9, "run_id": "0193a1b2-0000-7000-8000-000000abc123", "workflow_name": "sample", "instance": "gpu", "status": "executing", "phase": "running",
        "progress": {"current_node_id": "3", "total_nodes": 15, "completed_nodes": 8, "progress_percent": 53.3},
        "nodes": nodes,
        "timing": {
            "queue_time": "2024-11-21T10:15:00Z", "start_time": "2024-11-21T10:15:00Z", "last_update": "2024-11-21T10:15:10Z",
            "estimated_completion": "2024-11-21T10:15:52Z",
        },
    });
    RunDoc::read(&value.to_string()).expect("a run")
}

fn usual() -> RunDoc {
    let mut sampler = node("3", "KSampler", "running");
    sampler["step"] = json!(45);
    sampler["steps"] = json!(100);
    let mut loader = node("4", "Loader", "done");
    loader["start_time"] = json!("2024-11-21T10:15:00Z");
    loader["end_time"] = json!("2024-11-21T10:15:02.340Z");
    let mut inner = node("3.0.0.1", "", "blocked");
    inner["parent_node_id"] = json!("3");
    inner["message"] = json!("no\u{1b}[2J input");
    run(&[loader, node("5", "Text", "cached"), sampler, inner, node("9", "SaveImage", "waiting")])
}

fn at() -> Moment<'static> {
    Moment { now: Timestamp(1_732_184_110_000), lost: None }
}

#[test]
fn a_running_run() {
    let lines = draw(&usual(), at(), Size { width: 100, height: 24 }, Palette::Bare);
    let want = [
        "sample  executing/running  0193a1b2-0000-7000-8000-000000abc123",
        "████████████░░░░░░░░░░░░  53.3%  8/15 nodes  step 45/100  ETA 0:42",
        "  ✓ Loader (4)  2.3 s",
        "  ⚡ Text (5)  cached",
        "  ▶ KSampler (3)  ███████░░░░░░░░░ step 45/100",
        "    ⊘ node (3.0.0.1)  blocked: no[2J input",
        "  · SaveImage (9)",
    ];
    assert_eq!(lines, want);
}

#[test]
fn every_line_fits_and_no_escape_comes_from_outside() {
    let mut run = usual();
    run.workflow_name = "図".repeat(300) + "\u{1b}]0;title\u{7}";
    for width in 1..90 {
        for line in draw(&run, at(), Size { width, height: 24 }, Palette::Bare) {
            assert!(columns(&line) <= width, "{width}: {line}");
            assert!(!line.contains(['\u{1b}', '\u{7}']), "{line}");
        }
    }
}

#[test]
fn many_nodes_roll_around_the_running_one() {
    let nodes: Vec<Value> = (0..60).map(|n| node(&n.to_string(), "Step", if n < 30 { "done" } else { "waiting" })).collect();
    let mut run = run(&nodes);
    run.progress.current_node_id = Some("30".into());
    for height in 8..40 {
        let lines = draw(&run, at(), Size { width: 80, height }, Palette::Bare);
        assert!(lines.len() < height, "{height}: {} lines", lines.len());
        assert!(lines.iter().any(|line| line.contains("Step (30)")), "{height}: {lines:?}");
        assert!(lines[2].contains("more above") && lines.last().is_some_and(|last| last.contains("more below")), "{lines:?}");
    }
    let lines = draw(&run, at(), Size { width: 80, height: 100 }, Palette::Bare);
    assert_eq!(lines.len(), 62);
}

#[test]
fn troubles_outputs_and_errors_are_shown() {
    let mut value = serde_json::Map::new();
    for (key, content) in [
        ("attention", json!({"kind": "unreachable", "message": "refused"})),
        ("error", json!({"code": "node_failed", "message": "no\nmemory"})),
        ("warnings", json!([{"code": "w", "message": "careful"}])),
        ("outputs", json!([{"n": 1, "node_id": "9", "type": "image", "filename": "a.png", "downloaded": true, "size": 2048}])),
    ] {
        value.insert(key.to_owned(), content);
    }
    let mut run = usual();
    run.attention = serde_json::from_value(value["attention"].clone()).expect("attention");
    run.error = serde_json::from_value(value["error"].clone()).expect("error");
    run.warnings = serde_json::from_value(value["warnings"].clone()).expect("warnings");
    run.outputs = serde_json::from_value(value["outputs"].clone()).expect("outputs");
    let text = draw(&run, Moment { lost: Some("cut"), ..at() }, Size { width: 100, height: 24 }, Palette::Bare).join("\n");
    for want in
        ["connection to comfyd lost", "unreachable: refused", "node_failed: no memory", "! careful", "→ 1 a.png (2.0 KiB)"]
    {
        assert!(text.contains(want), "{want} in {text}");
    }
}

#[test]
fn plain_lines_tell_each_change_once() {
    let mut plain = Plain::default();
    let mut run = usual();
    let now = Timestamp(0);
    let said = |lines: Vec<String>| lines.iter().map(|line| line[9..].to_owned()).collect::<Vec<_>>();
    let begun =
        ["run 0193a1b2-0000-7000-8000-000000abc123 sample on gpu", "executing/running 8/15 53.3% KSampler (3) step 45/100"];
    assert_eq!(said(plain.lines(&run, now)), begun);
    assert!(plain.lines(&run, now).is_empty());
    run.nodes[2].step = Some(46);
    assert_eq!(said(plain.lines(&run, now)), ["executing/running 8/15 53.3% KSampler (3) step 46/100"]);
    assert!(plain.lost("cut", now).is_some_and(|line| line.ends_with("trying again (cut)")));
    assert_eq!(plain.lost("cut", now), None);
    assert_eq!(said(plain.lines(&run, now)), ["connected to comfyd again"]);
}
