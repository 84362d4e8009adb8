//! Socket frames to typed events.
//!
//! Invariants: no input panics, recurses without bound or ends the connection; a frame that cannot be read is an error for the caller to count.
//! Absent: which run a frame belongs to.

use std::borrow::Cow;

use bytes::Bytes;
use comfyd_engine::{ComfyEvent, NodeId, PromptId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lenient::{readable, to_nulls, to_strict};
use super::produced::{MAX_TEXT, cut, produced};
use super::wire;

/// The longest frame and the longest JSON reply (reliability.md 9).
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;
/// The longest text that a node shows while it runs: it may change ten times a second, and each change is recorded.
const MAX_NODE_TEXT: usize = 4 * 1024;

/// What one frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Something about prompts or the queue.
    Event(ComfyEvent),
    /// A picture of what a node is making.
    Preview {
        /// The prompt; previews of the old kind do not name it.
        prompt: Option<PromptId>,
        /// The node, likewise.
        node: Option<NodeId>,
        /// `image/jpeg` or `image/png`.
        media_type: &'static str,
        /// The picture.
        bytes: Bytes,
    },
    /// The answer to our feature flags: the socket is registered.
    FeatureFlags,
    /// A known kind that says nothing here, or a binary frame of another type.
    Nothing,
}

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// It is longer than [`MAX_MESSAGE`].
    #[error("read a frame of {0} bytes: it is too long")]
    TooLong(usize),
    /// It is no JSON object of the known shape, read leniently.
    #[error("read a message")]
    Json(#[source] serde_json::Error),
    /// A binary frame is shorter than it says.
    #[error("read a binary frame of {0} bytes: it is cut")]
    Cut(usize),
    /// The text in a binary frame is no UTF-8.
    #[error("read a binary text frame: it is no UTF-8")]
    Utf8,
}

/// Reads a text frame.
///
/// ```
/// use comfyd_adapters::comfy::parse::{Incoming, text};
/// use comfyd_engine::ComfyEvent;
/// let frame = r#"{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 2}}}}"#;
/// assert_eq!(text(frame)?, Incoming::Event(ComfyEvent::QueueChanged { remaining: 2 }));
/// # Ok::<(), comfyd_adapters::comfy::parse::BadFrame>(())
/// ```
///
/// # Errors
/// If it is too long, or no message in any reading.
pub fn text(frame: &str) -> Result<Incoming, BadFrame> {
    if frame.len() > MAX_MESSAGE {
        return Err(BadFrame::TooLong(frame.len()));
    }
    let first = match strict(frame) {
        Ok(incoming) => return Ok(incoming),
        Err(error) => error,
    };
    // Python's NaN and lone surrogates: once as marked strings, and where a number is asked for, as null.
    for reading in [to_strict(frame), to_nulls(frame)] {
        if let Cow::Owned(reading) = reading
            && let Ok(incoming) = strict(&reading)
        {
            return Ok(incoming);
        }
    }
    Err(BadFrame::Json(first))
}

/// How ComfyUI, by Python's `json.dumps`, begins the frame that comes most often.
const STATE: &str = r#"{"type": "progress_state","#;

fn strict(frame: &str) -> Result<Incoming, serde_json::Error> {
    // Read in one go: what else there is, is first looked through for its end.
    if frame.starts_with(STATE)
        && let Ok(message) = serde_json::from_str::<wire::StateMessage>(frame)
    {
        return Ok(Incoming::Event(reported(message.data)));
    }
    let message: wire::Message<'_> = serde_json::from_str(frame)?;
    let kind = message.kind.as_ref();
    let event = match kind {
        "progress_state" => reported(data(&message)?),
        "progress" => {
            let progress: wire::Progress = data(&message)?;
            let (done, total) = wire::steps(progress.value, progress.max);
            let Some(node) = progress.node else { return Ok(Incoming::Nothing) };
            ComfyEvent::NodeProgressed { prompt: progress.prompt_id.map(PromptId), node, done, total }
        }
        "executing" => {
            let executing: wire::Executing = data(&message)?;
            let prompt = executing.prompt_id.map(PromptId);
            match executing.node {
                Some(node) => ComfyEvent::NodeStarted { prompt, node },
                None => ComfyEvent::WentIdle { prompt },
            }
        }
        "executed" => {
            let executed: wire::Executed<'_> = data(&message)?;
            let Some(prompt) = executed.prompt_id else { return Ok(Incoming::Nothing) };
            let outputs = match executed.output {
                Some(ui) => produced(&serde_json::from_str(ui.get())?),
                None => Vec::new(),
            };
            ComfyEvent::NodeProduced { prompt: PromptId(prompt), node: executed.node, outputs }
        }
        "status" => {
            let status: wire::Status = data(&message)?;
            let (remaining, _) = wire::steps(Some(status.status.exec_info.queue_remaining.trunc()), None);
            ComfyEvent::QueueChanged { remaining }
        }
        "execution_start" => ComfyEvent::Started { prompt: prompt(&message)? },
        "execution_cached" => {
            let cached: wire::Cached = data(&message)?;
            ComfyEvent::Cached { prompt: PromptId(cached.prompt_id), nodes: cached.nodes }
        }
        "execution_success" | "execution_interrupted" => ComfyEvent::Ending { prompt: prompt(&message)? },
        "execution_error" => failure(data(&message)?),
        "feature_flags" => return Ok(Incoming::FeatureFlags),
        // Custom nodes have types of their own.
        other => ComfyEvent::Unknown { kind: cut(&readable(other), 100).to_owned() },
    };
    Ok(Incoming::Event(event))
}

