//! `GET /history/{id}`: how a prompt ended, and what it left.
//!
//! Invariant: the last of the status messages decides; `status_str` and `completed` can lie (protocol.md 1, fact 5).

use std::collections::BTreeMap;

use comfyd_engine::{Ending, NodeFailure, NodeId, PromptId, RunId, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::lenient::{from_json, readable};
use super::produced::{MAX_TEXT, cut, produced};
use super::queue::Item;

/// What is read of an entry; the whole workflow, which is in it too, is passed over.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    outputs: Option<Map<String, Value>>,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    meta: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status_str: Option<String>,
    #[serde(default)]
    messages: Vec<(String, Value)>,
}

/// Reads the answer of `GET /history/{id}`: none if the prompt is not in it.
///
/// # Errors
/// If it has another shape.
pub fn ending(text: &str, prompt: &PromptId) -> Result<Option<Ending>, serde_json::Error> {
    let mut entries: BTreeMap<String, Entry> = match text.trim() {
        // By far the most frequent answer.
        "{}" => return Ok(None),
        text => from_json(text)?,
    };
    Ok(entries.remove(&prompt.0).map(|entry| judge(&entry)))
}

/// Reads a page of `GET /history`: the ending of each prompt on it.
///
/// # Errors
/// If it has another shape.
pub fn endings(text: &str) -> Result<BTreeMap<String, Ending>, serde_json::Error> {
    let entries: BTreeMap<String, Entry> = from_json(text)?;
    Ok(entries.into_iter().map(|(id, entry)| (id, judge(&entry))).collect())
}

/// Looks through a list of entries for a prompt with our mark: old servers keep it under an id of their own.
///
/// # Errors
/// If it has another shape.
pub fn marked(text: &str, run: RunId) -> Result<Option<PromptId>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Prompted {
        prompt: Item,
    }
    let entries: BTreeMap<String, Prompted> = from_json(text)?;
    let run = run.to_string();
    let ours = entries.into_values().find(|entry| entry.prompt.run.as_ref() == Some(&run));
    Ok(ours.map(|entry| PromptId(entry.prompt.prompt)))
}

fn judge(entry: &Entry) -> Ending {
    let messages = entry.status.as_ref().map(|status| status.messages.as_slice()).unwrap_or_default();
    let cached = messages.iter().filter(|(kind, _)| kind == "execution_cached").flat_map(|(_, data)| cached(data)).collect();
    let verdict = match messages.last() {
        Some((kind, data)) => verdict(kind, data),
        None => None,
    };
    let verdict = verdict.unwrap_or_else(|| match entry.status.as_ref().and_then(|status| status.status_str.as_deref()) {
        // Very old servers tell no more than this word.
        Some("error") => Verdict::Failed(NodeFailure {
            node: None,
            class: None,
            message: "ComfyUI says that the prompt failed and not why".to_owned(),
            exception: String::new(),
            traceback: String::new(),
        }),
        Some(_) | None => Verdict::Succeeded,
    });
    let outputs: Vec<(NodeId, Vec<_>)> = entry
        .outputs
        .iter()
        .flatten()
        .map(|(node, ui)| (NodeId(readable(node).into_owned()), produced(ui)))
        .filter(|(_, outputs)| !outputs.is_empty())
        .collect();
    let parent = |node: &NodeId| {
        let of = entry.meta.as_ref()?.get(&node.0)?.get("parent_node")?.as_str()?;
        Some((node.clone(), NodeId::from(of)))
    };
    let parents = outputs.iter().filter_map(|(node, _)| parent(node)).collect();
    Ending { verdict, cached, outputs, parents }
}

fn cached(data: &Value) -> Vec<NodeId> {
    let nodes = data.get("nodes").and_then(Value::as_array);
    nodes.into_iter().flatten().filter_map(Value::as_str).map(NodeId::from).collect()
}

