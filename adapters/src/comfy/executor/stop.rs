//! Stopping a prompt of ours and no other (I14).

use comfyd_engine::{Outcome, PromptId, RemoteStatus, RunId};

use super::Executor;
use crate::comfy::http::{Cancelling, HttpError};
use crate::comfy::version::Version;

/// Whether to stop also where an old server may stop another prompt instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safety {
    OnlyOurs,
    InAnyCase,
}

impl Safety {
    pub(super) fn of(force: bool) -> Self {
        if force { Self::InAnyCase } else { Self::OnlyOurs }
    }
}

impl Executor {
    /// Takes a prompt out of the queue.
    pub(super) async fn dequeue(&self, prompt: &PromptId) -> Outcome {
        let outcome = match self.deps.http.delete(prompt).await {
            Ok(()) => Outcome::Stopped,
            Err(error) => Outcome::NotStopped { why: error.to_string() },
        };
        self.deps.link.poke();
        outcome
    }

    /// Takes a second entry of a prompt out of the queue; never one that runs, and never the only one.
    pub(super) async fn delete_twin(&self, run: RunId, prompt: &PromptId) -> Outcome {
        let outcome = match self.try_delete_twin(run, prompt).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::TwinKept { why: error.to_string() },
        };
        self.deps.link.poke();
        outcome
    }

    async fn try_delete_twin(&self, run: RunId, prompt: &PromptId) -> Result<Outcome, HttpError> {
        let http = &self.deps.http;
        // History first: one that ends between the two looks is missed in it, and then nothing is taken out yet.
        let ended = http.history(prompt).await?.is_some();
        let Some(twin) = http.queue().await?.twin(run, prompt, ended) else {
            return Ok(Outcome::TwinKept { why: "no second one waits".to_owned() });
        };
        // The server takes out one entry of this id.
        http.delete(&twin).await?;
        Ok(Outcome::TwinDeleted)
    }

    /// Stops a prompt where it runs.
    pub(super) async fn interrupt(&self, run: RunId, prompt: &PromptId, safety: Safety) -> Outcome {
        let outcome = match self.try_interrupt(run, prompt, safety).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::NotStopped { why: error.to_string() },
        };
        self.deps.link.poke();
        outcome
    }

    async fn try_interrupt(&self, run: RunId, prompt: &PromptId, safety: Safety) -> Result<Outcome, HttpError> {
        let http = &self.deps.http;
        match http.cancel_job(prompt).await? {
            // Not there: it has ended, and the look that follows tells how.
            Cancelling::Taken | Cancelling::NoSuchJob => return Ok(Outcome::Stopped),
            Cancelling::NotSupported => {}
        }
        let Some(found) = http.queue().await?.find(run, prompt) else { return Ok(Outcome::Stopped) };
        if found.status != RemoteStatus::Running {
            http.delete(&found.prompt).await?;
            return Ok(Outcome::Stopped);
        }
        if safety == Safety::OnlyOurs {
            let version = match self.deps.link.peer().version {
                Some(version) => Some(version),
                None => http.system_stats().await?.as_deref().and_then(Version::parse),
            };
            if !version.is_some_and(Version::interrupts_by_id) {
                let version = version.map_or_else(|| "of an unknown version".to_owned(), |version| version.to_string());
                let why = format!(
                    "This ComfyUI ({version}) stops whatever runs, not the prompt that is named: if this run ended at that moment, \
                     the next one, which may be somebody else's, would be hit. Versions from 0.3.57 on can be told which to stop."
                );
                return Ok(Outcome::CannotStop { why });
            }
        }
        http.interrupt(&found.prompt).await?;
        Ok(Outcome::Stopped)
    }
}
