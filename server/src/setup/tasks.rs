//! A run as the tasks of a step.

use comfyd_engine::{NodeView, RunView, SetupTask, Status, StepEnding, StepError, TaskStatus};

/// More nodes than this are not shown one by one.
const MAX_TASKS: usize = 500;

/// The most characters of a name or of an id in a task's name, and of what a task says: all tasks must fit one record.
const MAX_NAME: usize = 100;
const MAX_NOTE: usize = 300;

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// One task a node that counts, as the plan names them.
pub(super) fn of(view: &RunView) -> Vec<SetupTask> {
    let counting = view.nodes.iter().filter(|node| node.counts || node.status == "failed");
    counting.take(MAX_TASKS).map(task).collect()
}

fn task(node: &NodeView) -> SetupTask {
    let status = match node.status {
        "executing" => TaskStatus::Running,
        "executed" => TaskStatus::Success,
        "failed" => TaskStatus::Failed,
        _ => TaskStatus::Pending, // The plan has one more word.
    };
    let name = format!("{} ({})", cut(node.node_type.as_str(), MAX_NAME), cut(node.node_id.as_str(), MAX_NAME));
    let said = node.message.as_deref().map(|message| cut(message, MAX_NOTE));
    SetupTask { name, status, note: said, subtasks: vec![], fields: [].into() }
}

/// What the step says while the run goes on.
pub(super) fn note(view: &RunView) -> String {
    match (view.status, view.progress.queue_position) {
        (Status::Queued, Some(place)) => format!("Workflow queued at position {place}"),
        (Status::Queued, None) => "Waiting for execution...".to_owned(),
        (Status::Executing | Status::Completed | Status::Failed | Status::Cancelled, _) => {
            format!("{}/{} nodes", view.progress.completed_nodes, view.progress.total_nodes)
        }
    }
}

/// How the step ends with its run; none while it goes on.
pub(super) fn ending(view: &RunView) -> Option<StepEnding> {
    match view.status {
        Status::Queued | Status::Executing => None,
        Status::Completed => {
            let count = view.outputs.len();
            let note = if count == 1 { "1 output".to_owned() } else { format!("{count} outputs") };
            Some(StepEnding::Completed { note: Some(note) })
        }
        Status::Cancelled => Some(StepEnding::Interrupted),
        Status::Failed => {
            let hint = || format!("Look at run {}.", view.run_id);
            let error = view.error.as_ref().map_or_else(
                || StepError { code: "run_failed".to_owned(), message: "the run failed".to_owned(), hint: hint() },
                |error| StepError { code: error.code.clone(), message: error.message.clone(), hint: error.hint.clone() },
            );
            Some(StepEnding::Failed(error))
        }
    }
}
