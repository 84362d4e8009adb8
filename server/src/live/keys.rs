//! The keys of requests: which run each made, for 24 hours, also when that run has been removed.

use std::collections::btree_map::Entry;

use comfyd_engine::{Idempotency, RunId, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::Live;

/// A request that had a key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) body: Sha256,
    pub(super) run: RunId,
    pub(super) created: Timestamp,
    /// Whether the run has been removed since.
    pub(super) removed: bool,
}

/// What a key is known for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    /// The hash of the request.
    pub(crate) body: Sha256,
    /// The run that it made.
    pub(crate) run: RunId,
    /// Whether that has been removed since.
    pub(crate) removed: bool,
}

/// The key of a run as it outlasts the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpentKey {
    made_by: Idempotency,
    created: Timestamp,
}

impl SpentKey {
    /// As it is stored.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("a key is plain data")
    }

    /// The same, read.
    pub(crate) fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

impl Live {
    /// What a request with this key has made.
    pub(crate) fn keyed(&self, key: &str) -> Option<Keyed> {
        self.read().keys.get(key).map(|known| Keyed { body: known.body.clone(), run: known.run, removed: known.removed })
    }

    /// The key of a run, if it must still be known.
    pub(crate) fn key_of(&self, run: RunId) -> Option<SpentKey> {
        let inner = self.read();
        let (key, known) = inner.keys.iter().find(|(_, known)| known.run == run)?;
        let made_by = Idempotency { key: key.clone(), body: known.body.clone() };
        Some(SpentKey { made_by, created: known.created })
    }

    /// Knows the key of a run that was removed; tells whether it was: one that is there speaks for itself.
    pub(crate) fn know_spent(&self, run: RunId, spent: SpentKey) -> bool {
        let mut inner = self.write();
        if inner.list.contains_key(&run) {
            return false;
        }
        let SpentKey { made_by, created } = spent;
        // A key that was forgotten and used again means its newer run.
        if inner.keys.get(&made_by.key).is_none_or(|known| (known.created, known.run) < (created, run)) {
            inner.keys.insert(made_by.key, Key { body: made_by.body, run, created, removed: true });
        }
        true
    }

    /// Lets go of the keys of requests that were made before a time, unless their runs are open or somebody needs them still;
    /// tells those of removed runs.
    pub(crate) fn forget_keys(&self, before: u64, needed: impl Fn(&str) -> bool) -> Vec<RunId> {
        let inner = self.read();
        let old =
            |(key, known): &(&String, &Key)| known.created.0 < before && !inner.open.contains_key(&known.run) && !needed(key);
        let old: Vec<(String, RunId)> = inner.keys.iter().filter(old).map(|(key, known)| (key.clone(), known.run)).collect();
        drop(inner);
        // Most of the time there are none to go, and readers need not wait.
        if old.is_empty() {
            return vec![];
        }
        let (mut inner, mut removed) = (self.write(), Vec::new());
        for (key, run) in old {
            // A newer run may have come under it just now.
            if let Entry::Occupied(known) = inner.keys.entry(key)
                && known.get().run == run
            {
                removed.extend(known.remove().removed.then_some(run));
            }
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Summary;

    fn run(n: u32, created: u64, key: &str) -> Summary {
        let id = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a good id");
        let idempotency = Some(Idempotency { key: key.to_owned(), body: "0".repeat(64).parse().expect("a hash") });
        Summary { created: Timestamp(created), idempotency, ..Summary::of_nothing(id) }
    }

    fn number(live: &Live, key: &str) -> Option<String> {
        live.keyed(key).map(|keyed| keyed.run.to_string()[33..].to_owned())
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
        assert_eq!(live.forget_keys(20, |key| key.starts_with("setup/a/")), [], "its run is there still");
        assert_eq!(["old", "setup/a/0/1", "new"].map(|key| live.keyed(key).is_some()), [false, true, true]);
    }

    #[test]
    fn the_key_of_a_removed_run_lasts_its_day() {
        let live = Live::default();
        let gone = run(1, 10, "daily");
        let spent = SpentKey { made_by: gone.idempotency.clone().expect("it has one"), created: gone.created };
        assert!(live.know_spent(gone.run_id, spent));
        assert!(live.keyed("daily").is_some_and(|keyed| keyed.removed));
        assert_eq!(live.forget_keys(10, |_| false), []);
        assert_eq!(live.forget_keys(11, |_| false), [gone.run_id]);
        assert_eq!(live.keyed("daily"), None);
    }
}
