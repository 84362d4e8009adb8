//! A refused prompt in words that help: which node, which input, what would be allowed.
//!
//! Source of the shapes: ComfyUI's `execution.py`, `validate_inputs` and `validate_prompt`; as recorded in `e_validation_errors`.

use comfyd_engine::{NodeId, NodeProblem, RunError};
use serde_json::{Map, Value};

use super::lenient::{from_json, readable};
use super::produced::{MAX_TEXT, cut};

/// How many choices are listed.
const MAX_CHOICES: usize = 20;
/// How many problems are kept.
const MAX_PROBLEMS: usize = 200;

/// What is wrong with the outputs that a 200 dropped, and which outputs those are.
pub fn dropped(node_errors: &Value) -> (Vec<NodeProblem>, Vec<NodeId>) {
    let mut outputs: Vec<NodeId> = Vec::new();
    for error in node_errors.as_object().into_iter().flatten().map(|(_, error)| error) {
        for output in error.get("dependent_outputs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !outputs.iter().any(|known| known.as_str() == output) {
                outputs.push(output.into());
            }
        }
    }
    (problems(node_errors), outputs)
}

/// The error of a definite no: 400, 403, 404 or 413.
pub fn refused(status: u16, body: &str) -> RunError {
    let said: Option<Map<String, Value>> = from_json(body).ok();
    let error = said.as_ref().and_then(|said| said.get("error")).and_then(Value::as_object);
    match (status, error) {
        (400, Some(error)) => validation(error, said.as_ref().and_then(|said| said.get("node_errors")).unwrap_or(&Value::Null)),
        (413, _) => plain(
            "prompt_too_large",
            "ComfyUI refused the workflow: it is larger than the server takes",
            "Make the workflow smaller, or start ComfyUI with a larger --max-upload-size.",
            body,
        ),
        (403, _) => plain(
            "forbidden",
            "ComfyUI, or a proxy before it, forbids the request",
            "Check what stands between comfyd and ComfyUI: a proxy may change the Host header or ask for a login.",
            body,
        ),
        (404, _) => plain(
            "not_comfyui",
            "the server knows no /prompt",
            "Check host and port: another program than ComfyUI seems to answer there.",
            body,
        ),
        _ => plain(
            "refused",
            &format!("ComfyUI refused the workflow with HTTP status {status}"),
            "Look at the details and at ComfyUI's own log.",
            body,
        ),
    }
}

fn plain(code: &str, message: &str, hint: &str, body: &str) -> RunError {
    let details = cut(body.trim(), MAX_TEXT);
    RunError {
        code: code.to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
        node_id: None,
        node_type: None,
        details: (!details.is_empty()).then(|| details.to_owned()),
        problems: Vec::new(),
    }
}

fn validation(error: &Map<String, Value>, node_errors: &Value) -> RunError {
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(|text| readable(text).into_owned()).unwrap_or_default();
    let (code, said, details) = (text("type"), text("message"), text("details"));
    let problems = problems(node_errors);
    let first = problems.first();
    let message = match first {
        Some(problem) => {
            let more = problems.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            format!("ComfyUI refused the workflow: {}{more}", sentence(problem))
        }
        None if details.is_empty() || details == said => format!("ComfyUI refused the workflow: {said}"),
        None => format!("ComfyUI refused the workflow: {said} {details}"),
    };
    let hint = match (code.as_str(), first.map(|problem| problem.reason.as_str())) {
        ("invalid_prompt", _) => {
            "Install the custom node that provides the class on the instance, or replace the node; export with \"Export (API)\"."
        }
        ("prompt_no_outputs", _) => "Add a node that keeps a result, such as SaveImage or PreviewImage.",
        ("no_prompt", _) => "Give a workflow in API format: \"Export (API)\" in ComfyUI.",
        (_, Some("value_not_in_list")) => "Use one of the allowed values; a missing model must first be put on the instance.",
        (_, Some("value_smaller_than_min" | "value_bigger_than_max" | "invalid_input_type")) => {
            "Set the input to an allowed value."
        }
        (_, Some("required_input_missing")) => "Connect the input or give it a value.",
        (_, Some("return_type_mismatch" | "bad_linked_input")) => "Connect the input to an output of the right type.",
        (_, Some("custom_validation_failed")) => "Check the value: if it names a file, the file must be on the instance.",
        (_, Some("exception_during_validation" | "exception_during_inner_validation")) => {
            "Check the links of the node: one of them names a node or an output that is not there."
        }
        // A dependency cycle is refused without any word.
        (_, None) if node_errors.as_object().is_some_and(Map::is_empty) && details.is_empty() => {
            "ComfyUI says no more than this; a loop among the nodes is refused in this way."
        }
        (_, Some(_) | None) => "Correct the workflow and run it again.",
    };
    // `invalid_prompt` names its node in the details only: "Node ID '#1'".
    let quoted = details.strip_prefix("Node ID '#").and_then(|rest| rest.strip_suffix('\''));
    RunError {
        code: if code.is_empty() { "refused".to_owned() } else { cut(&code, 100).to_owned() },
        message: cut(&message, MAX_TEXT).to_owned(),
        hint: hint.to_owned(),
        node_id: first.map(|problem| problem.node.clone()).or_else(|| quoted.map(NodeId::from)),
        node_type: first.map(|problem| problem.class.clone()),
        details: (!details.is_empty()).then(|| cut(&details, MAX_TEXT).to_owned()),
        problems,
    }
}

