//! Files that are made to be slow end as well: each is at a limit or beyond it, and must only be answered.

use comfyd_workflow::validate::{Kind, validate};
use comfyd_workflow::{Classes, Converted, Moment, Options, Problem, convert, locate};
use serde_json::{Map, Value, json};

fn classes() -> Classes {
    let info = json!({
        "Pass": {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE"], "python_module": "nodes"},
        "Load": {"input": {"required": {"model": [(0..300).map(|n| format!("model number {n}.safetensors")).collect::<Vec<_>>()], "text": ["STRING", {"dynamicPrompts": true}]}},
            "output": ["IMAGE"], "python_module": "nodes"},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "x"}]}}, "output": [], "output_node": true, "python_module": "nodes"},
    });
    Classes::from_value(info).expect("an object")
}

fn converted(canvas: &Value) -> Result<Converted, Vec<Problem>> {
    let now = Moment { year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6 };
    convert(canvas, &classes(), &Options { now, seed: 0 })
}

fn refused(canvas: &Value, words: &str) {
    let problems = converted(canvas).expect_err("it is too large");
    assert_eq!(problems[0].reason.code(), "too_large");
    assert!(problems[0].message.contains(words), "{}", problems[0]);
    let graph = Map::from_iter([("1".to_owned(), json!({}))]);
    assert!(locate(canvas, &graph).is_none(), "{words}");
}

