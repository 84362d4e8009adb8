//! What housekeeping has to do with the list.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use comfyd_engine::{Idempotency, RunId, Seq};

use super::{Key, Listed, Live, Summary};
use crate::retention::Finished;

/// What waits for the housekeeper.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// Runs that are over and that the index does not know yet, with what their entries do not keep.
    pub(super) unindexed: BTreeMap<RunId, Option<Idempotency>>,
    /// Runs that were found damaged.
    pub(super) suspects: BTreeSet<RunId>,
    /// Whether runs were removed.
    pub(super) removed: bool,
}

impl Live {
    /// Waits until there is something to do.
    pub(crate) async fn called(&self) {
        self.bell.notified().await;
    }

    /// Runs that are over, for the index.
    pub(crate) fn take_unindexed(&self, most: usize) -> Vec<Summary> {
        let mut inner = self.write();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((run, idempotency)) = inner.upkeep.unindexed.pop_first()
        {
            taken.extend(inner.list.get(&run).map(|listed| Summary { idempotency, ..listed.summary(run) }));
        }
        taken
    }

    /// Runs that were found damaged since the last call.
    pub(crate) fn take_suspects(&self) -> Vec<RunId> {
        std::mem::take(&mut self.write().upkeep.suspects).into_iter().collect()
    }

    /// Whether runs were removed since the last call.
    pub(crate) fn take_removed(&self) -> bool {
        let mut inner = self.write();
        if inner.upkeep.removed {
            inner.words.tidy();
        }
        std::mem::take(&mut inner.upkeep.removed)
    }

    /// Counts more bytes to a run that is over.
    pub(crate) fn add_bytes(&self, run: RunId, bytes: u64) {
        if let Some(Listed::Over(over)) = self.write().list.get_mut(&run) {
            over.bytes = over.bytes.saturating_add(bytes);
        }
    }

    /// Lets go of the keys of requests that were made before a time, unless their runs are open or somebody needs them still.
    pub(crate) fn forget_keys(&self, before: u64, needed: impl Fn(&str) -> bool) {
        let inner = self.read();
        let old =
            |(key, known): &(&String, &Key)| known.created.0 < before && !inner.open.contains_key(&known.run) && !needed(key);
        let old: Vec<(String, RunId)> = inner.keys.iter().filter(old).map(|(key, known)| (key.clone(), known.run)).collect();
        drop(inner);
        // Most of the time there are none to go, and readers need not wait.
        if old.is_empty() {
            return;
        }
        let mut inner = self.write();
        for (key, run) in old {
            // A newer run may have come under it just now.
            if inner.keys.get(&key).is_some_and(|known| known.run == run) {
                inner.keys.remove(&key);
            }
        }
    }

    /// Runs whose keys must still be known.
    pub(crate) fn keyed_runs(&self) -> BTreeSet<RunId> {
        self.read().keys.values().map(|key| key.run).collect()
    }

    /// All runs.
    pub(crate) fn ids(&self) -> Vec<RunId> {
        self.read().list.keys().copied().collect()
    }

    /// The runs that are over and whole, the oldest first.
    pub(crate) fn finished(&self) -> Vec<Finished> {
        let inner = self.read();
        let over = inner.list.iter().filter_map(|(run, listed)| match listed {
            Listed::Over(over) if over.quarantined.is_none() => {
                Some(Finished { run: *run, ended: over.ended.unwrap_or(over.created), bytes: over.bytes })
            }
            Listed::Over(_) | Listed::Open(_) => None,
        });
        over.collect()
    }

    /// The next run that is over and whole, and its last record.
    pub(crate) fn next_over(&self, after: Option<RunId>) -> Option<(RunId, Seq)> {
        let inner = self.read();
        let rest = inner.list.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let mut over = rest.filter_map(|(run, listed)| match listed {
            Listed::Over(over) if over.quarantined.is_none() => Some((*run, over.seq)),
            Listed::Over(_) | Listed::Open(_) => None,
        });
        over.next()
    }
}

#[cfg(test)]
mod tests {
    use comfyd_engine::Timestamp;

    use super::*;

    fn run(n: u32, created: u64, key: &str) -> Summary {
        let id = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a good id");
        let idempotency = Some(Idempotency { key: key.to_owned(), body: "0".repeat(64).parse().expect("a hash") });
        Summary { created: Timestamp(created), idempotency, ..Summary::of_nothing(id) }
    }

    fn number(live: &Live, key: &str) -> Option<String> {
        live.keyed(key).map(|(_, run)| run.to_string()[33..].to_owned())
    }

    #[test]
    fn the_newest_run_of_a_key_counts_however_they_are_read() {
        let live = Live::default();
        live.list_over(run(1, 10, "daily"));
        live.list_over(run(2, 20, "daily"));
        live.list_over(run(1, 10, "daily"));
        assert_eq!(number(&live, "daily").as_deref(), Some("002"));
    }

    #[test]
    fn keys_that_are_needed_outlive_their_day() {
        let live = Live::default();
        live.list_over(run(1, 10, "old"));
        live.list_over(run(2, 10, "setup/a/0/1"));
        live.list_over(run(3, 30, "new"));
        live.forget_keys(20, |key| key.starts_with("setup/a/"));
        assert_eq!(["old", "setup/a/0/1", "new"].map(|key| live.keyed(key).is_some()), [false, true, true]);
    }
}
