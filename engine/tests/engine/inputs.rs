//! What a run uploaded is removed: when it is over, where that is possible, and never under another run.

use comfyd_engine::testkit::{Rig, run_id, sha256_of_zeros};
use comfyd_engine::{
    ClientId, Connection, Expect, Input, InputLeft, InstanceSetup, InstanceSource, Limits, Outcome, Refusal, Request, RunEvent,
    RunId, RunSpec, Sha256, SshConnection, Upload, UploadedFile,
};

use crate::kit::*;

const NAME: &str = "comfyd_0000000000000000_lientssh.png";
const OTHER: &str = "comfyd_aaaaaaaaaaaaaaaa_lientssh.png";

fn set(url: &str, port: u16) -> Input {
    let connection = if url.starts_with("ssh:") {
        let (identity, password_file, output_dir) = (None, None, None);
        Connection::Ssh(SshConnection {
            url: url.into(),
            command: "ssh gpu".into(),
            comfyui_port: port,
            identity,
            password_file,
            output_dir,
        })
    } else {
        Connection::Url(url.into())
    };
    let setup = InstanceSetup { connection, label: None, source: InstanceSource::Api, default: false };
    Input::SetInstance { instance: gpu(), client: ClientId("client-ssh".into()), setup, expect: Expect::Any }
}

fn over_ssh() -> Rig {
    let limits = Limits { submitted_ahead: 3, ..Limits::default() };
    then(then(Rig::new(limits), set("ssh://gpu", 1)), up())
}

fn blob(digit: &str) -> Sha256 {
    digit.repeat(64).parse().expect("64 hex digits")
}

fn with_picture(digit: &str) -> RunSpec {
    let mut spec = needs_staging();
    let comfyd_engine::Workload::Prompt(prompt) = &mut spec.workload;
    prompt.uploads = vec![Upload { blob: blob(digit), node: "1".into(), input: "image".into(), file_name: "cat.png".into() }];
    spec
}

fn staged_as(run: RunId, name: &str) -> Input {
    let uploaded = vec![UploadedFile { node: "1".into(), input: "image".into(), name: name.into() }];
    answer_of(run, Outcome::Staged { prompt: sha256_of_zeros(), outputs: vec!["9".into()], uploaded, blob: None })
}

fn answer_of(run: RunId, outcome: Outcome) -> Input {
    let Input::Outcome(mut id, outcome) = answer_to(99, outcome) else { unreachable!("it is an answer") };
    id.stream = comfyd_engine::StreamId::Run(run);
    Input::Outcome(id, outcome)
}

fn removed(run: RunId) -> Input {
    answer_of(run, Outcome::InputsRemoved { removed: vec![NAME.into()], left: vec![] })
}

fn delayed(run: RunId) -> Input {
    answer_of(run, Outcome::InputsDelayed { why: "no way".into() })
}

/// The first run, with its picture, and ended well but for the last word.
fn runs(rig: Rig) -> Rig {
    let rig = then(then(rig, create(with_picture("0"))), staged_as(first(), NAME));
    then(then(rig, accepted()), started())
}

fn removing() -> Rig {
    then(runs(over_ssh()), succeeded())
}

#[test]
fn what_was_uploaded_goes_when_the_run_is_over() {
    let rig = check(
        runs(over_ssh()),
        succeeded(),
        &["execution_succeeded", "completed", "inputs_removal_intended"],
        &[&format!("remove {NAME}")],
    );
    assert!(!rig.run(first()).is_over() && rig.run(first()).is_done());
    let rig = check(rig, removed(first()), &["inputs_removed"], &[]);
    assert!(rig.run(first()).is_over());
    check(rig, removed(first()), &[], &[]);
}

#[test]
fn the_name_that_the_instance_gave_counts() {
    let rig = then(then(over_ssh(), create(with_picture("0"))), staged_as(first(), "comfyd_0 (1).png"));
    let rig = then(then(rig, accepted()), started());
    check(rig, succeeded(), &["execution_succeeded", "completed", "inputs_removal_intended"], &["remove comfyd_0 (1).png"]);
}

#[test]
fn outputs_come_first() {
    let rig = then(runs(over_ssh()), produced("9", vec![file("a.png")]));
    let rig = check(rig, succeeded(), &["execution_succeeded"], &[]);
    check(rig, saved(1), &["output_saved 1", "completed", "inputs_removal_intended"], &[&format!("remove {NAME}")]);
}

