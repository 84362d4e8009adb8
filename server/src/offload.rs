//! Where file work runs: beside the async tasks, or inside them in a simulation.

/// Where work that may block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// On threads for blocking work.
    Threads,
    /// In the calling task, so that a simulation is the same every time.
    Inline,
}

impl Offload {
    /// Does the work.
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Self::Inline => work(),
            Self::Threads => match tokio::task::spawn_blocking(work).await {
                Ok(done) => done,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is going down and so is this task: there is nobody to answer.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
