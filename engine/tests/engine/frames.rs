//! What the socket says: early, late, twice, for others, and of every kind.

use comfyd_engine::testkit::{instance_id, small_run};
use comfyd_engine::{ComfyEvent, Ending, Input, NodeId, NodeReport, NodeState, PromptId, RemoteStatus, RunView, Verdict};

use crate::kit::*;

fn state(rig: &comfyd_engine::testkit::Rig, node: &str) -> NodeState {
    rig.run(first()).nodes().get(&node.into()).expect("the node is known").state
}

#[test]
fn frames_can_be_faster_than_the_answer() {
    let rig = check(submitting(), started(), &["submitted", "execution_started"], &[]);
    let rig = check(rig, node_started("1"), &["node_started 1"], &[]);
    check(rig, accepted(), &[], &[]);
    let facts = ["submitted", "execution_started", "gap_noted", "node_started 1", "nodes_progressed 1:2/4"];
    check(submitting(), step("1", 2, 4), &facts, &[]);
}

/// And any but the first one, that frames were missed: nodes can have ended unseen.
#[test]
fn any_sign_of_work_means_that_it_runs() {
    let cached = observe(ComfyEvent::Cached { prompt: first().into(), nodes: vec!["1".into()] });
    check(pending(), started(), &["execution_started"], &[]);
    check(pending(), cached, &["execution_started", "gap_noted", "nodes_cached 1"], &[]);
    check(pending(), node_started("1"), &["execution_started", "gap_noted", "node_started 1"], &[]);
    check(pending(), reports(vec![finished("1")]), &["execution_started", "gap_noted", "node_finished 1"], &[]);
    check(pending(), found(RemoteStatus::Running), &["execution_started", "gap_noted"], &[]);
}

#[test]
fn hints_say_nothing_by_themselves() {
    for rig in [submitting(), pending(), running(), collecting()] {
        let prompt = PromptId::from(first());
        for hint in [
            ComfyEvent::Ending { prompt: prompt.clone() },
            ComfyEvent::WentIdle { prompt: Some(prompt) },
            ComfyEvent::WentIdle { prompt: None },
            ComfyEvent::QueueChanged { remaining: 1 },
            ComfyEvent::Unknown { kind: "crystools.monitor".into() },
        ] {
            check(rig.clone(), observe(hint), &[], &[]);
        }
    }
}

#[test]
fn a_frame_too_early_or_too_late_is_dropped() {
    for rig in [waiting(), staging(), collecting(), completed(), failed(), cancelled()] {
        check(rig.clone(), started(), &[], &[]);
        check(rig, node_started("1"), &[], &[]);
    }
    check(running(), in_queue(1), &[], &[]); // it was pending before it ran
}

#[test]
fn a_double_frame_says_nothing_new() {
    let twice = [
        started(),
        node_started("1"),
        step("1", 2, 4),
        reports(vec![finished("1"), report("2", 1, 4)]),
        produced("9", vec![file("a.png")]),
        observe(ComfyEvent::NodeTexted { node: "2".into(), text: "half way".into() }),
        observe(ComfyEvent::NodeBlocked { prompt: first().into(), node: "2".into(), message: "no".into() }),
        observe(ComfyEvent::Cached { prompt: first().into(), nodes: vec!["1".into(), "2".into()] }),
    ];
    let mut rig = pending();
    for input in twice {
        rig = then(rig, input.clone());
        rig = check(rig, input, &[], &[]);
    }
}

#[test]
fn a_foreign_frame_is_ignored() {
    let other = ComfyEvent::Started { prompt: PromptId("somebody-else".into()) };
    check(pending(), observe(other), &[], &[]);
    let mut rig = pending();
    rig.online("gpu-b");
    let elsewhere = Input::Observed(instance_id("gpu-b"), ComfyEvent::Started { prompt: first().into() });
    check(rig, elsewhere, &[], &[]);
    check(pending(), Input::Observed(instance_id("gpu-z"), ComfyEvent::QueueChanged { remaining: 0 }), &[], &[]);
}

#[test]
fn a_frame_without_a_prompt_belongs_to_the_one_that_runs() {
    let text = || observe(ComfyEvent::NodeTexted { node: "2".into(), text: "half way".into() });
    check(pending(), text(), &[], &[]);
    let rig = check(running(), text(), &["node_texted"], &[]);
    let view = RunView::of(rig.run(first()));
    assert_eq!(view.nodes[1].message.as_deref(), Some("half way"));
    let on_reconnect = observe(ComfyEvent::NodeStarted { prompt: None, node: "2".into() });
    check(then(running(), node_started("1")), on_reconnect, &["node_started 2"], &[]);
}

#[test]
fn cached_nodes_are_cached_even_if_visited() {
    let cached = || observe(ComfyEvent::Cached { prompt: first().into(), nodes: vec!["1".into(), "77".into()] });
    let rig = check(running(), cached(), &["nodes_cached 1"], &[]);
    let rig = check(rig, reports(vec![finished("1"), report("2", 0, 1)]), &["node_started 2"], &[]);
    assert_eq!((state(&rig, "1"), state(&rig, "2")), (NodeState::Cached, NodeState::Running));

    let done_first = then(running(), reports(vec![finished("1")]));
    let rig = check(done_first, cached(), &["nodes_cached 1"], &[]);
    assert_eq!(state(&rig, "1"), NodeState::Cached);
    assert_eq!(rig.run(first()).nodes().completed(), 1);

    let of_history =
        Ending { verdict: Verdict::Succeeded, cached: vec!["1".into(), "2".into()], outputs: vec![], parents: vec![] };
    let status = found(RemoteStatus::Ended(Box::new(of_history)));
    check(running(), status, &["nodes_cached 1+2", "execution_succeeded", "completed"], &[]);
}

