//! A run from its creation to each of its endings.

use comfyd_engine::testkit::{instance_id, run_id, sha256_of_zeros, small_run};
use comfyd_engine::{Ending, Input, LogRepaired, NodeProblem, NodeReport, Outcome, Refusal, RemoteStatus, Request, Verdict};

use crate::kit::*;

#[test]
fn a_run_that_goes_well() {
    let rig = check(idle(), create(small_run("gpu-a")), &["run_created", "submit_intended 1"], &["dispatch 1"]);
    let rig = check(rig, accepted(), &["submitted"], &[]);
    let rig = check(rig, in_queue(2), &["queue_moved 2"], &[]);
    let rig = check(rig, in_queue(2), &[], &[]);
    let rig = check(rig, started(), &["execution_started"], &[]);
    let rig = check(rig, node_started("1"), &["node_started 1"], &[]);
    let rig = check(rig, node_started("2"), &["node_finished 1", "node_started 2"], &[]);
    let rig = check(rig, step("2", 3, 20), &["nodes_progressed 2:3/20"], &[]);
    let rig = check(rig, produced("9", vec![file("a.png")]), &["outputs_found 1"], &["collect 1"]);
    let rig = check(rig, succeeded_with(&[("9", file("a.png"))]), &["execution_succeeded"], &[]);
    let rig = check(rig, saved(1), &["output_saved 1", "completed"], &[]);
    assert_eq!(phase(&rig), "completed");
    assert!(rig.run(first()).is_over());
}

#[test]
fn endings() {
    let rig = check(running(), succeeded(), &["execution_succeeded", "completed"], &[]);
    assert!(rig.run(first()).ended_at().is_some());
    check(running(), crashed_in("2"), &["failed node_failed"], &["read the log"]);
    check(running(), interrupted(), &["failed interrupted_remotely"], &[]);
    check(submitting(), rejected(), &["failed invalid_prompt"], &[]);
    check(staging(), answer(Outcome::StagingFailed { error: error("upload_refused") }), &["failed upload_refused"], &[]);
}

#[test]
fn nothing_moves_a_run_that_has_ended() {
    for rig in [completed(), failed(), cancelled()] {
        let inputs = [
            accepted(),
            rejected(),
            unclear(),
            started(),
            node_started("2"),
            step("2", 1, 4),
            succeeded(),
            crashed_in("1"),
            absent(),
            in_queue(1),
            found(RemoteStatus::Running),
            produced("9", vec![file("late.png")]),
            answer(Outcome::Stopped),
            answer(Outcome::CannotStop { why: "old".into() }),
            answer(staged()),
            Input::Restarted,
            Input::Deadline,
            frames_missed(),
        ];
        for input in inputs {
            check(rig.clone(), input, &[], &[]);
        }
        refuses(rig.clone(), cancel(), &Refusal::AlreadySettled(first()));
        refuses(rig, resubmit(), &Refusal::NotInDoubt(first()));
    }
}

#[test]
fn requests_that_are_refused() {
    refuses(running(), create(small_run("gpu-a")), &Refusal::Exists(first()));
    refuses(idle(), create(small_run("gpu-z")), &Refusal::UnknownInstance(instance_id("gpu-z")));
    refuses(idle(), cancel(), &Refusal::UnknownRun(first()));
    refuses(idle(), resubmit(), &Refusal::UnknownRun(first()));
    for rig in [waiting(), staging(), submitting(), in_doubt(), pending(), running(), collecting()] {
        refuses(rig, resubmit(), &Refusal::NotInDoubt(first()));
    }
}

#[test]
fn a_failed_node_is_named_with_a_hint() {
    let rig = failed();
    let error = rig.run(first()).error().expect("it failed");
    assert_eq!(
        (error.node_id.as_ref().map(comfyd_engine::NodeId::as_str), error.node_type.as_deref()),
        (Some("2"), Some("KSampler"))
    );
    assert!(error.hint.contains("GPU"), "{}", error.hint);
    assert_eq!(error.details.as_deref(), Some("torch.OutOfMemoryError\nat line 1"));
}