fn verdict(kind: &str, data: &Value) -> Option<Verdict> {
    let text = |name: &str| data.get(name).and_then(Value::as_str).map(|text| readable(text).into_owned());
    let node = || text("node_id").map(NodeId);
    match kind {
        "execution_success" => Some(Verdict::Succeeded),
        "execution_interrupted" => Some(Verdict::Interrupted { node: node() }),
        "execution_error" => {
            let lines = data.get("traceback").and_then(Value::as_array);
            let traceback: String = lines.into_iter().flatten().filter_map(Value::as_str).collect();
            let message = text("exception_message").unwrap_or_default();
            Some(Verdict::Failed(NodeFailure {
                node: node(),
                class: text("node_type"),
                message: cut(message.trim_end(), MAX_TEXT).to_owned(),
                exception: cut(&text("exception_type").unwrap_or_default(), 1024).to_owned(),
                traceback: cut(&readable(&traceback), MAX_TEXT).to_owned(),
            }))
        }
        // The end of a prompt in a version that has none of these messages, or a kind of the future.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: &str) -> Verdict {
        let text =
            format!(r#"{{"p": {{"prompt": [1, "p", {{}}, {{}}, []], "outputs": {{}}, "status": {status}, "meta": {{}}}}}}"#);
        ending(&text, &PromptId("p".into())).expect("an entry").expect("the prompt is in it").verdict
    }

    #[test]
    fn the_last_message_decides() {
        let start = r#"["execution_start", {"prompt_id": "p"}], ["execution_cached", {"nodes": ["1"]}]"#;
        let says = |word: &str, last: &str| {
            judged(&format!(r#"{{"status_str": "{word}", "completed": true, "messages": [{start}, {last}]}}"#))
        };
        assert_eq!(says("success", r#"["execution_success", {}]"#), Verdict::Succeeded);
        assert_eq!(says("error", r#"["execution_success", {}]"#), Verdict::Succeeded);
        assert_eq!(
            says("error", r#"["execution_interrupted", {"node_id": "3"}]"#),
            Verdict::Interrupted { node: Some("3".into()) }
        );
        let error = r#"["execution_error", {"node_id": "3", "node_type": "Fail", "exception_message": "boom\n", "exception_type": "E",
                        "traceback": ["a\n", "b\n"], "current_inputs": {"x": [Infinity]}}]"#;
        let failure = NodeFailure {
            node: Some("3".into()),
            class: Some("Fail".into()),
            message: "boom".into(),
            exception: "E".into(),
            traceback: "a\nb\n".into(),
        };
        assert_eq!(says("success", error), Verdict::Failed(failure), "a cycle at run time is told as a success");
    }

    #[test]
    fn old_servers_tell_less() {
        assert_eq!(judged("null"), Verdict::Succeeded);
        assert_eq!(judged(r#"{"status_str": "success", "completed": true, "messages": []}"#), Verdict::Succeeded);
        assert!(matches!(judged(r#"{"status_str": "error"}"#), Verdict::Failed(_)));
    }

    #[test]
    fn outputs_of_inner_nodes_name_their_maker() {
        let text = r#"{"p": {"prompt": [1, "p", {}, {"comfyd": {"run": "0193a1b2-0000-7000-8000-000000abc123"}}, []],
            "outputs": {"2.0.0.4": {"text": ["t"]}, "3": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}, "5": {"x": []}},
            "status": {"status_str": "success", "completed": true, "messages": [["execution_cached", {"nodes": ["1", "2"]}], ["execution_success", {}]]},
            "meta": {"2.0.0.4": {"parent_node": "2"}, "3": {"parent_node": null}}}}"#;
        let ending = ending(text, &PromptId("p".into())).expect("an entry").expect("the prompt is in it");
        assert_eq!(ending.cached, ["1".into(), "2".into()]);
        assert_eq!(ending.parents, [("2.0.0.4".into(), "2".into())]);
        let nodes: Vec<_> = ending.outputs.iter().map(|(node, outputs)| (node.as_str(), outputs.len())).collect();
        assert_eq!(nodes, [("2.0.0.4", 1), ("3", 1)]);
        let run: RunId = "0193a1b2-0000-7000-8000-000000abc123".parse().expect("a run id");
        assert_eq!(marked(text, run).ok(), Some(Some(PromptId("p".into()))));
    }

    #[test]
    fn not_there_and_not_readable() {
        let prompt = PromptId("p".into());
        assert_eq!(ending("{}", &prompt).ok(), Some(None));
        assert_eq!(ending(r#"{"q": {}}"#, &prompt).ok(), Some(None));
        for text in ["", "[]", r#"{"p": 7}"#, r#"{"p": {"outputs": 7}}"#] {
            assert!(ending(text, &prompt).is_err(), "{text}");
        }
    }
}
