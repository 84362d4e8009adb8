//! Places where a test may kill the process: before each durable step.
//!
//! Invariants: off unless `COMFYD_CRASH_AT` was set when the first step was made; off costs one relaxed load.

use std::sync::atomic::{AtomicU64, Ordering};

/// Not yet looked at the environment.
const UNKNOWN: u64 = u64::MAX;
/// No crash is wanted.
const OFF: u64 = u64::MAX - 1;

/// How many steps are left before the kill, or one of the two marks above.
static LEFT: AtomicU64 = AtomicU64::new(UNKNOWN);

/// Counts a durable step that is about to be made; the `COMFYD_CRASH_AT`-th one kills the process instead (`SIGKILL`).
pub fn crash_point(name: &'static str) {
    if LEFT.load(Ordering::Relaxed) != OFF {
        step(name);
    }
}

#[cold]
fn step(name: &'static str) {
    if LEFT.load(Ordering::SeqCst) == UNKNOWN {
        let wanted = std::env::var("COMFYD_CRASH_AT").ok().and_then(|text| text.parse().ok()).unwrap_or(OFF);
        // Another thread may have been first; its value stands.
        let _ = LEFT.compare_exchange(UNKNOWN, wanted, Ordering::SeqCst, Ordering::SeqCst);
        if wanted == OFF {
            return;
        }
    }
    let before = LEFT.fetch_sub(1, Ordering::SeqCst);
    if before <= 1 {
        tracing::warn!(name, "crash point reached");
        // A refused kill would let the test believe that it crashed here: ending is the next best.
        if rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
        loop {
            std::thread::park();
        }
    }
}
