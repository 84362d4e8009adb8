//! What stands in the way to an instance until a person acts, and which machines are trusted.

use comfyd_engine::testkit::{instance_id, run_id, small_run};
use comfyd_engine::{
    ActionBody, ClientId, Connection, Expect, HostKeyShown, HostKeyTrusted, Input, InstanceSetup, InstanceSource, LinkChange,
    Obstacle, Outcome, Refusal, RunView, SshConnection,
};

use crate::kit::*;

fn shown(fingerprint: &str) -> HostKeyShown {
    HostKeyShown { machine: "[gpu]:2".into(), fingerprint: fingerprint.into() }
}

fn blocked(obstacle: Obstacle) -> Input {
    Input::Link(gpu(), LinkChange::Down { why: "the way is closed".into(), obstacle: Some(obstacle) })
}

fn trust(key: &str, replace: bool) -> Input {
    let key = HostKeyTrusted {
        machine: "[gpu]:2".into(),
        algorithm: "ssh-ed25519".into(),
        key: key.into(),
        fingerprint: format!("SHA256:{key}"),
    };
    Input::TrustHostKey { instance: gpu(), key, replace }
}

fn over_ssh(url: &str) -> InstanceSetup {
    let ssh = SshConnection {
        url: url.into(),
        command: "ssh -p 2 root@gpu".into(),
        comfyui_port: 8188,
        identity: None,
        password_file: None,
        output_dir: None,
    };
    InstanceSetup { connection: Connection::Ssh(ssh), label: None, source: InstanceSource::Adhoc, default: false }
}

#[test]
fn a_run_waits_for_whoever_can_accept_the_key_and_offers_exactly_that() {
    let unknown = Obstacle::HostKeyUnknown(shown("SHA256:new"));
    let rig = check(waiting(), blocked(unknown.clone()), &["gpu-a:instance_down", "attention_raised host_key_unknown"], &[]);
    let rig = check(rig, blocked(unknown), &[], &[]);
    let attention = RunView::of(rig.run(first())).attention.expect("it waits");
    let action = &attention.actions[0];
    assert_eq!((action.method, action.href.as_str()), ("POST", "/api/v1/instances/gpu-a/trust"));
    assert_eq!(action.body, Some(ActionBody::Trust { fingerprint: "SHA256:new".into() }));
    // Behind a jump host comes the machine, or the machine was rented anew: the button follows what is presented.
    let behind = Obstacle::HostKeyUnknown(shown("SHA256:behind"));
    let rig = check(rig, blocked(behind), &["gpu-a:instance_down", "attention_raised host_key_unknown"], &[]);
    let attention = RunView::of(rig.run(first())).attention.expect("it waits");
    assert_eq!(attention.actions[0].body, Some(ActionBody::Trust { fingerprint: "SHA256:behind".into() }));
    // What stands in the way is another thing now, and a run that is created meanwhile is told the same.
    let rig = check(rig, blocked(Obstacle::AuthFailed), &["gpu-a:instance_down", "attention_raised auth_failed"], &[]);
    let rig = check(rig, create_as(run_id(2), small_run("gpu-a")), &["2:run_created", "2:attention_raised auth_failed"], &[]);
    let told = then(rig, up());
    assert_eq!(RunView::of(told.run(first())).attention, None);
    assert!(told.engine().instance(&gpu()).is_some_and(|it| it.obstacle().is_none()));
}

