//! Numbers about the server and its runs.
//!
//! Invariants: made from what is in memory, so that asking costs no disk but for the sizes of the journal and of what is free; no secrets.

use std::collections::BTreeMap;
use std::path::Path;

use comfyd_engine::{InstanceId, Status, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::batch::Counts;
use crate::live::Summary;
use crate::store::Health;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How many workflows are told, the most used first.
const WORKFLOWS: usize = 50;

/// Numbers about the server and its runs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// The version of the program.
    pub version: &'static str,
    /// For how long it has been running.
    pub uptime_seconds: u64,
    /// How all runs stand.
    pub runs: Counts,
    /// What happened in the last hour.
    pub last_hour: LastHour,
    /// The share of the runs that ended well, from 0 to 1, among those that completed or failed in the last 24 hours; null if there were none.
    pub success_rate: Option<f64>,
    /// The instances that have runs.
    pub instances: Vec<InstanceStats>,
    /// The workflows by name, the most used first.
    pub workflows: Vec<WorkflowStats>,
    /// How the store is.
    pub store: StoreStats,
    /// Streams and commands that follow runs.
    pub followers: usize,
}

/// What happened in the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastHour {
    /// Runs that were created.
    pub created: usize,
    /// Runs that ended well.
    pub completed: usize,
    /// Runs that did not work.
    pub failed: usize,
    /// Runs that were stopped.
    pub cancelled: usize,
}

/// The runs of an instance that have not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstanceStats {
    /// The instance.
    pub instance: InstanceId,
    /// Its runs that wait.
    pub queued: usize,
    /// Its runs that are being run.
    pub executing: usize,
}

/// The runs of one workflow.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WorkflowStats {
    /// Its name.
    pub workflow_name: String,
    /// How they stand.
    pub runs: Counts,
    /// How long half of the completed ones took at most, from their creation to their end; null if none has completed.
    pub median_seconds: Option<f64>,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoreStats {
    /// `healthy`, `degraded` or `read_only`.
    pub state: &'static str,
    /// Because of what, if it is not healthy.
    pub why: Option<String>,
    /// What is free on its disk; null if that cannot be read.
    pub free_bytes: Option<u64>,
    /// The length of the journal; null if that cannot be read.
    pub journal_bytes: Option<u64>,
}

/// What the runs add up to.
struct Tally {
    now: Timestamp,
    runs: Counts,
    last_hour: LastHour,
    good: usize,
    bad: usize,
    instances: BTreeMap<InstanceId, (usize, usize)>,
    workflows: BTreeMap<String, (Counts, Vec<u64>)>,
}

impl Tally {
    fn new(now: Timestamp) -> Self {
        let (runs, last_hour) = (Counts::default(), LastHour::default());
        Self { now, runs, last_hour, good: 0, bad: 0, instances: BTreeMap::new(), workflows: BTreeMap::new() }
    }

