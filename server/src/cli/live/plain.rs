//! A run as plain lines: one for each change that a reader can see.

use comfyd_engine::Timestamp;

use super::{frame, nodes};
use crate::cli::text::clean;
use crate::cli::time::clock;
use crate::cli::wire::RunDoc;

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    begun: bool,
    said: String,
    attention: Option<(String, String)>,
    outputs: usize,
    warnings: usize,
    lost: bool,
}

impl Plain {
    /// The lines for a new state.
    pub(crate) fn lines(&mut self, run: &RunDoc, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |text: &str| lines.push(format!("{} {text}", clock(now)));
        if !std::mem::replace(&mut self.begun, true) {
            say(&format!("run {} {} on {}", clean(&run.run_id), clean(&run.workflow_name), clean(&run.instance)));
        }
        if std::mem::take(&mut self.lost) {
            say("connected to comfyd again");
        }
        let text = summary(run);
        if text != self.said {
            say(&text);
            self.said = text;
        }
        let attention = run.attention.as_ref().map(|attention| (attention.kind.clone(), attention.message.clone()));
        if attention != self.attention {
            match &attention {
                Some((kind, message)) => say(&format!("attention {}: {}", clean(kind), clean(message))),
                None => say("attention over"),
            }
            self.attention = attention;
        }
        // Outputs are told in order once they are here, or known not to come.
        let settled = |output: &&crate::cli::wire::OutputDoc| output.downloaded || output.problem.is_some();
        for output in run.outputs.iter().skip(self.outputs).take_while(settled) {
            say(&format!("output {}", frame::output_text(output)));
            self.outputs += 1;
        }
        for warning in run.warnings.iter().skip(self.warnings) {
            say(&format!("warning {}: {}", clean(&warning.code), clean(&warning.message)));
            self.warnings += 1;
        }
        lines
    }

    /// The line for a lost connection, once.
    pub(crate) fn lost(&mut self, why: &str, now: Timestamp) -> Option<String> {
        let told = std::mem::replace(&mut self.lost, true);
        (!told).then(|| format!("{} connection to comfyd lost, trying again ({})", clock(now), clean(why)))
    }
}

/// `executing 8/15 53.3% KSampler (12) step 45/100`
pub(super) fn summary(run: &RunDoc) -> String {
    let progress = &run.progress;
    let mut text = format!(
        "{} {}/{} {:.1}%",
        frame::state(run),
        progress.completed_nodes,
        progress.total_nodes,
        progress.progress_percent.clamp(0.0, 100.0)
    );
    if let Some(current) = nodes::current(run) {
        text.push(' ');
        text.push_str(&current);
    }
    if let (comfyd_engine::Status::Queued, Some(place)) = (run.status, progress.queue_position) {
        text = format!("{text} place {place} in the queue");
    }
    text
}
