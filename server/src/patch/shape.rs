//! The live shape of a view, and the way back.
//!
//! It is the JSON of the view (that of `GET /api/v1/runs/{id}`) with three differences: `nodes` is an object of node ids, whose values have an
//! `index` that says their place in the list; `outputs` is an object of output numbers; and members that would be null are not there. Other lists
//! (`warnings`, actions, problems) are replaced as a whole by a patch, so they stay as they are.

use comfyd_engine::{NodeView, OutputView, RunView};
use serde::Serialize;
use serde_json::{Map, Value};

/// The live shape of a view.
pub fn live_shape(view: &RunView) -> Value {
    let Value::Object(mut shape) = plain(view) else { unreachable!("a view is an object") };
    let nodes = view.nodes.iter().enumerate().map(|(index, node)| (node.node_id.to_string(), live_node(index, node)));
    shape.insert("nodes".to_owned(), Value::Object(nodes.collect()));
    let outputs = view.outputs.iter().map(|output| (output.n.to_string(), live_output(output)));
    shape.insert("outputs".to_owned(), Value::Object(outputs.collect()));
    Value::Object(shape)
}

/// A node in the live shape.
pub(super) fn live_node(index: usize, node: &NodeView) -> Value {
    let Value::Object(mut shape) = plain(node) else { unreachable!("a node is an object") };
    shape.insert("index".to_owned(), index.into());
    Value::Object(shape)
}

/// An output in the live shape.
pub(super) fn live_output(output: &OutputView) -> Value {
    plain(output)
}

/// As JSON, without members that are null.
pub(super) fn plain<T: Serialize>(value: &T) -> Value {
    let mut value = serde_json::to_value(value).expect("views are plain data");
    drop_nulls(&mut value);
    value
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}

/// The members that a view has even where they are null, by the place that holds them.
const OPTIONAL: [(&str, &[&str]); 5] = [
    ("", &["workflow_file", "ssh_connection", "retry_of", "output_dir", "idempotency", "attention", "error"]),
    ("progress", &["queue_position", "current_node", "current_node_id", "current_node_title"]),
    ("timing", &["start_time", "end_time", "estimated_completion"]),
    ("error", &["node_id", "node_type", "details"]),
    ("nodes", &["title", "parent_node_id", "step", "steps", "message", "start_time", "end_time"]),
];
const OPTIONAL_OF_OUTPUTS: &[&str] = &["path", "local_name", "copied_to", "size", "sha256", "media_type", "text", "problem"];

/// The JSON of a view made of its live shape; what is no live shape stays as it is.
pub fn list_shape(live: &Value) -> Value {
    let mut shape = live.clone();
    let Value::Object(members) = &mut shape else { return shape };
    for (place, optional) in OPTIONAL {
        match place {
            "" => fill(members, optional),
            "nodes" => listed(members, "nodes", "index", optional),
            _ => {
                if let Some(Value::Object(part)) = members.get_mut(place) {
                    fill(part, optional);
                }
            }
        }
    }
    listed(members, "outputs", "n", OPTIONAL_OF_OUTPUTS);
    if let Some(Value::Array(nodes)) = members.get_mut("nodes") {
        nodes.iter_mut().filter_map(Value::as_object_mut).for_each(|node| drop(node.remove("index")));
    }
    shape
}

/// Makes the object `name` a list, in the order of a number in its values.
fn listed(members: &mut Map<String, Value>, name: &str, order: &str, optional: &[&str]) {
    let Some(Value::Object(keyed)) = members.get_mut(name) else { return };
    let mut list: Vec<Value> = std::mem::take(keyed).into_iter().map(|(_, value)| value).collect();
    list.sort_by_key(|value| value[order].as_u64());
    list.iter_mut().filter_map(Value::as_object_mut).for_each(|value| fill(value, optional));
    members.insert(name.to_owned(), Value::Array(list));
}

fn fill(members: &mut Map<String, Value>, optional: &[&str]) {
    for name in optional {
        members.entry(*name).or_insert(Value::Null);
    }
}
