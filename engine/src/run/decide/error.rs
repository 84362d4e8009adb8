//! The errors that the engine itself finds, in words for people.

use crate::comfy::NodeFailure;
use crate::event::{Limit, RunError};
use crate::run::Run;

fn error(code: &str, message: String, hint: &str) -> RunError {
    RunError { code: code.into(), message, hint: hint.into(), node_id: None, node_type: None, details: None, problems: vec![] }
}

pub(super) fn node_failed(run: &Run, failure: &NodeFailure) -> RunError {
    let known = failure.node.as_ref().and_then(|id| run.nodes().get(id));
    let class = failure.class.clone().or_else(|| known.map(|node| node.class.clone()));
    let memory = failure.exception.contains("OutOfMemory") || failure.message.contains("out of memory");
    let hint = if memory {
        "The GPU ran out of memory: use a smaller size or batch, free the memory of other models, or take a larger GPU."
    } else if failure.node.is_none() {
        "Look at the details; the workflow itself could not be run."
    } else {
        "Look at this node's inputs and the details. Outputs of earlier nodes were kept; a retry starts at this node."
    };
    RunError {
        node_id: failure.node.clone(),
        node_type: class,
        details: Some(format!("{}\n{}", failure.exception, failure.traceback).trim_end().to_owned()),
        ..error("node_failed", failure.message.clone(), hint)
    }
}

pub(super) fn limit(limit: Limit) -> RunError {
    match limit {
        Limit::QueueTimeout => error(
            "queue_timeout",
            "timed out in queue. The instance may be overloaded.".into(),
            "Retry it with a higher priority, or on another instance.",
        ),
        Limit::TimeLimit => error(
            "time_limit",
            "ran longer than max_execution_time_hours allows".into(),
            "Raise comfyui_workflow.max_execution_time_hours, or make the workflow smaller.",
        ),
    }
}

pub(super) fn interrupted_remotely(run: &Run, node: Option<&crate::id::NodeId>) -> RunError {
    RunError {
        node_id: node.cloned(),
        node_type: node.and_then(|id| run.nodes().get(id)).map(|node| node.class.clone()),
        ..error("interrupted_remotely", "somebody else interrupted the prompt on the instance".into(), "Retry the run.")
    }
}

pub(super) fn remote_restarted() -> RunError {
    error(
        "remote_restarted",
        "ComfyUI was restarted while it ran this prompt; its queue and history are gone".into(),
        "Retry the run.",
    )
}
