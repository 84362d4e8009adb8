//! Generic workflows: lists of steps that go on without anybody watching, through restarts too.
//!
//! Invariants: the facts of a workflow are on disk before anything is done or shown that rests on them; a step begins on disk before its runner is
//! called; after a restart the runner of the step in progress is called again with what is recorded of it.
//! Absent: what follows from what, see [`comfyd_engine::Setup`]; JSON, see `api`.

mod actions;
mod checks;
mod deeds;
mod execute;
mod handle;
mod recover;
mod runner;
mod shell;
mod tail;
mod tasks;
mod work;

pub(crate) use actions::{ACTIONS, Action};
pub(crate) use deeds::deed_of;
pub(crate) use execute::KEYS;
pub(crate) use handle::{Setups, StartSetup, not_read, shows};
pub(crate) use recover::{recall, recover};
pub(crate) use runner::Runners;
pub(crate) use work::{SetupLoop, SetupParts};

use std::sync::Arc;

use crate::app::App;
use crate::dispatch::Connector;

/// Who does which steps.
pub(crate) fn runners(app: &App, connector: &Connector) -> Runners {
    let mut runners = Runners::default();
    runners.register(actions::EXECUTE, Arc::new(execute::ExecuteWorkflow::new(app.clone())));
    runners.register(actions::TEST_COMFYUI, Arc::new(checks::TestComfy::new(app.clone(), Arc::clone(connector))));
    runners.register(actions::WAIT, Arc::new(checks::Wait::new(Arc::clone(&app.clock))));
    let shell = Arc::new(shell::Shell::new(app.clone(), Arc::clone(connector)));
    let own = [actions::EXECUTE, actions::TEST_COMFYUI, actions::WAIT];
    for action in ACTIONS.iter().filter(|action| !own.contains(&action.name)) {
        runners.register(action.name, Arc::clone(&shell) as _);
    }
    runners
}
