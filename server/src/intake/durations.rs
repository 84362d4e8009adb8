//! How long classes of nodes took before: weights for progress and estimates.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use comfyd_engine::{NodeState, RunView};

/// What was learned since the start.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    by_class: Mutex<BTreeMap<String, u32>>,
}

impl Durations {
    /// Learns from a finished run; a new figure counts as much as all before it, so that a slower machine is soon known.
    pub(crate) fn learn(&self, view: &RunView) {
        let mut known = self.by_class.lock().unwrap_or_else(PoisonError::into_inner);
        for node in view.nodes.iter().filter(|node| node.state == NodeState::Done.as_str() && node.counts) {
            let (Some(start), Some(end)) = (node.start_time, node.end_time) else { continue };
            let took = u32::try_from(end.0.since(start.0)).unwrap_or(u32::MAX);
            known.entry(node.node_type.clone()).and_modify(|ms| *ms = ms.midpoint(took)).or_insert(took);
        }
    }

    pub(crate) fn of(&self, class: &str) -> Option<u32> {
        self.by_class.lock().unwrap_or_else(PoisonError::into_inner).get(class).copied()
    }
}
