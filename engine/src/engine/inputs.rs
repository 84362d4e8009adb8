//! Which uploads may be removed from an instance, as other runs may use the same ones. Reads only.
//!
//! Invariants: a file is removed only while no open run relies on it or waits to, and no run begins to rely on it meanwhile; an instance whose files cannot be
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
        let used = self.uploads_of(run.instance(), Run::uses_uploads);
        let awaited = self.uploads_of(run.instance(), Run::waits_to_upload);
        run.decide_removal(now, over_ssh.map(crate::instance::Instance::client), &used, &awaited)
    }

    /// What is being removed from an instance: whoever would upload it must wait.
    pub(super) fn being_removed(&self, instance: &InstanceId) -> BTreeSet<&Sha256> {
        self.uploads_of(instance, Run::is_removing)
    }

    /// The uploads of such runs on an instance.
    fn uploads_of(&self, instance: &InstanceId, of: fn(&Run) -> bool) -> BTreeSet<&Sha256> {
        self.runs.values().filter(|run| run.instance() == instance && of(run)).flat_map(Run::uploads).collect()
    }

    /// What it means for runs that are over that their instance becomes another machine or none.
    pub(super) fn leave(&self, instance: &InstanceId) -> Vec<NewEvent> {
        let runs = self.runs.values().filter(|run| run.instance() == instance);
        runs.flat_map(|run| run.decide_leave().into_iter().map(|fact| NewEvent::Run(run.id(), fact))).collect()
    }
}
