//! Stopping a run, in whatever phase the wish meets it.

use comfyd_engine::{Input, Outcome, Refusal};

use crate::kit::*;

#[test]
fn cancelling() {
    check(waiting(), cancel(), &["cancel_requested", "cancelled"], &[]); // nothing had left the house
    check(staging(), cancel(), &["cancel_requested", "cancelled"], &[]);
    check(submitting(), cancel(), &["cancel_requested"], &[]); // acted on when the answer comes
    check(in_doubt(), cancel(), &["cancel_requested"], &[]);
    check(given_up(), cancel(), &["cancel_requested", "cancelled"], &[]); // it was looked for long enough
    check(pending(), cancel(), &["cancel_requested"], &["dequeue"]);
    check(running(), cancel(), &["cancel_requested"], &["interrupt"]);
    check(running(), cancel_by_force(), &["cancel_requested"], &["interrupt by force"]);
    check(collecting(), cancel(), &["cancel_requested", "cancelled"], &[]);
    refuses(completed(), cancel(), &Refusal::AlreadySettled(first()));
    refuses(failed(), cancel(), &Refusal::AlreadySettled(first()));
    refuses(cancelled(), cancel(), &Refusal::AlreadySettled(first()));
}

#[test]
fn asking_twice_is_asking_once_unless_the_second_time_is_more_serious() {
    let stopping = || then(running(), cancel());
    check(stopping(), cancel(), &[], &[]);
    let rig = check(stopping(), cancel_by_force(), &["cancel_requested"], &["interrupt by force"]);
    check(rig, cancel(), &[], &[]);
}

#[test]
fn a_wish_that_met_a_post_under_way_is_acted_on_when_the_answer_comes() {
    let stopping = || then(submitting(), cancel());
    check(stopping(), accepted(), &["submitted"], &["dequeue"]);
    check(stopping(), started(), &["submitted", "execution_started"], &["dequeue", "interrupt"]);
    check(stopping(), answer(not_sent()), &["submit_not_sent", "cancelled"], &[]);
    check(stopping(), rejected(), &["failed invalid_prompt"], &[]);
    check(stopping(), unclear(), &["submit_in_doubt"], &["reconcile"]);
}

#[test]
fn a_cancel_that_lost_the_race_still_interrupts() {
    let rig = then(pending(), cancel());
    check(rig, started(), &["execution_started"], &["interrupt"]);
    let rig = then(pending(), cancel_by_force());
    check(rig, started(), &["execution_started"], &["interrupt by force"]);
}

#[test]
fn cancelled_is_said_only_when_proven() {
    let dequeued = || then(pending(), cancel());
    check(dequeued(), answer(Outcome::Stopped), &["stop_sent"], &[]);
    check(dequeued(), absent(), &["cancelled"], &[]);
    check(dequeued(), succeeded(), &["execution_started", "gap_noted", "execution_succeeded", "completed"], &["interrupt"]);

    let interrupting = || then(running(), cancel());
    check(interrupting(), answer(Outcome::Stopped), &["stop_sent"], &[]);
    check(interrupting(), interrupted(), &["cancelled"], &[]);
    check(interrupting(), absent(), &["absence_noted"], &[]);
    check(interrupting(), succeeded(), &["execution_succeeded", "completed"], &[]); // the wish came too late
    check(interrupting(), crashed_in("2"), &["failed node_failed"], &["read the log"]);

    let gone = then(then(interrupting(), absent()), absent());
    check_after(gone, 4_000, absent(), &["cancelled"], &[]);
    check(then(interrupting(), restarted_remotely()), absent(), &["cancelled"], &[]);
}

