//! How much may go on at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comfyd_engine::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Logs folded at once for readers that come back: each may take a while.
const FOLDS: usize = 2;
/// Answers that a thread writes, at once: archives, logs and patches. Each may be held up by its reader.
const WORK: usize = 32;
/// Pictures made small at once: each may take 256 MiB.
const THUMBNAILS: usize = 2;
/// Forms derived at once with what an instance says: that may be 64 MiB to look through.
const FORMS: usize = 1;
/// Logins in flight. Anybody may try, so they are counted apart: they cannot take the places of those who have the token.
const LOGINS: usize = 8;
/// Uploads by form at once: each may hold its files in memory.
const UPLOADS: usize = 2;
/// Wrong tokens a second before guesses are told to wait.
const WRONG_TOKENS: u32 = 5;

/// How many may be connected, and how slow they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests in flight; more means that something is stuck or hostile.
    pub requests: usize,
    /// Streams of events at once: one or two for each open page.
    pub streams: usize,
    /// Streams of one address: one machine must not take all of them.
    pub streams_of_one: usize,
    /// How long a client may take nothing of what is sent to it before its connection is closed.
    pub stalled: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { requests: 256, streams: 2000, streams_of_one: 64, stalled: Duration::from_mins(1) }
    }
}

impl Bounds {
    /// Connections at once: as many as there may be streams, and room for requests and idle ones.
    pub(super) fn connections(self) -> usize {
        self.streams.saturating_add(self.requests.saturating_mul(2)).min(Semaphore::MAX_PERMITS)
    }
}

/// The counters of one server.
#[derive(Clone)]
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    logins: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    streams_of_one: usize,
    by_peer: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    uploads: Arc<Semaphore>,
    folds: Arc<Semaphore>,
    work: Arc<Semaphore>,
    thumbnails: Arc<Semaphore>,
    forms: Arc<Semaphore>,
}

impl Limits {
    pub(super) fn new(bounds: Bounds) -> Self {
        let of = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: of(bounds.requests),
            logins: of(LOGINS),
            streams: of(bounds.streams),
            streams_of_one: bounds.streams_of_one,
            by_peer: Arc::default(),
            uploads: of(UPLOADS),
            folds: of(FOLDS),
            work: of(WORK),
            thumbnails: of(THUMBNAILS),
            forms: of(FORMS),
        }
    }

    /// A place for a thread that writes an answer.
    pub(super) fn work(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.work, "long answers are being written")
    }

    /// Waits for a place to make a thumbnail; nothing if the server is going down.
    pub(super) async fn thumbnail(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.thumbnails).acquire_owned().await.ok()
    }

    /// Waits for a place to derive a form; nothing if the server is going down.
    pub(super) async fn form(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.forms).acquire_owned().await.ok()
    }

    /// Waits for a place to fold a log; nothing if the server is going down.
    pub(super) async fn fold(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.folds).acquire_owned().await.ok()
    }

    /// A place for a request.
    pub(super) fn request(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.requests, "requests are being answered")
    }

    /// A place for a login.
    pub(super) fn login(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.logins, "logins are going on")
    }

    /// A place for a stream of events to this address.
    pub(super) fn stream(&self, peer: Option<IpAddr>) -> Result<StreamPlace, Problem> {
        let place = take(&self.streams, "event streams are open")?;
        let peer = peer.map(|peer| peer.to_canonical());
        if let Some(peer) = peer {
            let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_peer.entry(peer).or_insert(0);
            if *count >= self.streams_of_one {
                return Err(busy("event streams of one address are open"));
            }
            *count += 1;
        }
        Ok(StreamPlace { _place: place, peer, by_peer: Arc::clone(&self.by_peer) })
    }

    /// A place for an upload by form.
    pub(super) fn upload(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.uploads, "uploads are running")
    }
}

/// A stream's place; free again when dropped.
pub(super) struct StreamPlace {
    _place: OwnedSemaphorePermit,
    peer: Option<IpAddr>,
    by_peer: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                by_peer.remove(&peer);
            }
        }
    }
}

fn take(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).try_acquire_owned().map_err(|_| busy(what))
}

fn busy(what: &str) -> Problem {
    Problem::unavailable("busy", format!("too many {what} already"), "Try again in a second.")
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
    use std::net::IpAddr;

    use super::{Bounds, Limits, WrongTokens};
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
    fn one_address_cannot_take_all_streams() {
        let limits = Limits::new(Bounds::default());
        let [one, mapped, other] = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"].map(|peer| peer.parse::<IpAddr>().ok());
        let mut held: Vec<_> = (0..Bounds::default().streams_of_one).map(|_| limits.stream(one)).collect();
        assert!(held.iter().all(Result::is_ok));
        for same in [one, mapped] {
            assert_eq!(limits.stream(same).err().expect("it has its share").status, 503);
        }
        assert!(limits.stream(other).is_ok() && limits.stream(None).is_ok());
        held.pop();
        assert!(limits.stream(mapped).is_ok());
        drop(held);
        assert!(limits.by_peer.lock().expect("nothing panicked").is_empty());
    }

    #[test]
    fn a_request_beyond_the_limit_is_told_to_come_back() {
        let limits = Limits::new(Bounds::default());
        let held: Vec<_> = (0..Bounds::default().requests).map(|_| limits.request()).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(limits.request().expect_err("all places are taken").status, 503);
        drop(held);
        assert!(limits.request().is_ok());
    }
}
