//! What is known of the instances in use, for whoever makes a run: enough to leave a question out, never needed to make one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use comfyd_adapters::comfy::executor::Executor;
use comfyd_engine::{InstanceId, NodeId, PlannedNode};

/// The adapters at hand, which remember what they were told.
#[derive(Default)]
pub(crate) struct KnownInstances(Mutex<BTreeMap<InstanceId, Executor>>);

impl KnownInstances {
    fn known(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Executor>> {
        // Every statement leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance has an adapter now.
    pub(crate) fn insert(&self, id: &InstanceId, executor: Executor) {
        self.known().insert(id.clone(), executor);
    }

    /// It has none any more.
    pub(crate) fn remove(&self, id: &InstanceId) {
        self.known().remove(id);
    }

    /// Looks at an instance now, if it has an adapter.
    pub(crate) fn poke(&self, id: &InstanceId) {
        if let Some(executor) = self.known().get(id) {
            executor.poke();
        }
    }

    /// The output nodes among these, if the instance is up and told of all their classes since it came up.
    pub(crate) fn outputs_of(&self, id: &InstanceId, nodes: &[PlannedNode]) -> Option<Vec<NodeId>> {
        let executor = self.known().get(id).cloned()?;
        executor.known_outputs(nodes)
    }
}
