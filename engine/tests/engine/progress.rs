//! What readers see of how far a run is.

use comfyd_engine::testkit::small_run;
use comfyd_engine::{ComfyEvent, NodeId, Percent, RunView, Time, Timestamp, Workload};

use crate::kit::*;

fn view(rig: &comfyd_engine::testkit::Rig) -> RunView {
    RunView::of(rig.run(first()))
}

#[test]
fn percent_never_falls_and_is_100_only_when_completed() {
    let inputs = [
        node_started("1"),
        step("1", 9, 10),
        step("1", 1, 10),
        node_started("2"),
        step("2", 999, 1000),
        step("2", 1, 7),
        reports(vec![finished("2"), report("9", 4, 4)]),
        produced("9", vec![file("a.png")]),
        reports(vec![finished("9")]),
        succeeded(),
    ];
    let mut rig = running();
    let mut last = Percent(0);
    for input in inputs {
        rig = then(rig, input);
        let percent = view(&rig).progress.progress_percent;
        assert!(percent >= last && percent < Percent(1000), "{percent} after {last}");
        last = percent;
    }
    assert_eq!(last, Percent(999), "all nodes are done, the file is not here");
    rig = then(rig, saved(1));
    assert_eq!(view(&rig).progress.progress_percent, Percent(1000));
    for rig in [failed(), cancelled()] {
        assert!(view(&rig).progress.progress_percent < Percent(1000));
    }
}

#[test]
fn nodes_weigh_what_they_took_before() {
    let mut spec = small_run("gpu-a");
    let Workload::Prompt(prompt) = &mut spec.workload;
    for (node, ms) in prompt.nodes.iter_mut().zip([1_000, 8_000, 1_000]) {
        node.expected_ms = Some(ms);
    }
    let rig = then(then(then(idle(), create(spec)), accepted()), reports(vec![finished("1")]));
    assert_eq!(view(&rig).progress.progress_percent, Percent(100));
    let rig = then(rig, step("2", 10, 20));
    assert_eq!(view(&rig).progress.progress_percent, Percent(500));
    assert_eq!((view(&rig).progress.completed_nodes, view(&rig).progress.total_nodes), (1, 3));
}

#[test]
fn the_current_node_is_the_one_that_began_last() {
    let rig = then(running(), node_started("1"));
    assert_eq!(view(&rig).progress.current_node.as_deref(), Some("Class1"));
    let mut rig = rig;
    rig.wait_ms(1);
    let rig = then(rig, node_started("2"));
    assert_eq!(view(&rig).progress.current_node_id, Some(NodeId::from("2")));
    assert_eq!(view(&then(rig, crashed_in("2"))).progress.current_node, None);
}

#[test]
fn the_estimate_follows_the_rate_of_steps() {
    let mut rig = then(running(), node_started("2"));
    assert_eq!(view(&rig).timing.estimated_completion, None, "nothing was measured");
    rig = then(rig, step("2", 1, 21));
    rig.wait_ms(5_000);
    rig = then(rig, step("2", 11, 21));
    let now = rig.now();
    assert_eq!(view(&rig).timing.estimated_completion, Some(Time(now.plus_ms(5_000))), "10 steps took 5 s, 10 are left");

    rig.wait_ms(5_000);
    rig = then(rig, reports(vec![finished("2")]));
    // Node 2 took 10 s, so as much is taken for 1 and 9.
    assert_eq!(view(&rig).timing.estimated_completion, Some(Time(rig.now().plus_ms(20_000))));
    let late = rig.now().plus_ms(100_000);
    assert_eq!(view(&rig).at(late, None).timing.estimated_completion, Some(Time(late)), "never in the past");
    assert_eq!(view(&then(rig, succeeded())).timing.estimated_completion, None);
}

#[test]
fn the_estimate_uses_what_the_classes_took_before() {
    let mut spec = small_run("gpu-a");
    let Workload::Prompt(prompt) = &mut spec.workload;
    prompt.nodes.iter_mut().for_each(|node| node.expected_ms = Some(3_000));
    let mut rig = then(then(then(idle(), create(spec)), accepted()), node_started("1"));
    assert_eq!(view(&rig).timing.estimated_completion, Some(Time(rig.now().plus_ms(9_000))));
    rig.wait_ms(2_000);
    rig = then(rig, observe(ComfyEvent::NodeTexted { node: "1".into(), text: "still here".into() }));
    assert_eq!(view(&rig).timing.estimated_completion, Some(Time(rig.now().plus_ms(7_000))));
}

#[test]
fn a_view_says_the_plans_words() {
    let rig = then(then(running(), node_started("1")), step("1", 3, 20));
    let json = serde_json::to_value(view(&rig)).expect("a view is JSON");
    assert_eq!(json["type"], "comfyui_workflow");
    assert_eq!((&json["status"], &json["phase"]), (&"executing".into(), &"running".into()));
    assert_eq!(json["progress"]["progress_percent"].to_string(), "5.0");
    assert_eq!(json["nodes"][0]["status"], "executing");
    assert_eq!(json["nodes"][0]["message"], "Step 3/20");
    assert_eq!(json["timing"]["queue_time"], Timestamp(60_000).to_string());
    let words: Vec<String> = [waiting(), running(), completed(), failed(), cancelled()]
        .iter()
        .map(|rig| serde_json::to_value(view(rig).status).expect("a word").as_str().expect("a word").to_owned())
        .collect();
    assert_eq!(words, ["queued", "executing", "completed", "failed", "cancelled"]);
}

#[test]
fn what_can_be_done_about_attention_is_a_call_each() {
    let actions = |rig: comfyd_engine::testkit::Rig| {
        let attention = view(&rig).attention.expect("it waits for something");
        attention.actions.iter().map(|action| action.id).collect::<Vec<_>>()
    };
    assert_eq!(actions(given_up()), ["resubmit", "cancel"]);
    assert_eq!(actions(then(pending(), down("timeout"))), ["cancel"]);
    let refused = then(then(running(), cancel()), answer(comfyd_engine::Outcome::CannotStop { why: "old".into() }));
    assert_eq!(actions(refused), ["force_cancel"]);
}
