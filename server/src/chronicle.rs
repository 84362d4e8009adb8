//! What happens to runs, as log lines with stable names.
//!
//! Invariants: lines come from published views, so what they tell is on disk; the core loop only hands views over and never waits or formats; a
//! run's lines come in order, each lifecycle line once. Absent: what instances and the server do; they log for themselves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use comfyd_engine::{RunId, RunView, Status, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Views that may wait to be told; more are dropped and counted, as whoever reads the lines is too slow.
const WAITING: usize = 4_096;
/// How long lines are gathered, so that the core loop seldom has somebody to wake.
const GATHER: Duration = Duration::from_millis(20);
/// How often a run's progress is told at `info`; at `debug` every step is.
const PROGRESS_EVERY_MS: u64 = 10_000;
/// Runs that are remembered after their end, as their outputs may still change them.
const ENDED: usize = 1_024;

/// The core loop's end of it.
pub(crate) struct Chronicle {
    views: mpsc::Sender<Arc<RunView>>,
    lost: Arc<AtomicU64>,
    /// Ends the gathering with the chronicle.
    _end: DropGuard,
}

impl Chronicle {
    /// Begins to tell; what is known of these runs already is not told again. Ends when the chronicle is dropped.
    pub(crate) fn begin(known: &[Arc<RunView>]) -> Self {
        let (views, mut waiting) = mpsc::channel::<Arc<RunView>>(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let missed = Arc::clone(&lost);
        let mut story = Story::default();
        for view in known {
            story.know(view);
        }
        let end = CancellationToken::new();
        let ended = end.clone();
        tokio::spawn(async move {
            let mut views = Vec::new();
            while waiting.recv_many(&mut views, WAITING).await > 0 {
                for view in views.drain(..) {
                    for line in story.lines(&view) {
                        line.write(&view);
                    }
                }
                let count = missed.swap(0, Ordering::Relaxed);
                if count > 0 {
                    tracing::warn!(count, "log.lines_lost");
                }
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = tokio::time::sleep(GATHER) => {}
                }
            }
        });
        Self { views, lost, _end: end.drop_guard() }
    }

