//! Instances: added, set up, changed, removed, let go.

use comfyd_engine::testkit::{Rig, instance_id, small_run};
use comfyd_engine::{ClientId, Connection, Expect, Input, InstanceSetup, InstanceSource, LinkChange, Reach, Refusal};

use crate::kit::*;

fn setup(url: &str) -> InstanceSetup {
    InstanceSetup { connection: Connection::Url(url.into()), label: None, source: InstanceSource::Api, default: false }
}

fn set(name: &str, setup: InstanceSetup, expect: Expect) -> Input {
    Input::SetInstance { instance: instance_id(name), client: ClientId(format!("we-at-{name}")), setup, expect }
}

fn add(name: &str, url: &str) -> Input {
    set(name, setup(url), Expect::New)
}

fn remove(name: &str, by: InstanceSource) -> Input {
    Input::RemoveInstance { instance: instance_id(name), by }
}

fn default_of(rig: &Rig) -> Vec<&str> {
    let defaults = rig.engine().instances().filter(|instance| instance.setup().default);
    defaults.map(|instance| instance.id().as_str()).collect()
}

#[test]
fn an_instance_is_added_once_and_changed_by_name() {
    let rig = check(idle(), add("big", "http://big:8188"), &["big:instance_configured"], &[]);
    refuses(rig.clone(), add("big", "http://other:8188"), &Refusal::InstanceExists(instance_id("big")));
    refuses(rig.clone(), add("big", "http://big:8188"), &Refusal::InstanceExists(instance_id("big")));
    let taken = Refusal::AddressTaken { url: "http://big:8188".into(), other: instance_id("big") };
    refuses(rig.clone(), add("huge", "http://big:8188"), &taken);
    let nobody = set("nobody", setup("http://n:1"), Expect::Known);
    refuses(rig.clone(), nobody, &Refusal::UnknownInstance(instance_id("nobody")));

    let moved = set("big", setup("http://bigger:8188"), Expect::Known);
    let rig = check(rig, moved.clone(), &["big:instance_configured"], &[]);
    let rig = check(rig, moved, &[], &[]);
    let big = rig.engine().usable(&instance_id("big")).expect("it is there");
    assert_eq!((big.url(), big.client()), ("http://bigger:8188", &ClientId("we-at-big".into())));
}

#[test]
fn an_instance_that_a_run_made_known_can_be_kept() {
    let rig = idle();
    let client = rig.engine().instance(&gpu()).expect("it is known").client().clone();
    let rig = check(rig, add("gpu-a", "http://gpu-a:8188"), &["gpu-a:instance_configured"], &[]);
    let kept = rig.engine().instance(&gpu()).expect("it is known");
    assert_eq!((kept.client(), kept.setup().source, kept.is_online()), (&client, InstanceSource::Api, true));
    refuses(idle(), add("gpu-a", "http://elsewhere:8188"), &Refusal::InstanceExists(gpu()));
    // A run that names another address must not move it.
    let url = "http://elsewhere:8188".to_owned();
    let named = Input::AddInstance { instance: gpu(), client: ClientId("new".into()), url: url.clone() };
    refuses(rig, named, &Refusal::NameTaken { instance: gpu(), url });
}

#[test]
fn an_instance_with_open_runs_stays_where_it_is() {
    for rig in [waiting(), submitting(), in_doubt(), pending(), running(), collecting()] {
        let busy = Refusal::InstanceBusy { instance: gpu(), open: 1 };
        refuses(rig.clone(), set("gpu-a", setup("http://other:8188"), Expect::Known), &busy);
        refuses(rig.clone(), set("gpu-a", setup("http://other:8188"), Expect::Any), &busy);
        refuses(rig.clone(), remove("gpu-a", InstanceSource::Api), &busy);
        // What people call it is free to change.
        let label = InstanceSetup { label: Some("The big one".into()), ..setup("http://gpu-a:8188") };
        check(rig, set("gpu-a", label, Expect::Known), &["gpu-a:instance_configured"], &[]);
    }
    let moved = set("gpu-a", setup("http://other:8188"), Expect::Known);
    let rig = check(completed(), moved, &["gpu-a:instance_configured"], &[]);
    let known = rig.engine().instance(&gpu()).expect("it is known");
    assert_eq!((known.reach(), known.was_ever_up()), (&Reach::Offline { why: None }, false));
}

