//! The list of nodes: a rolling window around what runs.

use std::collections::BTreeMap;

use comfyd_engine::NodeId;

use super::Line;
use crate::cli::out::Style;
use crate::cli::text::{clean, span};
use crate::cli::wire::{NodeDoc, RunDoc};

/// The cells of a node's bar.
const BAR: usize = 16;

/// The nodes in at most `rows` lines.
pub(super) fn lines(run: &RunDoc, rows: usize) -> Vec<Line> {
    let depths = depths(&run.nodes);
    let (from, to) = window(run, rows);
    let mut lines = Vec::new();
    if from > 0 {
        lines.push(more(&run.nodes[..from], "above"));
    }
    let shown = run.nodes.iter().zip(&depths).take(to).skip(from);
    lines.extend(shown.map(|(node, depth)| line(node, *depth)));
    if to < run.nodes.len() {
        lines.push(more(&run.nodes[to..], "below"));
    }
    lines
}

/// Which nodes are shown: all that fit, else those around the running one, or around the last that was touched.
fn window(run: &RunDoc, rows: usize) -> (usize, usize) {
    let count = run.nodes.len();
    if count <= rows {
        return (0, count);
    }
    // One row each for what is above and below.
    let rows = rows.saturating_sub(2).max(1);
    let running = run.progress.current_node_id.as_ref().and_then(|id| run.nodes.iter().position(|node| node.node_id == *id));
    let touched = || run.nodes.iter().rposition(|node| !matches!(node.state.as_str(), "waiting" | "not_reached"));
    let centre = running.or_else(touched).unwrap_or(0);
    let from = centre.saturating_sub(rows / 2).min(count - rows);
    (from, from + rows)
}

fn more(nodes: &[NodeDoc], place: &str) -> Line {
    let done = nodes.iter().filter(|node| matches!(node.state.as_str(), "done" | "cached")).count();
    vec![(Style::Faint, format!("  … {} more {place}, {done} of them done", nodes.len()))]
}

/// How deep each node lies below the node that made it.
fn depths(nodes: &[NodeDoc]) -> Vec<usize> {
    let mut known: BTreeMap<&NodeId, usize> = BTreeMap::new();
    let mut depths = Vec::with_capacity(nodes.len());
    for node in nodes {
        // A parent stands before what it made.
        let depth = node.parent_node_id.as_ref().and_then(|parent| known.get(parent)).map_or(0, |depth| depth + 1);
        known.insert(&node.node_id, depth);
        depths.push(depth.min(6));
    }
    depths
}

fn line(node: &NodeDoc, depth: usize) -> Line {
    let (style, mark) = mark(&node.state);
    let name_style = if style == Style::Faint { Style::Faint } else { Style::Plain };
    let mut line = vec![
        (Style::Plain, format!("  {}", "  ".repeat(depth))),
        (style, mark.to_owned()),
        (name_style, format!(" {}", clean(&node.label()))),
    ];
    line.extend(tail(node).map(|text| (Style::Faint, format!("  {text}"))));
    if let (Some(step), Some(steps), "running") = (node.step, node.steps, node.state.as_str()) {
        let done = usize::try_from(step).unwrap_or(0);
        line.push((Style::Busy, format!("  {}", bar(done, usize::try_from(steps).unwrap_or(0), BAR))));
        line.push((Style::Plain, format!(" step {step}/{steps}")));
    }
    line
}

fn tail(node: &NodeDoc) -> Option<String> {
    match node.state.as_str() {
        "done" => node.took_ms().map(|ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100)),
        "cached" => Some("cached".to_owned()),
        "failed" => Some("failed".to_owned()),
        "interrupted" => Some("interrupted".to_owned()),
        "blocked" => Some(node.message.as_deref().map_or_else(|| "blocked".to_owned(), |why| format!("blocked: {}", clean(why)))),
        // With steps, the bar says more than the message.
        "running" if node.steps.is_none() => node.message.as_deref().map(clean),
        _ => None, // waiting nodes have nothing to say yet
    }
}

fn mark(state: &str) -> (Style, &'static str) {
    match state {
        "done" => (Style::Good, "✓"),
        "cached" => (Style::Good, "⚡"),
        "running" => (Style::Busy, "▶"),
        "failed" => (Style::Bad, "✗"),
        "blocked" => (Style::Notice, "⊘"),
        "interrupted" => (Style::Notice, "■"),
        _ => (Style::Faint, "·"), // waiting, not reached, and words of a later server
    }
}

/// A bar of `cells` cells.
pub(super) fn bar(done: usize, of: usize, cells: usize) -> String {
    let full = (done.min(of) * cells).checked_div(of).unwrap_or(0);
    format!("{}{}", "█".repeat(full), "░".repeat(cells - full))
}

/// What the running node is at, for one line: `KSampler (12) step 45/100`.
pub(super) fn current(run: &RunDoc) -> Option<String> {
    let node = run.current()?;
    let step = node.step_text().map(|step| format!(" {step}")).unwrap_or_default();
    Some(format!("{}{step}", clean(&node.label())))
}

/// What is left, for one line.
pub(super) fn eta(left_ms: u64) -> String {
    format!("ETA {}", span(left_ms))
}
