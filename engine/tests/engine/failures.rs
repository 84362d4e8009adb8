//! What the instance's own log ended with, when a run failed there.

use comfyd_engine::{Command, Input, InstanceSource, Request, RunView};

use crate::kit::*;

#[test]
fn the_end_of_the_instances_log_is_noted_once() {
    let rig = failed();
    assert!(!rig.run(first()).is_over(), "it is asked for");
    assert!(RunView::of(rig.run(first())).owes_log);
    let lines = ["got prompt", "RuntimeError: out of memory"];
    let rig = check(rig, log_read(&lines), &["instance_log_noted"], &[]);
    assert_eq!(rig.run(first()).log_lines(), lines);
    assert!(rig.run(first()).is_over());
    let view = RunView::of(rig.run(first()));
    assert_eq!(view.error.expect("it failed").log_lines, lines);
    check(rig, log_read(&["what comes later is of others"]), &[], &[]);
}

#[test]
fn an_instance_that_does_not_tell_leaves_nothing_to_show() {
    let rig = check(failed(), log_read(&[]), &["instance_log_noted"], &[]);
    assert!(rig.run(first()).is_over());
    let view = serde_json::to_string(&RunView::of(rig.run(first()))).expect("a view is JSON");
    assert!(view.contains("node_failed") && !view.contains("log_lines"), "{view}");
}

#[test]
fn a_log_that_is_owed_holds_up_nobody() {
    let rig = check(failed(), Input::Request(first(), Request::LetGo), &["instance_log_noted"], &[]);
    assert!(rig.run(first()).is_over());
    let remove = Input::RemoveInstance { instance: gpu(), by: InstanceSource::Api };
    let rig = check(failed(), remove, &["instance_log_noted", "gpu-a:instance_removed"], &[]);
    assert!(rig.run(first()).is_over(), "the next machine of that name has another log");
}

#[test]
fn a_log_that_does_not_come_is_not_waited_for() {
    let rig = failed();
    let at = rig.run(first()).ended_at().expect("it has ended").plus_ms(30_000);
    assert_eq!(rig.engine().next_deadline(), Some(at));
    let rig = check_after(rig, 29_999, Input::Deadline, &[], &[]);
    let rig = check_after(rig, 1, Input::Deadline, &["instance_log_noted"], &[]);
    assert!(rig.run(first()).is_over());
    assert_eq!(rig.engine().next_deadline(), None);
}

#[test]
fn a_restart_asks_for_it_while_it_is_of_use() {
    let mut rig = failed();
    let owed: Vec<Command> = rig.crash().into_iter().map(|said| said.command).collect();
    assert_eq!(owed, [Command::ReadLog {}]);
    rig.wait_ms(30_000);
    let rig = check(rig, Input::Restarted, &["instance_log_noted"], &[]);
    assert!(rig.engine().outstanding().is_empty());
}

#[test]
fn other_endings_ask_for_no_log() {
    check(submitting(), rejected(), &["failed invalid_prompt"], &[]);
    check(running(), interrupted(), &["failed interrupted_remotely"], &[]);
    check(then(running(), restarted_remotely()), absent(), &["failed remote_restarted"], &[]);
    for rig in [completed(), cancelled()] {
        check(rig, log_read(&["not asked for"]), &[], &[]);
    }
}