    /// Hands views over, if anybody wants to know.
    pub(crate) fn tell(&self, views: &[Arc<RunView>]) {
        if !tracing::enabled!(tracing::Level::WARN) {
            return;
        }
        for view in views {
            if self.views.try_send(Arc::clone(view)).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// One line to be written about a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Queued,
    Started,
    Progress,
    /// Between two times at which everybody is told.
    Step,
    Attention,
    Completed,
    Failed,
    Cancelled,
}

/// What was told of a run.
#[derive(Debug, Default)]
struct Told {
    queued: bool,
    started: bool,
    ended: bool,
    attention: Option<&'static str>,
    progress: (usize, u32),
    progress_at: Timestamp,
}

/// What was told of all runs.
#[derive(Debug, Default)]
struct Story {
    runs: BTreeMap<RunId, Told>,
    ended: VecDeque<RunId>,
}

impl Story {
    /// Takes note without telling.
    fn know(&mut self, view: &RunView) {
        self.lines(view);
    }

    /// The lines that a view is worth.
    fn lines(&mut self, view: &RunView) -> Vec<Line> {
        let told = self.runs.entry(view.run_id).or_default();
        let mut lines = Vec::new();
        if told.ended {
            return lines;
        }
        if !std::mem::replace(&mut told.queued, true) {
            lines.push(Line::Queued);
            told.progress_at = view.timing.last_update.0;
        }
        if view.timing.start_time.is_some() && !std::mem::replace(&mut told.started, true) {
            lines.push(Line::Started);
            told.progress_at = view.timing.last_update.0;
        }
        let attention = view.attention.as_ref().map(|attention| attention.kind);
        if std::mem::replace(&mut told.attention, attention) != attention && attention.is_some() {
            lines.push(Line::Attention);
        }
        let ending = match view.status {
            Status::Queued | Status::Executing => None,
            Status::Completed => Some(Line::Completed),
            Status::Failed => Some(Line::Failed),
            Status::Cancelled => Some(Line::Cancelled),
        };
        let progress = (view.progress.completed_nodes, view.progress.progress_percent.0);
        if let Some(ending) = ending {
            told.ended = true;
            lines.push(ending);
            self.ended.push_back(view.run_id);
            if self.ended.len() > ENDED {
                self.ended.pop_front().map(|oldest| self.runs.remove(&oldest));
            }
        } else if told.started && told.progress != progress {
            told.progress = progress;
            let now = view.timing.last_update.0;
            if now.since(told.progress_at) >= PROGRESS_EVERY_MS {
                told.progress_at = now;
                lines.push(Line::Progress);
            } else {
                lines.push(Line::Step);
            }
        }
        lines
    }
}

impl Line {
    fn write(self, view: &RunView) {
        let (run, workflow_id, instance) = (view.run_id, view.workflow_id.as_str(), view.instance.as_str());
        let total_nodes = view.progress.total_nodes;
        let percent = f64::from(view.progress.progress_percent.0) / 10.0;
        let error = view.error.as_ref();
        match self {
            Self::Queued => tracing::info!(%run, workflow_id, instance, name = view.workflow_name.as_str(), "workflow.queued"),
            Self::Started => tracing::info!(
                %run, workflow_id, instance, workflow_type = "comfyui", node_count = total_nodes, user = "local", "workflow.started"
            ),
            Self::Progress => tracing::info!(
                %run, workflow_id, completed_nodes = view.progress.completed_nodes, total_nodes, progress_percent = percent, "workflow.progress"
            ),
            Self::Step => tracing::debug!(
                %run, workflow_id, completed_nodes = view.progress.completed_nodes, total_nodes, progress_percent = percent, "workflow.progress"
            ),
            Self::Attention => {
                let attention = view.attention.as_ref();
                tracing::warn!(
                    %run, workflow_id, instance, kind = attention.map(|attention| attention.kind),
                    why = attention.map(|attention| attention.message.as_str()), "workflow.attention"
                );
            }
            Self::Completed => tracing::info!(
                %run, workflow_id, instance, execution_time_seconds = seconds(view), output_count = view.outputs.len(), "workflow.completed"
            ),
            Self::Failed => tracing::warn!(
                %run, workflow_id, instance, execution_time_seconds = seconds(view), error_code = error.map(|error| error.code.as_str()),
                error = error.map(|error| error.message.as_str()), node_id = error.and_then(|error| error.node_id.as_ref()).map(comfyd_engine::NodeId::as_str),
                "workflow.failed"
            ),
            Self::Cancelled => {
                tracing::info!(%run, workflow_id, instance, execution_time_seconds = seconds(view), "workflow.cancelled");
            }
        }
    }
}

/// How long it was executed; none if it never was.
fn seconds(view: &RunView) -> Option<f64> {
    let (start, end) = (view.timing.start_time?.0, view.timing.end_time?.0);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below what a float holds exactly")]
    let ms = end.since(start) as f64;
    Some(ms / 1_000.0)
}

#[cfg(test)]
mod tests {
    use comfyd_engine::testkit::{Rig, run_id, small_run};
    use comfyd_engine::{Input, Limits, Request, Time};

    use super::*;

    fn view() -> RunView {
        let mut rig = Rig::new(Limits::default());
        rig.online("gpu-a");
        let spec = Box::new(small_run("gpu-a"));
        rig.say(Input::Request(run_id(1), Request::Create { spec, blobs: vec![] })).expect("granted");
        RunView::of(rig.run(run_id(1)))
    }

    fn at(ms: u64, change: impl FnOnce(&mut RunView)) -> RunView {
        let mut view = view();
        view.timing.last_update = Time(Timestamp(ms));
        change(&mut view);
        view
    }

    fn running(ms: u64, done: usize) -> RunView {
        at(ms, |view| {
            view.status = Status::Executing;
            view.timing.start_time = Some(Time(Timestamp(1_000)));
            view.progress.completed_nodes = done;
        })
    }

    fn ended(status: Status) -> RunView {
        let mut view = running(60_000, 5);
        view.status = status;
        view.timing.end_time = Some(Time(Timestamp(61_500)));
        view
    }

    #[test]
    fn a_run_is_told_from_its_queue_to_its_end_once() {
        let mut story = Story::default();
        let rows = [
            (at(0, |_| {}), vec![Line::Queued]),
            (at(10, |_| {}), vec![]),
            (running(1_000, 0), vec![Line::Started]),
            (running(2_000, 1), vec![Line::Step]),
            (running(2_500, 1), vec![]),
            (running(11_000, 2), vec![Line::Progress]),
            (running(20_000, 3), vec![Line::Step]),
            (ended(Status::Completed), vec![Line::Completed]),
            (ended(Status::Completed), vec![]),
        ];
        for (view, lines) in rows {
            assert_eq!(story.lines(&view), lines, "{:?}", view.timing.last_update);
        }
        assert_eq!(seconds(&ended(Status::Completed)), Some(60.5));
    }

    #[test]
    fn what_happened_between_two_views_is_told_in_order() {
        for (status, line) in
            [(Status::Completed, Line::Completed), (Status::Failed, Line::Failed), (Status::Cancelled, Line::Cancelled)]
        {
            assert_eq!(Story::default().lines(&ended(status)), [Line::Queued, Line::Started, line]);
        }
    }

    #[test]
    fn what_was_known_at_the_start_is_not_told_again() {
        let mut story = Story::default();
        story.know(&running(1_000, 1));
        assert_eq!(story.lines(&running(2_000, 1)), []);
        assert_eq!(story.lines(&ended(Status::Failed)), [Line::Failed]);
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let mut story = Story::default();
        for n in 0..ENDED + 10 {
            let mut view = ended(Status::Completed);
            view.run_id = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("an id");
            story.lines(&view);
        }
        assert_eq!((story.runs.len(), story.ended.len()), (ENDED, ENDED));
    }
}
