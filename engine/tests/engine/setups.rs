//! Generic workflows: what each input leads to, and that replay rebuilds what was live.

use comfyd_engine::journal::envelope::{Body, read};
use comfyd_engine::testkit::run_id;
use comfyd_engine::*;
use proptest::prelude::*;

fn planned(enabled: bool) -> PlannedStep {
    PlannedStep { action: "wait".into(), label: "Wait".into(), enabled, fields: [("seconds".into(), "1".into())].into() }
}

fn created(enabled: &[bool]) -> SetupEvent {
    let steps = enabled.iter().copied().map(planned).collect();
    SetupCreated { target: SetupTarget::default(), steps, step_delay_ms: 5_000 }.into()
}

fn imported(status: ImportedStatus, steps: &[StepStatus]) -> SetupImported {
    let step =
        |status: &StepStatus| ImportedStep { plan: planned(true), status: *status, tasks: vec![], note: None, error: None };
    SetupImported {
        target: SetupTarget::default(),
        status,
        steps: steps.iter().map(step).collect(),
        started: Timestamp(1),
        updated: Timestamp(2),
        fields: [].into(),
    }
}

/// A workflow and all facts that made it.
struct Tale {
    setup: Setup,
    log: Vec<Recorded<SetupEvent>>,
    now: Timestamp,
}

impl Tale {
    fn of(first: SetupEvent) -> Self {
        let now = Timestamp(10);
        let recorded = Recorded { seq: Seq(1), at: now, event: first };
        let setup = Setup::created("s".parse().expect("an id"), &recorded).expect("a first fact");
        Self { setup, log: vec![recorded], now }
    }

    fn told(&mut self, input: SetupInput) -> Result<usize, SetupRefusal> {
        let events = self.setup.decide(self.now, input)?;
        let count = events.len();
        for event in events {
            let recorded = Recorded { seq: self.setup.seq().next(), at: self.now, event };
            self.setup.apply(&recorded).expect("what decide says apply accepts");
            self.log.push(recorded);
        }
        Ok(count)
    }

    fn good(mut self, inputs: impl IntoIterator<Item = SetupInput>) -> Self {
        for input in inputs {
            let text = format!("{input:?}");
            assert_ne!(self.told(input).expect("granted"), 0, "{text} changed nothing");
        }
        self
    }

    fn later(mut self, ms: u64) -> Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    fn statuses(&self) -> Vec<StepStatus> {
        self.setup.steps().iter().map(SetupStep::status).collect()
    }
}

fn ended(step: usize, attempt: u32, ending: StepEnding) -> SetupInput {
    SetupInput::Ended { step, attempt, ending }
}

fn done() -> StepEnding {
    StepEnding::Completed { note: Some("8 outputs".into()) }
}

fn error() -> StepError {
    StepError { code: "c".into(), message: "m".into(), hint: "h".into() }
}

fn resume() -> SetupInput {
    SetupInput::Resume { skip: vec![] }
}

use SetupInput::{Deadline, Stop};
use StepStatus::{Blocked, Completed, Failed, InProgress, Pending, Skipped};

#[test]
fn steps_are_done_one_after_the_other_with_a_pause_between() {
    let tale = Tale::of(created(&[true, false, true])).good([Deadline]);
    assert_eq!(tale.statuses(), [InProgress, Skipped, Pending]);
    let mut tale = tale.good([ended(0, 1, done())]).later(4_999);
    assert_eq!((tale.told(Deadline), tale.setup.next_deadline()), (Ok(0), Some(Timestamp(5_010))), "the pause is kept");
    let tale = tale.later(1).good([Deadline, ended(2, 1, done())]);
    assert_eq!((tale.setup.phase(), tale.setup.next_deadline()), (SetupPhase::Completed, None));
    assert_eq!(tale.statuses(), [Completed, Skipped, Completed]);
    assert_eq!((tale.setup.current(), tale.setup.ended()), (2, Some(Timestamp(5_010))));
}

#[test]
fn nothing_to_do_is_done() {
    assert_eq!(Tale::of(created(&[false])).setup.phase(), SetupPhase::Completed);
}

#[test]
fn a_report_is_recorded_once() {
    let task = |status| SetupTask { name: "KSampler (12)".into(), status, note: None, subtasks: vec![], fields: [].into() };
    let report = |status| SetupInput::Report { step: 0, attempt: 1, tasks: vec![task(status)], note: Some("1/2 nodes".into()) };
    let mut tale = Tale::of(created(&[true])).good([Deadline, report(TaskStatus::Running)]);
    assert_eq!(tale.told(report(TaskStatus::Running)), Ok(0));
    let tale = tale.good([report(TaskStatus::Success)]);
    assert_eq!(tale.setup.steps()[0].tasks(), [task(TaskStatus::Success)]);
    assert_eq!(tale.log.last().map(|fact| fact.event.sync_class()), Some(SyncClass::Tick));
}

