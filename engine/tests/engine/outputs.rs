//! What a run makes: found once, fetched, lost, or late.

use comfyd_engine::{Input, MAX_OUTPUTS, Outcome, Place, Produced, RunView};

use crate::kit::*;

fn delayed(n: u32) -> Input {
    answer_to(99, Outcome::OutputDelayed { n, why: "no disk".into() })
}

fn gone(n: u32) -> Input {
    answer_to(99, Outcome::OutputGone { n, why: "404".into() })
}

#[test]
fn the_same_file_reported_twice_is_one_output() {
    let rig = check(running(), produced("9", vec![file("a.png"), file("a.png")]), &["outputs_found 1"], &["collect 1"]);
    let rig = check(rig, produced("2", vec![file("a.png")]), &[], &[]); // equal nodes run once
    let rig = check(rig, produced("2", vec![file("b.png"), file("a.png")]), &["outputs_found 2"], &["collect 2"]);
    let history = [("9", file("a.png")), ("2", file("c.png")), ("2", file("c.png"))];
    check(rig, succeeded_with(&history), &["outputs_found 3", "execution_succeeded"], &["collect 3"]);
}

#[test]
fn texts_are_in_the_log_and_not_fetched() {
    let rig = check(running(), produced("9", vec![text("a cat")]), &["outputs_found 1"], &[]);
    let rig = check(rig, produced("9", vec![text("a cat")]), &[], &[]);
    let rig = check(rig, produced("2", vec![text("a cat")]), &["outputs_found 2"], &[]); // another node's
    let rig = check(rig, succeeded(), &["execution_succeeded", "completed"], &[]);
    let view = RunView::of(rig.run(first()));
    assert_eq!((view.outputs[0].text.as_deref(), view.outputs[0].downloaded), (Some("a cat"), true));
}

#[test]
fn a_file_may_be_stored_before_the_run_ends() {
    let rig = then(running(), produced("9", vec![file("a.png")]));
    let rig = check(rig, saved(1), &["output_saved 1"], &[]);
    let rig = check(rig, saved(1), &[], &[]);
    check(rig, succeeded(), &["execution_succeeded", "completed"], &[]);
    check(collecting(), saved(2), &[], &[]); // no such output
    check(collecting(), saved(0), &[], &[]);
}

#[test]
fn a_lost_output_completes_the_run_with_a_warning() {
    let rig = check(collecting(), gone(1), &["output_lost 1", "completed"], &[]);
    assert_eq!(rig.run(first()).warnings()[0].code, "output_lost");
    let view = RunView::of(rig.run(first()));
    assert_eq!((view.outputs[0].downloaded, view.outputs[0].problem.as_deref()), (false, Some("404")));
    check(rig, saved(1), &[], &[]);
}

#[test]
fn a_delayed_output_is_tried_again_and_keeps_the_run_open() {
    let rig = check(collecting(), delayed(1), &["output_delayed 1", "attention_raised output_delayed"], &[]);
    assert_eq!(rig.engine().next_deadline(), Some(rig.now().plus_ms(16_000)));
    let rig = check_after(rig, 15_999, Input::Deadline, &[], &[]);
    let rig = check_after(rig, 1, Input::Deadline, &["output_retried 1"], &["collect 1"]);
    let rig = check(rig, delayed(1), &["output_delayed 1"], &[]);
    let rig = check_after(rig, 16_000, Input::Deadline, &["output_retried 1"], &["collect 1"]);
    let rig = check(rig, saved(1), &["output_saved 1", "completed"], &[]);
    assert_eq!(attention(&rig), None);
}

#[test]
fn a_delayed_output_waits_for_the_link() {
    let rig = then(then(collecting(), delayed(1)), down("timeout"));
    assert_eq!(rig.engine().next_deadline(), None);
    let rig = check_after(rig, 60_000, Input::Deadline, &[], &[]);
    check(rig, up(), &["gpu-a:instance_up", "output_retried 1"], &["collect 1"]);
}

#[test]
fn outputs_of_a_failed_run_are_still_fetched() {
    let rig = then(then(running(), produced("1", vec![file("a.png")])), crashed_in("2"));
    let rig = then(rig, log_read(&[]));
    assert!(!rig.run(first()).is_over());
    let rig = check(rig, delayed(1), &["output_delayed 1"], &[]);
    let mut rig = check_after(rig, 16_000, Input::Deadline, &["output_retried 1"], &["collect 1"]);
    assert_eq!(rig.crash().len(), 1, "a restart still owes it");
    let rig = check(rig, saved(1), &["output_saved 1"], &[]);
    assert_eq!(phase(&rig), "failed");
    assert!(rig.run(first()).is_over());
}

#[test]
fn there_is_a_limit() {
    let many: Vec<Produced> = (0..=MAX_OUTPUTS).map(|n| text(&n.to_string())).collect();
    let rig = then(running(), produced("9", many));
    assert_eq!(rig.run(first()).outputs().iter().count(), MAX_OUTPUTS);
    check(rig, produced("9", vec![file("one-more.png")]), &[], &[]);
}

#[test]
fn a_restart_asks_for_what_is_not_here() {
    let mut rig = then(running(), produced("9", vec![file("a.png"), file("b.png"), text("c")]));
    rig = then(then(rig, saved(1)), succeeded());
    let owed = rig.crash();
    assert!(matches!(owed[..], [comfyd_engine::Addressed { command: comfyd_engine::Command::Collect { n: 2, .. }, .. }]));
    let places: Vec<bool> = rig.run(first()).outputs().iter().map(|(_, place)| *place == Place::Remote).collect();
    assert_eq!(places, [false, true, false]);
}

#[test]
fn files_are_named_by_their_ending_first() {
    let of_key = |key: &str, filename: &str| {
        let Produced::File(file) = file(filename) else { unreachable!("a file was asked for") };
        Produced::File(comfyd_engine::RemoteFile { key: key.into(), subfolder: "sub".into(), ..file })
    };
    let rows = [
        ("images", "a.PNG", "image"),
        ("gifs", "a.mp4", "video"),
        ("gifs", "noending", "video"),
        ("audio", "a.xyz", "audio"),
        ("3d", "a.glb", "3d"),
        ("mine", "a.xyz", "file"),
        ("mine", "a.json", "text"),
    ];
    for (key, name, kind) in rows {
        let rig = then(running(), produced("9", vec![of_key(key, name)]));
        let view = RunView::of(rig.run(first()));
        assert_eq!(view.outputs[0].kind, kind, "{key} {name}");
        assert_eq!(view.outputs[0].path, Some(format!("output/sub/{name}")));
    }
}

#[test]
fn a_file_that_is_whole_is_welcome_though_another_try_was_planned() {
    let rig = then(collecting(), delayed(1));
    check(rig, saved(1), &["output_saved 1", "completed"], &[]);
}

#[test]
fn outputs_of_an_ended_run_are_given_up_after_a_day() {
    let mut rig = then(running(), produced("9", vec![file("a.png")]));
    rig = then(rig, crashed_in("9"));
    rig = then(rig, log_read(&[]));
    rig = then(rig, delayed(1));
    rig = then(rig, down("gone for good"));
    rig.wait_ms(24 * 3_600_000);
    check(rig, Input::Deadline, &["output_lost 1"], &[]);
}
