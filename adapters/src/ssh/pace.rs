//! When a connection that failed is tried again, whoever asks for it how often (reliability.md 8).

use std::time::Duration;

use tokio::time::Instant;

use super::error::SshError;
use crate::env::Rng;
use crate::retry::Backoff;

/// A connection that stood for so long was a good one, and the waits begin small again.
const HEALTHY: Duration = Duration::from_mins(1);

/// The waits between attempts: full jitter, doubled by every failure.
pub(super) struct Pace {
    backoff: Backoff,
    /// Until when nothing is tried, and what went wrong before.
    rest: Option<(Instant, SshError)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { backoff: Backoff::reconnecting(), rest: None }
    }
}

impl Pace {
    /// How long to wait yet, and why.
    pub(super) fn rest(&self) -> Option<(Duration, &SshError)> {
        let (until, why) = self.rest.as_ref()?;
        Some((until.saturating_duration_since(Instant::now()), why)).filter(|(left, _)| !left.is_zero())
    }

    /// An attempt came to nothing.
    pub(super) fn failed(&mut self, why: SshError, rng: &dyn Rng) {
        self.rest = Some((Instant::now() + self.backoff.next(rng), why));
    }

    /// A connection was lost that had been made at this time. A good one is tried again at once.
    pub(super) fn lost(&mut self, since: Instant, rng: &dyn Rng) {
        if since.elapsed() < HEALTHY {
            self.failed(SshError::Lost { why: "it did not stand for long".into() }, rng);
        } else {
            self.forget();
        }
    }

    /// A connection ended as nobody needed it any more.
    pub(super) fn ended(&mut self, since: Instant) {
        if since.elapsed() >= HEALTHY {
            self.forget();
        }
    }

    /// Somebody has looked: there is nothing to wait for.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Largest;

    fn refused() -> SshError {
        SshError::Connect { to: "gpu:22".into(), why: "refused".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_stood_for_long_makes_the_waits_small_again_however_it_ended() {
        let mut pace = Pace::default();
        (0..10).for_each(|_| pace.failed(refused(), &Largest));
        let since = Instant::now();
        pace.ended(since);
        assert!(pace.rest().is_some_and(|(left, _)| left > Duration::from_secs(50)), "it did not stand for long");
        tokio::time::advance(HEALTHY).await;
        pace.ended(since);
        pace.failed(refused(), &Largest);
        assert!(pace.rest().is_some_and(|(left, _)| left < Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_of_failures_are_few_attempts() {
        let (mut pace, mut attempts) = (Pace::default(), 0);
        let end = Instant::now() + Duration::from_mins(10);
        while Instant::now() < end {
            if pace.rest().is_none() {
                attempts += 1;
                pace.failed(refused(), &Largest);
            }
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert!((10..25).contains(&attempts), "{attempts}");
        let (left, why) = pace.rest().expect("it rests");
        assert!(left <= Duration::from_mins(1));
        assert_eq!(*why, refused());
        pace.forget();
        assert!(pace.rest().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_that_stood_is_made_again_at_once() {
        let mut pace = Pace::default();
        let since = Instant::now();
        for n in 1..4 {
            pace.lost(since, &Largest);
            let (left, _) = pace.rest().expect("it rests");
            assert_eq!(left, Duration::from_millis(500 << (n - 1)));
        }
        tokio::time::advance(HEALTHY).await;
        pace.lost(since, &Largest);
        assert!(pace.rest().is_none());
        pace.failed(refused(), &Largest);
        assert_eq!(pace.rest().expect("it rests").0, Duration::from_millis(500));
    }
}
