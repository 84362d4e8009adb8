//! The steps that look and wait.

use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::comfy::http::Client;
use comfyd_adapters::env::Clock;
use comfyd_engine::{StepEnding, StepError};
use tokio_util::sync::CancellationToken;

use super::runner::{Reporter, StepCall, StepRunner, Working, ending_of};
use crate::app::App;
use crate::dispatch::Connector;
use crate::problem::Problem;

/// Asks whether ComfyUI answers, and its version.
pub(super) struct TestComfy {
    app: App,
    connector: Connector,
}

impl TestComfy {
    pub(super) fn new(app: App, connector: Connector) -> Self {
        Self { app, connector }
    }
}

impl StepRunner for TestComfy {
    fn run(&self, call: StepCall, _: Reporter, stop: CancellationToken) -> Working {
        let (app, connector) = (self.app.clone(), Arc::clone(&self.connector));
        Box::pin(async move {
            tokio::select! {
                ending = test(&app, &connector, &call) => ending.unwrap_or_else(|problem| ending_of(&problem)),
                () = stop.cancelled() => StepEnding::Interrupted,
            }
        })
    }
}

async fn test(app: &App, connector: &Connector, call: &StepCall) -> Result<StepEnding, Problem> {
    let mut wish = crate::api::target(&call.plan.fields)?;
    if wish.is_none() {
        wish = crate::api::target(&super::execute::target_fields(&call.target))?;
    }
    let (instance, connection) = app.intake.address(wish.as_ref())?;
    let url = connection.url();
    let transport = connector(&instance, &connection).ok_or_else(|| {
        Problem::invalid("bad_address", format!("instance {instance} has no usable address: {url}"), "Correct it.")
    })?;
    Ok(match Client::new(transport).system_stats().await {
        Ok(Some(version)) => StepEnding::Completed { note: Some(format!("ComfyUI {version} answers at {url}")) },
        Ok(None) => StepEnding::Completed { note: Some(format!("ComfyUI answers at {url}; it does not tell its version")) },
        Err(error) => StepEnding::Failed(StepError {
            code: error.code().to_owned(),
            message: format!("failed to {error}"),
            hint: error.hint().to_owned(),
        }),
    })
}

/// Lets time pass.
pub(super) struct Wait {
    clock: Arc<dyn Clock>,
}

impl Wait {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl StepRunner for Wait {
    fn run(&self, call: StepCall, _: Reporter, stop: CancellationToken) -> Working {
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            let ms = match crate::api::wait_ms(&call.plan.fields) {
                Ok(ms) => ms,
                Err(problem) => return ending_of(&problem),
            };
            // What passed before a restart counts.
            let left = ms.saturating_sub(clock.now().since(call.began));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => StepEnding::Completed { note: None },
                () = stop.cancelled() => StepEnding::Interrupted,
            }
        })
    }
}