#[test]
fn blobs_of_a_run_travel_in_its_log() {
    let blobs = vec![(sha256_of_zeros(), b"{}".to_vec())];
    let request = Input::Request(first(), Request::Create { spec: Box::new(small_run("gpu-a")), blobs });
    check(idle(), request, &["run_created", "blob_stored", "submit_intended 1"], &["dispatch 1"]);
}

#[test]
fn staging_comes_before_the_post() {
    let rig = check(idle(), create(needs_staging()), &["run_created", "staging_started"], &["stage"]);
    let delayed = || answer(Outcome::StagingDelayed { why: "busy".into() });
    let rig = check(rig, delayed(), &["staging_delayed", "attention_raised staging_delayed"], &[]);
    let rig = check_after(rig, 3_999, Input::Deadline, &[], &[]);
    let rig = check_after(rig, 1, Input::Deadline, &["staging_started"], &["stage"]);
    let rig = check(rig, delayed(), &["staging_delayed"], &[]);
    let rig = check_after(rig, 4_000, Input::Deadline, &["staging_started"], &["stage"]);
    let rig = check(rig, answer(staged()), &["staged", "submit_intended 1"], &["dispatch 1"]);
    assert_eq!(attention(&rig), None);
    check(rig, answer(staged()), &[], &[]);

    let with_graph = Outcome::Staged { prompt: sha256_of_zeros(), outputs: vec![], uploaded: vec![], blob: Some(vec![1]) };
    check(staging(), answer(with_graph), &["blob_stored", "staged", "submit_intended 1"], &["dispatch 1"]);
}

#[test]
fn a_post_that_did_not_arrive_is_made_again_later() {
    let rig = check(submitting(), answer(not_sent()), &["submit_not_sent"], &[]);
    assert_eq!(rig.engine().next_deadline(), Some(rig.now().plus_ms(1_000)));
    let rig = check_after(rig, 999, Input::Deadline, &[], &[]);
    let rig = check_after(rig, 1, Input::Deadline, &["submit_intended 2"], &["dispatch 2"]);
    let again = answer_newest(&rig, not_sent());
    // Once is an accident; what goes on is told.
    let rig = check(rig, again, &["submit_not_sent", "attention_raised submit_delayed"], &[]);
    assert_eq!(rig.engine().next_deadline(), Some(rig.now().plus_ms(2_000)), "each wait doubles");
}

#[test]
fn an_answer_to_an_older_attempt_says_nothing_of_this_one() {
    let rig = then(submitting(), answer(not_sent()));
    let rig = check_after(rig, 1_000, Input::Deadline, &["submit_intended 2"], &["dispatch 2"]);
    for late in [not_sent(), taken(), Outcome::Unclear { why: "late".into() }, Outcome::Rejected { error: error("late") }] {
        check(rig.clone(), answer(late), &[], &[]);
    }
    let now = answer_newest(&rig, taken());
    check(rig, now, &["submitted"], &[]);
}

#[test]
fn an_answer_that_comes_in_doubt_ends_it() {
    let restarted = || then(submitting(), Input::Restarted);
    check(restarted(), accepted(), &["submitted"], &[]);
    check(restarted(), rejected(), &["failed invalid_prompt"], &[]);
    check(restarted(), answer(not_sent()), &["submit_not_sent"], &[]);
}

#[test]
fn the_servers_own_prompt_id_is_followed() {
    let theirs = comfyd_engine::PromptId("theirs".into());
    let accepted = Outcome::Accepted { prompt_id: theirs.clone(), problems: vec![], refused: vec![] };
    let rig = check(submitting(), answer(accepted), &["submitted"], &[]);
    assert_eq!(rig.engine().watched(&gpu()), [(first(), theirs.clone())]);
    check(rig, observe(comfyd_engine::ComfyEvent::Started { prompt: theirs }), &["execution_started"], &[]);
}

