//! `COMFYD_CRASH_AT=n`: the process dies at its n-th durable step, for all n or a slice of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::Value;

use crate::support::{Comfy, Place, kills, text, was_killed};

/// Without `COMFYD_KILLS` every so many steps are tried, and all of those around the submission.
const STRIDE: u64 = 3;
/// More than any run has.
const MANY: u64 = 2_000;

/// What one run came to.
struct Told {
    /// The final state without what two tellings may differ in.
    shape: Value,
    /// Whether the process died.
    died: bool,
    /// Whether the instance had the prompt by then.
    posted: bool,
}

/// Without places, times and the history of attention (two tellings differ in them), and without what is another's name.
fn shape(mut view: Value) -> Value {
    let passing = [
        "seq",
        "log_len",
        "chain",
        "timing",
        "attention",
        "warnings",
        // One that a person had posted again.
        "twin_watch",
        "run_id",
        "workflow_id",
        "prompt_id",
        "instance",
        "workflow_file",
    ];
    for key in passing {
        view[key] = Value::Null;
    }
    for node in view["nodes"].as_array_mut().expect("a list") {
        for key in ["start_time", "end_time", "step", "steps"] {
            node[key] = Value::Null;
        }
    }
    let outputs = view["outputs"].as_array_mut().expect("a list");
    for output in outputs.iter_mut() {
        // Numbered as they were reported, and a report that was missed comes later.
        output["n"] = Value::Null;
        let name = output["local_name"].as_str().and_then(|name| name.split_once('-')).map(|(_, name)| Value::from(name));
        output["local_name"] = name.unwrap_or_default();
    }
    outputs.sort_by_key(|output| format!("{} {} {} {}", output["node_id"], output["key"], output["filename"], output["text"]));
    view
}

/// Runs a workflow, dying at step `at`, and goes on with a second process.
fn tell(at: Option<u64>) -> Told {
    let about = format!("COMFYD_CRASH_AT={at:?}");
    let (comfy, place) = (Comfy::new(), Place::new());
    let workflow = place.file("slow.json", comfyd_fixtures::workflows::named("20_custom_slow_previews").expect("a fixture").json);
    let mut command =
        place.comfyd(&["run", &workflow, "--url", &comfy.url(), "--set", "1.steps=6", "--set", "2.steps=4", "--json"]);
    if let Some(at) = at {
        command.env("COMFYD_CRASH_AT", at.to_string());
    }
    let (status, said) = Place::ends(&mut command);
    let died = was_killed(status);
    assert!(died || status.success(), "{about}: {status}: {said}");
    // The last line may have been cut.
    let shown: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let posted = comfy.fake.ledger().posts() > 0;

    let server = place.serve();
    let mut runs = server.client.runs();
    assert!(runs.len() <= 1, "{about}: {runs:?}");
    if let Some(shown) = shown.last() {
        // What was shown had been written, and a killed process loses nothing that was.
        assert_eq!(runs, [text(shown, "run_id")], "{about}");
        let seq = server.client.get(&format!("/api/v1/runs/{}", runs[0]))["seq"].as_u64();
        assert!(seq >= shown["seq"].as_u64(), "{about}: {seq:?} after {shown}");
    }
    if runs.is_empty() {
        // It died before it could promise anything; its user asks again.
        assert!(!posted, "{about}: posted without a run");
        let again = ["run", &workflow, "--url", &comfy.url(), "--set", "1.steps=6", "--set", "2.steps=4", "--json", "--detach"];
        let (status, said) = Place::ends(&mut place.comfyd(&again));
        assert!(status.success(), "{about}: {said}");
        let created: Value = serde_json::from_str(&said).expect("JSON");
        runs.push(text(&created, "run_id"));
    }
    let run = &runs[0];
    let mut view = server.client.over(run, &comfy);
    view.as_object_mut().expect("an object").remove("success");
    server.stop();

    let ledger = comfy.fake.ledger();
    let record = ledger.prompt(&text(&view, "prompt_id"));
    assert_eq!((record.posts, record.executions, ledger.prompts.len()), (1, 1, 1), "{about}: {record:?}");
    place.outputs_are_right(&comfy, &view, &about);
    place.verify(run, &about);
    let state = place.data().join("runs").join(run).join("state.json");
    let state: Value = serde_json::from_slice(&std::fs::read(state).expect("written")).expect("JSON");
    let shape_of_state = shape(state);
    let mut shape = shape(view);
    for key in ["log_len", "chain"] {
        shape[key] = Value::Null;
    }
    assert_eq!(differences(&shape_of_state, &shape), Vec::<String>::new(), "{about}: the state is the view");
    Told { shape, died, posted }
}

/// Where two objects differ, field by field.
fn differences(left: &Value, right: &Value) -> Vec<String> {
    let (Value::Object(left), Value::Object(right)) = (left, right) else { panic!("views are objects") };
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differs = |key: &&String| left.get(*key) != right.get(*key);
    keys.into_iter().filter(differs).map(|key| format!("{key}: {:?} is not {:?}", left.get(key), right.get(key))).collect()
}

/// Tells many at a time; most of each telling is waiting. Gives whether the process died, and whether it had posted by then.
fn tell_all(steps: impl Iterator<Item = u64> + Send, undisturbed: &Value) -> BTreeMap<u64, (bool, bool)> {
    let (steps, told) = (Mutex::new(steps), Mutex::new(BTreeMap::new()));
    let reached_end = || told.lock().expect("no panic").values().any(|(died, _): &(bool, bool)| !died);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !reached_end() {
                    let Some(at) = steps.lock().expect("no panic").next() else { break };
                    let one = tell(Some(at));
                    assert_eq!(differences(&one.shape, undisturbed), Vec::<String>::new(), "COMFYD_CRASH_AT={at}");
                    told.lock().expect("no panic").insert(at, (one.died, one.posted));
                }
            });
        }
    });
    told.into_inner().expect("no panic")
}

#[test]
fn a_run_ends_alike_wherever_its_process_dies() {
    let undisturbed = tell(None);
    assert!(!undisturbed.died && undisturbed.posted);
    let stride = if kills().is_some() { 1 } else { STRIDE };
    let told = tell_all((1..MANY).step_by(usize::try_from(stride).expect("small")), &undisturbed.shape);
    let died: Vec<u64> = told.iter().filter(|(_, (died, _))| *died).map(|(at, _)| *at).collect();
    assert!(told.values().any(|(died, _)| !died), "the run never ends");
    assert!(died.len() > 5, "it died only at {died:?}");
    // Threads share the steps, so which of them is the submission differs a little.
    let before = told.iter().filter(|(_, (_, posted))| !posted).map(|(at, _)| *at).max().expect("the first step is before");
    let after =
        told.iter().filter(|(_, (died, posted))| *died && *posted).map(|(at, _)| *at).min().expect("the last step is after");
    let around = (before.min(after)..=before.max(after)).filter(|at| !told.contains_key(at));
    tell_all(around.collect::<Vec<_>>().into_iter(), &undisturbed.shape);
}