#[test]
fn a_removed_instance_takes_no_runs_and_can_come_back() {
    let rig = check(completed(), remove("gpu-a", InstanceSource::Api), &["gpu-a:instance_removed"], &[]);
    let unknown = Refusal::UnknownInstance(gpu());
    refuses(rig.clone(), create_as(comfyd_engine::testkit::run_id(2), small_run("gpu-a")), &unknown);
    refuses(rig.clone(), remove("gpu-a", InstanceSource::Api), &unknown);
    let rig = check(rig, up(), &[], &[]);
    let rig = check(rig, add("gpu-a", "http://elsewhere:8188"), &["gpu-a:instance_configured"], &[]);
    let back = rig.engine().usable(&gpu()).expect("it is back");
    assert_eq!((back.client(), back.is_online()), (&ClientId("client-gpu-a".into()), false));
}

#[test]
fn one_instance_is_the_default() {
    let chosen = |name: &str, source| InstanceSetup { default: true, source, ..setup(&format!("http://{name}:1")) };
    let first = set("one", chosen("one", InstanceSource::Api), Expect::New);
    let rig = check(idle(), first, &["one:instance_configured"], &[]);
    let second = set("two", chosen("two", InstanceSource::Api), Expect::New);
    let rig = check(rig, second, &["one:instance_configured", "two:instance_configured"], &[]);
    assert_eq!(default_of(&rig), ["two"]);
    let file = set("file", chosen("file", InstanceSource::Config), Expect::Any);
    let rig = check(rig, file, &["two:instance_configured", "file:instance_configured"], &[]);
    assert_eq!(default_of(&rig), ["file"]);
    let again = set("one", chosen("one", InstanceSource::Api), Expect::Known);
    refuses(rig.clone(), again, &Refusal::InstanceOfConfig(instance_id("file")));
    let rig = check(rig, remove("file", InstanceSource::Config), &["file:instance_removed"], &[]);
    assert!(default_of(&rig).is_empty());
}

#[test]
fn only_the_file_changes_what_it_has() {
    let of_file = InstanceSetup { source: InstanceSource::Config, ..setup("http://big:8188") };
    let rig = check(idle(), set("big", of_file, Expect::Any), &["big:instance_configured"], &[]);
    let refused = Refusal::InstanceOfConfig(instance_id("big"));
    refuses(rig.clone(), set("big", setup("http://big:8188"), Expect::Known), &refused);
    refuses(rig.clone(), remove("big", InstanceSource::Api), &refused);
    check(rig, remove("big", InstanceSource::Config), &["big:instance_removed"], &[]);
}

#[test]
fn what_no_run_needs_is_let_go() {
    let let_go = || Input::Link(gpu(), LinkChange::LetGo);
    for rig in [waiting(), running(), collecting(), in_doubt()] {
        check(rig, let_go(), &[], &[]);
    }
    let rig = check(completed(), let_go(), &["gpu-a:instance_let_go"], &[]);
    let rig = check(rig, let_go(), &[], &[]);
    // Nothing is posted before the way is known to be open.
    let rig = check(rig, create_as(comfyd_engine::testkit::run_id(2), small_run("gpu-a")), &["2:run_created"], &[]);
    check(rig, up(), &["gpu-a:instance_up", "2:submit_intended 1"], &["dispatch 1"]);
}

#[test]
fn a_restart_keeps_instances_as_they_were_set_up() {
    let chosen = InstanceSetup { default: true, label: Some("Mine".into()), ..setup("http://big:8188") };
    let mut rig = check(idle(), set("big", chosen.clone(), Expect::New), &["big:instance_configured"], &[]);
    rig = check(rig, down("refused"), &["gpu-a:instance_down"], &[]);
    rig.crash();
    let big = rig.engine().usable(&instance_id("big")).expect("it is kept");
    assert_eq!((big.setup(), big.client()), (&chosen, &ClientId("we-at-big".into())));
    let trouble = rig.engine().instance(&gpu()).and_then(comfyd_engine::Instance::trouble).map(|trouble| trouble.why.as_str());
    assert_eq!(trouble, Some("refused"));
}
