//! Who does a step.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use comfyd_engine::{PlannedStep, RunId, SetupId, SetupTarget, SetupTask, StepEnding, StepError, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// What a runner is called with: everything that is recorded of the step.
#[derive(Clone, Debug)]
pub(crate) struct StepCall {
    /// The workflow.
    pub(crate) setup: SetupId,
    /// Which of its steps: 0 for the first.
    pub(crate) step: usize,
    /// How often the step has begun, this time included. The same number again is the same beginning after a restart.
    pub(crate) attempt: u32,
    /// Whether this program has been started again since it began.
    pub(crate) again: bool,
    /// When it began.
    pub(crate) began: Timestamp,
    /// The run that it made in this beginning.
    pub(crate) run: Option<RunId>,
    /// Where the workflow's steps work.
    pub(crate) target: SetupTarget,
    /// What is asked for.
    pub(crate) plan: PlannedStep,
}

/// What a step has told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) run: Option<RunId>,
    pub(crate) tasks: Vec<SetupTask>,
    pub(crate) note: Option<String>,
}

/// Where a step tells how far it is. Only the newest counts; it is recorded at most once a second.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(watch::Sender<Told>);

impl Reporter {
    pub(super) fn channel() -> (Self, watch::Receiver<Told>) {
        let (sender, receiver) = watch::channel(Told::default());
        (Self(sender), receiver)
    }

    /// The step has made a run.
    pub(crate) fn made(&self, run: RunId) {
        self.0.send_modify(|told| told.run = Some(run));
    }

    /// All tasks of the step, and what it says now.
    pub(crate) fn report(&self, tasks: Vec<SetupTask>, note: Option<String>) {
        self.0.send_if_modified(|told| {
            let news = told.tasks != tasks || told.note != note;
            if news {
                (told.tasks, told.note) = (tasks, note);
            }
            news
        });
    }
}

/// A step being done. It may be dropped at any await when the server ends; it is called again after the next start.
pub(crate) type Working = Pin<Box<dyn Future<Output = StepEnding> + Send>>;

/// Does the steps of one action.
pub(crate) trait StepRunner: Send + Sync {
    /// Does a step, or goes on with one that was begun before a restart. `stop` asks it to end soon with [`StepEnding::Interrupted`].
    fn run(&self, call: StepCall, reporter: Reporter, stop: CancellationToken) -> Working;
}

/// The runners by action.
#[derive(Clone, Default)]
pub(crate) struct Runners(BTreeMap<&'static str, Arc<dyn StepRunner>>);

impl Runners {
    /// From now on this runner does the steps of this action.
    pub(crate) fn register(&mut self, action: &'static str, runner: Arc<dyn StepRunner>) {
        self.0.insert(action, runner);
    }

    /// Does a step; one that nobody can do is blocked.
    pub(super) fn run(&self, call: StepCall, reporter: Reporter, stop: CancellationToken) -> Working {
        match self.0.get(call.plan.action.as_str()) {
            Some(runner) => runner.run(call, reporter, stop),
            None => Box::pin(async move { StepEnding::Blocked(nobody(&call.plan.action)) }),
        }
    }
}

fn nobody(action: &str) -> StepError {
    StepError {
        code: "unknown_action".to_owned(),
        message: format!("this version of comfyd knows no step `{action}`"),
        hint: "Do it by hand and leave the step out with `skip` when you resume, or stop the workflow.".to_owned(),
    }
}

/// How a step ends that ran into a problem: what may pass waits for its user, what is wrong fails.
pub(super) fn ending_of(problem: &Problem) -> StepEnding {
    let error = StepError { code: problem.code.clone(), message: problem.message.clone(), hint: problem.hint.clone() };
    if problem.status >= 500 || problem.status == 429 { StepEnding::Blocked(error) } else { StepEnding::Failed(error) }
}
