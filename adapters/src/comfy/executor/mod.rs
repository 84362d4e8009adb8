//! Does what the engine wants done on one instance, and tells what came of it.
//!
//! Invariants: a prompt is posted once per command and never again; no prompt is ever stopped or deleted but by the id of
//! one of ours, and no file is removed but one of ours.
//! Absent: when anything is done, and what follows from it.

mod by_sftp;
mod collect;
mod dispatch;
mod inputs;
mod log;
mod stage;
mod stop;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub use inputs::MAX_UPLOAD;

use comfyd_engine::{Addressed, ClientId, Command, Outcome, RunError};

use super::http::Client;
use super::link::LinkHandle;
use super::ports::{Blobs, OutputSink};
use crate::env::Rng;

/// What an executor needs from its surroundings.
#[derive(Clone)]
pub struct ExecutorDeps {
    /// The server.
    pub http: Client,
    /// Who we are there.
    pub client: ClientId,
    /// Its link, which knows the version and looks when it is poked.
    pub link: LinkHandle,
    /// Graphs and uploads.
    pub blobs: Arc<dyn Blobs>,
    /// Where outputs go.
    pub outputs: Arc<dyn OutputSink>,
    /// Chance, for jitter.
    pub rng: Arc<dyn Rng>,
}

/// Does the commands for one instance; clones share what is known of its classes.
#[derive(Clone)]
pub struct Executor {
    deps: ExecutorDeps,
    /// For what is large.
    bulk: Client,
    classes: Arc<Mutex<Classes>>,
}

/// Which classes are outputs; good until the instance goes down or comes up again, perhaps with other nodes installed.
#[derive(Debug, Default)]
struct Classes {
    ups: u64,
    known: BTreeMap<String, Option<bool>>,
}

impl Executor {
    /// One for this instance.
    pub fn new(deps: ExecutorDeps) -> Self {
        let bulk = match deps.http.transport().bulk() {
            Some(transport) => Client::tuned(transport, deps.http.tuning().clone()),
            None => deps.http.clone(),
        };
        Self { deps, bulk, classes: Arc::default() }
    }

    /// Looks at the instance now.
    pub fn poke(&self) {
        self.deps.link.poke();
    }

    /// Does a command, whatever time it takes. None for `Reconcile`: the link is poked and tells what it finds.
    ///
    /// Not cancel-safe: dropped halfway, it is not known what was done. Run it in a task of its own.
    #[tracing::instrument(level = "debug", skip_all, fields(run = %addressed.run, instance = %addressed.instance, command = %addressed.id))]
    pub async fn perform(&self, addressed: Addressed) -> Option<Outcome> {
        let run = addressed.run;
        let outcome = match addressed.command {
            Command::Stage { graph, uploads, outputs } => self.stage(&graph, &uploads, outputs).await,
            Command::Dispatch { prompt, prompt_id, client, attempt, priority } => {
                self.dispatch(dispatch::Post { run, prompt, prompt_id, client, attempt, priority }).await
            }
            Command::Reconcile { .. } => {
                self.deps.link.poke();
                return None;
            }
            Command::Dequeue { prompt_id } => self.dequeue(&prompt_id).await,
            Command::Interrupt { prompt_id, force } => self.interrupt(run, &prompt_id, stop::Safety::of(force)).await,
            Command::DeleteTwin { prompt_id } => self.delete_twin(run, &prompt_id).await,
            Command::ReadLog {} => self.read_log().await,
            Command::Collect { n, file } => self.collect(run, n, &file).await,
            Command::RemoveInputs { files } => self.remove_inputs(&files).await,
        };
        Some(outcome)
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("http", &self.deps.http).finish_non_exhaustive()
    }
}

/// An error of ours, without a node to blame.
fn run_error(code: &str, message: String, hint: &str) -> RunError {
    RunError {
        code: code.to_owned(),
        message,
        hint: hint.to_owned(),
        node_id: None,
        node_type: None,
        details: None,
        problems: Vec::new(),
    }
}
