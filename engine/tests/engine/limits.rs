//! Time limits: waiting in an idle instance's queue, and running.

use comfyd_engine::testkit::{Rig, run_id, small_run};
use comfyd_engine::{ComfyEvent, Ending, Input, Limits, Outcome, RemoteStatus, Verdict};

use crate::kit::*;

const QUEUE: u64 = 30 * 60_000;
const RUN: u64 = 24 * 3_600_000;

#[test]
fn waiting_too_long_in_an_idle_instances_queue() {
    let rig = pending();
    assert_eq!(rig.engine().next_deadline(), Some(rig.now().plus_ms(QUEUE)));
    let rig = check_after(rig, QUEUE - 1, Input::Deadline, &[], &[]);
    let rig = check_after(rig, 1, Input::Deadline, &["limit_reached"], &["dequeue"]);
    check(rig.clone(), absent(), &["failed queue_timeout"], &[]);
    let lost_the_race = check(rig, started(), &["execution_started"], &["interrupt"]);
    check(lost_the_race.clone(), interrupted(), &["failed queue_timeout"], &[]);
    check(lost_the_race, succeeded(), &["execution_succeeded", "completed"], &[]);
}

#[test]
fn only_the_instances_queue_counts() {
    for rig in [waiting(), submitting(), in_doubt(), staging()] {
        check_after(rig, 10 * QUEUE, Input::Deadline, &[], &[]);
    }
}

#[test]
fn time_without_the_link_does_not_count() {
    let rig = then(pending(), down("timeout"));
    assert_eq!(rig.engine().next_deadline(), None);
    let rig = check_after(rig, 2 * QUEUE, Input::Deadline, &[], &[]);
    let rig = then(rig, up());
    let rig = check_after(rig, QUEUE - 1, Input::Deadline, &[], &[]);
    check_after(rig, 1, Input::Deadline, &["limit_reached"], &["dequeue"]);
}

/// The first run is in the queue, the second one runs before it.
fn behind_the_second() -> Rig {
    let rig = then(idle(), create_as(run_id(2), small_run("gpu-a")));
    let rig = then(rig, second(ComfyEvent::Started { prompt: run_id(2).into() }));
    let rig = then(rig, create(small_run("gpu-a")));
    let answer = answer_newest(&rig, taken());
    then(rig, answer)
}

fn second(event: ComfyEvent) -> Input {
    Input::Observed(gpu(), event)
}

fn second_is(status: RemoteStatus) -> Input {
    Input::Reconciled(run_id(2), status)
}

#[test]
fn time_behind_a_run_of_ours_does_not_count() {
    let rig = check_after(behind_the_second(), 2 * QUEUE, Input::Deadline, &[], &[]);
    let ending = Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] };
    let over = second_is(RemoteStatus::Ended(Box::new(ending)));
    let rig = check(rig, over, &["2:execution_succeeded", "2:completed"], &[]);
    let rig = check_after(rig, QUEUE - 1, Input::Deadline, &[], &[]);
    check_after(rig, 1, Input::Deadline, &["limit_reached"], &["dequeue"]);
}

#[test]
fn a_run_that_vanished_counts_as_running_until_then() {
    let mut rig = check_after(behind_the_second(), 2 * QUEUE, Input::Deadline, &[], &[]);
    for _ in 0..2 {
        rig = check_after(rig, 2_000, second_is(RemoteStatus::Absent), &["2:absence_noted"], &[]);
    }
    let lost = ["2:submit_in_doubt", "2:attention_raised submit_unknown"];
    let rig = check_after(rig, 2_000, second_is(RemoteStatus::Absent), &lost, &[]);
    let rig = check_after(rig, QUEUE - 1, Input::Deadline, &[], &[]);
    check_after(rig, 1, Input::Deadline, &["limit_reached"], &["dequeue"]);
}

#[test]
fn runs_that_never_ran_do_not_stop_the_clock() {
    let ahead = Limits { submitted_ahead: 2, ..Limits::default() };
    let mut rig = then(then(idle_with(ahead), create(small_run("gpu-a"))), accepted());
    rig.wait_ms(QUEUE - 10);
    let rig = then(rig, create_as(run_id(2), small_run("gpu-a")));
    let post = rig.newest_dispatch(run_id(2)).expect("there is room for it");
    let refused = Input::Outcome(post, Outcome::Rejected { error: error("invalid_prompt") });
    let rig = check(rig, refused, &["2:failed invalid_prompt"], &[]);
    check_after(rig, 10, Input::Deadline, &["limit_reached"], &["dequeue"]);
}

#[test]
fn running_too_long() {
    let rig = running();
    assert_eq!(rig.engine().next_deadline(), Some(rig.now().plus_ms(RUN)));
    let rig = check_after(rig, RUN - 1, Input::Deadline, &[], &[]);
    let rig = check_after(rig, 1, Input::Deadline, &["limit_reached"], &["interrupt"]);
    let rig = check(rig, answer(Outcome::Stopped), &["stop_sent"], &[]);
    check(rig.clone(), cancel(), &[], &[]); // it is being stopped already
    check(rig, interrupted(), &["failed time_limit"], &[]);
}

#[test]
fn a_limit_that_cannot_be_enforced_is_told_once() {
    let mut rig = running();
    rig.wait_ms(RUN);
    let rig = then(rig, Input::Deadline);
    let cannot = answer(Outcome::CannotStop { why: "it ignores the id".into() });
    let rig = check(rig, cannot, &["cancel_refused", "attention_raised cancel_refused"], &[]);
    assert_eq!(rig.engine().next_deadline(), None);
    let rig = check_after(rig, RUN, Input::Deadline, &[], &[]);
    check(rig, cancel_by_force(), &["cancel_requested"], &["interrupt by force"]);
}

#[test]
fn a_deadline_that_passed_is_not_asked_for_again() {
    let mut offline = then(submitting(), answer(not_sent()));
    offline = then(offline, down("refused"));
    let rigs = [offline, pending(), running(), given_up(), then(running(), cancel())];
    for mut rig in rigs {
        while let Some(at) = rig.engine().next_deadline().filter(|at| at.0 < 3 * RUN) {
            assert!(at > rig.now(), "{} asks for {at} at {}", phase(&rig), rig.now());
            rig.wait_ms(at.since(rig.now()));
            rig = then(rig, Input::Deadline);
        }
    }
}
