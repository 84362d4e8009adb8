//! Wrong requests: exit code 2, a code, a message and a hint.

use serde_json::Value;

use crate::support::{Comfy, Place, text};

#[test]
fn bad_input_is_named() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let url = comfy.url();
    let good = place.workflow("01_simple_save");
    let not_json = place.file("not.json", "{\"1\": ");
    let ui =
        place.file("ui.json", r#"{"last_node_id": 1, "nodes": [{"id": 1, "type": "SaveImage"}], "links": [], "version": 0.4}"#);
    let list = place.file("list.json", "[1, 2]");
    let empty = place.file("empty.json", "{}");
    let latin = place.path("latin.json");
    std::fs::write(&latin, b"{\"a\": \"\xff\"}").expect("written");
    let deep = place.file("deep.json", &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    let latin = latin.display().to_string();
    let rows: &[(&[&str], &str)] = &[
        (&["run", &not_json, "--url", &url], "not_json"),
        (&["run", &ui, "--url", &url], ""),
        (&["run", &list, "--url", &url], ""),
        (&["run", &empty, "--url", &url], ""),
        (&["run", &deep, "--url", &url], ""),
        (&["run", &latin, "--url", &url], "workflow_not_text"),
        (&["run", "/nowhere/at/all.json", "--url", &url], "file_not_found"),
        (&["run", &good], "no_instance"),
        (&["run", &good, "--url", "ftp://127.0.0.1"], ""),
        (&["run", &good, "--instance", "nobody"], "unknown_instance"),
        (&["run", &good, "--url", &url, "--set", "77.text=a"], ""),
        (&["run", &good, "--url", &url, "--image", "/nowhere.png"], "file_not_found"),
        (&["show", "0193a1b2-0000-7000-8000-000000abc123"], "unknown_run"),
        (&["show", "../../etc"], "unknown_run"),
        (&["watch", "nobody"], "unknown_run"),
        (&["cancel", "nobody"], "unknown_run"),
        (&["outputs", "nobody"], "unknown_run"),
        (&["replay", "nobody"], "unknown_run"),
        (&["replay", "/nowhere.log"], "file_not_found"),
        (&["runs", "--server", "https://127.0.0.1"], "bad_server_url"),
    ];
    for (args, code) in rows {
        let ended = place.ends(args).is(2).bare().warns(&format!("error[{code}")).warns("\nhint: ");
        assert!(ended.out.is_empty(), "{args:?}: {}", ended.out);
        let mut json = args.to_vec();
        json.push("--json");
        let ended = place.ends(&json).is(2);
        let error: Value = serde_json::from_str(&ended.err).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", ended.err));
        assert_eq!(error["success"], false);
        assert!(
            !text(&error, "code").is_empty() && !text(&error, "message").is_empty() && !text(&error, "hint").is_empty(),
            "{error}"
        );
        assert!(code.is_empty() || error["code"] == *code, "{args:?}: {error}");
    }
    assert!(place.ends(&["runs", "--json"]).is(0).out.is_empty(), "no run was made");
}

#[test]
fn wrong_arguments_are_refused_before_anything_happens() {
    let place = Place::new();
    for args in [
        &["run"] as &[&str],
        &["run", "a.json", "--set", "nonsense"],
        &["run", "a.json", "--url", "u", "--instance", "i"],
        &["replay", "x", "--at", "1", "--until", "2026-01-01T00:00:00Z"],
        &["nonsense"],
        &[],
    ] {
        let ended = place.ends(args).is(2);
        assert!(ended.err.contains("Usage: comfyd") || ended.err.contains("try '--help'"), "{args:?}: {}", ended.err);
    }
    assert!(!place.data().exists(), "no data directory was made");
}

#[test]
fn help_lists_only_what_works() {
    let place = Place::new();
    let help = place.ends(&["--help"]).is(0);
    let commands = [
        "demo",
        "serve",
        "run",
        "runs",
        "show",
        "watch",
        "cancel",
        "retry",
        "resubmit",
        "rm",
        "outputs",
        "replay",
        "log",
        "convert",
        "config",
        "token",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {}", help.out);
    }
    assert!(!help.out.contains("\n  setup "), "{}", help.out);
    assert!(!place.ends(&["run", "--help"]).is(0).out.contains("give-up-after"));
}