#[test]
fn a_direct_instance_is_asked_for_nothing() {
    let rig = then(then(idle(), create(with_picture("0"))), staged_as(first(), NAME));
    let rig = then(then(rig, accepted()), started());
    let rig = check(rig, succeeded(), &["execution_succeeded", "completed"], &[]);
    assert!(rig.run(first()).is_over());
}

#[test]
fn uploads_that_were_cut_off_go_too() {
    let rig = then(over_ssh(), create(with_picture("0")));
    check(rig, cancel(), &["cancel_requested", "cancelled", "inputs_removal_intended"], &[&format!("remove {NAME}")]);
    // Before it began there was nothing.
    let rig = then(then(over_ssh(), down("away")), create(with_picture("0")));
    check(rig, cancel(), &["cancel_requested", "cancelled"], &[]);
}

#[test]
fn the_last_of_several_runs_removes_what_they_share() {
    let second = run_id(2);
    let rig = then(runs(over_ssh()), create_as(second, with_picture("0")));
    let rig = check(rig, succeeded(), &["execution_succeeded", "completed"], &[]);
    assert!(rig.run(first()).is_over());
    let rig = then(rig, staged_as(second, NAME));
    let wish = Input::Request(second, Request::Cancel { force: comfyd_engine::Force::Yes });
    let not_sent = answer_to_newest(&rig, second, Outcome::NotSent { why: "refused".into() });
    let rig = then(rig, not_sent);
    check(rig, wish, &["2:cancel_requested", "2:cancelled", "2:inputs_removal_intended"], &[&format!("remove {NAME}")]);
}

fn answer_to_newest(rig: &Rig, run: RunId, outcome: Outcome) -> Input {
    Input::Outcome(rig.newest_dispatch(run).expect("it was posted"), outcome)
}

#[test]
fn nothing_is_uploaded_while_it_is_being_removed() {
    let second = run_id(2);
    let rig = check(removing(), create_as(second, with_picture("0")), &["2:run_created"], &[]);
    // Another picture is nobody's concern.
    let rig = check(rig, create_as(run_id(3), with_picture("a")), &["3:run_created", "3:staging_started"], &["stage"]);
    check(rig.clone(), removed(first()), &["inputs_removed", "2:staging_started"], &["stage"]);
    let rig = check(rig, delayed(first()), &["inputs_removal_delayed", "2:staging_started"], &["stage"]);
    // From now on it is the other's.
    let rig = check_after(rig, 16_000, Input::Deadline, &["inputs_removed"], &[]);
    let left = rig.log().iter().rev().find_map(|fact| match fact {
        comfyd_engine::Fact::Run(_, recorded) => match &recorded.event {
            RunEvent::InputsRemoved(fact) => Some(fact.left.clone()),
            _ => None,
        },
        comfyd_engine::Fact::Instance(..) => None,
    });
    assert_eq!(left, Some(vec![InputLeft { name: NAME.into(), why: "another run uses it".into() }]));
}

/// One at a time, with a second run behind the first that uses the same picture.
fn one_behind_the_other() -> Rig {
    let limits = Limits { max_concurrent: 1, ..Limits::default() };
    let rig = runs(then(then(Rig::new(limits), set("ssh://gpu", 1)), up()));
    check(rig, create_as(run_id(2), with_picture("0")), &["2:run_created"], &[])
}

/// The same, and a third one with another picture that goes first: the first is over, and the second waits.
fn passed_over() -> Rig {
    let urgent = RunSpec { priority: 1, ..with_picture("a") };
    let rig = then(one_behind_the_other(), create_as(run_id(3), urgent));
    let facts = ["execution_succeeded", "completed", "3:staging_started", "inputs_removal_delayed"];
    let rig = check(rig, succeeded(), &facts, &["stage"]);
    assert!(!rig.run(first()).is_over());
    rig
}

#[test]
fn a_run_that_gets_the_slot_takes_the_picture_over() {
    let rig = check(one_behind_the_other(), succeeded(), &["execution_succeeded", "completed", "2:staging_started"], &["stage"]);
    assert!(rig.run(first()).is_over());
    // Of those that wait behind one another only the last removes it.
    let cancel = Input::Request(run_id(2), Request::Cancel { force: comfyd_engine::Force::Yes });
    check(rig, cancel, &["2:cancel_requested", "2:cancelled", "2:inputs_removal_intended"], &[&format!("remove {NAME}")]);
}

