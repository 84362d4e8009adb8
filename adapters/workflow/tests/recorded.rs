//! What recorded servers found wrong is found before anything is posted: the same nodes, the same inputs, the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use comfyd_workflow::validate::{Kind, validate};
use comfyd_workflow::{Classes, Verdict};
use serde_json::{Value, json};

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The requests of all recorded sessions that posted a workflow, with their answers.
fn posted() -> Vec<(Value, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/traces");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names.iter().flat_map(|name| posted_in(name)).collect()
}

fn posted_in(name: &str) -> Vec<(Value, Value)> {
    let text = fixture(&format!("traces/{name}"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut sent: BTreeMap<String, Value> = BTreeMap::new();
    let mut pairs = Vec::new();
    for line in lines {
        let id = line["id"].to_string();
        let body = line["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
        if line["dir"] == "send" && line["path"].as_str().is_some_and(|path| path.ends_with("/prompt")) {
            sent.extend(body.map(|body| (id, body)));
        } else if let (Some(request), Some(body)) = (sent.remove(&id), body) {
            pairs.push((request, body));
        }
    }
    pairs
}

fn named(verdict: &Verdict) -> BTreeSet<(String, String)> {
    let of_node = |finding: &comfyd_workflow::Finding| Some((finding.node.clone()?, finding.input.clone().unwrap_or_default()));
    verdict.findings.iter().filter_map(of_node).collect()
}

#[test]
fn recorded_errors_are_named_before_the_post() {
    let classes = Classes::parse(&fixture("assets/object_info.json")).expect("classes");
    let (mut compared, mut taken) = (0, 0);
    for (request, answer) in posted() {
        let Some(graph) = request["prompt"].as_object() else { continue };
        // A part that was asked for alone is another question than that of the whole.
        if request["partial_execution_targets"].is_array() {
            continue;
        }
        let verdict = validate(graph, &classes);
        let shown = || verdict.findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut expected = BTreeSet::new();
        for (node, errors) in answer["node_errors"].as_object().into_iter().flatten() {
            for error in errors["errors"].as_array().expect("errors") {
                let input = error["extra_info"]["input_name"].as_str();
                match input {
                    Some(input) => {
                        assert!(named(&verdict).contains(&(node.clone(), input.to_owned())), "{node}.{input}: {:?}", shown());
                    }
                    None => assert!(named(&verdict).iter().any(|(found, _)| found == node), "{node}: {:?}", shown()),
                }
                expected.insert(node.clone());
                compared += 1;
            }
        }
        // What is only likely, as a file that was uploaded since, is for the server to say.
        let certain = verdict.findings.iter().filter(|finding| finding.certain);
        let ours: BTreeSet<String> = certain.filter_map(|finding| finding.node.clone()).collect();
        let kind = answer["error"]["type"].as_str().unwrap_or_default();
        match kind {
            "invalid_prompt" => {
                let found = verdict.findings.iter().any(|finding| matches!(finding.kind, Kind::UnknownClass | Kind::NoClass));
                assert!(found, "{answer}: {:?}", shown());
                compared += 1;
            }
            "prompt_no_outputs" => {
                assert!(verdict.findings.iter().any(|finding| finding.kind == Kind::NoOutputs), "{:?}", shown());
                compared += 1;
            }
            "prompt_outputs_failed_validation" if expected.is_empty() => {
                assert!(
                    verdict.findings.iter().any(|finding| finding.kind == Kind::Circle),
                    "a circle is refused without a node: {:?}",
                    shown()
                );
                compared += 1;
            }
            _ => assert!(ours.is_subset(&expected), "more is named than ComfyUI names: {answer} {:?}", shown()),
        }
        taken += usize::from(answer.get("prompt_id").is_some());
        if verdict.findings.iter().all(|finding| finding.certain) {
            assert_eq!(verdict.is_runnable(), answer.get("prompt_id").is_some(), "{answer}: {:?}", shown());
        }
    }
    assert!(compared >= 15 && taken >= 10, "only {compared} errors were recorded, and {taken} prompts that were taken");
}

#[test]
fn workflows_that_ran_are_runnable() {
    let classes = Classes::parse(&fixture("assets/object_info.json")).expect("classes");
    let mut checked = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/workflows")).expect("a folder") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a workflow");
        let graph: Value = serde_json::from_str(&text).expect("JSON");
        let graph = graph.get("prompt").unwrap_or(&graph).as_object().expect("nodes").clone();
        let verdict = validate(&graph, &classes);
        let certain: Vec<String> = verdict.findings.iter().filter(|finding| finding.certain).map(ToString::to_string).collect();
        assert_eq!(certain, Vec::<String>::new());
        assert!(verdict.is_runnable());
        checked += 1;
    }
    assert!(checked >= 15);
}

/// The list of a core class, as files are named that the node finds though no list has them.
#[test]
fn what_a_node_looks_for_itself_is_not_refused() {
    let info = json!({
        "LoadLatent": {"input": {"required": {"latent": [["a.latent"]]}}, "output": ["LATENT"], "python_module": "nodes"},
        "Choose": {"input": {"required": {"latent": [["a.latent"]], "seed": ["INT", {"min": 0, "max": 18_446_744_073_709_551_615_u64}]}}, "output": [], "output_node": true, "python_module": "nodes"},
    });
    let classes = Classes::from_value(info).expect("an object");
    let sure = |class: &str, inputs: &str| {
        let text = format!(
            r#"{{"1": {{"class_type": "{class}", "inputs": {inputs}}}, "2": {{"class_type": "Choose", "inputs": {{"latent": ["1", 0], "seed": 1}}}}}}"#
        );
        let graph: Value = serde_json::from_str(&text).expect("JSON");
        let verdict = validate(graph.as_object().expect("nodes"), &classes);
        verdict
            .findings
            .iter()
            .filter(|finding| finding.node.as_deref() == Some("1"))
            .map(|finding| (finding.kind, finding.certain))
            .collect::<Vec<_>>()
    };
    assert_eq!(sure("LoadLatent", r#"{"latent": "x.latent [output]"}"#), [(Kind::ValueNotInList, false)]);
    assert_eq!(sure("Choose", r#"{"latent": "x.latent", "seed": 1}"#), [(Kind::ValueNotInList, true)]);
    // Whole numbers are held against whole numbers.
    assert_eq!(sure("Choose", r#"{"latent": "a.latent", "seed": 18446744073709551615}"#), []);
    assert_eq!(sure("Choose", r#"{"latent": "a.latent", "seed": 18446744073709551616}"#), [(Kind::ValueBiggerThanMax, true)]);
    assert_eq!(sure("Choose", r#"{"latent": "a.latent", "seed": "18446744073709551616"}"#), [(Kind::ValueBiggerThanMax, true)]);
    assert_eq!(sure("Choose", r#"{"latent": "a.latent", "seed": -0.5}"#), []);
    assert_eq!(sure("Choose", r#"{"latent": "a.latent", "seed": 1e300}"#), [(Kind::ValueBiggerThanMax, true)]);
}
