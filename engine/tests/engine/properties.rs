//! What holds after any history, whatever is said in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use comfyd_engine::journal::envelope::{self, Body};
use comfyd_engine::testkit::Rig;
use comfyd_engine::{
    Addressed, Command, Engine, Fact, Input, Instance, InstanceEvent, InstanceId, InstanceSource, Outbox, Outcome, Percent,
    Recorded, RunEvent, RunId, RunView, Seq, Sha256, StreamId, Timestamp, Workload,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::strategies::{Act, Came, history, live};

fn lived(acts: &[Act]) -> Rig {
    live(acts, |_, _| {})
}

/// The facts of each run, in order.
fn logs(rig: &Rig) -> BTreeMap<RunId, Vec<&Recorded<RunEvent>>> {
    let mut logs: BTreeMap<RunId, Vec<_>> = BTreeMap::new();
    for fact in rig.log() {
        if let Fact::Run(run, recorded) = fact {
            logs.entry(*run).or_default().push(recorded);
        }
    }
    logs
}

fn is_ending(event: &RunEvent) -> bool {
    matches!(event, RunEvent::Completed(_) | RunEvent::Failed(_) | RunEvent::Cancelled(_))
}

fn fold_from(mut engine: Engine, facts: &[Fact]) -> Engine {
    let mut silence = Outbox::muted();
    for fact in facts {
        engine.apply(fact, &mut silence).expect("it was folded live");
    }
    assert_eq!(silence.take(), []);
    engine
}

proptest! {
    #[test]
    fn what_decide_says_apply_accepts(acts in history()) {
        lived(&acts); // `handle` panics if not
    }

    #[test]
    fn replay_rebuilds_the_live_run_silently(acts in history()) {
        let rig = lived(&acts);
        let refolded = fold_from(Engine::new(rig.engine().limits().clone()), rig.log());
        prop_assert!(refolded.runs().eq(rig.engine().runs()));
        let views = |engine: &Engine| engine.runs().map(RunView::of).collect::<Vec<_>>();
        prop_assert_eq!(views(&refolded), views(rig.engine()));
        let told = |it: &Instance| (it.id().clone(), it.boot(), it.seq(), it.setup().clone(), it.is_removed(), it.client().clone());
        let facts_of = |engine: &Engine| engine.instances().map(told).collect::<Vec<_>>();
        prop_assert_eq!(facts_of(&refolded), facts_of(rig.engine()));
    }

    #[test]
    fn the_log_alone_tells_every_command(acts in history()) {
        let rig = lived(&acts);
        let mut engine = Engine::new(rig.engine().limits().clone());
        let mut outbox = Outbox::new();
        for fact in rig.log() {
            engine.apply(fact, &mut outbox).expect("it was folded live");
        }
        prop_assert_eq!(outbox.take(), rig.said());
    }

    #[test]
    fn a_snapshot_anywhere_is_as_good_as_the_log(acts in history(), cut in any::<prop::sample::Index>()) {
        let rig = lived(&acts);
        let (before, after) = rig.log().split_at(cut.index(rig.log().len() + 1));
        let folded = fold_from(Engine::new(rig.engine().limits().clone()), before);
        let mut engine = Engine::new(rig.engine().limits().clone());
        folded.instances().for_each(|instance| engine.adopt_instance(instance.clone()));
        folded.runs().for_each(|run| engine.adopt(run.clone()));
        let engine = fold_from(engine, after);
        let whole = rig.refolded();
        prop_assert!(engine.runs().eq(whole.runs()));
        prop_assert_eq!(engine.queue_positions(), whole.queue_positions());
        for run in whole.runs() {
            prop_assert_eq!(engine.watched(run.instance()), whole.watched(run.instance()));
        }
    }

    #[test]
    fn an_instance_with_open_runs_keeps_its_address_and_one_is_the_default(acts in history()) {
        let mut before = BTreeMap::new();
        live(&acts, |rig, _| {
            for (run, url) in std::mem::take(&mut before) {
                let Some(run) = rig.engine().run(run).filter(|run| !run.is_done()) else { continue };
                let now = rig.engine().usable(run.instance()).map(|instance| instance.url().to_owned());
                assert_eq!(now, Some(url), "{} moved under an open run", run.instance());
            }
            let open = rig.engine().runs().filter(|run| !run.is_done());
            let urls = open.filter_map(|run| Some((run.id(), rig.engine().usable(run.instance())?.url().to_owned())));
            before = urls.collect();
            let usable = || rig.engine().instances().filter(|instance| !instance.is_removed());
            assert!(usable().filter(|instance| instance.setup().default).count() <= 1);
            let named: Vec<&str> =
                usable().filter(|it| it.setup().source != InstanceSource::Adhoc).map(Instance::url).collect();
            assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), named.len(), "two instances with one address");
        });
    }

    #[test]
    fn endings_are_final_and_single(acts in history()) {
        for log in logs(&lived(&acts)).into_values() {
            let after = log.iter().skip_while(|recorded| !is_ending(&recorded.event)).skip(1);
            for recorded in after {
                let kind = recorded.event.kind();
                prop_assert!(crate::stored::after_an_ending().contains(kind), "{} after the ending", kind);
            }
        }
    }

    #[test]
    fn a_restart_asks_only_for_what_was_asked_before(acts in history()) {
        let check = |said: &[Addressed], owed: &[Addressed]| {
            for one in owed {
                let before = || said.iter().any(|said| (said.run, &said.command) == (one.run, &one.command));
                match &one.command {
                    Command::Dispatch { .. } => return Err(TestCaseError::fail("a restart posts")),
                    Command::Reconcile { .. } => {}
                    Command::Stage { .. }
                    | Command::Dequeue { .. }
                    | Command::Interrupt { .. }
                    | Command::DeleteTwin { .. }
                    | Command::ReadLog {}
                    | Command::Collect { .. }
                    | Command::RemoveInputs { .. } => {
                        prop_assert!(before(), "{:?} is new", one);
                    }
                }
            }
            Ok(())
        };
        let mut restarts = Ok(());
        let rig = live(&acts, |rig, came| {
            if let (Came::Restart { owed }, Ok(())) = (came, &restarts) {
                restarts = check(rig.said(), &owed);
            }
        });
        restarts?;
        check(rig.said(), &rig.refolded().outstanding())?;
    }

    #[test]
    fn nothing_is_removed_that_an_open_run_relies_on(acts in history()) {
        let mut removing: BTreeMap<RunId, (InstanceId, BTreeSet<Sha256>)> = BTreeMap::new();
        let mut relied: BTreeMap<RunId, (InstanceId, BTreeSet<Sha256>)> = BTreeMap::new();
        let blobs = |rig: &Rig, run: RunId| {
            let spec = rig.run(run).spec();
            let Workload::Prompt(prompt) = &spec.workload;
            (spec.instance.clone(), prompt.uploads.iter().map(|upload| upload.blob.clone()).collect::<BTreeSet<_>>())
        };
        let mut seen = 0;
        let rig = live(&acts, |rig, _| {
            for fact in &rig.log()[seen..] {
                let Fact::Run(run, recorded) = fact else { continue };
                match &recorded.event {
                    RunEvent::StagingStarted(_) => drop(relied.insert(*run, blobs(rig, *run))),
                    RunEvent::InputsRemovalIntended(intent) => {
                        let gone = intent.files.iter().map(|file| file.blob.clone()).collect();
                        removing.insert(*run, (rig.run(*run).instance().clone(), gone));
                        assert!(rig.run(*run).is_done(), "{run} is not done");
                    }
                    RunEvent::InputsRemoved(_) | RunEvent::InputsRemovalDelayed(_) => drop(removing.remove(run)),
                    _ => {} // Nothing else touches files.
                }
                for (on, gone) in removing.values() {
                    let open = relied.iter().filter(|(id, (at, _))| at == on && !rig.run(**id).is_done());
                    for (id, (_, used)) in open {
                        assert!(used.is_disjoint(gone), "{id} relies on what is being removed");
                    }
                }
            }
            seen = rig.log().len();
        });
        for run in rig.engine().runs().filter(|run| run.owes_removal()) {
            let over_ssh = rig.log().iter().any(|fact| matches!(fact, Fact::Instance(id, Recorded { event: InstanceEvent::InstanceConfigured(it), .. })
                if id == run.instance() && it.setup.connection.ssh().is_some()));
            prop_assert!(over_ssh, "only over SSH anything can be removed");
        }
    }

    #[test]
    fn one_name_means_one_command(acts in history()) {
        let mut all: Vec<Addressed> = Vec::new();
        let rig = live(&acts, |_, came| {
            if let Came::Restart { owed } = came {
                all.extend(owed);
            }
        });
        all.extend(rig.said().iter().cloned());
        let mut named = BTreeMap::new();
        for said in &all {
            let known = named.entry(said.id.clone()).or_insert(said);
            prop_assert_eq!((known.run, &known.command), (said.run, &said.command), "{}", said.id);
        }
    }

    #[test]
    fn work_is_handed_over_at_most_once(acts in history()) {
        let mut seen = 0;
        let mut strange = Vec::new();
        let rig = live(&acts, |rig, came| {
            // Leave to post again comes only from the answer to the newest post.
            for fact in &rig.log()[seen..] {
                let Fact::Run(run, Recorded { event: RunEvent::SubmitNotSent(_), .. }) = fact else { continue };
                let answered = matches!(&came, Came::Turn { input: Input::Outcome(id, _) } if Some(id) == rig.newest_dispatch(*run).as_ref());
                strange.extend((!answered).then(|| fact.clone()));
            }
            seen = rig.log().len();
        });
        prop_assert_eq!(strange, vec![]);
        let mut handed = BTreeSet::new();
        for said in rig.said() {
            if let Command::Dispatch { attempt, .. } = said.command {
                prop_assert!(handed.insert((said.run, attempt)), "attempt {} of {} twice", attempt, said.run);
            }
        }
        for log in logs(&rig).into_values() {
            let (mut attempts, mut allowed) = (0, true);
            for recorded in log {
                match &recorded.event {
                    RunEvent::SubmitIntended(intent) => {
                        prop_assert!(allowed, "attempt {} without leave", intent.attempt);
                        prop_assert_eq!(intent.attempt, attempts + 1);
                        (attempts, allowed) = (attempts + 1, false);
                    }
                    RunEvent::SubmitNotSent(_) | RunEvent::ResubmitRequested(_) => allowed = true,
                    _ => {} // Nothing else gives leave.
                }
            }
        }
    }

    #[test]
    fn no_step_starts_after_a_cancel(acts in history()) {
        let rig = lived(&acts);
        for log in logs(&rig).into_values() {
            let mut wished = false;
            let mut settled = false;
            for recorded in log {
                match &recorded.event {
                    RunEvent::CancelRequested(_) => wished = true,
                    RunEvent::CancelRefused(_) => wished = false,
                    RunEvent::SubmitIntended(_) | RunEvent::StagingStarted(_) => prop_assert!(!wished, "handed over"),
                    RunEvent::Cancelled(_) => settled = true,
                    RunEvent::NodeStarted(_) | RunEvent::ExecutionStarted(_) => prop_assert!(!settled, "a step started"),
                    _ => {} // The rest starts nothing.
                }
            }
        }
    }

    #[test]
    fn places_have_no_gaps_and_recorded_time_never_goes_back(acts in history()) {
        let rig = lived(&acts);
        let mut newest: BTreeMap<StreamId, (Seq, Timestamp)> = BTreeMap::new();
        for fact in rig.log() {
            let at = match fact {
                Fact::Run(_, recorded) => recorded.at,
                Fact::Instance(_, recorded) => recorded.at,
            };
            let (seq, before) = newest.get(&fact.stream()).copied().unwrap_or_default();
            prop_assert_eq!(fact.seq(), seq.next());
            prop_assert!(at >= before, "{} is recorded before {}", at, before);
            newest.insert(fact.stream(), (fact.seq(), at));
        }
    }

    #[test]
    fn what_is_written_is_read_back(acts in history()) {
        for fact in lived(&acts).log() {
            match fact {
                Fact::Run(_, recorded) => {
                    let read = envelope::read::<RunEvent>(&recorded.event.encode(recorded.at));
                    prop_assert_eq!(read, Ok((recorded.at, Some(recorded.event.clone()))));
                }
                Fact::Instance(_, recorded) => {
                    let read = envelope::read::<InstanceEvent>(&recorded.event.encode(recorded.at));
                    prop_assert_eq!(read, Ok((recorded.at, Some(recorded.event.clone()))));
                }
            }
        }
    }

    #[test]
    fn a_double_observation_says_nothing_new(acts in history()) {
        let mut doubles = Vec::new();
        live(&acts, |rig, came| {
            let Came::Turn { input } = came else { return };
            let posts = |outcome: &Outcome| {
                matches!(outcome, Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::NotSent { .. } | Outcome::Unclear { .. })
            };
            let once = match input {
                Input::Observed(..) | Input::Link(..) | Input::AddInstance { .. } | Input::SetInstance { .. } | Input::TrustHostKey { .. } => true,
                Input::Outcome(_, outcome) => posts(outcome),
                Input::Request(..)
                | Input::RemoveInstance { .. }
                | Input::Reconciled(..)
                | Input::TwinSeen(_)
                | Input::Restarted
                | Input::CaughtUp(_)
                | Input::Repaired(..)
                | Input::Deadline => false,
            };
            let restart = matches!(input, Input::Link(_, comfyd_engine::LinkChange::Restarted { .. }));
            if once && !restart {
                let mut engine = rig.engine().clone();
                let Ok(again) = engine.handle(rig.now(), input.clone()) else {
                    assert!(!matches!(input, Input::Observed(..) | Input::Link(..) | Input::Outcome(..)), "only requests are refused");
                    return;
                };
                doubles.extend(again.facts.into_iter().map(|fact| (input.clone(), fact)));
            }
        });
        prop_assert_eq!(doubles, vec![]);
    }

    #[test]
    fn a_wake_up_that_was_kept_is_not_asked_for_again(acts in history()) {
        let mut late = Vec::new();
        live(&acts, |rig, came| {
            if let Came::Turn { input: Input::Deadline } = came {
                late.extend(rig.engine().next_deadline().filter(|at| *at <= rig.now()));
            }
        });
        prop_assert_eq!(late, vec![]);
    }

    #[test]
    fn percent_never_falls_and_is_100_only_when_completed(acts in history()) {
        let mut best: BTreeMap<RunId, Percent> = BTreeMap::new();
        let mut wrong = Vec::new();
        live(&acts, |rig, _| {
            for view in rig.engine().runs().map(RunView::of) {
                let percent = view.progress.progress_percent;
                let before = best.insert(view.run_id, percent).unwrap_or(Percent(0));
                if percent < before || (percent == Percent(1000)) != (view.phase == "completed") {
                    wrong.push((view.run_id, view.phase, before, percent));
                }
            }
        });
        prop_assert_eq!(wrong, vec![]);
    }

    #[test]
    fn a_fact_that_cannot_follow_changes_nothing(acts in history(), strange in history()) {
        let rig = lived(&acts);
        for fact in lived(&strange).log() {
            let Fact::Run(_, recorded) = fact else { continue };
            for run in rig.engine().runs() {
                let mut folded = run.clone();
                let next = Recorded { seq: run.seq().next(), ..recorded.clone() };
                if folded.apply(&next, &mut Outbox::new()).is_err() {
                    prop_assert_eq!(&folded, run);
                } else {
                    prop_assert_eq!(folded.seq(), next.seq);
                }
                let gap = Recorded { seq: run.seq().next().next(), ..recorded.clone() };
                prop_assert!(run.clone().apply(&gap, &mut Outbox::new()).is_err(), "a gap is no log");
            }
        }
    }
}

#[test]
fn histories_visit_every_phase_and_every_kind_of_event() {
    let mut phases = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let acts = history().new_tree(&mut runner).expect("a history").current();
        let rig = live(&acts, |rig, _| phases.extend(rig.engine().runs().map(|run| run.phase().as_str())));
        kinds.extend(rig.log().iter().map(|fact| match fact {
            Fact::Run(_, recorded) => recorded.event.kind(),
            Fact::Instance(_, recorded) => recorded.event.kind(),
        }));
    }
    let all = RunEvent::KINDS.iter().chain(InstanceEvent::KINDS).map(|(kind, _)| *kind);
    assert_eq!(all.filter(|kind| !kinds.contains(kind)).collect::<Vec<_>>(), Vec::<&str>::new(), "kinds never seen");
    let every =
        ["waiting", "staging", "submitting", "in_doubt", "pending", "running", "collecting", "completed", "failed", "cancelled"];
    assert_eq!(phases, every.into_iter().collect());
}