#[test]
fn refused_outputs_are_told_and_no_longer_count() {
    let mut spec = small_run("gpu-a");
    let comfyd_engine::Workload::Prompt(prompt) = &mut spec.workload;
    prompt.nodes.push(comfyd_engine::testkit::planned_node("10", &["1"]));
    prompt.outputs = Some(vec!["9".into(), "10".into()]);
    let problem = NodeProblem {
        node: "10".into(),
        class: "Save".into(),
        reason: "value_not_in_list".into(),
        input: Some("format".into()),
        value: None,
        allowed: None,
        message: "Value not in list".into(),
    };
    let partial =
        || answer(Outcome::Accepted { prompt_id: first().into(), problems: vec![problem.clone()], refused: vec!["10".into()] });
    let rig = then(idle(), create(spec));
    assert_eq!(rig.run(first()).nodes().total(), 4);
    let rig = check(rig, partial(), &["submitted", "outputs_refused"], &[]);
    let rig = check(rig, partial(), &[], &[]);
    assert_eq!(rig.run(first()).nodes().total(), 3);
    let warnings = rig.run(first()).warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].code, "outputs_refused");
    assert!(warnings[0].message.contains("`format`"), "{}", warnings[0].message);
    check(then(rig, started()), succeeded(), &["execution_succeeded", "completed"], &[]);
}

#[test]
fn history_alone_can_tell_the_whole_story() {
    let rig = check(
        pending(),
        succeeded_with(&[("9", file("a.png"))]),
        &["execution_started", "gap_noted", "outputs_found 1", "execution_succeeded"],
        &["collect 1"],
    );
    let done = rig.run(first()).nodes().iter().filter(|node| node.state == comfyd_engine::NodeState::Done).count();
    assert_eq!(done, 3, "nodes that ended unseen are taken for done");
    check(pending(), crashed_in("2"), &["execution_started", "gap_noted", "failed node_failed"], &["read the log"]);
    check(
        submitting(),
        ended(Verdict::Succeeded, &[]),
        &["submitted", "execution_started", "gap_noted", "execution_succeeded", "completed"],
        &[],
    );
}

#[test]
fn history_tells_who_made_an_inner_node() {
    let ending = Ending {
        verdict: Verdict::Succeeded,
        cached: vec![],
        outputs: vec![("2.0.0.1".into(), vec![text("a cat")])],
        parents: vec![("2.0.0.1".into(), "2".into())],
    };
    let status = || found(RemoteStatus::Ended(Box::new(ending.clone())));
    let facts = ["node_finished 2.0.0.1", "outputs_found 1", "execution_succeeded", "completed"];
    let rig = check(running(), status(), &facts, &[]);
    assert_eq!(rig.run(first()).nodes().get(&"2.0.0.1".into()).and_then(|node| node.parent.clone()), Some("2".into()));
    let seen = NodeReport { parent: Some("2".into()), ..finished("2.0.0.1") };
    check(then(running(), reports(vec![seen])), status(), &facts[1..], &[]);
}

#[test]
fn a_repaired_log_leaves_a_warning() {
    let repair = LogRepaired { offset: 20, bytes: 7, sha256: sha256_of_zeros() };
    for rig in [waiting(), running(), completed()] {
        let rig = check(rig, Input::Repaired(first(), repair.clone()), &["log_repaired"], &[]);
        assert_eq!(rig.run(first()).warnings()[0].code, "log_repaired");
    }
    check(idle(), Input::Repaired(run_id(7), repair), &[], &[]);
}

#[test]
fn only_a_run_that_is_over_can_be_dropped() {
    let mut engine = running().engine().clone();
    assert!(engine.retire(first()).is_none());
    let mut engine = completed().engine().clone();
    assert!(engine.retire(first()).is_some());
    assert!(engine.run(first()).is_none());
}