#[test]
fn a_run_in_doubt_is_looked_for_before_it_is_called_cancelled() {
    let mut rig = then(in_doubt(), cancel());
    for ms in [0, 1_000, 2_000, 4_000, 8_000] {
        rig = check_after(rig, ms, absent(), &["absence_noted"], &[]);
    }
    rig = check_after(rig, 44_999, Input::Deadline, &[], &[]);
    check_after(rig, 1, Input::Deadline, &["cancelled"], &[]);

    let rig = then(in_doubt(), cancel());
    check(rig, in_queue(1), &["submitted", "queue_moved 1"], &["dequeue"]);
}

#[test]
fn a_run_that_is_being_stopped_is_not_posted_again() {
    let mut rig = then(then(pending(), restarted_remotely()), absent());
    assert_eq!(attention(&rig), Some("remote_restarted"));
    rig = then(rig, cancel());
    assert_eq!(phase(&rig), "in_doubt");
    refuses(rig, resubmit(), &Refusal::NotInDoubt(first()));
}

#[test]
fn a_stop_without_effect_is_sent_again() {
    for (rig, command) in [(then(pending(), cancel()), "dequeue"), (then(running(), cancel()), "interrupt")] {
        assert_eq!(rig.engine().next_deadline(), Some(rig.now().plus_ms(5_000)));
        let rig = check(rig, answer(Outcome::NotStopped { why: "timeout".into() }), &[], &[]);
        let rig = check_after(rig, 4_999, Input::Deadline, &[], &[]);
        let rig = check_after(rig, 1, Input::Deadline, &["stop_repeated"], &[command]);
        let rig = check_after(rig, 3_000, answer(Outcome::Stopped), &["stop_sent"], &[]);
        let rig = check_after(rig, 4_999, Input::Deadline, &[], &[]);
        check_after(rig, 1, Input::Deadline, &["stop_repeated"], &[command]);
    }
}

#[test]
fn a_stop_waits_for_the_link() {
    let rig = then(then(running(), cancel()), down("timeout"));
    assert_eq!(rig.engine().next_deadline(), None);
    let rig = check_after(rig, 60_000, Input::Deadline, &[], &[]);
    let back = ["gpu-a:instance_up", "attention_cleared unreachable", "stop_repeated"];
    check(rig, up(), &back, &["interrupt"]);
}

#[test]
fn a_server_that_cannot_stop_it_safely() {
    let cannot = || answer(Outcome::CannotStop { why: "it ignores the id".into() });
    let rig = then(running(), cancel());
    let rig = check(rig, cannot(), &["cancel_refused", "attention_raised cancel_refused"], &[]);
    assert!(!rig.run(first()).is_stopping());
    let rig = check_after(rig, 60_000, Input::Deadline, &[], &[]);
    check(rig.clone(), cancel(), &["cancel_requested"], &["interrupt"]);
    let rig = check(rig, cancel_by_force(), &["cancel_requested"], &["interrupt by force"]);
    assert_eq!(attention(&rig), None);
    check(rig, interrupted(), &["cancelled"], &[]);
    check(running(), cannot(), &[], &[]); // nobody asked
}

#[test]
fn after_a_restart_the_stop_is_asked_for_again() {
    let words = |owed: Vec<comfyd_engine::Addressed>| owed.into_iter().map(|said| said.command).collect::<Vec<_>>();
    let mut rig = then(pending(), cancel());
    assert!(matches!(words(rig.crash())[..], [comfyd_engine::Command::Dequeue { .. }]));
    let mut rig = then(running(), cancel_by_force());
    assert!(matches!(words(rig.crash())[..], [comfyd_engine::Command::Interrupt { force: true, .. }]));
}

#[test]
fn a_run_on_an_instance_that_is_gone_can_be_given_up() {
    let stopping = || then(then(running(), cancel()), down("no route"));
    assert_eq!(phase(&stopping()), "running", "an ordinary wish waits for proof");
    check(stopping(), cancel_by_force(), &["cancel_requested", "cancelled"], &["interrupt by force"]);
    // While it answers, force is no shortcut.
    check(then(running(), cancel()), cancel_by_force(), &["cancel_requested"], &["interrupt by force"]);
}
