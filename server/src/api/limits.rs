//! How much may go on at once.

use std::sync::{Arc, Mutex, PoisonError};

use comfyd_engine::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Requests in flight; more means that something is stuck or hostile.
const REQUESTS: usize = 256;
/// Streams of events: one or two for each open page.
const STREAMS: usize = 2000;
/// Uploads by form at once: each may hold its files in memory.
const UPLOADS: usize = 2;
/// Wrong tokens a second before guesses are told to wait.
const WRONG_TOKENS: u32 = 5;

/// The counters of one server.
#[derive(Clone)]
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Limits {
    pub(super) fn new() -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self { requests: of(REQUESTS), streams: of(STREAMS), uploads: of(UPLOADS) }
    }

    /// A place for a request.
    pub(super) fn request(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.requests, "requests are being answered")
    }

    /// A place for a stream of events.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.streams, "event streams are open")
    }

    /// A place for an upload by form.
    pub(super) fn upload(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.uploads, "uploads are running")
    }
}

fn take(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = || Problem::unavailable("busy", format!("too many {what} already"), "Try again in a second.");
    Arc::clone(places).try_acquire_owned().map_err(|_| busy())
}

/// Counts wrong tokens by the second.
#[derive(Default)]
pub(super) struct WrongTokens(Mutex<(u64, u32)>);

impl WrongTokens {
    /// Counts one; the answer to it. The right token is never held up by the wrong guesses of others.
    pub(super) fn answer(&self, now: Timestamp) -> Problem {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != now.unix_seconds() {
            *seen = (now.unix_seconds(), 0);
        }
        seen.1 = seen.1.saturating_add(1);
        if seen.1 > WRONG_TOKENS {
            return Problem::new(
                429,
                "too_many_attempts",
                "too many wrong tokens in this second",
                "Wait a second; `comfyd token` prints the right one.",
            );
        }
        Problem::new(401, "wrong_token", "the token is wrong", "`comfyd token` prints the right one.")
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, REQUESTS, WrongTokens};
    use comfyd_engine::Timestamp;

    #[test]
    fn guesses_are_told_to_wait_after_five_in_a_second() {
        let wrong = WrongTokens::default();
        let ask = |ms| wrong.answer(Timestamp(ms)).status;
        assert_eq!([ask(1000), ask(1100), ask(1200), ask(1300), ask(1400)], [401; 5]);
        assert_eq!([ask(1500), ask(1999)], [429; 2]);
        assert_eq!(ask(2000), 401);
    }

    #[test]
    fn a_request_beyond_the_limit_is_told_to_come_back() {
        let limits = Limits::new();
        let held: Vec<_> = (0..REQUESTS).map(|_| limits.request()).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(limits.request().expect_err("all places are taken").status, 503);
        drop(held);
        assert!(limits.request().is_ok());
    }
}