fn save(link: i64) -> Value {
    json!({"id": 900_000, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": link}]})
}

fn with_subgraphs(subgraphs: &[Value], first: &str) -> Value {
    let nodes = json!([{"id": 800_000, "type": first}, {"id": 1, "type": "Load"}, save(1)]);
    json!({"nodes": nodes, "links": [[1, 1, 0, 900_000, 0, "IMAGE"]], "definitions": {"subgraphs": subgraphs}})
}

fn subgraph(number: usize, holds: Option<usize>) -> Value {
    let nodes: Vec<Value> = holds.iter().map(|inner| json!({"id": number + 10, "type": format!("s{inner}")})).collect();
    json!({"id": format!("s{number}"), "name": "S", "nodes": nodes, "links": [], "inputs": [], "outputs": []})
}

#[test]
fn many_subgraphs_are_answered() {
    let flat = |count: usize| with_subgraphs(&(0..count).map(|number| subgraph(number, None)).collect::<Vec<_>>(), "s0");
    assert!(converted(&flat(1000)).is_ok());
    refused(&flat(1001), "1000 subgraphs");
    let chain = |count: usize| {
        let inner = |number: usize| Some(number + 1).filter(|inner| *inner < count);
        with_subgraphs(&(0..count).map(|number| subgraph(number, inner(number))).collect::<Vec<_>>(), "s0")
    };
    assert!(converted(&chain(100)).is_ok());
    refused(&chain(1000), "inside of each other");
}

#[test]
fn groups_that_are_used_often_are_answered() {
    let file = |times: usize, inside: &Value| {
        let nodes: Vec<Value> = (0..times).map(|id| json!({"id": id, "type": "workflow>G"})).collect();
        json!({"nodes": nodes, "links": [], "extra": {"groupNodes": {"G": inside}}})
    };
    let notes = |count: usize| json!({"nodes": vec![json!({"type": "Note"}); count]});
    refused(&file(500, &notes(1000)), "20000 nodes");
    refused(&file(1001, &notes(1)), "1000 subgraphs");
    refused(&file(900, &json!({"nodes": [{"type": "Note"}], "links": vec![json!([0, 0, 0, 0]); 200]})), "100000 links");
    refused(&file(900, &json!({"nodes": [{"type": "Note", "widgets_values": ["x".repeat(50_000)]}]})), "32 MiB");
    assert_ne!(converted(&file(100, &notes(100))).err().map(|problems| problems[0].reason.code()), Some("too_large"));
}

#[test]
fn many_nodes_and_links_are_answered() {
    let nodes = |count: usize| (0..count).map(|id| json!({"id": id, "type": "Note"})).collect::<Vec<_>>();
    refused(&json!({"nodes": nodes(20_001), "links": []}), "20000 nodes");
    let links: Vec<Value> = (0..100_001).map(|id| json!([id, 1, 0, 2, id, "IMAGE"])).collect();
    refused(&json!({"nodes": [{"id": 1, "type": "Load"}], "links": links}), "100000 links");
    let ports: Vec<Value> = (0..1001).map(|port| json!({"name": port.to_string(), "type": "IMAGE"})).collect();
    let mut wide = subgraph(0, None);
    wide["inputs"] = json!(ports);
    refused(&with_subgraphs(&[wide], "s0"), "1000 inputs");
    // One way through all of them, and as many that take what comes out.
    let mut row: Vec<Value> = vec![json!({"id": 0, "type": "Load"})];
    row.extend((1..1100).map(|id| json!({"id": id, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": id}]})));
    row.extend(
        (1100..1300)
            .map(|id| json!({"id": id, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": id}]})),
    );
    let mut links: Vec<Value> = (1..1100).map(|id| json!([id, id - 1, 0, id, 0, "IMAGE"])).collect();
    links.extend((1100..1300).map(|id| json!([id, 1099, 0, id, 0, "IMAGE"])));
    let problems = converted(&json!({"nodes": row, "links": links})).expect_err("the way is too long");
    assert!(problems.iter().all(|problem| problem.reason.code() == "too_large"));
    assert_eq!(problems.len(), 200);
}

#[test]
fn long_prompts_and_names_are_answered() {
    let prompt = "/*a".repeat(300_000);
    let load = json!({"id": 1, "type": "Load", "widgets_values": ["model number 1.safetensors", prompt]});
    let mut saver = save(1);
    saver["widgets_values"] = json!(["%A.b%".repeat(100_000)]);
    let mut nodes = vec![load, saver];
    nodes.extend((2..5000).map(|id| json!({"id": id, "type": "Note", "title": format!("note {id}")})));
    let graph = converted(&json!({"nodes": nodes, "links": [[1, 1, 0, 900_000, 0, "IMAGE"]]})).expect("it converts").graph;
    assert_eq!(graph["1"]["inputs"]["text"], prompt, "what is never closed is no comment");
    assert!(graph["900000"]["inputs"]["filename_prefix"].as_str().is_some_and(|name| name.starts_with("%A.b%%A.b%")));
}

#[test]
fn many_wrong_names_are_answered() {
    let mut graph = Map::new();
    for id in 0..5000 {
        let model = if id % 2 == 0 { "model nr 7.safetensors".to_owned() } else { format!("modell {id}") };
        graph.insert(id.to_string(), json!({"class_type": "Load", "inputs": {"model": model, "text": ""}}));
        graph.insert(
            format!("s{id}"),
            json!({"class_type": "SaveImage", "inputs": {"images": [id.to_string(), 0], "filename_prefix": "x"}}),
        );
    }
    let verdict = validate(&graph, &classes());
    assert_eq!(verdict.findings.iter().filter(|finding| finding.kind == Kind::ValueNotInList).count(), 5000);
    assert_eq!(verdict.bad_outputs.len(), 5000);
    let same = verdict.findings.iter().filter(|finding| finding.value == Some(json!("model nr 7.safetensors")));
    assert!(same.into_iter().all(|finding| !finding.nearest.is_empty()), "what was found for one is told for all");
    let nodes: Vec<Value> = (0..5000).map(|id| json!({"id": id, "type": format!("Loadd{}", id % 3)})).collect();
    let problems = converted(&json!({"nodes": nodes, "links": []})).expect_err("none is known");
    assert!(problems.iter().all(|problem| problem.remedy.contains("`Load`")));
}

#[test]
fn one_chain_with_many_ends_is_answered() {
    let mut graph = Map::new();
    graph.insert("0".to_owned(), json!({"class_type": "Load", "inputs": {"model": "gone", "text": ""}}));
    for id in 1..10_000 {
        graph.insert(id.to_string(), json!({"class_type": "Pass", "inputs": {"image": [(id - 1).to_string(), 0]}}));
        graph.insert(
            format!("s{id}"),
            json!({"class_type": "SaveImage", "inputs": {"images": [id.to_string(), 0], "filename_prefix": "x"}}),
        );
    }
    graph.insert("good".to_owned(), json!({"class_type": "Load", "inputs": {"model": "model number 0.safetensors", "text": ""}}));
    graph.insert("end".to_owned(), json!({"class_type": "SaveImage", "inputs": {"images": ["good", 0], "filename_prefix": "x"}}));
    let verdict = validate(&graph, &classes());
    assert_eq!((verdict.bad_outputs.len(), verdict.good_outputs), (9999, vec!["end".to_owned()]));
}