#[test]
fn a_blocked_node_is_told_and_the_prompt_goes_on() {
    let blocked = observe(ComfyEvent::NodeBlocked { prompt: first().into(), node: "2".into(), message: "no mask".into() });
    let rig = check(running(), blocked, &["node_blocked 2"], &[]);
    assert_eq!(state(&rig, "2"), NodeState::Blocked);
    assert_eq!(rig.run(first()).warnings()[0].code, "node_blocked");
    check(rig, succeeded(), &["execution_succeeded", "completed"], &[]);
}

#[test]
fn inner_nodes_stand_under_the_one_that_made_them() {
    let inner = |id: &str, done| NodeReport { parent: Some("2".into()), ..report(id, done, 8) };
    let rig = then(running(), node_started("2"));
    let rig = check(rig, reports(vec![inner("2.0.0.1", 3)]), &["node_started 2.0.0.1", "nodes_progressed 2.0.0.1:3/8"], &[]);
    let rig = check(
        rig,
        reports(vec![NodeReport { parent: Some("2.0.0.1".into()), ..finished("2.0.0.1.0.0.5") }]),
        &["node_finished 2.0.0.1.0.0.5"],
        &[],
    );
    let run = rig.run(first());
    assert_eq!(run.nodes().total(), 3, "inner nodes do not count");
    let view = RunView::of(run);
    let ids: Vec<&str> = view.nodes.iter().map(|node| node.node_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "2.0.0.1", "2.0.0.1.0.0.5", "9"]);
    assert_eq!(view.nodes[2].parent_node_id, Some(NodeId::from("2")));
    assert!(!view.nodes[2].counts);
}

#[test]
fn every_node_is_shown_once_whoever_is_said_to_have_made_it() {
    let made_by = |id: &str, parent: &str| NodeReport { parent: Some(parent.into()), ..report(id, 0, 1) };
    let strange = vec![made_by("a", "nobody"), made_by("b", "b"), made_by("c", "d"), made_by("d", "c")];
    let rig = then(running(), reports(strange));
    let view = RunView::of(rig.run(first()));
    let mut ids: Vec<&str> = view.nodes.iter().map(|node| node.node_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "9", "a", "b", "c", "d"]);
}

#[test]
fn a_long_chain_of_inner_nodes_is_shown_too() {
    let reports_of =
        |n: u32| NodeReport { parent: Some(format!("n{}", n - 1).as_str().into()), ..report(&format!("n{n}"), 0, 1) };
    let rig = then(running(), reports((1..=5_000).map(reports_of).collect()));
    let view = RunView::of(rig.run(first()));
    assert_eq!(view.nodes.len(), 3 + 5_000);
}

#[test]
fn list_execution_begins_new_bars_in_one_node() {
    let mut rig = then(running(), node_started("2"));
    for (done, total) in [(1, 4), (4, 4), (1, 4), (2, 4)] {
        rig = check(rig, step("2", done, total), &[&format!("nodes_progressed 2:{done}/{total}")], &[]);
    }
    assert_eq!(state(&rig, "2"), NodeState::Running);
    let share = rig.run(first()).nodes().permille();
    assert_eq!(share, 333, "the share that was reached stays");
}

#[test]
fn several_nodes_may_run_at_a_time() {
    let rig = check(
        running(),
        reports(vec![report("1", 0, 1), report("2", 1, 4)]),
        &["node_started 1", "node_started 2", "nodes_progressed 2:1/4"],
        &[],
    );
    let rig = check(rig, node_started("2"), &[], &[]);
    assert_eq!((state(&rig, "1"), state(&rig, "2")), (NodeState::Running, NodeState::Running));
}

#[test]
fn what_never_ran_is_told_from_what_was_missed() {
    let seen = then(then(running(), node_started("1")), succeeded());
    assert_eq!((state(&seen, "1"), state(&seen, "2")), (NodeState::Done, NodeState::NotReached));
    let missed = then(then(then(running(), node_started("1")), frames_missed()), succeeded());
    assert_eq!((state(&missed, "1"), state(&missed, "2")), (NodeState::Done, NodeState::Done));
    let stopped = then(then(then(running(), node_started("1")), cancel()), interrupted());
    assert_eq!((state(&stopped, "1"), state(&stopped, "2")), (NodeState::Interrupted, NodeState::NotReached));
    let broken = then(then(running(), reports(vec![finished("1"), report("2", 0, 1)])), crashed_in("2"));
    assert_eq!(
        (state(&broken, "1"), state(&broken, "2"), state(&broken, "9")),
        (NodeState::Done, NodeState::Failed, NodeState::NotReached)
    );
    assert_eq!(RunView::of(broken.run(first())).failed_node().as_deref(), Some("2 Class2"));
}

#[test]
fn a_node_that_reaches_no_output_does_not_count() {
    let mut spec = small_run("gpu-a");
    let comfyd_engine::Workload::Prompt(prompt) = &mut spec.workload;
    prompt.nodes.push(comfyd_engine::testkit::planned_node("50", &[]));
    let rig = then(idle(), create(spec));
    assert_eq!(rig.run(first()).nodes().total(), 3);
    let rig = then(then(then(rig, accepted()), frames_missed()), succeeded());
    assert_eq!(state(&rig, "50"), NodeState::NotReached, "it never runs, seen or not");
}
