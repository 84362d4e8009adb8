//! Which run goes next, and how many may go at a time.

use comfyd_engine::testkit::{Rig, instance_id, run_id, small_run};
use comfyd_engine::{ComfyEvent, Fact, Input, Limits, NewRun, Outcome, Refusal, RemoteStatus, Request, RunSpec};

use crate::kit::*;

fn spec(instance: &str, priority: i32) -> RunSpec {
    RunSpec { priority, ..small_run(instance) }
}

fn accept(rig: Rig, n: u8) -> Rig {
    let id = rig.newest_dispatch(run_id(n)).expect("it was posted");
    then(rig, Input::Outcome(id, Outcome::Accepted { prompt_id: run_id(n).into(), problems: vec![], refused: vec![] }))
}

fn begins(n: u8, instance: &str) -> Input {
    Input::Observed(instance_id(instance), ComfyEvent::Started { prompt: run_id(n).into() })
}

fn cancel_run(n: u8) -> Input {
    Input::Request(run_id(n), Request::Cancel { force: comfyd_engine::Force::No })
}

/// One run is in the instance's queue; two more wait here.
fn three_on_one() -> Rig {
    let mut rig = idle();
    for n in 1..=3 {
        rig = then(rig, create_as(run_id(n), spec("gpu-a", 0)));
    }
    accept(rig, 1)
}

#[test]
fn one_run_waits_ahead_in_the_instances_own_queue() {
    let rig = check(three_on_one(), started(), &["execution_started", "2:submit_intended 1"], &["dispatch 1"]);
    let rig = accept(rig, 2);
    let rig = check(rig, succeeded(), &["execution_succeeded", "completed"], &[]);
    check(rig, begins(2, "gpu-a"), &["2:execution_started", "3:submit_intended 1"], &["dispatch 1"]);
}

#[test]
fn more_may_be_ahead_if_the_limit_says_so() {
    let mut rig = idle_with(Limits { submitted_ahead: 2, ..Limits::default() });
    rig = then(rig, create(spec("gpu-a", 0)));
    rig = check(rig, create_as(run_id(2), spec("gpu-a", 0)), &["2:run_created", "2:submit_intended 1"], &["dispatch 1"]);
    check(rig, create_as(run_id(3), spec("gpu-a", 0)), &["3:run_created"], &[]);
}

#[test]
fn the_limit_is_over_all_instances() {
    let mut rig = idle_with(Limits { max_concurrent: 2, ..Limits::default() });
    rig.online("gpu-b");
    rig.online("gpu-c");
    rig = then(rig, create(spec("gpu-a", 0)));
    rig = then(rig, create_as(run_id(2), spec("gpu-b", 0)));
    rig = check(rig, create_as(run_id(3), spec("gpu-c", 0)), &["3:run_created"], &[]);
    rig = accept(rig, 1);
    rig = then(rig, started());
    // Collecting takes no slot: the instance is free.
    let freed = ["outputs_found 1", "execution_succeeded", "3:submit_intended 1"];
    check(rig, succeeded_with(&[("9", file("a.png"))]), &freed, &["collect 1", "dispatch 1"]);
}

#[test]
fn a_run_in_doubt_takes_no_slot() {
    let mut rig = idle_with(Limits { max_concurrent: 1, ..Limits::default() });
    rig = then(rig, create(spec("gpu-a", 0)));
    rig = then(rig, create_as(run_id(2), spec("gpu-a", 0)));
    check(rig, unclear(), &["submit_in_doubt", "2:submit_intended 1"], &["reconcile", "dispatch 1"]);
}

#[test]
fn larger_priority_goes_first_then_the_older_run() {
    let mut rig = idle();
    for (n, priority) in [(1, 0), (2, 0), (3, 5), (4, -1), (5, 5)] {
        rig = then(rig, create_as(run_id(n), spec("gpu-a", priority)));
    }
    let mut order = Vec::new();
    let mut running = 1;
    for _ in 0..4 {
        rig = accept(rig, running);
        let step = rig.say(begins(running, "gpu-a")).expect("granted");
        let next = step.commands.last().expect("the next one is posted").run;
        order.push(next);
        running = (1..=5).find(|n| run_id(*n) == next).expect("one of the five");
        rig = then(rig, Input::Reconciled(order_before(&order), RemoteStatus::Running));
        let idle = comfyd_engine::Ending {
            verdict: comfyd_engine::Verdict::Succeeded,
            cached: vec![],
            outputs: vec![],
            parents: vec![],
        };
        rig = then(rig, Input::Reconciled(order_before(&order), RemoteStatus::Ended(Box::new(idle))));
    }
    assert_eq!(order, [run_id(3), run_id(5), run_id(2), run_id(4)]);
}

/// The run that ran before the newest one was posted.
fn order_before(order: &[comfyd_engine::RunId]) -> comfyd_engine::RunId {
    order.len().checked_sub(2).map_or(run_id(1), |at| order[at])
}

#[test]
fn a_staged_run_is_posted_in_the_slot_that_it_holds() {
    let mut rig = idle_with(Limits { max_concurrent: 1, ..Limits::default() });
    rig = then(rig, create(needs_staging()));
    rig = check(rig, create_as(run_id(2), spec("gpu-a", 9)), &["2:run_created"], &[]);
    check(rig, answer(staged()), &["staged", "submit_intended 1"], &["dispatch 1"]);
}

