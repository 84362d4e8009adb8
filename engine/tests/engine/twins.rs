//! A prompt that was posted again: by itself where that is wanted, and what happens if the instance had the first one after all.

use comfyd_engine::testkit::Rig;
use comfyd_engine::{Input, InstanceSource, Limits, Outcome, RemoteStatus, Request, RunView};

use crate::kit::*;

/// An instance whose lost prompts are posted again by themselves.
fn eager() -> Rig {
    let rig = idle_with(Limits { resubmit_unknown: true, ..Limits::default() });
    then(rig, create(comfyd_engine::testkit::small_run("gpu-a")))
}

/// Looked for until that can be given up; the last absence is still to be told.
fn almost_given_up(mut rig: Rig) -> Rig {
    for ms in [0, 1_000, 2_000, 4_000, 8_000, 15_000] {
        rig.wait_ms(ms);
        rig = then(rig, absent());
    }
    rig.wait_ms(30_000);
    rig
}

const AGAIN: [&str; 3] = ["absence_noted", "resubmit_requested by policy", "submit_intended 2"];

/// Posted again by hand, and there.
fn resubmitted() -> Rig {
    let rig = then(given_up(), resubmit());
    let again = answer_newest(&rig, taken());
    check(rig, again, &["submitted"], &[])
}

fn twin() -> Input {
    Input::TwinSeen(first())
}

#[test]
fn a_lost_prompt_is_posted_again_if_that_is_wanted() {
    let rig = almost_given_up(then(eager(), unclear()));
    let rig = check(rig, absent(), &AGAIN, &["dispatch 2"]);
    assert_eq!((rig.run(first()).prompt_id(), attention(&rig)), (&first().into(), None));
}

#[test]
fn it_is_posted_again_only_so_often() {
    let mut rig = eager();
    for attempt in 1..=3 {
        let lost = if attempt == 1 { unclear() } else { answer_newest(&rig, Outcome::Unclear { why: "reset".into() }) };
        rig = almost_given_up(then(rig, lost));
        rig = then(rig, absent());
        assert_eq!((phase(&rig), rig.run(first()).attempts()), ("submitting", attempt + 1));
    }
    let lost = answer_newest(&rig, Outcome::Unclear { why: "reset".into() });
    rig = almost_given_up(then(rig, lost));
    let rig = check(rig, absent(), &["absence_noted", "attention_raised submit_unknown"], &[]);
    check(rig, resubmit(), &["resubmit_requested", "submit_intended 5"], &["dispatch 5"]);
}

#[test]
fn what_may_have_begun_waits_for_a_person_whatever_is_wanted() {
    // The process is another one: what the first one did nobody knows.
    let rig = then(then(eager(), unclear()), restarted_remotely());
    let rig = check(rig, absent(), &["absence_noted", "attention_raised submit_unknown"], &[]);
    let rig = almost_given_up(rig);
    check(rig, absent(), &["absence_noted"], &[]);
    // It had arrived, and somebody took it away.
    let mut rig = then(eager(), accepted());
    for ms in [0, 2_000, 2_000] {
        rig.wait_ms(ms);
        rig = then(rig, absent());
    }
    assert_eq!((phase(&rig), attention(&rig)), ("in_doubt", Some("submit_unknown")));
    let rig = almost_given_up(rig);
    let rig = check(rig, absent(), &["absence_noted"], &[]);
    // That somebody wants it all the same is a word for this once.
    let rig = check(rig, resubmit(), &["resubmit_requested", "submit_intended 2"], &["dispatch 2"]);
    let lost = answer_newest(&rig, Outcome::Unclear { why: "reset".into() });
    let rig = almost_given_up(then(rig, lost));
    check(rig, absent(), &["absence_noted", "attention_raised submit_unknown"], &[]);
    // It is to be stopped.
    let rig = then(then(eager(), unclear()), cancel());
    check(almost_given_up(rig), absent(), &["absence_noted", "cancelled"], &[]);
}

#[test]
fn a_run_that_waits_for_a_person_goes_on_once_it_is_wanted() {
    let rig = given_up();
    let mut engine = rig.engine().clone();
    engine.limit(Limits { resubmit_unknown: true, ..Limits::default() });
    let now = rig.now().plus_ms(60_000);
    let step = engine.handle(now, absent()).expect("nothing is asked for");
    assert_step(&step, &AGAIN, &["dispatch 2"]);
}

