//! One picture of a run, as lines: a pure function of the state, the time and the size.

use comfyd_engine::{Status, Timestamp};

use super::{Line, Size, nodes};
use crate::cli::out::{Palette, Style};
use crate::cli::text::{clean, columns, fit, size, span};
use crate::cli::wire::{OutputDoc, RunDoc};

/// The cells of the bar of the whole run: a quarter of the width, within these.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;
/// The most outputs that are listed.
const OUTPUTS: usize = 6;
/// The fewest rows that nodes get.
const FEWEST_NODES: usize = 3;

/// When a picture is drawn, and what is known about the way to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    /// The time.
    pub(crate) now: Timestamp,
    /// Why the server does not answer, if it does not.
    pub(crate) lost: Option<&'a str>,
}

/// The picture, each line fitted to the width and painted.
pub(crate) fn draw(run: &RunDoc, moment: Moment<'_>, room: Size, palette: Palette) -> Vec<String> {
    let mut lines = vec![heading(run), progress(run, moment.now, room.width)];
    lines.extend(troubles(run, moment));
    let mut after: Vec<Line> = outputs(run);
    after.extend(run.warnings.iter().map(|warning| vec![(Style::Notice, format!("! {}", clean(&warning.message)))]));
    let rows = room.height.saturating_sub(lines.len() + after.len() + 1).max(FEWEST_NODES);
    lines.extend(nodes::lines(run, rows));
    lines.extend(after);
    lines.truncate(room.height.saturating_sub(1).max(1));
    lines.into_iter().map(|line| paint(&line, room.width, palette)).collect()
}

fn status_style(status: Status) -> Style {
    match status {
        Status::Queued => Style::Notice,
        Status::Executing => Style::Busy,
        Status::Completed => Style::Good,
        Status::Failed | Status::Cancelled => Style::Bad,
    }
}

/// `executing/collecting`, but only once where the two words are one.
pub(super) fn state(run: &RunDoc) -> String {
    let status = run.status.as_str();
    let phase = if run.phase == status { status.to_owned() } else { format!("{status}/{}", clean(&run.phase)) };
    if run.stopping { format!("{phase} (stopping)") } else { phase }
}

fn heading(run: &RunDoc) -> Line {
    vec![
        (Style::Strong, clean(&run.workflow_name)),
        (Style::Plain, "  ".to_owned()),
        (status_style(run.status), state(run)),
        (Style::Faint, format!("  {}", clean(&run.run_id))),
    ]
}

fn progress(run: &RunDoc, now: Timestamp, width: usize) -> Line {
    let percent = run.progress.progress_percent.clamp(0.0, 100.0);
    let permille = format!("{:.0}", percent * 10.0).parse().unwrap_or(0);
    let done = format!(" {percent:>5.1}%  {}/{} nodes", run.progress.completed_nodes, run.progress.total_nodes);
    let mut line = vec![
        (status_style(run.status), nodes::bar(permille, 1000, (width / 4).clamp(*BAR.start(), *BAR.end()))),
        (Style::Plain, done),
    ];
    let mut say = |text: String| line.push((Style::Plain, format!("  {text}")));
    if let Some(step) = run.current().and_then(super::super::wire::NodeDoc::step_text) {
        say(step);
    }
    if let (Status::Queued, Some(place)) = (run.status, run.progress.queue_position) {
        say(format!("place {place} in the queue"));
    }
    match run.timing.ran_ms(now) {
        Some(ms) if run.status.is_settled() => say(format!("took {}", span(ms))),
        Some(_) => {
            if let Some(left) = run.timing.left_ms(now).filter(|_| run.status == Status::Executing) {
                say(nodes::eta(left));
            }
        }
        None => {}
    }
    line
}

fn troubles(run: &RunDoc, moment: Moment<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(why) = moment.lost {
        lines.push(vec![(Style::Notice, format!("! connection to comfyd lost, trying again ({})", clean(why)))]);
    }
    if let Some(attention) = &run.attention {
        lines.push(vec![(Style::Notice, format!("! {}: {}", clean(&attention.kind), clean(&attention.message)))]);
    }
    if let Some(error) = &run.error {
        lines.push(vec![(Style::Bad, format!("✗ {}: {}", clean(&error.code), clean(&error.message)))]);
    }
    lines
}

fn outputs(run: &RunDoc) -> Vec<Line> {
    let hidden = run.outputs.len().saturating_sub(OUTPUTS);
    let mut lines: Vec<Line> = Vec::new();
    if hidden > 0 {
        lines.push(vec![(Style::Faint, format!("  … {hidden} more outputs"))]);
    }
    lines.extend(run.outputs.iter().skip(hidden).map(|output| vec![(Style::Plain, format!("→ {}", output_text(output)))]));
    lines
}

/// An output in a few words.
pub(super) fn output_text(output: &OutputDoc) -> String {
    if let Some(text) = &output.text {
        return format!("{} text: {}", output.n, fit(&clean(text), 120));
    }
    let name = clean(&output.filename);
    match (output.size, &output.problem) {
        (Some(bytes), _) => format!("{} {name} ({})", output.n, size(bytes)),
        (None, Some(why)) => format!("{} {name}: {}", output.n, clean(why)),
        (None, None) => format!("{} {name} …", output.n),
    }
}

fn paint(line: &Line, width: usize, palette: Palette) -> String {
    let mut left = width;
    let mut out = String::new();
    for (style, text) in line {
        let fitted = fit(text, left);
        out.push_str(&palette.paint(*style, &fitted));
        left -= columns(&fitted);
        if left == 0 || fitted.len() < text.len() {
            break;
        }
    }
    out
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