fn reported(state: wire::ProgressState) -> ComfyEvent {
    if state.nodes.dropped > 0 {
        tracing::debug!(dropped = state.nodes.dropped, "a state with too many nodes");
    }
    ComfyEvent::ProgressReported { prompt: PromptId(state.prompt_id), nodes: state.nodes.nodes }
}

fn data<'a, T: Deserialize<'a>>(message: &wire::Message<'a>) -> Result<T, serde_json::Error> {
    serde_json::from_str(message.data.map_or("null", RawValue::get))
}

fn prompt(message: &wire::Message<'_>) -> Result<PromptId, serde_json::Error> {
    data::<wire::OfPrompt>(message).map(|data| PromptId(data.prompt_id))
}

/// An `execution_error` may be about one blocked node only (protocol.md 1, fact 4).
fn failure(failure: wire::Failure) -> ComfyEvent {
    let prompt = PromptId(failure.prompt_id);
    match failure.node_id {
        Some(node) if failure.exception_type.as_deref() == Some("ExecutionBlocked") => {
            let message = failure.exception_message.unwrap_or_default();
            ComfyEvent::NodeBlocked { prompt, node, message: cut(readable(&message).trim_end(), MAX_TEXT).to_owned() }
        }
        Some(_) | None => ComfyEvent::Ending { prompt },
    }
}

/// Reads a binary frame.
///
/// # Errors
/// If it is too long, or shorter than it says.
pub fn binary(frame: &Bytes) -> Result<Incoming, BadFrame> {
    if frame.len() > MAX_MESSAGE {
        return Err(BadFrame::TooLong(frame.len()));
    }
    let word = |at: usize| frame.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
    let short = || BadFrame::Cut(frame.len());
    match word(0).ok_or_else(short)? {
        1 => {
            let media_type = match word(4).ok_or_else(short)? {
                1 => "image/jpeg",
                2 => "image/png",
                // A format of the future: nobody could show it.
                _ => return Ok(Incoming::Nothing),
            };
            Ok(Incoming::Preview { prompt: None, node: None, media_type, bytes: frame.slice(8..) })
        }
        3 => {
            let (node, rest) = labelled(frame, word(4).ok_or_else(short)?)?;
            let node = std::str::from_utf8(&node).map_err(|_| BadFrame::Utf8)?.into();
            let text = std::str::from_utf8(&rest).map_err(|_| BadFrame::Utf8)?;
            Ok(Incoming::Event(ComfyEvent::NodeTexted { node, text: cut(text, MAX_NODE_TEXT).to_owned() }))
        }
        4 => {
            let (json, bytes) = labelled(frame, word(4).ok_or_else(short)?)?;
            let json = std::str::from_utf8(&json).map_err(|_| BadFrame::Utf8)?;
            let metadata: wire::PreviewMetadata = super::lenient::from_json(json).map_err(BadFrame::Json)?;
            let media_type = match metadata.image_type.as_deref() {
                Some("image/png") => "image/png",
                // The server says JPEG, or nothing, or a type that its page would not show either.
                Some(_) | None => "image/jpeg",
            };
            Ok(Incoming::Preview { prompt: metadata.prompt_id.map(PromptId), node: metadata.node_id, media_type, bytes })
        }
        // Type 2 is internal to the server; others are of the future.
        _ => Ok(Incoming::Nothing),
    }
}

/// The labelled part of a binary frame, and what follows it.
fn labelled(frame: &Bytes, len: u32) -> Result<(Bytes, Bytes), BadFrame> {
    let short = || BadFrame::Cut(frame.len());
    let end = usize::try_from(len).ok().and_then(|len| len.checked_add(8)).filter(|end| *end <= frame.len());
    let end = end.ok_or_else(short)?;
    Ok((frame.slice(8..end), frame.slice(end..)))
}

#[cfg(test)]
mod tests;