    fn add(&mut self, run: &Summary) {
        self.runs.add(run.status);
        let (counts, took) = self.workflows.entry(run.workflow_name.clone()).or_default();
        counts.add(run.status);
        let within = |at: Timestamp, ms: u64| self.now.since(at) <= ms;
        self.last_hour.created += usize::from(within(run.created, HOUR_MS));
        if let Some(ended) = run.ended {
            let (hour, day) = (usize::from(within(ended, HOUR_MS)), usize::from(within(ended, DAY_MS)));
            match run.status {
                Status::Completed => {
                    took.push(ended.since(run.created));
                    self.last_hour.completed += hour;
                    self.good += day;
                }
                Status::Failed => {
                    self.last_hour.failed += hour;
                    self.bad += day;
                }
                Status::Cancelled => self.last_hour.cancelled += hour,
                // A run that has not ended has no end.
                Status::Queued | Status::Executing => {}
            }
        }
        if !run.status.is_settled() {
            let (queued, executing) = self.instances.entry(run.instance.clone()).or_default();
            *queued += usize::from(run.status == Status::Queued);
            *executing += usize::from(run.status == Status::Executing);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
    fn success_rate(&self) -> Option<f64> {
        let all = self.good + self.bad;
        (all > 0).then(|| self.good as f64 / all as f64)
    }

    fn workflows(self) -> Vec<WorkflowStats> {
        let mut all: Vec<_> = self.workflows.into_iter().collect();
        // The sort is stable: those that are used alike stay in the order of their names.
        all.sort_by_key(|(_, (runs, _))| std::cmp::Reverse(runs.open() + runs.completed + runs.failed + runs.cancelled));
        all.truncate(WORKFLOWS);
        let told = |(workflow_name, (runs, took)): (String, (Counts, Vec<u64>))| WorkflowStats {
            workflow_name,
            runs,
            median_seconds: median(took).map(|ms| std::time::Duration::from_millis(ms).as_secs_f64()),
        };
        all.into_iter().map(told).collect()
    }
}

/// The value that half of them do not exceed.
fn median(mut values: Vec<u64>) -> Option<u64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

impl App {
    /// Numbers about the server and its runs. Looks at all of them: for a thread that may take its time.
    pub fn stats(&self) -> Stats {
        let now = self.clock.now();
        let mut tally = Tally::new(now);
        self.live.each(|run| tally.add(run));
        let instances = tally.instances.iter();
        let instances =
            instances.map(|(instance, &(queued, executing))| InstanceStats { instance: instance.clone(), queued, executing });
        Stats {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: now.since(self.started) / 1000,
            runs: tally.runs,
            last_hour: tally.last_hour,
            success_rate: tally.success_rate(),
            instances: instances.collect(),
            store: self.store_stats(),
            followers: self.live.followers(),
            workflows: tally.workflows(),
        }
    }

    fn store_stats(&self) -> StoreStats {
        let store = &self.history.store;
        let (state, why) = match store.health() {
            Health::Healthy => ("healthy", None),
            Health::Degraded { why } => ("degraded", Some(why)),
            Health::ReadOnly { why } => ("read_only", Some(why)),
        };
        StoreStats {
            state,
            why,
            free_bytes: store.free_bytes().ok(),
            journal_bytes: size_of_files(&self.history.root.join("journal")),
        }
    }
}

/// The length of the files of a folder.
fn size_of_files(folder: &Path) -> Option<u64> {
    let files = std::fs::read_dir(folder).ok()?;
    // A file that goes away meanwhile takes no room.
    Some(files.filter_map(|file| file.ok()?.metadata().ok()).map(|about| about.len()).sum())
}

#[cfg(test)]
mod tests {
    use comfyd_engine::{Status, Timestamp};

    use super::{DAY_MS, HOUR_MS, Tally, median};
    use crate::batch::Counts;
    use crate::live::Summary;

    fn run(n: u32, status: Status, created: u64, ended: Option<u64>) -> Summary {
        let id = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a good id");
        let name = if n < 5 { "a" } else { "b" };
        let mut run = Summary::of_nothing(id);
        (run.status, run.workflow_name, run.created, run.ended) = (status, name.into(), Timestamp(created), ended.map(Timestamp));
        run
    }

    #[test]
    fn runs_add_up() {
        let now = DAY_MS * 10;
        let mut tally = Tally::new(Timestamp(now));
        let all = [
            run(1, Status::Completed, now - 9_000, Some(now - 4_000)),
            run(2, Status::Completed, now - HOUR_MS * 2, Some(now - HOUR_MS * 2 + 7_000)),
            run(3, Status::Completed, now - DAY_MS * 2, Some(now - DAY_MS * 2 + 60_000)),
            run(4, Status::Failed, now - 100, Some(now - 50)),
            run(5, Status::Cancelled, now - 100, Some(now - 50)),
            run(6, Status::Queued, now - 10, None),
            run(7, Status::Executing, now - 20, None),
        ];
        for run in &all {
            tally.add(run);
        }
        let counts = Counts { queued: 1, executing: 1, completed: 3, failed: 1, cancelled: 1 };
        assert_eq!((tally.runs, tally.last_hour.created, tally.last_hour.completed), (counts, 5, 1));
        assert_eq!(tally.success_rate(), Some(2.0 / 3.0), "what ended two days ago does not count");
        let workflows = tally.workflows();
        let told: Vec<_> =
            workflows.iter().map(|one| (one.workflow_name.as_str(), one.runs.completed, one.median_seconds)).collect();
        assert_eq!(told, [("a", 3, Some(7.0)), ("b", 0, None)]);
    }

    #[test]
    fn a_median_is_a_value_that_was_there() {
        assert_eq!([vec![], vec![5], vec![9, 1], vec![3, 1, 2]].map(median), [None, Some(5), Some(1), Some(2)]);
    }
}
