//! A slow look at the logs of all runs that are over, one after the other.
//!
//! Invariants: damage is told and its run set aside, never repaired; each round goes on where the last life left off. Absent: the logs of
//! open runs, which are read as they are written.

use std::sync::Arc;
use std::time::Duration;

use comfyd_engine::{RunId, Seq, StreamId};
use tokio::time::Instant;

use super::Keeper;

/// After a start there is other work to do.
const FIRST: Duration = Duration::from_mins(1);
/// A log and its files, then a rest: a hundred thousand in three hours.
const REST: Duration = Duration::from_millis(100);
/// Between two rounds.
const PAUSE: Duration = Duration::from_hours(24);
/// How often the place is noted.
const NOTE: u32 = 64;

/// How far it is.
pub(super) struct Check {
    last: Option<RunId>,
    due: Instant,
    unnoted: u32,
}

impl Check {
    /// Goes on after the run that was looked at last.
    pub(super) fn new(last: Option<RunId>) -> Self {
        Self { last, due: Instant::now() + FIRST, unnoted: 0 }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Looks at one run, if it is time.
    pub(super) async fn step(&mut self, keeper: &Keeper) {
        if Instant::now() < self.due {
            return;
        }
        if let Some((run, seq)) = keeper.live().next_over(self.last) {
            look(keeper, run, seq).await;
            self.last = Some(run);
            self.due = Instant::now() + REST;
            self.unnoted += 1;
        } else {
            self.last = None;
            self.due = Instant::now() + PAUSE;
            self.unnoted = NOTE;
        }
        if self.unnoted >= NOTE {
            self.unnoted = 0;
            let (store, last) = (Arc::clone(keeper.store()), self.last);
            keeper.offload.run(move || store.index_checked(last)).await;
        }
    }
}

/// Reads the log of a run, and clears away what its downloads left.
async fn look(keeper: &Keeper, run: RunId, seq: Seq) {
    let stream = StreamId::Run(run);
    match keeper.store().read(&stream, Seq(0)).await {
        Ok(read) => {
            let found = read.records.last().map_or(Seq(0), |record| record.0);
            let short = || format!("its log ends with record {found}, and record {seq} had been there");
            let why = read.damaged.map(|damage| damage.why).or_else(|| (found < seq).then(short));
            // It may have been removed meanwhile.
            if let Some(why) = why.filter(|_| keeper.live().summary(run).is_some()) {
                keeper.quarantine(run, &why);
                return;
            }
        }
        // A disk that cannot be read now says nothing about the log; the next round looks again.
        Err(error) => return tracing::warn!(%run, error = &error as &dyn std::error::Error, "log not looked at"),
    }
    let store = Arc::clone(keeper.store());
    if let Err(error) = keeper.offload.run(move || store.clear_parts(run)).await {
        tracing::warn!(%run, %error, "leftovers of downloads not removed");
    }
}
