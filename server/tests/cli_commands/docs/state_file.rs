//! `docs/state-file.md` against a real `state.json`.

use std::collections::BTreeSet;

use comfyd_server::api::document;
use serde_json::Value;

use super::{blocks, reference};
use crate::support::{Comfy, Place, text};

/// What the file has beside what the API gives.
const IN_THE_FILE: [&str; 2] = ["chain", "log_len"];

fn example() -> Value {
    let guide = blocks::guide("docs/state-file.md");
    let blocks = guide.blocks();
    let block = blocks.iter().find(|block| block.info == "json").expect("an example");
    serde_json::from_str(&block.text).expect("JSON")
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn the_example_has_the_fields_of_a_real_file() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("01_simple_save");
    place.ends(&["run", &workflow, "--url", &comfy.url()]).is(0);
    let run = text(&place.only_run(), "run_id");
    let real = std::fs::read(place.data().join("runs").join(run).join("state.json")).expect("a state file");
    let real: Value = serde_json::from_slice(&real).expect("JSON");
    same_shape(&example(), &real, "state.json");
}

/// The same fields, and of the same kinds where both have a value; of lists the first members.
fn same_shape(shown: &Value, real: &Value, place: &str) {
    match (shown, real) {
        (Value::Object(some), Value::Object(_)) => {
            assert_eq!(keys(shown), keys(real), "{place}");
            for (name, value) in some {
                same_shape(value, &real[name], &format!("{place}.{name}"));
            }
        }
        (Value::Array(some), Value::Array(others)) => {
            assert_eq!(some.is_empty(), others.is_empty(), "{place}");
            if let (Some(one), Some(other)) = (some.first(), others.first()) {
                same_shape(one, other, &format!("{place}[0]"));
            }
        }
        (one, other) => assert_eq!(std::mem::discriminant(one), std::mem::discriminant(other), "{place}: {one} and {other}"),
    }
}

#[test]
fn the_table_explains_every_field() {
    let guide = blocks::guide("docs/state-file.md");
    let rows = guide.text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let explained: BTreeSet<String> = rows.flat_map(|(names, _)| names.split("` `")).map(str::to_owned).collect();
    let schemas = &document()["components"]["schemas"];
    let part = |name: &str, prefix: &str| -> Vec<String> {
        reference::fields(&schemas[name]).keys().map(|field| format!("{prefix}{field}")).collect()
    };
    let mut wanted: BTreeSet<String> = IN_THE_FILE.iter().map(|name| (*name).to_owned()).collect();
    wanted.extend(part("RunView", ""));
    wanted.extend(part("ProgressView", "progress."));
    wanted.extend(part("TimingView", "timing."));
    wanted.extend(part("NodeView", "nodes[]."));
    wanted.extend(part("OutputView", "outputs[]."));
    wanted.extend(part("ErrorView", "error."));
    wanted.extend(part("AttentionView", "attention."));
    wanted.extend(part("WarningView", "warnings[]."));
    assert_eq!(explained, wanted);
}