#[test]
fn what_a_person_must_do_is_told_before_what_is_only_late_because_of_it() {
    let changed = || blocked(Obstacle::HostKeyChanged(shown("SHA256:other")));
    let late = |why: &str| Outcome::StagingDelayed { why: why.into() };
    // The upload breaks first, and then it is known why.
    let rig = then(staging(), answer(late("the connection was lost")));
    assert_eq!(attention(&rig), Some("staging_delayed"));
    let rig = check(rig, changed(), &["gpu-a:instance_down", "attention_raised host_key_changed"], &[]);
    assert_eq!(attention(&rig), Some("host_key_changed"));
    // That the way is only lost says no more than that the upload is late.
    let rig = then(staging(), answer(late("the connection was lost")));
    let rig = check(rig, down("timeout"), &["gpu-a:instance_down"], &[]);
    assert_eq!(attention(&rig), Some("staging_delayed"));
    // And the other way round.
    let rig =
        then(then(collecting(), changed()), answer_newest(&collecting(), Outcome::OutputDelayed { n: 1, why: "lost".into() }));
    assert_eq!(attention(&rig), Some("host_key_changed"));
    assert_eq!(attention(&then(rig, up())), Some("output_delayed"));
}

#[test]
fn a_changed_key_has_no_button() {
    let rig = then(waiting(), blocked(Obstacle::HostKeyChanged(shown("SHA256:other"))));
    let attention = RunView::of(rig.run(first())).attention.expect("it waits");
    assert_eq!(attention.kind, "host_key_changed");
    assert_eq!(attention.actions.iter().map(|action| action.id).collect::<Vec<_>>(), ["cancel"]);
}

#[test]
fn one_key_is_trusted_and_replaced_only_on_purpose() {
    let rig = check(idle(), trust("one", false), &["gpu-a:host_key_trusted"], &[]);
    let rig = check(rig, trust("one", false), &[], &[]);
    let known = Refusal::HostKeyKnown { instance: gpu(), machine: "[gpu]:2".into(), known: "SHA256:one".into() };
    refuses(rig.clone(), trust("two", false), &known);
    let rig = check(rig, trust("two", true), &["gpu-a:host_key_trusted"], &[]);
    let keys: Vec<&str> = rig.engine().instance(&gpu()).expect("known").trusted().iter().map(|key| key.key.as_str()).collect();
    assert_eq!(keys, ["two"]);
    // It survives a restart, and not another address: that is another machine.
    let mut rig = rig;
    rig.crash();
    assert_eq!(rig.engine().instance(&gpu()).expect("known").trusted().len(), 1);
    let moved = Input::AddInstance { instance: gpu(), client: ClientId("new".into()), url: "http://other:1".into() };
    let rig = then(rig, moved);
    assert!(rig.engine().instance(&gpu()).expect("known").trusted().is_empty());
}

#[test]
fn a_run_that_names_a_machine_changes_nothing_that_somebody_set_up() {
    let set =
        |setup| Input::SetInstance { instance: instance_id("box"), client: ClientId("us".into()), setup, expect: Expect::Any };
    let rig = check(idle(), set(over_ssh("ssh://root@gpu:2?comfyui_port=8188")), &["box:instance_configured"], &[]);
    let kept = InstanceSetup { source: InstanceSource::Api, ..over_ssh("ssh://root@gpu:2?comfyui_port=8188") };
    let rig = check(rig, set(kept), &["box:instance_configured"], &[]);
    let rig = check(rig, set(over_ssh("ssh://root@gpu:2?comfyui_port=8188")), &[], &[]);
    let url = "ssh://root@gpu:2?comfyui_port=1".to_owned();
    refuses(rig, set(over_ssh(&url)), &Refusal::NameTaken { instance: instance_id("box"), url });
}

#[test]
fn another_process_is_a_restart_also_if_nobody_saw_it_end() {
    let at = |process: &str| Input::Link(gpu(), LinkChange::Up { version: None, live: true, process: Some(process.into()) });
    let rig = check(idle(), at("b 7 1"), &["gpu-a:instance_up"], &[]);
    let rig = check(rig, at("b 7 1"), &[], &[]);
    let mut rig = rig;
    rig.crash();
    let rig = check(rig, at("b 9 5"), &["gpu-a:instance_restarted", "gpu-a:instance_up"], &[]);
    assert_eq!(rig.engine().instance(&gpu()).expect("known").boot(), 1);
}
