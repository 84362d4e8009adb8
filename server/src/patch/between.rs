//! The patch between two views, without making the live shape of either: nodes that did not change are only compared.

use comfyd_engine::RunView;
use serde_json::{Map, Value, json};

use super::merge::diff;
use super::shape::{live_node, live_output, plain};

/// The merge patch from the live shape of one view to that of another; an empty object if they are equal.
///
/// ```
/// # use comfyd_engine::RunView;
/// # use comfyd_server::patch::{live_shape, merge, patch_between};
/// fn follows(sent: &RunView, newest: &RunView) {
///     let mut shown = live_shape(sent);
///     merge(&mut shown, patch_between(sent, newest));
///     assert_eq!(shown, live_shape(newest));
/// }
/// ```
pub fn patch_between(old: &RunView, new: &RunView) -> Value {
    let mut patch = match diff(&head(old), &head(new)) {
        Some(Value::Object(patch)) => patch,
        Some(_) | None => Map::new(),
    };
    let nodes = changes(&old.nodes, &new.nodes, |node| node.node_id.to_string(), live_node);
    let outputs = changes(&old.outputs, &new.outputs, |output| output.n.to_string(), |_, output| live_output(output));
    for (name, changed) in [("nodes", nodes), ("outputs", outputs)] {
        if !changed.is_empty() {
            patch.insert(name.to_owned(), Value::Object(changed));
        }
    }
    Value::Object(patch)
}

/// The live shape without nodes and outputs.
fn head(view: &RunView) -> Value {
    // Named one by one, so that a new field cannot be forgotten here.
    let RunView {
        schema,
        kind,
        seq,
        run_id,
        workflow_id,
        workflow_name,
        workflow_file,
        prompt_id,
        instance,
        ssh_connection,
        retry_of,
        output_dir,
        idempotency,
        batch,
        status,
        phase,
        attention,
        warnings,
        stopping,
        removes_inputs,
        progress,
        nodes: _,
        timing,
        outputs: _,
        error,
        twin_watch,
        owes_log: _,
    } = view;
    plain(&json!({
        "schema": schema, "type": kind, "seq": seq, "run_id": run_id, "workflow_id": workflow_id, "workflow_name": workflow_name,
        "workflow_file": workflow_file, "prompt_id": prompt_id, "instance": instance, "ssh_connection": ssh_connection,
        "retry_of": retry_of, "output_dir": output_dir, "idempotency": idempotency, "batch": batch, "status": status, "phase": phase,
        "attention": attention, "warnings": warnings, "stopping": stopping, "removes_inputs": removes_inputs.then_some(true), "progress": progress, "timing": timing, "error": error,
        "twin_watch": twin_watch.then_some(true),
    }))
}

/// What became of the members of a keyed list.
fn changes<T: PartialEq>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> String,
    shape: impl Fn(usize, &T) -> Value,
) -> Map<String, Value> {
    let same_keys = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old == new || key(old) == key(new));
    if same_keys {
        let pairs = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
        let changed = pairs.filter_map(|(at, (old, new))| Some((key(new), diff(&shape(at, old), &shape(at, new))?)));
        return changed.collect();
    }
    let keyed =
        |list: &[T]| -> Map<String, Value> { list.iter().enumerate().map(|(at, one)| (key(one), shape(at, one))).collect() };
    match diff(&Value::Object(keyed(old)), &Value::Object(keyed(new))) {
        Some(Value::Object(changed)) => changed,
        Some(_) | None => Map::new(),
    }
}