fn sentence(problem: &NodeProblem) -> String {
    let NodeProblem { node, class, input, value, allowed, message, .. } = problem;
    let input = input.as_ref().map(|input| format!(", input `{input}`")).unwrap_or_default();
    let value = value.as_ref().map(|value| format!(", got {}", cut(value, 200))).unwrap_or_default();
    let allowed = allowed.as_ref().map(|allowed| format!(", allowed is {allowed}")).unwrap_or_default();
    format!("node {node} ({class}){input}: {message}{value}{allowed}")
}

fn problems(node_errors: &Value) -> Vec<NodeProblem> {
    let mut found = Vec::new();
    for (node, errors) in node_errors.as_object().into_iter().flatten() {
        let class = errors.get("class_type").and_then(Value::as_str).unwrap_or_default();
        for error in errors.get("errors").and_then(Value::as_array).into_iter().flatten() {
            found.push(problem(node, class, error));
        }
    }
    found.truncate(MAX_PROBLEMS);
    found
}

fn problem(node: &str, class: &str, error: &Value) -> NodeProblem {
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(|text| readable(text).into_owned()).unwrap_or_default();
    let extra = |name: &str| error.get("extra_info").and_then(|extra| extra.get(name)).filter(|value| !value.is_null());
    let (reason, message, details) = (text("type"), text("message"), text("details"));
    let value = extra("received_value").or_else(|| extra("received_type")).map(shown);
    // A reason without figures says what it means in its details only.
    let told = value.is_some() || details.is_empty() || extra("input_name").and_then(Value::as_str) == Some(details.as_str());
    let message = if told { message } else { format!("{message} ({})", cut(&details, 500)) };
    NodeProblem {
        node: node.into(),
        class: class.to_owned(),
        allowed: extra("input_config").and_then(allowed),
        reason,
        input: extra("input_name").and_then(Value::as_str).map(str::to_owned),
        value,
        message: cut(&message, 2_000).to_owned(),
    }
}

/// A value as a person writes it.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("'{}'", readable(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    cut(&text, 1_000).to_owned()
}

