//! What housekeeping has to do with the list.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use comfyd_engine::{Idempotency, RunId, Seq};

use super::{Listed, Live, Summary};
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