#[test]
fn a_second_one_is_taken_out_of_the_queue() {
    for rig in [resubmitted(), then(resubmitted(), started())] {
        let rig = check(rig, twin(), &["twin_found"], &["delete the twin"]);
        let rig = check_after(rig, 4_999, twin(), &[], &[]);
        let rig = check_after(rig, 1, twin(), &["twin_found"], &["delete the twin"]);
        let rig = check(rig, answer_to(99, Outcome::TwinDeleted), &["twin_deleted"], &[]);
        assert!(rig.run(first()).warnings().is_empty(), "nothing ran twice");
        check(rig, answer_to(99, Outcome::TwinDeleted), &[], &[]);
    }
    check(resubmitted(), answer_to(99, Outcome::TwinKept { why: "gone".into() }), &[], &[]);
}

#[test]
fn it_is_looked_for_also_after_the_end() {
    let ended = || then(then(resubmitted(), started()), succeeded());
    assert_eq!(phase(&ended()), "completed");
    assert!(!ended().run(first()).is_over() && RunView::of(ended().run(first())).twin_watch);
    assert_eq!(ended().engine().watched(&gpu()).len(), 1);
    let rig = check(ended(), in_queue(1), &["twin_found"], &["delete the twin"]);
    let rig = check(rig, answer_to(99, Outcome::TwinDeleted), &["twin_deleted"], &[]);
    let until = rig.engine().next_deadline().expect("it ends");
    assert_eq!(until.since(rig.now()), 60_000);
    let rig = check_after(rig, 60_000, Input::Deadline, &["twin_watch_ended"], &[]);
    assert!(rig.run(first()).is_over() && !RunView::of(rig.run(first())).twin_watch);
    assert!(rig.engine().watched(&gpu()).is_empty());
    check(rig, in_queue(1), &[], &[]);
}

#[test]
fn a_run_that_is_to_be_removed_is_let_go_though_a_twin_of_it_is_looked_for() {
    let ended = || then(then(resubmitted(), started()), succeeded());
    let rig = check(ended(), Input::Request(first(), Request::LetGo), &["twin_watch_ended"], &[]);
    assert!(rig.run(first()).is_over());
    let remove = Input::RemoveInstance { instance: gpu(), by: InstanceSource::Api };
    check(ended(), remove, &["twin_watch_ended", "gpu-a:instance_removed"], &[]);
    // One that runs goes on to be watched.
    check(then(resubmitted(), started()), Input::Request(first(), Request::LetGo), &[], &[]);
}

#[test]
fn one_that_runs_is_left_alone_and_told() {
    let rig = then(then(resubmitted(), started()), succeeded());
    let rig = check(rig, found(RemoteStatus::Running), &["twin_found running"], &[]);
    let rig = check(rig, found(RemoteStatus::Running), &[], &[]);
    assert_eq!(rig.run(first()).warnings()[0].code, "ran_twice");
    assert_eq!(phase(&rig), "completed");
    let failed = then(then(resubmitted(), started()), crashed_in("2"));
    check(failed, found(RemoteStatus::Running), &["twin_found running"], &[]);
    // One that was given up, not ended, may be the first.
    let given_up = then(then(then(resubmitted(), started()), down("gone")), cancel_by_force());
    assert_eq!(phase(&given_up), "cancelled");
    check(given_up, found(RemoteStatus::Running), &[], &[]);
}

#[test]
fn what_was_posted_once_has_no_twin() {
    check(pending(), twin(), &[], &[]);
    check(completed(), in_queue(1), &[], &[]);
    check(completed(), found(RemoteStatus::Running), &[], &[]);
    assert!(completed().run(first()).is_over());
    // Nor has one that was posted again as it had certainly not arrived.
    let mut rig = then(submitting(), answer(not_sent()));
    rig.wait_ms(60_000);
    let rig = then(rig, Input::Deadline);
    let again = answer_newest(&rig, taken());
    check(then(rig, again), twin(), &[], &[]);
}

#[test]
fn a_restart_takes_it_out_all_the_same() {
    let mut rig = check(resubmitted(), twin(), &["twin_found"], &["delete the twin"]);
    let owed: Vec<_> = rig.crash().into_iter().map(|said| said.command).collect();
    assert!(owed.iter().any(|command| matches!(command, comfyd_engine::Command::DeleteTwin { .. })), "{owed:?}");
}
