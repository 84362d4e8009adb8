//! Which waiting run goes next.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::event::{NewEvent, RunEvent, StagingStarted, SubmitIntended};
use crate::id::{InstanceId, PromptId, RunId};
use crate::run::{Phase, Run};
use crate::time::Timestamp;

use super::{Engine, holds_slot};

impl Engine {
    /// The one fact that moves the next run of this instance on, if there is a slot.
    pub(super) fn next_on(&self, now: Timestamp, instance: &InstanceId) -> Option<NewEvent> {
        let known = self.instances.get(instance).filter(|instance| instance.is_online())?;
        let mut staged = self.staged.iter().filter_map(|id| self.runs.get(id));
        if let Some(run) = staged.find(|run| run.instance() == instance) {
            return Some(NewEvent::Run(run.id(), Self::intent(run, known)));
        }
        if self.waiting.is_empty() {
            return None;
        }
        if self.holding() >= self.limits.max_concurrent || self.ahead(instance) >= self.limits.submitted_ahead {
            return None;
        }
        let run = self.first_waiting(now, instance)?;
        let fact = if run.needs_staging() { StagingStarted {}.into() } else { Self::intent(run, known) };
        Some(NewEvent::Run(run.id(), fact))
    }

    fn intent(run: &Run, instance: &crate::instance::Instance) -> RunEvent {
        let intent = SubmitIntended {
            attempt: run.attempts() + 1,
            prompt_id: PromptId::from(run.id()),
            client: instance.client().clone(),
            prompt: run.graph_to_post().clone(),
            boot: instance.boot(),
        };
        intent.into()
    }

    fn holders(&self, instance: &InstanceId) -> impl Iterator<Item = &Run> {
        let ids = self.busy.get(instance).into_iter().flatten();
        ids.filter_map(|id| self.runs.get(id)).filter(|run| holds_slot(run.phase()))
    }

    /// Runs that take part of the limit over all instances. Those of one that does not answer do not keep others from theirs.
    fn holding(&self) -> usize {
        let online = self.instances.values().filter(|instance| instance.is_online());
        online.map(|instance| self.holders(instance.id()).count()).sum()
    }

    /// Runs on their way to the instance or in its queue.
    fn ahead(&self, instance: &InstanceId) -> usize {
        self.holders(instance).filter(|run| *run.phase() != Phase::Running).count()
    }

    fn first_waiting(&self, now: Timestamp, instance: &InstanceId) -> Option<&Run> {
        // Looked for only where a run that waits has something to upload: there may be many runs.
        let removing = LazyCell::new(|| self.being_removed(instance));
        let meets_removal = |run: &Run| run.needs_staging() && run.uploads().any(|blob| removing.contains(blob));
        self.waiting_on(instance).find(|run| match run.phase() {
            Phase::Waiting { not_before } => not_before.is_none_or(|at| at <= now) && !meets_removal(run),
            // Only waiting ones are listed.
            _ => false,
        })
    }

    fn waiting_on(&self, instance: &InstanceId) -> impl Iterator<Item = &Run> {
        let mut runs: Vec<&Run> =
            self.waiting.iter().filter_map(|id| self.runs.get(id)).filter(|run| run.instance() == instance).collect();
        runs.sort_by_key(|run| (Reverse(run.spec().priority), run.id()));
        runs.into_iter()
    }

    /// The places of all queued runs: ours and the instances' queues added up, 1 for the next.
    ///
    /// Our own part is no fact of a run's log, so it is computed when asked.
    pub fn queue_positions(&self) -> BTreeMap<RunId, u32> {
        let mut waiting: BTreeMap<&InstanceId, Vec<&Run>> = BTreeMap::new();
        for run in self.waiting.iter().filter_map(|id| self.runs.get(id)) {
            waiting.entry(run.instance()).or_default().push(run);
        }
        let mut places = BTreeMap::new();
        for instance in self.instances.keys() {
            let mut next = self.pending_there(instance);
            let going = self.holders(instance).filter(|run| matches!(run.phase(), Phase::Staging { .. } | Phase::Submitting));
            let mut own = waiting.remove(instance).unwrap_or_default();
            own.sort_by_key(|run| (Reverse(run.spec().priority), run.id()));
            for run in going.chain(own) {
                next += 1;
                places.insert(run.id(), next);
            }
            places.extend(self.holders(instance).filter_map(|run| Some((run.id(), run.place_in_queue()?))));
        }
        places
    }

    fn pending_there(&self, instance: &InstanceId) -> u32 {
        let places = self.holders(instance).filter_map(|run| match run.phase() {
            Phase::Pending { position } => Some(position.unwrap_or(1)),
            // Only those in the instance's queue have a place there.
            _ => None,
        });
        places.max().unwrap_or(0)
    }
}
