//! More than any honest instance says.

use comfyd_engine::testkit::Rig;
use comfyd_engine::{ComfyEvent, Ending, RemoteStatus, Verdict};

use crate::kit::*;

fn nodes(rig: &Rig) -> usize {
    rig.run(first()).nodes().iter().count()
}

#[test]
fn a_run_takes_in_five_thousand_nodes_made_at_run_time() {
    let many = |count: u32| (0..count).map(|n| report(&format!("2.{n}"), 1, 20)).collect();
    let rig = then(running(), reports(many(6_000)));
    assert_eq!(nodes(&rig), 3 + 5_000);
    assert_eq!(rig.refolded().run(first()), rig.engine().run(first()));
    let late = ComfyEvent::NodeTexted { node: "late".into(), text: "x".into() };
    let prompt = first().into();
    let blocked = ComfyEvent::NodeBlocked { prompt, node: "late".into(), message: "x".into() };
    let inputs = [node_started("late"), step("late", 1, 4), reports(vec![finished("late")]), observe(late), observe(blocked)];
    let rig = inputs.into_iter().fold(rig, |rig, input| check(rig, input, &[], &[]));
    // What is known goes on, and no output is lost.
    let rig = check(rig, reports(vec![finished("2.0")]), &["node_finished 2.0"], &[]);
    let rig = check(rig, produced("late", vec![file("a.png")]), &["outputs_found 1"], &["collect 1"]);
    let parents = vec![("later".into(), "2".into())];
    let ending = Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents };
    let rig = check(rig, found(RemoteStatus::Ended(Box::new(ending))), &["execution_succeeded"], &[]);
    assert_eq!(nodes(&rig), 3 + 5_000);
}

#[test]
fn a_node_with_an_endless_id_is_ignored() {
    let long = "9.".repeat(1_000);
    let rig = check(running(), node_started(&long), &[], &[]);
    check(rig, reports(vec![finished(&long)]), &[], &[]);
}