#[test]
fn a_staged_run_waits_for_the_link() {
    let rig = then(staging(), down("refused"));
    let rig = check(rig, answer(staged()), &["staged"], &[]);
    check(rig, up(), &["gpu-a:instance_up", "attention_cleared unreachable", "submit_intended 1"], &["dispatch 1"]);
}

#[test]
fn a_slot_that_is_freed_is_used_at_once() {
    check(three_on_one(), cancel(), &["cancel_requested"], &["dequeue"]);
    let rig = then(three_on_one(), cancel());
    check(rig, absent(), &["cancelled", "2:submit_intended 1"], &["dispatch 1"]);
}

fn place(rig: &Rig, n: u8) -> Option<u32> {
    rig.engine().queue_positions().get(&run_id(n)).copied()
}

#[test]
fn places_in_the_queue() {
    let rig = then(three_on_one(), in_queue(4));
    let places = |rig: &Rig| [1, 2, 3].map(|n| place(rig, n));
    assert_eq!(places(&rig), [Some(4), Some(5), Some(6)]);
    let rig = then(rig, create_as(run_id(4), spec("gpu-a", 1)));
    assert_eq!(place(&rig, 4), Some(5), "it goes before the others");
    assert_eq!(places(&rig), [Some(4), Some(6), Some(7)]);
    let rig = then(rig, cancel_run(4));
    let rig = then(rig, started());
    assert_eq!(places(&rig), [None, Some(1), Some(2)]);
    assert_eq!(place(&rig, 9), None);

    let view = comfyd_engine::RunView::of(rig.run(run_id(3)));
    assert_eq!(view.progress.queue_position, None, "the run's own log does not know");
    let served = view.at(rig.now(), place(&rig, 3));
    assert_eq!(served.progress.queue_position, Some(2));
}

#[test]
fn too_many_open_runs_are_refused() {
    let mut rig = idle_with(Limits { max_open: 2, ..Limits::default() });
    rig = then(rig, create(spec("gpu-a", 0)));
    rig = then(rig, create_as(run_id(2), spec("gpu-a", 0)));
    refuses(rig.clone(), create_as(run_id(3), spec("gpu-a", 0)), &Refusal::TooManyRuns { limit: 2 });
    rig = then(rig, cancel_run(2));
    then(rig, create_as(run_id(3), spec("gpu-a", 0)));
}

#[test]
fn runs_that_are_created_together_are_all_created_or_none() {
    let new = |n: u8, instance: &str| NewRun { id: run_id(n), spec: Box::new(spec(instance, 0)), blobs: vec![] };
    let rig = idle_with(Limits { max_open: 3, ..Limits::default() });
    let now = rig.now();
    let refuses = |runs: Vec<NewRun>, refusal: &Refusal| {
        let mut engine = rig.engine().clone();
        assert_eq!(engine.create_all(now, runs).as_ref(), Err(refusal));
        assert_eq!(&engine, rig.engine(), "nothing has changed");
    };
    refuses((1..=4).map(|n| new(n, "gpu-a")).collect(), &Refusal::TooManyRuns { limit: 3 });
    refuses(vec![new(1, "gpu-a"), new(2, "gpu-x")], &Refusal::UnknownInstance(instance_id("gpu-x")));
    refuses(vec![new(1, "gpu-a"), new(1, "gpu-a")], &Refusal::Exists(run_id(1)));
    let mut engine = rig.engine().clone();
    let step = engine.create_all(now, (1..=3).map(|n| new(n, "gpu-a")).collect()).expect("there is room");
    assert_eq!(engine.runs().count(), 3);
    let created = |fact: &Fact| matches!(fact, Fact::Run(_, recorded) if recorded.event.kind() == "run_created");
    assert_eq!(step.facts.iter().filter(|fact| created(fact)).count(), 3);
}

#[test]
fn an_id_that_a_server_makes_up_takes_no_other_runs_frames() {
    let mut rig = idle_with(Limits { submitted_ahead: 2, ..Limits::default() });
    rig = then(rig, create(spec("gpu-a", 0)));
    rig = then(rig, create_as(run_id(2), spec("gpu-a", 0)));
    rig = accept(rig, 2);
    let claimed = Outcome::Accepted { prompt_id: run_id(2).into(), problems: vec![], refused: vec![] };
    rig = then(rig, answer(claimed));
    rig = then(rig, cancel());
    rig = then(rig, absent());
    check(rig, begins(2, "gpu-a"), &["2:execution_started"], &[]);
}

#[test]
fn runs_on_an_instance_that_is_gone_keep_no_slot_from_others() {
    let limits = Limits { max_concurrent: 1, ..Limits::default() };
    let mut rig = idle_with(limits);
    rig.online("gpu-b");
    rig = then(rig, create_as(run_id(1), spec("gpu-a", 0)));
    rig = then(rig, create_as(run_id(2), spec("gpu-b", 0)));
    assert!(rig.newest_dispatch(run_id(2)).is_none(), "the one slot is taken");
    rig = then(rig, down("gone"));
    rig = then(rig, Input::Deadline);
    assert!(rig.newest_dispatch(run_id(2)).is_some());
}
