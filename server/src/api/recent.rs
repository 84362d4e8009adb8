//! Answers about runs that are over, as they were written last: such a run changes no more, so its log is not folded again for everybody who asks.
//!
//! Invariants: only what cannot change is kept; what is kept is bounded in number and bytes; it is lost with the process, and no harm done.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderValue;
use bytes::Bytes;
use comfyd_engine::RunId;

/// How many answers are kept at most.
const MAX: usize = 1_024;
/// How many bytes they may have together.
const MAX_BYTES: usize = 16 << 20;

/// An answer that is written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The JSON.
    pub(super) text: Bytes,
    /// Its name.
    pub(super) etag: HeaderValue,
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(super) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    uses: u64,
    bytes: usize,
    by_run: BTreeMap<RunId, (u64, Written)>,
    by_use: BTreeMap<u64, RunId>,
}

impl Recent {
    /// The answer about a run, if it is kept.
    pub(super) fn get(&self, run: RunId) -> Option<Written> {
        let mut inner = self.lock();
        inner.uses += 1;
        let now = inner.uses;
        let (used, written) = inner.by_run.get_mut(&run)?;
        let (before, written) = (std::mem::replace(used, now), written.clone());
        inner.by_use.remove(&before);
        inner.by_use.insert(now, run);
        Some(written)
    }

    /// Keeps an answer; what was not asked for the longest goes.
    pub(super) fn keep(&self, run: RunId, written: &Written) {
        let mut inner = self.lock();
        inner.remove(run);
        inner.uses += 1;
        let now = inner.uses;
        inner.bytes += written.text.len();
        inner.by_run.insert(run, (now, written.clone()));
        inner.by_use.insert(now, run);
        while inner.by_run.len() > MAX || inner.bytes > MAX_BYTES {
            let Some(oldest) = inner.by_use.values().next().copied() else { break };
            inner.remove(oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic in between can only leave a figure wrong that bounds a cache.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, run: RunId) {
        if let Some((used, written)) = self.by_run.remove(&run) {
            self.by_use.remove(&used);
            self.bytes -= written.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: usize) -> RunId {
        format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a run id")
    }

    fn of(bytes: usize) -> Written {
        Written { text: Bytes::from(vec![b'x'; bytes]), etag: HeaderValue::from_static("\"1\"") }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let recent = Recent::default();
        for n in 0..MAX + 10 {
            recent.keep(run(n), &of(1));
            assert!(recent.get(run(0)).is_some(), "it was asked for just now");
        }
        assert!(recent.get(run(1)).is_none());
        assert!(recent.get(run(MAX + 9)).is_some());
        recent.keep(run(0), &of(MAX_BYTES));
        let inner = recent.lock();
        assert_eq!(
            (inner.by_run.len(), inner.by_use.len(), inner.bytes),
            (1, 1, MAX_BYTES),
            "one that is large takes the room of all"
        );
    }
}
