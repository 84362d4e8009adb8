//! Which uploads may be removed from an instance, as other runs may use the same ones. Reads only.
//!
//! Invariants: a file is removed only while no open run relies on it, and no run begins to rely on it meanwhile; an instance whose files cannot be
//! touched is asked for nothing; one that became another machine neither.

use std::collections::BTreeSet;

use crate::event::{Connection, NewEvent, RunEvent};
use crate::id::{InstanceId, Sha256};
use crate::run::Run;
use crate::time::Timestamp;

use super::Engine;

impl Engine {
    /// The next step in removing what a run uploaded.
    pub(super) fn removal_due(&self, now: Timestamp, run: &Run) -> Option<RunEvent> {
        if !run.asks_for_removal(self.around(now, run)) {
            return None;
        }
        let instance = self.usable(run.instance());
        // ComfyUI itself has no way to remove a file, so the machine must be asked.
        let over_ssh = instance.filter(|instance| match instance.setup().connection {
            Connection::Ssh(_) => true,
            Connection::Url(_) => false,
        });
        let others = self.runs.values().filter(|other| other.instance() == run.instance() && other.uses_uploads());
        let used: BTreeSet<&Sha256> = others.flat_map(Run::uploads).collect();
        run.decide_removal(now, over_ssh.map(crate::instance::Instance::client), &used)
    }

    /// Whether a run must wait, as what it would upload is being removed.
    pub(super) fn meets_removal(&self, run: &Run) -> bool {
        let mut removing = self.runs.values().filter(|other| other.instance() == run.instance() && other.is_removing());
        run.uploads().next().is_some() && removing.any(|other| other.uploads().any(|blob| run.uploads().any(|own| own == blob)))
    }

    /// What it means for runs that are over that their instance becomes another machine or none.
    pub(super) fn leave(&self, instance: &InstanceId) -> Vec<NewEvent> {
        let runs = self.runs.values().filter(|run| run.instance() == instance);
        runs.flat_map(|run| run.decide_leave().into_iter().map(|fact| NewEvent::Run(run.id(), fact))).collect()
    }
}