#[test]
fn a_picture_that_a_waiting_run_uses_stays() {
    let rig = check_after(passed_over(), 16_000, Input::Deadline, &["inputs_removal_delayed"], &[]);
    // As soon as that one relies on it, it is its matter.
    let Input::Outcome(_, Outcome::Rejected { error }) = rejected() else { unreachable!("it is a refusal") };
    let failed = answer_of(run_id(3), Outcome::StagingFailed { error });
    let rig = check(
        rig,
        failed,
        &["3:failed invalid_prompt", "2:staging_started", "3:inputs_removal_intended"],
        &["stage", &format!("remove {OTHER}")],
    );
    let rig = check_after(rig, 16_000, Input::Deadline, &["inputs_removed"], &[]);
    assert!(rig.run(first()).is_over());
}

#[test]
fn a_picture_goes_also_if_the_run_that_waited_is_stopped_before() {
    let mut rig = passed_over();
    assert!(rig.crash().iter().all(|owed| owed.run != first()), "nothing is under way for it");
    let rig = then(rig, up());
    let cancel = Input::Request(run_id(2), Request::Cancel { force: comfyd_engine::Force::No });
    let rig = check(rig, cancel, &["2:cancel_requested", "2:cancelled"], &[]);
    let rig = check_after(rig, 16_000, Input::Deadline, &["inputs_removal_intended"], &[&format!("remove {NAME}")]);
    let rig = check(rig, removed(first()), &["inputs_removed"], &[]);
    assert!(rig.run(first()).is_over());
}

#[test]
fn an_instance_keeps_its_address_while_a_run_waits_there() {
    let busy = Refusal::InstanceBusy { instance: gpu(), open: 2 };
    refuses(passed_over(), set("http://gpu:1", 1), &busy);
    let stop = |rig: Rig, run| then(rig, Input::Request(run, Request::Cancel { force: comfyd_engine::Force::Yes }));
    let rig = stop(stop(passed_over(), run_id(2)), run_id(3));
    let facts = ["inputs_removed", "3:inputs_removed", "gpu-a:instance_configured"];
    check(rig, set("http://gpu:1", 1), &facts, &[]);
}

#[test]
fn a_restart_in_the_middle_repeats_it() {
    let mut rig = removing();
    let owed = rig.crash();
    assert!(matches!(&owed[..], [one] if matches!(one.command, comfyd_engine::Command::RemoveInputs { .. })), "{owed:?}");
    let rig = check(rig, removed(first()), &["inputs_removed"], &[]);
    assert_eq!(rig.refolded().outstanding(), []);
}

#[test]
fn it_waits_for_the_instance_and_not_for_ever() {
    let rig = then(then(removing(), down("away")), delayed(first()));
    let rig = check_after(rig, 60_000, Input::Deadline, &[], &[]);
    let back = then(rig.clone(), Input::Deadline);
    check(back, up(), &["gpu-a:instance_up", "inputs_removal_intended"], &[&format!("remove {NAME}")]);
    let at = rig.engine().next_deadline().expect("it is given up at some time");
    let rig = check_after(rig.clone(), at.since(rig.now()), Input::Deadline, &["inputs_removed"], &[]);
    assert!(rig.run(first()).is_over());
}

#[test]
fn an_instance_may_go_while_it_only_owes_that() {
    let remove = Input::RemoveInstance { instance: gpu(), by: InstanceSource::Api };
    let rig = check(removing(), remove, &["inputs_removed", "gpu-a:instance_removed"], &[]);
    assert!(rig.run(first()).is_over());
    let rig = check(removing(), set("http://gpu:1", 1), &["inputs_removed", "gpu-a:instance_configured"], &[]);
    assert!(rig.run(first()).is_over());
    let busy = Refusal::InstanceBusy { instance: gpu(), open: 1 };
    refuses(runs(over_ssh()), set("http://gpu:1", 1), &busy);
}

#[test]
fn a_run_that_is_to_be_removed_waits_for_nothing() {
    let leave = || Input::Request(first(), Request::LetGo);
    let rig = check(removing(), leave(), &[], &[]); // soon done
    let rig = check(then(rig, delayed(first())), leave(), &["inputs_removed"], &[]);
    check(rig, leave(), &[], &[]);
}
