//! Hints within the stream of all runs: instances, lists of steps or templates have changed, so that who shows them reads them again.
//!
//! Invariants: at most two a second of each; the last change is never lost while the stream is open; who opens it may have missed some, and reads once.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::hub::EVERY_MS;
use super::sse;
use crate::app::App;

/// What one reader is told.
pub(super) struct Hints([Hint; 3]);

struct Hint {
    name: &'static str,
    news: watch::Receiver<u64>,
    /// Set while there is something to tell.
    owed: bool,
    not_before: Instant,
}

impl Hints {
    /// All that changes from now on.
    pub(super) fn new(app: &App) -> Self {
        let hint = |name, news| Hint { name, news, owed: false, not_before: Instant::now() };
        Self([
            hint("setups", app.setups.changes()),
            hint("instances", app.instances.changes()),
            hint("workflows", app.templates.changes()),
        ])
    }

    /// Waits for the next one. Losing the wait loses nothing.
    pub(super) async fn next(&mut self) -> Bytes {
        let [first, second, third] = &mut self.0;
        // All arms only wait, and keep what they have seen.
        tokio::select! {
            () = first.due() => first.event(),
            () = second.due() => second.event(),
            () = third.due() => third.event(),
        }
    }
}

impl Hint {
    async fn due(&mut self) {
        if !self.owed && self.news.changed().await.is_err() {
            // Nothing changes any more: the server is ending.
            std::future::pending::<()>().await;
        }
        self.owed = true;
        tokio::time::sleep_until(self.not_before).await;
    }

    fn event(&mut self) -> Bytes {
        self.news.borrow_and_update();
        self.owed = false;
        self.not_before = Instant::now() + Duration::from_millis(EVERY_MS);
        sse::event(self.name, None, "{}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_changes_are_told_twice_a_second_and_the_last_is_not_lost() {
        let [setups, instances, templates] = std::array::from_fn(|_| watch::Sender::new(0));
        let hint =
            |name, sender: &watch::Sender<u64>| Hint { name, news: sender.subscribe(), owed: false, not_before: Instant::now() };
        let mut hints = Hints([hint("setups", &setups), hint("instances", &instances), hint("workflows", &templates)]);
        let begun = Instant::now();
        let mut told = Vec::new();
        for change in 1..=30 {
            setups.send_replace(change);
            // A wait that is given up loses nothing.
            let waited = tokio::time::timeout(Duration::from_millis(100), hints.next()).await;
            told.extend(waited.ok().map(|_| begun.elapsed().as_millis()));
        }
        assert!((6..=7).contains(&told.len()), "in three seconds: {told:?}");
        setups.send_replace(31);
        assert_eq!(hints.next().await, sse::event("setups", None, "{}"));
        assert!(tokio::time::timeout(Duration::from_mins(1), hints.next()).await.is_err(), "nothing has changed since");
        instances.send_replace(1);
        assert_eq!(hints.next().await, sse::event("instances", None, "{}"));
        templates.send_replace(1);
        assert_eq!(hints.next().await, sse::event("workflows", None, "{}"));
    }
}
