//! The way to an instance: lost, back, restarted, and what its runs are told.

use comfyd_engine::testkit::{instance_id, small_run};
use comfyd_engine::{ClientId, Input, LinkChange, Reach, RunView};

use crate::kit::*;

#[test]
fn a_lost_link_is_told_to_every_open_run_once() {
    let down_facts = ["gpu-a:instance_down", "gap_noted", "attention_raised unreachable"];
    let rig = check(running(), down("timeout"), &down_facts, &[]);
    let rig = check(rig, down("refused"), &[], &[]);
    let view = RunView::of(rig.run(first()));
    let told = view.attention.expect("it waits for the link");
    assert!(told.message.starts_with("Connection lost. Workflow continues on server."), "{}", told.message);
    let rig = check(rig, up(), &["gpu-a:instance_up", "attention_cleared unreachable"], &[]);
    check(rig, up(), &[], &[]);

    check(pending(), down("timeout"), &["gpu-a:instance_down", "attention_raised unreachable"], &[]);
    check(completed(), down("timeout"), &["gpu-a:instance_down"], &[]);
    check(given_up(), down("timeout"), &["gpu-a:instance_down"], &[]); // what it waits for already is more
}

#[test]
fn a_new_run_on_a_lost_instance_waits_and_says_so() {
    let rig = then(idle(), down("refused"));
    let rig = check(rig, create(small_run("gpu-a")), &["run_created", "attention_raised unreachable"], &[]);
    let view = RunView::of(rig.run(first()));
    assert_eq!(view.attention.map(|attention| attention.message).as_deref(), Some("refused"));
    let back = ["gpu-a:instance_up", "attention_cleared unreachable", "submit_intended 1"];
    check(rig, up(), &back, &["dispatch 1"]);
}

#[test]
fn an_instance_that_was_never_tried_is_not_called_unreachable() {
    let mut rig = idle();
    let other = Input::AddInstance { instance: instance_id("gpu-b"), client: ClientId("b".into()), url: "http://b".into() };
    rig = check(rig, other, &["gpu-b:instance_added"], &[]);
    check(rig, create(small_run("gpu-b")), &["run_created"], &[]);
}

#[test]
fn missed_frames_are_noted_once_and_only_while_running() {
    let rig = check(running(), frames_missed(), &["gap_noted"], &[]);
    check(rig, frames_missed(), &[], &[]);
    for rig in [waiting(), pending(), collecting()] {
        check(rig, frames_missed(), &[], &[]);
    }
    check(running(), Input::Restarted, &["gap_noted"], &[]);
}

#[test]
fn an_instance_keeps_our_name_when_it_moves() {
    let moved = |url: &str| Input::AddInstance { instance: gpu(), client: ClientId("new".into()), url: url.into() };
    let rig = idle();
    let before = rig.engine().instance(&gpu()).expect("it is known").client().clone();
    let rig = check(rig, moved("http://gpu-a:8188"), &[], &[]);
    let rig = check(rig, moved("http://other:8188"), &["gpu-a:instance_added"], &[]);
    let instance = rig.engine().instance(&gpu()).expect("it is known");
    assert_eq!((instance.client(), instance.url()), (&before, "http://other:8188"));
}

#[test]
fn news_of_an_instance() {
    let at = |live| Input::Link(gpu(), LinkChange::Up { version: Some("0.3.75".into()), live, process: None });
    let rig = check(idle(), at(true), &["gpu-a:instance_up"], &[]);
    let rig = check(rig, at(true), &[], &[]);
    let rig = check(rig, at(false), &["gpu-a:instance_up"], &[]); // now by polling alone
    let rig = check(rig, restarted_remotely(), &["gpu-a:instance_restarted"], &[]);
    let instance = rig.engine().instance(&gpu()).expect("it is known");
    assert_eq!((instance.boot(), instance.was_ever_up(), instance.is_online()), (1, true, true));
    let nobody = Input::Link(instance_id("gpu-z"), LinkChange::Down { why: "?".into(), obstacle: None });
    check(rig, nobody, &[], &[]);
}

#[test]
fn nothing_is_known_of_the_link_after_a_restart() {
    let mut rig = waiting();
    rig.crash();
    let instance = rig.engine().instance(&gpu()).expect("it is known");
    assert_eq!(instance.reach(), &Reach::Offline { why: None });
    assert!(instance.was_ever_up());
}

#[test]
fn recorded_time_goes_on_where_the_log_ended() {
    let mut rig = idle();
    rig.wait_ms(500_000);
    rig = then(rig, down("refused"));
    let newest = rig.now();
    rig.set_back_ms(400_000);
    rig.crash();
    let step = rig.say(up()).expect("only requests are refused");
    let comfyd_engine::Fact::Instance(_, recorded) = &step.facts[0] else { panic!("the instance is up") };
    assert!(recorded.at >= newest, "the wall clock was set back while comfyd was down");
}
