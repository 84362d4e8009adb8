//! When the fate of a prompt is not known: looking for it, giving up, posting it again.

use comfyd_engine::{Input, RemoteStatus};

use crate::kit::*;

#[test]
fn what_puts_a_run_in_doubt() {
    check(submitting(), unclear(), &["submit_in_doubt"], &["reconcile"]);
    check(submitting(), Input::Restarted, &["submit_in_doubt"], &["reconcile"]);
    let rig =
        check(then(pending(), restarted_remotely()), absent(), &["submit_in_doubt", "attention_raised remote_restarted"], &[]);
    assert_eq!(phase(&rig), "in_doubt");
}

#[test]
fn the_search_gives_up_after_five_absences_over_a_minute() {
    let mut rig = in_doubt();
    let begun = rig.now();
    for (n, ms) in [(1, 0), (2, 1_000), (3, 2_000), (4, 4_000), (5, 8_000), (6, 15_000)] {
        if ms > 0 {
            rig = check_after(rig, ms - 1, absent(), &[], &[]); // too soon to count
            rig.wait_ms(1);
        }
        rig = check(rig, absent(), &["absence_noted"], &[]);
        assert_eq!(attention(&rig), None, "after absence {n}");
    }
    assert_eq!(rig.engine().next_deadline(), Some(begun.plus_ms(60_000)));
    rig.wait_ms(29_999);
    rig = check(rig, absent(), &[], &[]);
    rig = check_after(rig, 1, absent(), &["absence_noted", "attention_raised submit_unknown"], &[]);
    assert_eq!(rig.now().since(begun), 60_000);
    assert_eq!(phase(&rig), "in_doubt", "it waits for the user");
    rig = check_after(rig, 59_999, absent(), &[], &[]);
    check_after(rig, 1, absent(), &["absence_noted"], &[]);
}

#[test]
fn a_minute_alone_or_five_absences_alone_do_not_end_the_search() {
    let rig = check(in_doubt(), absent(), &["absence_noted"], &[]);
    let mut rig = check_after(rig, 90_000, Input::Deadline, &[], &[]);
    for ms in [0, 2_000, 4_000] {
        rig = check_after(rig, ms, absent(), &["absence_noted"], &[]);
    }
    check_after(rig, 8_000, absent(), &["absence_noted", "attention_raised submit_unknown"], &[]);
}

#[test]
fn a_late_sighting_moves_it_on_at_any_time() {
    for rig in [in_doubt(), given_up()] {
        let found_there = check(rig.clone(), in_queue(3), &["submitted", "queue_moved 3"], &[]);
        assert_eq!(attention(&found_there), None);
        check(rig.clone(), found(RemoteStatus::Running), &["submitted", "execution_started", "gap_noted"], &[]);
        check(rig.clone(), started(), &["submitted", "execution_started"], &[]);
        let whole = ["submitted", "execution_started", "gap_noted", "execution_succeeded", "completed"];
        check(rig, succeeded(), &whole, &[]);
    }
}

#[test]
fn the_user_may_have_it_posted_again_under_the_same_id() {
    let rig = check(given_up(), resubmit(), &["resubmit_requested", "submit_intended 2"], &["dispatch 2"]);
    assert_eq!(attention(&rig), None);
    assert_eq!(rig.run(first()).prompt_id(), &first().into());
    let again = answer_newest(&rig, taken());
    check(rig, again, &["submitted"], &[]);
}

#[test]
fn a_restarted_instance_ends_what_it_ran_and_puts_what_waited_in_doubt() {
    let rig = check(running(), restarted_remotely(), &["gpu-a:instance_restarted"], &[]);
    check(rig, absent(), &["failed remote_restarted"], &[]);

    let rig = then(then(pending(), restarted_remotely()), absent());
    assert_eq!(attention(&rig), Some("remote_restarted"));
    check(rig.clone(), resubmit(), &["resubmit_requested", "submit_intended 2"], &["dispatch 2"]);
    check(rig, absent(), &["absence_noted"], &[]); // attention stays what it was

    let rig = then(in_doubt(), restarted_remotely());
    check(rig, absent(), &["absence_noted", "attention_raised submit_unknown"], &[]);
}

