//! How long to wait before trying again: full jitter (reliability.md 8).

use std::time::Duration;

use crate::env::Rng;

/// Draws waits from 0 to a bound that doubles with every failure, up to a cap.
///
/// ```
/// use comfyd_adapters::{env::SystemRng, retry::Backoff};
/// use std::time::Duration;
/// let mut backoff = Backoff::reconnecting();
/// let wait = backoff.next(&SystemRng::seeded(1));
/// assert!(wait <= Duration::from_millis(500));
/// assert_eq!(backoff.failures(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins with waits of up to `base`, ends with waits of up to `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The numbers of connections: base 0.5 s, cap 60 s.
    pub const fn reconnecting() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_mins(1))
    }

    /// The wait after one more failure.
    pub fn next(&mut self, rng: &dyn Rng) -> Duration {
        self.next_capped(rng, self.cap)
    }

    /// The wait after one more failure, where somebody waits and a lower cap is in place.
    pub fn next_capped(&mut self, rng: &dyn Rng, cap: Duration) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(self.failures.min(30)));
        self.failures = self.failures.saturating_add(1);
        let bound = doubled.min(self.cap).min(cap);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rng.below(millis.saturating_add(1)))
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Largest;

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut backoff = Backoff::reconnecting();
        let waits: Vec<u128> = (0..9).map(|_| backoff.next(&Largest).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff.next_capped(&Largest, Duration::from_secs(10)).as_millis(), 10_000);
        backoff.reset();
        assert_eq!(backoff.next(&Largest).as_millis(), 500);
    }
}
