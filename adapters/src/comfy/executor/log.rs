//! What the server's own log ended with, for people who look at a failure.

use std::time::Duration;

use comfyd_engine::Outcome;

use super::Executor;

/// How long it may take: a failure is shown without it, and who follows the run waits so long for its end.
const LIMIT: Duration = Duration::from_secs(3);

impl Executor {
    /// Asks once. Old servers do not tell, and one that has just gone away does not matter: then there are no lines.
    pub(super) async fn read_log(&self) -> Outcome {
        let lines = self.deps.http.log_lines(LIMIT).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the server's own log was not read");
            vec![]
        });
        Outcome::LogRead { lines }
    }
}