#[test]
fn a_restart_before_the_post_is_no_restart_for_the_prompt() {
    let rig = then(idle(), restarted_remotely());
    let rig = then(then(rig, create(comfyd_engine::testkit::small_run("gpu-a"))), accepted());
    check(then(rig, started()), absent(), &["absence_noted"], &[]);
}

#[test]
fn a_prompt_that_was_there_is_gone_after_three_absences_in_a_row() {
    for rig in [pending(), running()] {
        let rig = check(rig, absent(), &["absence_noted"], &[]);
        let rig = check_after(rig, 2_000, absent(), &["absence_noted"], &[]);
        let too_soon = check_after(rig.clone(), 1_999, absent(), &["absence_noted"], &[]);
        check_after(too_soon, 1, absent(), &["submit_in_doubt", "attention_raised submit_unknown"], &[]);
        let rig = check_after(rig, 2_000, absent(), &["submit_in_doubt", "attention_raised submit_unknown"], &[]);
        check(rig, resubmit(), &["resubmit_requested", "submit_intended 2"], &["dispatch 2"]);
    }
}

#[test]
fn a_sighting_between_absences_begins_the_count_again() {
    let rig = then(then(running(), absent()), absent());
    let rig = check(rig, found(RemoteStatus::Running), &["execution_started"], &[]);
    let rig = check(rig, found(RemoteStatus::Running), &[], &[]);
    let rig = check_after(rig, 60_000, absent(), &["absence_noted"], &[]);
    assert_eq!(phase(&rig), "running");

    let rig = then(then(then(pending(), in_queue(1)), absent()), absent());
    let rig = check(rig, in_queue(1), &["queue_moved 1"], &[]);
    let rig = check_after(rig, 60_000, absent(), &["absence_noted"], &[]);
    assert_eq!(phase(&rig), "pending");
}

#[test]
fn what_was_posted_again_has_its_limits_before_it() {
    let lost = || then(then(running(), absent()), absent());
    let mut rig = lost();
    rig.wait_ms(4_000);
    let mut rig = then(rig, absent());
    rig.wait_ms(25 * 3_600_000);
    let rig = then(rig, resubmit());
    let again = answer_newest(&rig, taken());
    let rig = check(rig, again, &["submitted"], &[]);
    let rig = check(rig, Input::Deadline, &[], &[]); // no queue_timeout of the first attempt
    let rig = check(rig, started(), &["execution_started"], &[]);
    check(rig, Input::Deadline, &[], &[]); // nor its time_limit
}

#[test]
fn a_crash_of_ours_never_posts_again() {
    for (mut rig, owed) in [(submitting(), 1), (in_doubt(), 1), (pending(), 1), (running(), 1), (waiting(), 0)] {
        let asked = rig.crash();
        assert_eq!(asked.len(), owed, "in {}", phase(&rig));
        assert!(asked.iter().all(|said| matches!(said.command, comfyd_engine::Command::Reconcile { .. })));
    }
    let mut rig = submitting();
    rig.crash();
    let rig = check(rig, up(), &["gpu-a:instance_up"], &[]);
    assert_eq!(phase(&rig), "in_doubt");
    assert_eq!(rig.run(first()).attempts(), 1);
}

#[test]
fn a_name_given_after_a_restart_is_not_given_again() {
    let mut rig = then(running(), frames_missed());
    let owed = rig.crash();
    assert_eq!(owed.len(), 1);
    rig = check(then(rig, up()), cancel(), &["cancel_requested"], &["interrupt"]);
    let names: std::collections::BTreeSet<_> = rig.said().iter().chain(&owed).map(|said| &said.id).collect();
    assert_eq!(names.len(), rig.said().len() + owed.len());
}

#[test]
fn what_was_told_and_not_written_is_asked_for_again() {
    check(submitting(), Input::CaughtUp(vec![first()]), &["submit_in_doubt"], &["reconcile"]);
    check(running(), Input::CaughtUp(vec![first()]), &["gap_noted"], &[]);
    check(submitting(), Input::CaughtUp(vec![]), &[], &[]);
}
