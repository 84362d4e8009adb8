//! What is known of each instance, for readers who do not ask the core loop.
//!
//! Invariants: only what is on disk is shown; what was seen of an instance goes with its address.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use comfyd_adapters::comfy::stats::Device;
use comfyd_adapters::comfy::survey::Features;
use comfyd_engine::{Instance, InstanceId, InstanceSource, Timestamp};
use tokio::sync::watch;

/// An instance as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    /// What its log tells.
    pub(crate) instance: Instance,
    /// Whether a link to it is kept.
    pub(crate) linked: bool,
}

/// What was seen when somebody last looked at an instance.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Where that was.
    pub(crate) url: String,
    pub(crate) at: Timestamp,
    pub(crate) devices: Vec<Device>,
    pub(crate) queue: Option<u32>,
    pub(crate) features: Features,
}

/// All instances.
#[derive(Debug, Default)]
pub(crate) struct Board {
    inner: RwLock<Inner>,
    /// Counts the times that something changed.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<InstanceId, Arc<Known>>,
    seen: BTreeMap<InstanceId, Seen>,
}

impl Board {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Every statement below leaves the maps whole, so a panic elsewhere does not spoil them.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows all instances as they are on disk now.
    pub(crate) fn publish(&self, known: impl Iterator<Item = Known>) {
        let known: BTreeMap<_, _> = known.map(|known| (known.instance.id().clone(), Arc::new(known))).collect();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.seen.retain(|id, seen| known.get(id).is_some_and(|known| known.instance.url() == seen.url));
        let differs = inner.known != known;
        inner.known = known;
        drop(inner);
        if differs {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Tells that some instance has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Notes what was seen of an instance.
    pub(crate) fn saw(&self, id: &InstanceId, seen: Seen) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        // It may have been moved or removed meanwhile.
        if inner.known.get(id).is_some_and(|known| known.instance.url() == seen.url) {
            inner.seen.insert(id.clone(), seen);
        }
    }

    /// What was seen of an instance.
    pub(crate) fn seen(&self, id: &InstanceId) -> Option<Seen> {
        self.read().seen.get(id).cloned()
    }

    /// An instance that can be used.
    pub(crate) fn get(&self, id: &InstanceId) -> Option<Arc<Known>> {
        self.read().known.get(id).filter(|known| !known.instance.is_removed()).cloned()
    }

    /// All instances that can be used.
    pub(crate) fn all(&self) -> Vec<Arc<Known>> {
        self.read().known.values().filter(|known| !known.instance.is_removed()).cloned().collect()
    }

    /// The instance that somebody set up at an address.
    pub(crate) fn named_at(&self, url: &str) -> Option<InstanceId> {
        let all = self.all();
        let named =
            all.iter().find(|known| known.instance.setup().source != InstanceSource::Adhoc && known.instance.url() == url);
        named.map(|known| known.instance.id().clone())
    }

    /// Where runs go that name no instance.
    pub(crate) fn chosen(&self) -> Option<InstanceId> {
        self.all().iter().find(|known| known.instance.setup().default).map(|known| known.instance.id().clone())
    }

    /// The names that look most like this one, the likeliest first.
    pub(crate) fn nearest(&self, name: &str) -> Vec<String> {
        let name: String = name.chars().take(100).collect();
        let mut near: Vec<(usize, String)> = self
            .all()
            .iter()
            .map(|known| known.instance.id().to_string())
            .map(|known| (strsim::osa_distance(&name, &known), known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 3 || known.contains(name.as_str()))
            .collect();
        near.sort();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}