#[test]
fn what_a_former_beginning_says_counts_no_more() {
    let late = [
        ended(0, 1, done()),
        SetupInput::Made { step: 0, attempt: 1, run: run_id(1) },
        SetupInput::Report { step: 0, attempt: 1, tasks: vec![], note: Some("late".into()) },
    ];
    let mut tale = Tale::of(created(&[true])).good([Deadline, ended(0, 1, StepEnding::Failed(error())), resume(), Deadline]);
    assert_eq!(tale.setup.in_progress(), Some((0, 2)));
    for input in late {
        assert_eq!(tale.told(input), Ok(0));
    }
}

#[test]
fn stopping() {
    let running = || Tale::of(created(&[true, true])).good([Deadline]);
    let mut tale = running().good([Stop]);
    assert_eq!(
        (tale.setup.phase(), tale.told(Stop), tale.told(resume())),
        (SetupPhase::Stopping, Ok(0), Err(SetupRefusal::Stopping))
    );
    let stopped = tale.good([ended(0, 1, StepEnding::Interrupted)]);
    assert_eq!((stopped.setup.phase(), stopped.statuses()), (SetupPhase::Cancelled, vec![Pending, Pending]));
    let rest = [
        (done(), SetupPhase::Cancelled),
        (StepEnding::Blocked(error()), SetupPhase::Cancelled),
        (StepEnding::Failed(error()), SetupPhase::Failed),
    ];
    for (ending, phase) in rest {
        assert_eq!(running().good([Stop, ended(0, 1, ending)]).setup.phase(), phase);
    }
    let last = Tale::of(created(&[true])).good([Deadline, Stop, ended(0, 1, done())]);
    assert_eq!(last.setup.phase(), SetupPhase::Completed, "it was done before the stop took hold");
    let mut between = running().good([ended(0, 1, done()), Stop]).later(9_000);
    assert_eq!((between.setup.phase(), between.told(Deadline), between.told(Stop)), (SetupPhase::Cancelled, Ok(0), Ok(0)));
    let mut over = last;
    assert_eq!(over.told(Stop), Err(SetupRefusal::Over("completed")));
    let cancelled_elsewhere = running().good([ended(0, 1, StepEnding::Interrupted)]);
    assert_eq!(cancelled_elsewhere.setup.phase(), SetupPhase::Cancelled, "somebody stopped the run itself");
}

#[test]
fn a_blocked_step_waits_for_its_user() {
    let blocked = || Tale::of(created(&[true, true])).good([Deadline, ended(0, 1, StepEnding::Blocked(error()))]).later(60_000);
    let mut tale = blocked();
    assert_eq!((tale.told(Deadline), tale.setup.phase(), tale.statuses()), (Ok(0), SetupPhase::Blocked, vec![Blocked, Pending]));
    assert_eq!(tale.told(SetupInput::Resume { skip: vec![2] }), Err(SetupRefusal::NoSuchStep(2)));
    let again = tale.good([resume(), Deadline]);
    assert_eq!(again.setup.in_progress(), Some((0, 2)));
    let skipped = blocked().good([SetupInput::Resume { skip: vec![0] }, Deadline]);
    assert_eq!(skipped.statuses(), [Skipped, InProgress]);
    let all = blocked().good([SetupInput::Resume { skip: vec![0, 1] }]);
    assert_eq!(all.setup.phase(), SetupPhase::Completed);
    assert_eq!(blocked().good([Stop]).setup.phase(), SetupPhase::Cancelled);
}

#[test]
fn a_failed_workflow_goes_on_with_its_failed_step() {
    let failed = Tale::of(created(&[true, true])).good([Deadline, ended(0, 1, StepEnding::Failed(error()))]);
    assert_eq!((failed.setup.phase(), failed.statuses()), (SetupPhase::Failed, vec![Failed, Pending]));
    let mut again = failed.good([resume(), Deadline]);
    assert_eq!((again.setup.in_progress(), again.setup.steps()[0].error()), (Some((0, 2)), None));
    assert_eq!((again.told(resume()), again.told(SetupInput::Resume { skip: vec![1] })), (Ok(0), Err(SetupRefusal::Running)));
}

#[test]
fn an_imported_state_rests_until_it_is_resumed() {
    let mut tale = Tale::of(imported(ImportedStatus::Running, &[Completed, InProgress, Pending]).into()).later(60_000);
    assert_eq!((tale.setup.in_progress(), tale.told(Deadline), tale.setup.current()), (None, Ok(0), 1));
    assert_eq!((tale.setup.started(), tale.setup.updated()), (Timestamp(1), Timestamp(2)));
    let newer = imported(ImportedStatus::Failed, &[Completed, Failed, Pending]);
    let tale = tale.good([SetupInput::Import(Box::new(newer.clone()))]);
    assert_eq!(tale.setup.phase().as_str(), "failed");
    let mut tale = tale.good([resume(), Deadline]);
    assert_eq!((tale.statuses(), tale.setup.in_progress()), (vec![Completed, InProgress, Pending], Some((1, 1))));
    assert_eq!(tale.told(SetupInput::Import(Box::new(newer))), Err(SetupRefusal::Ours));
    let stopped = Tale::of(imported(ImportedStatus::Running, &[InProgress]).into()).good([Stop]);
    assert_eq!((stopped.setup.phase(), stopped.statuses()), (SetupPhase::Cancelled, vec![Pending]));
    let mut over = Tale::of(imported(ImportedStatus::Completed, &[Completed]).into());
    assert_eq!(over.told(resume()), Err(SetupRefusal::Over("completed")));
    assert_eq!(over.told(Stop), Err(SetupRefusal::Over("completed")));
}

