//! Every recorded session of a real ComfyUI, folded: facts, commands and final views, kept as snapshots.
//!
//! Replay at N equals the live state at N, for every N; doubled and reordered frames end in the same state.

use comfyd_engine::{Fact, RunView};
use comfyd_fixtures::SplitMix64;
use comfyd_fixtures::traces::{Trace, names};
use comfyd_tests::recorded::{Folding, Told, told};
use comfyd_tests::world::final_shape;
use proptest::prelude::*;

/// One line per fact: enough to read the story, little enough to review a change of it.
fn story(folding: &Folding) -> Vec<String> {
    let mut lines: Vec<(String, u32)> = Vec::new();
    for fact in &folding.facts {
        let line = match fact {
            Fact::Instance(_, recorded) => format!("instance: {}", recorded.event.kind()),
            Fact::Run(run, recorded) => {
                let number = folding.runs.iter().position(|known| known == run).map_or(0, |at| at + 1);
                let data = serde_json::to_value(&recorded.event).expect("an event is plain data");
                let short = ["node", "nodes", "position", "message", "evidence"].iter().find_map(|key| {
                    let value = &data["data"][*key];
                    (!value.is_null() && !value[0].is_object()).then(|| value.to_string())
                });
                format!("run {number}: {} {}", recorded.event.kind(), short.unwrap_or_default()).trim_end().to_owned()
            }
        };
        match lines.last_mut() {
            Some((last, times)) if *last == line => *times += 1,
            Some(_) | None => lines.push((line, 1)),
        }
    }
    lines.into_iter().map(|(line, times)| if times > 1 { format!("{line} (x{times})") } else { line }).collect()
}

fn shape(view: &RunView) -> serde_json::Value {
    let mut value = final_shape(view);
    value["warnings"] = serde_json::to_value(&view.warnings).expect("warnings are plain data");
    if let Some(details) = value["error"]["details"].as_str() {
        value["error"]["details"] = details.lines().next().unwrap_or_default().into();
    }
    value
}

#[test]
fn every_trace_folds_as_it_did() {
    let mut checked = 0;
    for name in names().expect("the traces are there") {
        let trace = Trace::read(&name).expect("a trace can be read");
        let folding = Folding::of(&told(&trace));
        let posts = trace
            .exchanges()
            .iter()
            .filter(|e| e.method == "POST" && e.path.trim_start_matches("/api") == "/prompt" && e.status == Some(200))
            .count();
        assert_eq!(folding.runs.len(), posts, "{name}: each POST /prompt that was answered 200 is one run");
        if posts == 0 {
            continue;
        }
        checked += 1;
        let views: Vec<_> = folding.views().iter().map(shape).collect();
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(name.replace('.', "_"), serde_json::json!({
                "story": story(&folding), "commands": folding.commands, "views": views,
            }));
        });
    }
    assert!(checked >= 30, "only {checked} traces hold prompts");
}

#[test]
fn replay_at_every_event_is_the_live_state_there() {
    for name in ["a_simple_success", "d_previews_with_metadata", "f_runtime_exception", "o_expansion_and_lists", "g_interrupt"] {
        let told = told(&Trace::read(name).expect("a trace can be read"));
        let whole = Folding::of(&told);
        for n in 1..=told.len() {
            let part = Folding::of(&told[..n]);
            for run in &part.runs {
                let live = part.engine.run(*run).expect("runs stay until they are retired");
                let facts = usize::try_from(live.seq().0).expect("few facts");
                assert_eq!(part.refolded(*run, facts).as_ref(), Some(live), "{name} after {n} inputs");
                assert_eq!(
                    whole.refolded(*run, facts).as_ref(),
                    Some(live),
                    "{name}: a prefix of the whole log is the log of the prefix"
                );
            }
        }
    }
}

/// Frames may come twice or a little late; answers keep their order.
fn disturbed(told: &[(comfyd_engine::Timestamp, Told)], seed: u64) -> Vec<(comfyd_engine::Timestamp, Told)> {
    let mut rng = SplitMix64::new(seed);
    let mut out: Vec<(comfyd_engine::Timestamp, Told)> = Vec::new();
    for item in told {
        out.push(item.clone());
        let last = out.len() - 1;
        if !matches!(item.1, Told::Frame(_)) {
            continue;
        }
        if rng.chance(200) {
            out.push(item.clone());
        }
        if rng.chance(200) && last > 0 && matches!(out[last - 1].1, Told::Frame(_)) {
            out.swap(last - 1, last);
        }
    }
    out
}

/// The places in which two views differ.
fn differences(at: &str, a: &serde_json::Value, b: &serde_json::Value) -> Vec<String> {
    use serde_json::Value;
    match (a, b) {
        (Value::Object(x), Value::Object(y)) if x.len() == y.len() => x
            .iter()
            .flat_map(|(key, value)| differences(&format!("{at}.{key}"), value, y.get(key).unwrap_or(&Value::Null)))
            .collect(),
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().flat_map(|(n, (x, y))| differences(&format!("{at}[{n}]"), x, y)).collect()
        }
        _ if a == b => vec![],
        _ => vec![format!("{at}: {a} != {b}")],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn doubled_and_reordered_frames_end_in_the_same_state(seed: u64, which in 0usize..4) {
        let name = ["a_simple_success", "c_long_progress", "f_runtime_exception", "o_expansion_and_lists"][which];
        let told = told(&Trace::read(name).expect("a trace can be read"));
        let settled = |folding: &Folding| -> Vec<_> {
            folding.views().iter().filter(|view| view.status.is_settled()).map(final_shape).collect()
        };
        let plain = settled(&Folding::of(&told));
        prop_assert!(!plain.is_empty());
        let other = settled(&Folding::of(&disturbed(&told, seed)));
        prop_assert_eq!(other.len(), plain.len());
        for (other, plain) in other.iter().zip(&plain) {
            prop_assert_eq!(differences("", other, plain), Vec::<String>::new());
        }
    }
}
