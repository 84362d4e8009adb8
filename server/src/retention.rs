//! Which finished runs are kept.
//!
//! Invariants: the oldest go first; a run that goes on, that is damaged, or whose `Idempotency-Key` must still be known stays. Absent: removing.

use std::collections::BTreeSet;
use std::time::Duration;

use comfyd_engine::{RunId, Timestamp};

/// How much of the past is kept; by default all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// Runs that ended longer ago go.
    pub max_age: Option<Duration>,
    /// At most so many finished runs.
    pub max_runs: Option<usize>,
    /// At most so many bytes of logs and outputs of finished runs.
    pub max_bytes: Option<u64>,
}

/// A run that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) run: RunId,
    pub(crate) ended: Timestamp,
    pub(crate) bytes: u64,
}

impl RetentionRules {
    /// Whether nothing ever goes.
    pub fn keep_all(&self) -> bool {
        *self == Self::default()
    }

    /// The runs that go, of `finished`, the oldest first; `needed` ones stay, though they count.
    pub(crate) fn excess(&self, now: Timestamp, finished: &[Finished], needed: &BTreeSet<RunId>) -> Vec<Finished> {
        let mut left = finished.len();
        let mut bytes: u64 = finished.iter().map(|run| run.bytes).sum();
        let mut gone = Vec::new();
        for run in finished {
            let age = Duration::from_millis(now.since(run.ended));
            let too_old = self.max_age.is_some_and(|most| age > most);
            let too_many = self.max_runs.is_some_and(|most| left > most);
            let too_large = self.max_bytes.is_some_and(|most| bytes > most);
            if (too_old || too_many || too_large) && !needed.contains(&run.run) {
                left -= 1;
                bytes -= run.bytes;
                gone.push(*run);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u64) -> Finished {
        let run = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("an id");
        Finished { run, ended: Timestamp(n * 1000), bytes: 10 * n }
    }

    #[test]
    fn the_oldest_go_until_every_rule_holds() {
        let finished: Vec<Finished> = (1..=5).map(run).collect();
        let check = |rules: RetentionRules, needed: &[u64], gone: &[u64]| {
            let needed = needed.iter().map(|n| run(*n).run).collect();
            let found = rules.excess(Timestamp(6_000), &finished, &needed);
            assert_eq!(found, gone.iter().map(|n| run(*n)).collect::<Vec<_>>(), "{rules:?}");
        };
        let none = RetentionRules::default();
        assert!(none.keep_all());
        check(none, &[], &[]);
        check(RetentionRules { max_runs: Some(3), ..none }, &[], &[1, 2]);
        check(RetentionRules { max_runs: Some(5), ..none }, &[], &[]);
        check(RetentionRules { max_runs: Some(0), ..none }, &[], &[1, 2, 3, 4, 5]);
        check(RetentionRules { max_age: Some(Duration::from_secs(3)), ..none }, &[], &[1, 2]);
        check(RetentionRules { max_bytes: Some(150), ..none }, &[], &[]);
        check(RetentionRules { max_bytes: Some(120), ..none }, &[], &[1, 2]);
        check(RetentionRules { max_bytes: Some(139), max_runs: Some(4), ..none }, &[], &[1, 2]);
        check(RetentionRules { max_runs: Some(3), ..none }, &[1], &[2, 3]);
        check(RetentionRules { max_age: Some(Duration::ZERO), ..none }, &[2, 4], &[1, 3, 5]);
    }
}