#[test]
fn a_fact_that_cannot_follow_changes_nothing() {
    let tale = Tale::of(created(&[true, true])).good([Deadline]);
    let facts: Vec<SetupEvent> = vec![
        created(&[true]),
        imported(ImportedStatus::Running, &[Pending]).into(),
        SetupStepBegun { step: 1, attempt: 1 }.into(),
        SetupStepEnded { step: 1, ending: done() }.into(),
        SetupStepRun { step: 9, run: run_id(1) }.into(),
        SetupStopped {}.into(),
        SetupResumed { skip: vec![] }.into(),
    ];
    for event in facts {
        let mut setup = tale.setup.clone();
        let kind = event.kind();
        setup.apply(&Recorded { seq: setup.seq().next(), at: tale.now, event }).expect_err(kind);
        assert_eq!(setup, tale.setup, "{kind}");
    }
    let skipped = Recorded { seq: Seq(7), at: tale.now, event: SetupStopRequested {}.into() };
    assert!(tale.setup.clone().apply(&skipped).is_err(), "a gap");
}

fn any_input() -> impl Strategy<Value = (u64, SetupInput)> {
    let place = || (0..4usize, 0..4u32);
    let ending = prop_oneof![
        3 => Just(done()),
        1 => Just(StepEnding::Failed(error())),
        1 => Just(StepEnding::Blocked(error())),
        1 => Just(StepEnding::Interrupted),
    ];
    let input = prop_oneof![
        1 => Just(Stop),
        1 => proptest::collection::vec(0..4u32, 0..2).prop_map(|skip| SetupInput::Resume { skip }),
        4 => Just(Deadline),
        1 => place().prop_map(|(step, attempt)| SetupInput::Made { step, attempt, run: run_id(1) }),
        1 => place().prop_map(|(step, attempt)| SetupInput::Report { step, attempt, tasks: vec![], note: Some(attempt.to_string()) }),
        4 => (place(), ending).prop_map(|((step, attempt), ending)| ended(step, attempt, ending)),
        1 => Just(SetupInput::Import(Box::new(imported(ImportedStatus::Blocked, &[Completed, Blocked])))),
    ];
    (0..6_000u64, input)
}

fn any_first() -> impl Strategy<Value = SetupEvent> {
    prop_oneof![
        proptest::collection::vec(any::<bool>(), 1..4).prop_map(|enabled| created(&enabled)),
        Just(imported(ImportedStatus::Running, &[Completed, InProgress, Pending]).into()),
    ]
}

proptest! {
    #[test]
    fn replay_rebuilds_the_live_workflow_and_a_step_never_begins_after_a_stop(first in any_first(), inputs in proptest::collection::vec(any_input(), 0..40)) {
        let mut tale = Tale::of(first);
        let mut stopped = false;
        for (ms, input) in inputs {
            tale.now = tale.now.plus_ms(ms);
            // The current step is spoken of more often than chance would.
            let input = match (input, tale.setup.in_progress()) {
                (SetupInput::Ended { ending, .. }, Some((step, attempt))) if ms % 2 == 0 => ended(step, attempt, ending),
                (input, _) => input,
            };
            let before = tale.log.len();
            let resumes = matches!(input, SetupInput::Resume { .. });
            let stops = input == Stop;
            let granted = tale.told(input).is_ok();
            stopped = (stopped || (stops && granted)) && !(resumes && granted);
            for fact in &tale.log[before..] {
                let begun = matches!(fact.event, SetupEvent::SetupStepBegun(_));
                prop_assert!(!(begun && stopped));
            }
            prop_assert!(tale.statuses().iter().filter(|status| **status == InProgress).count() <= 1);
        }
        let mut replayed: Option<Setup> = None;
        for fact in &tale.log {
            let (at, event) = read::<SetupEvent>(&fact.event.encode(fact.at)).expect("what was written is read");
            let fact = Recorded { seq: fact.seq, at, event: event.expect("a known kind") };
            match &mut replayed {
                Some(setup) => setup.apply(&fact).expect("it followed before"),
                None => replayed = Some(Setup::created("s".parse().expect("an id"), &fact).expect("a first fact")),
            }
        }
        prop_assert_eq!(replayed, Some(tale.setup));
    }
}
