//! Time and chance as arguments, so that a simulation can own both.
//!
//! Waiting is `tokio::time`'s, which a test can pause; the clock here only dates what is told to people.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use comfyd_engine::Timestamp;

/// Tells the wall time; never earlier than what it told before.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Makes it tell this time or a later one from now on: what was recorded before must not be dated after it.
    fn not_before(&self, at: Timestamp);
}

/// Draws numbers.
pub trait Rng: Send + Sync {
    /// A number below `n`, each as likely; 0 if `n` is 0.
    fn below(&self, n: u64) -> u64;
}

/// Draws the largest number, for tests of the longest waits.
#[cfg(test)]
pub(crate) struct Largest;

#[cfg(test)]
impl Rng for Largest {
    fn below(&self, n: u64) -> u64 {
        n.saturating_sub(1)
    }
}

/// The machine's clock: the wall time at its making, and since then the time that has passed, sleep of the machine included. A wall clock that
/// is set back or forward does not move it, so that deadlines keep their length.
///
/// ```
/// use comfyd_adapters::env::{Clock, SystemClock};
/// let clock = SystemClock::default();
/// let first = clock.now();
/// assert!(clock.now() >= first);
/// ```
#[derive(Debug)]
pub struct SystemClock {
    /// The wall time that goes with no time passed, in milliseconds.
    base: AtomicU64,
    start: u64,
}

/// Milliseconds since some moment; never set, goes on while the machine sleeps.
fn passed_ms() -> u64 {
    let passed = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(passed.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(passed.tv_nsec / 1_000_000).unwrap_or(0)
}

impl Default for SystemClock {
    fn default() -> Self {
        // A clock before 1970 reads as 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Self { base: AtomicU64::new(base), start: passed_ms() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.base.load(Ordering::Relaxed).saturating_add(passed_ms().saturating_sub(self.start)))
    }

    fn not_before(&self, at: Timestamp) {
        let passed = passed_ms().saturating_sub(self.start);
        self.base.fetch_max(at.0.saturating_sub(passed), Ordering::Relaxed);
    }
}

/// Draws numbers that differ from process to process; for jitter, not for secrets.
///
/// ```
/// use comfyd_adapters::env::{Rng, SystemRng};
/// assert!(SystemRng::default().below(10) < 10);
/// ```
#[derive(Debug)]
pub struct SystemRng {
    state: AtomicU64,
}

impl Default for SystemRng {
    fn default() -> Self {
        // The standard library seeds its hash keys from the system.
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}

impl SystemRng {
    /// One that draws the same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
}

impl Rng for SystemRng {
    fn below(&self, n: u64) -> u64 {
        // splitmix64: a counter and a mixer, so that callers need no lock.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if n == 0 { 0 } else { z % n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let rng = SystemRng::seeded(seed);
            (0..20).map(|_| rng.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(SystemRng::seeded(1).below(0), 0);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = SystemClock::default();
        let far = Timestamp(clock.now().0 + 1_000_000);
        clock.not_before(far);
        assert!(clock.now() >= far);
        clock.not_before(Timestamp(0));
        assert!(clock.now() >= far);
    }
}
