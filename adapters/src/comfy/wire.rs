//! The shapes of socket messages as ComfyUI writes them: borrowed where it pays, tolerant of fields that are missing or new.
//!
//! Source: ComfyUI's `server.py`, `execution.py` and `comfy_execution/progress.py`.

use std::borrow::Cow;
use std::fmt;

use comfyd_engine::{NodeId, NodeReport};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// `{"type", "data"}`.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

/// `status`.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) status: ExecInfo,
}

#[derive(Deserialize)]
pub(super) struct ExecInfo {
    pub(super) exec_info: Remaining,
}

#[derive(Deserialize)]
pub(super) struct Remaining {
    pub(super) queue_remaining: f64,
}

/// What every message about a prompt has.
#[derive(Deserialize)]
pub(super) struct OfPrompt {
    pub(super) prompt_id: String,
}

/// `execution_cached`.
#[derive(Deserialize)]
pub(super) struct Cached {
    pub(super) prompt_id: String,
    #[serde(default)]
    pub(super) nodes: Vec<NodeId>,
}

/// `executing`.
#[derive(Deserialize)]
pub(super) struct Executing {
    #[serde(default)]
    pub(super) node: Option<NodeId>,
    #[serde(default)]
    pub(super) prompt_id: Option<String>,
}

/// `progress`.
#[derive(Deserialize)]
pub(super) struct Progress {
    #[serde(default)]
    pub(super) value: Option<f64>,
    #[serde(default)]
    pub(super) max: Option<f64>,
    #[serde(default)]
    pub(super) node: Option<NodeId>,
    #[serde(default)]
    pub(super) prompt_id: Option<String>,
}

/// `executed`.
#[derive(Deserialize)]
pub(super) struct Executed<'a> {
    pub(super) node: NodeId,
    #[serde(borrow, default)]
    pub(super) output: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) prompt_id: Option<String>,
}

/// `execution_error`.
#[derive(Deserialize)]
pub(super) struct Failure {
    pub(super) prompt_id: String,
    #[serde(default)]
    pub(super) node_id: Option<NodeId>,
    #[serde(default)]
    pub(super) exception_type: Option<String>,
    #[serde(default)]
    pub(super) exception_message: Option<String>,
}

/// `progress_state`: the frame that comes most often.
#[derive(Deserialize)]
pub(super) struct ProgressState {
    pub(super) prompt_id: String,
    pub(super) nodes: Reports,
}

/// A whole message that is known to be a `progress_state`.
#[derive(Deserialize)]
pub(super) struct StateMessage {
    pub(super) data: ProgressState,
}

/// The JSON of a preview with metadata.
#[derive(Deserialize)]
pub(super) struct PreviewMetadata {
    #[serde(default)]
    pub(super) node_id: Option<NodeId>,
    #[serde(default)]
    pub(super) prompt_id: Option<String>,
    #[serde(default)]
    pub(super) image_type: Option<String>,
}

/// How many nodes of one `progress_state` are read: twice as many as a workflow may have.
pub(super) const MAX_REPORTS: usize = 10_000;

/// The nodes of a `progress_state`, in the order of the frame.
pub(super) struct Reports {
    pub(super) nodes: Vec<NodeReport>,
    /// How many more there were.
    pub(super) dropped: u64,
}

#[derive(Deserialize)]
struct Report<'a> {
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    #[serde(borrow, default)]
    state: Cow<'a, str>,
    #[serde(default)]
    parent_node_id: Option<NodeId>,
}

impl<'de> Deserialize<'de> for Reports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;

        impl<'de> Visitor<'de> for Nodes {
            type Value = Reports;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of nodes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reports, A::Error> {
                let mut nodes = Vec::new();
                while nodes.len() < MAX_REPORTS
                    && let Some((node, report)) = map.next_entry::<NodeId, Report<'de>>()?
                {
                    let (done, total) = steps(report.value, report.max);
                    // `pending` and `error` are in the source, and never sent: a node that failed just stays running.
                    let finished = report.state == "finished";
                    if report.state != "pending" {
                        nodes.push(NodeReport { node, parent: report.parent_node_id, done, total, finished });
                    }
                }
                let mut dropped = 0;
                // Only a full list leaves anything here.
                while nodes.len() == MAX_REPORTS && map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    dropped += 1;
                }
                Ok(Reports { nodes, dropped })
            }
        }

        deserializer.deserialize_map(Nodes)
    }
}

/// Whole steps of a bar that may be fractional: thousandths then, or millionths of a bar that is too long.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the figures are rounded and checked against the range"
)]
pub(super) fn steps(value: Option<f64>, max: Option<f64>) -> (u32, u32) {
    const LARGEST: f64 = u32::MAX as f64;
    let sane = |figure: Option<f64>| figure.filter(|figure| figure.is_finite()).unwrap_or(0.0).max(0.0);
    let (value, max) = (sane(value), sane(max));
    let whole = value.fract() == 0.0 && max.fract() == 0.0;
    let scale = if whole { 1.0 } else { 1000.0 };
    if max * scale <= LARGEST {
        ((value * scale).round().min(LARGEST) as u32, (max * scale).round() as u32)
    } else {
        let part = (value / max).min(1.0);
        ((part * 1_000_000.0).round() as u32, 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn bars() {
        let rows = [
            (Some(3.0), Some(20.0), (3, 20)),
            (Some(0.0), Some(1.0), (0, 1)),
            (Some(0.25), Some(1.0), (250, 1000)),
            (Some(2.0), Some(2.5), (2000, 2500)),
            (Some(-1.0), Some(5.0), (0, 5)),
            (Some(7.0), Some(5.0), (7, 5)),
            (None, Some(5.0), (0, 5)),
            (Some(f64::INFINITY), Some(f64::NAN), (0, 0)),
            (Some(5e9), Some(1e10), (500_000, 1_000_000)),
            (Some(1e300), Some(1.0), (u32::MAX, 1)),
        ];
        for (value, max, expected) in rows {
            assert_eq!(steps(value, max), expected, "{value:?} of {max:?}");
        }
    }
}
