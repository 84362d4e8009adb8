//! Caps how often something happens.

use crate::time::Timestamp;

/// Caps how often something happens, without ever losing the last value.
///
/// ```
/// # use comfyd_engine::{Throttle, Timestamp};
/// let mut gate = Throttle::every_ms(100);
/// assert!(gate.admit(Timestamp(0)));
/// assert!(!gate.admit(Timestamp(99)));                          // held back ...
/// assert_eq!(gate.due(), Some(Timestamp(100)));                 // ... and owed at 100
/// assert!(gate.admit(Timestamp(100)));
/// assert_eq!(gate.due(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    every_ms: u64,
    last: Option<Timestamp>,
    owed: bool,
}

impl Throttle {
    /// At most one pass in any `every_ms` milliseconds.
    pub fn every_ms(every_ms: u64) -> Self {
        Self { every_ms, last: None, owed: false }
    }

    /// Whether the value may pass now; if not, it is owed.
    pub fn admit(&mut self, now: Timestamp) -> bool {
        let open = self.last.is_none_or(|last| now.since(last) >= self.every_ms);
        if open {
            self.last = Some(now);
        }
        self.owed = !open;
        open
    }

    /// Lets the value pass whatever the time is.
    pub fn force(&mut self, now: Timestamp) {
        self.last = Some(now);
        self.owed = false;
    }

    /// When the value that is owed may pass.
    pub fn due(&self) -> Option<Timestamp> {
        if self.owed { self.last.map(|last| last.plus_ms(self.every_ms)) } else { None }
    }
}