/// What `input_config`, `[type or choices, options]`, allows.
fn allowed(config: &Value) -> Option<String> {
    let options = config.get(1);
    let option = |name: &str| options.and_then(|options| options.get(name)).filter(|value| !value.is_null());
    match config.get(0)? {
        Value::Array(choices) => Some(one_of(choices)),
        Value::String(kind) => match (option("options").and_then(Value::as_array), option("min"), option("max")) {
            (Some(choices), _, _) => Some(one_of(choices)),
            (None, Some(min), Some(max)) => Some(format!("{kind} from {min} to {max}")),
            (None, Some(min), None) => Some(format!("{kind} from {min}")),
            (None, None, Some(max)) => Some(format!("{kind} up to {max}")),
            (None, None, None) => Some(format!("a value of type {kind}")),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn one_of(choices: &[Value]) -> String {
    if choices.is_empty() {
        return "nothing: the instance has no such file".to_owned();
    }
    let listed: Vec<String> = choices.iter().take(MAX_CHOICES).map(shown).collect();
    let more = choices.len() - listed.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("one of {}{more}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn no(node_errors: &Value) -> RunError {
        let error = json!({"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "", "extra_info": {}});
        refused(400, &json!({"error": error, "node_errors": node_errors}).to_string())
    }

    fn one(class: &str, error: &Value) -> RunError {
        no(&json!({"5": {"errors": [error], "dependent_outputs": ["9"], "class_type": class}}))
    }

    #[test]
    fn the_message_names_node_class_input_and_allowed_values() {
        let rows = [
            (
                one(
                    "EmptyImage",
                    &json!({"type": "value_smaller_than_min", "message": "Value 0 smaller than min of 1", "details": "width",
                    "extra_info": {"input_name": "width", "input_config": ["INT", {"min": 1, "max": 16384}], "received_value": 0}}),
                ),
                "node 5 (EmptyImage), input `width`: Value 0 smaller than min of 1, got 0, allowed is INT from 1 to 16384",
            ),
            (
                one(
                    "ImageScale",
                    &json!({"type": "value_not_in_list", "message": "Value not in list", "details": "m: 'magic' not in ['a', 'b']",
                    "extra_info": {"input_name": "m", "input_config": [["a", "b"], {}], "received_value": "magic"}}),
                ),
                "node 5 (ImageScale), input `m`: Value not in list, got 'magic', allowed is one of 'a', 'b'",
            ),
            (
                one(
                    "CheckpointLoaderSimple",
                    &json!({"type": "value_not_in_list", "message": "Value not in list", "details": "",
                    "extra_info": {"input_name": "ckpt_name", "input_config": ["COMBO", {"options": []}], "received_value": "x"}}),
                ),
                "node 5 (CheckpointLoaderSimple), input `ckpt_name`: Value not in list, got 'x', allowed is nothing: the instance has no such file",
            ),
            (
                one(
                    "SaveImage",
                    &json!({"type": "return_type_mismatch", "message": "Return type mismatch between linked nodes", "details": "images, ...",
                    "extra_info": {"input_name": "images", "input_config": ["IMAGE", {}], "received_type": "LATENT", "linked_node": ["1", 0]}}),
                ),
                "node 5 (SaveImage), input `images`: Return type mismatch between linked nodes, got 'LATENT', allowed is a value of type IMAGE",
            ),
            (
                one(
                    "LoadImage",
                    &json!({"type": "custom_validation_failed", "message": "Custom validation failed for node",
                    "details": "image - Invalid image file: no-such.png", "extra_info": {"input_name": "image"}}),
                ),
                "node 5 (LoadImage), input `image`: Custom validation failed for node (image - Invalid image file: no-such.png)",
            ),
            (
                one(
                    "SaveImage",
                    &json!({"type": "exception_during_validation", "message": "Exception when validating node", "details": "'99'",
                    "extra_info": {"exception_type": "KeyError", "traceback": []}}),
                ),
                "node 5 (SaveImage): Exception when validating node ('99')",
            ),
            (
                one(
                    "EmptyImage",
                    &json!({"type": "required_input_missing", "message": "Required input is missing", "details": "color",
                    "extra_info": {"input_name": "color"}}),
                ),
                "node 5 (EmptyImage), input `color`: Required input is missing",
            ),
        ];
        for (error, expected) in rows {
            assert_eq!(error.message, format!("ComfyUI refused the workflow: {expected}"));
            assert_eq!(error.code, "prompt_outputs_failed_validation");
            assert_eq!((error.node_id, error.problems.len()), (Some("5".into()), 1));
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn errors_without_nodes() {
        let body = |kind: &str, message: &str, details: &str| {
            json!({"error": {"type": kind, "message": message, "details": details, "extra_info": {}}, "node_errors": {}})
                .to_string()
        };
        let unknown = refused(400, &body("invalid_prompt", "Cannot execute because node X does not exist.", "Node ID '#7'"));
        assert_eq!(unknown.code, "invalid_prompt");
        assert_eq!(unknown.node_id, Some("7".into()));
        assert_eq!(unknown.message, "ComfyUI refused the workflow: Cannot execute because node X does not exist. Node ID '#7'");
        let cycle = refused(400, &body("prompt_outputs_failed_validation", "Prompt outputs failed validation", ""));
        assert!(cycle.hint.contains("loop"), "{}", cycle.hint);
        assert_eq!(refused(400, &body("no_prompt", "No prompt provided", "No prompt provided")).code, "no_prompt");
    }

    #[test]
    fn other_refusals() {
        for (status, body, code) in [
            (413, "Maximum request body size 1 exceeded.", "prompt_too_large"),
            (403, "", "forbidden"),
            (404, "", "not_comfyui"),
            (400, "", "refused"),
            (400, "[1]", "refused"),
            (400, r#"{"error": "text"}"#, "refused"),
        ] {
            let error = refused(status, body);
            assert_eq!(error.code, code, "{status} {body}");
            assert_eq!(error.details.as_deref().unwrap_or_default(), body);
        }
    }

    #[test]
    fn a_partly_accepted_prompt_names_the_dropped_outputs() {
        let missing = json!({"type": "required_input_missing", "message": "Required input is missing", "details": "color", "extra_info": {"input_name": "color"}});
        let errors = json!({
            "1": {"errors": [missing, missing], "dependent_outputs": ["9", "8"], "class_type": "EmptyImage"},
            "9": {"errors": [missing], "dependent_outputs": ["9"], "class_type": "SaveImage"}
        });
        let (problems, outputs) = dropped(&errors);
        assert_eq!(problems.len(), 3);
        assert_eq!(outputs, ["9".into(), "8".into()]);
        assert_eq!(dropped(&json!({})), (vec![], vec![]));
        assert_eq!(dropped(&json!([7])), (vec![], vec![]));
    }

    #[test]
    fn long_lists_are_cut() {
        let choices: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let words = allowed(&json!([choices])).expect("a list of choices");
        assert!(words.ends_with("'19' and 30 more"), "{words}");
    }
}
