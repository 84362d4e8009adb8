//! Whatever a file holds, conversion and validation answer, always the same, with links that lead somewhere.

use comfyd_workflow::{Classes, Moment, Options, arrange, convert, locate, validate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NOW: Moment = Moment { year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6 };

fn classes() -> Classes {
    let nested = json!({"required": {"size": ["INT", {"default": 1}], "from": ["IMAGE"]}});
    let info = json!({
        "Make": {"input": {"required": {"seed": ["INT", {"default": 0, "control_after_generate": true}], "text": ["STRING", {"dynamicPrompts": true}]}}, "output": ["IMAGE", "MASK"]},
        "Turn": {"input": {"required": {"image": ["IMAGE"], "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": nested}, {"key": "b", "inputs": {}}]}]},
            "optional": {"more": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE"]}}, "prefix": "image", "min": 1, "max": 4}}]}}, "output": ["IMAGE"]},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "x"}]}}, "output": [], "output_node": true, "python_module": "nodes"},
    });
    Classes::from_value(info).expect("an object")
}

/// A canvas with one of everything.
fn sample() -> Value {
    let slot = |name: &str, kind: &str, link: i64| json!({"name": name, "type": kind, "link": link});
    json!({
        "last_node_id": 9, "last_link_id": 9, "version": 0.4,
        "nodes": [
            {"id": 1, "type": "Make", "mode": 0, "widgets_values": [3, "fixed", "a {b|c} // d"], "inputs": [{"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 9}], "outputs": [{"type": "IMAGE"}]},
            {"id": 2, "type": "Reroute", "inputs": [slot("", "*", 1)], "outputs": [{"type": "*"}]},
            {"id": 3, "type": "s", "inputs": [slot("in", "IMAGE", 2)], "outputs": [{"type": "IMAGE"}], "widgets_values": [5], "properties": {"proxyWidgets": [["7", "seed"]]}},
            {"id": 4, "type": "Turn", "mode": 4, "inputs": [slot("image", "IMAGE", 3), slot("more.image0", "IMAGE", 5), slot("mode.from", "IMAGE", 6)], "outputs": [{"type": "IMAGE"}], "widgets_values": ["a", 7]},
            {"id": 5, "type": "SaveImage", "inputs": [slot("images", "IMAGE", 4)], "widgets_values": ["%date:yyyy%_%Make.seed%"]},
            {"id": 6, "type": "PrimitiveNode", "outputs": [{"type": "STRING"}], "widgets_values": ["p", "fixed"]},
            {"id": 8, "type": "SetNode", "inputs": [slot("IMAGE", "IMAGE", 7)], "widgets_values": ["n"]}, {"id": 9, "type": "GetNode", "outputs": [{"type": "IMAGE"}], "widgets_values": ["n"]},
            {"id": 10, "type": "SaveImage", "inputs": [slot("images", "IMAGE", 8)]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"], [4, 4, 0, 5, 0, "IMAGE"], [5, 1, 0, 4, 1, "IMAGE"], [6, 1, 0, 4, 2, "IMAGE"],
            [7, 1, 0, 8, 0, "IMAGE"], [8, 9, 0, 10, 0, "IMAGE"], [9, 6, 0, 1, 0, "STRING"]],
        "definitions": {"subgraphs": [{"id": "s", "name": "S", "inputs": [{"name": "in", "type": "IMAGE", "linkIds": [1]}], "outputs": [{"name": "out", "type": "IMAGE", "linkIds": [2]}],
            "nodes": [{"id": 1, "type": "Turn", "inputs": [slot("image", "IMAGE", 1)], "widgets_values": ["b"]}, {"id": 7, "type": "Make", "widgets_values": [1, "fixed", "t"], "inputs": [{"name": "seed", "type": "INT", "widget": {"name": "seed"}}]}],
            "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0}, {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0}]}]},
    })
}

/// All places of a value, as ways to them.
fn places(value: &Value, way: &str, all: &mut Vec<String>) {
    all.push(way.to_owned());
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| places(item, &format!("{way}/{at}"), all)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, field)| places(field, &format!("{way}/{}", name.replace('~', "~0").replace('/', "~1")), all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let small = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-30_i64..30).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z%{}|.:/]{0,9}".prop_map(Value::from),
        prop::sample::select(vec![
            "s",
            "Turn",
            "Make",
            "Reroute",
            "GetNode",
            "SetNode",
            "PrimitiveNode",
            "-10",
            "-20",
            "*",
            "IMAGE"
        ])
        .prop_map(Value::from),
    ];
    small.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn check(canvas: &Value) {
    let classes = classes();
    let options = Options { now: NOW, seed: 7 };
    let first = convert(canvas, &classes, &options);
    assert_eq!(first, convert(canvas, &classes, &options), "the same again");
    match first {
        Ok(converted) => {
            for (id, node) in &converted.graph {
                for (name, value) in node["inputs"].as_object().expect("inputs") {
                    let Some(link) = value.as_array() else { continue };
                    assert_eq!(link.len(), 2, "{id}.{name}");
                    assert!(converted.graph.contains_key(link[0].as_str().expect("an id")), "{id}.{name} leads to {}", link[0]);
                }
            }
            let named: Vec<&String> = converted.places.iter().filter_map(|place| place.node.as_ref()).collect();
            assert_eq!(named.len(), converted.graph.len(), "each node has a place");
            assert!(named.iter().all(|id| converted.graph.contains_key(*id)));
            check_places(canvas, &converted.graph);
            validate(&converted.graph, &classes);
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}

/// What is found again on the canvas is on one plane, each inside in its box.
fn check_places(canvas: &Value, graph: &Map<String, Value>) {
    let places = locate(canvas, graph).expect("what was converted");
    let found: Vec<&String> = places.iter().filter_map(|place| place.node.as_ref()).collect();
    assert!(graph.keys().all(|id| found.contains(&id)), "each node is found without classes");
    let plane = arrange(&places);
    let areas = || plane.nodes.values().chain(plane.boxes.values());
    assert!(areas().all(|area| area.position.iter().chain(&area.size).all(|side| side.is_finite())));
    for (number, place) in places.iter().enumerate() {
        let area = match &place.node {
            Some(node) => plane.nodes.get(node),
            None => plane.boxes.get(&number),
        };
        let (Some(area), Some(around)) = (area, place.host.and_then(|host| plane.boxes.get(&host))) else { continue };
        for side in [0, 1] {
            let end = |area: &comfyd_workflow::Area| area.position[side] + area.size[side];
            assert!(area.position[side] >= around.position[side] && end(area) <= end(around) + 1e-3, "{area:?} in {around:?}");
        }
    }
}

#[test]
fn the_sample_converts() {
    let converted = convert(&sample(), &classes(), &Options { now: NOW, seed: 0 }).expect("it is whole");
    let graph = &converted.graph;
    assert_eq!(graph.keys().collect::<Vec<_>>(), ["1", "5", "10", "3:11", "3:7"]);
    assert_eq!(graph["1"]["inputs"]["text"], "p");
    assert_eq!(graph["5"]["inputs"], json!({"filename_prefix": "2026_3", "images": ["3:11", 0]}));
    assert_eq!(graph["10"]["inputs"]["images"], json!(["1", 0]));
    assert_eq!(graph["3:7"]["inputs"]["seed"], 5);
    let place = converted.places.iter().find(|place| place.node.as_deref() == Some("3:11")).expect("the inner node");
    assert_eq!(place.path, "3:1", "the file has the same id twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("COMFYD_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)))]

    #[test]
    fn any_change_of_a_file_is_answered(changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4)) {
        let mut canvas = sample();
        for (at, value) in changes {
            let mut all = Vec::new();
            places(&canvas, "", &mut all);
            let way = at.get(&all).clone();
            if let Some(place) = canvas.pointer_mut(&way) {
                *place = value;
            }
        }
        check(&canvas);
    }

    #[test]
    fn any_json_is_answered(value in any_json()) {
        check(&value);
        check(&json!({"nodes": [value.clone(), {"id": 1, "type": "SaveImage"}], "links": [value]}));
        if let Some(graph) = value.as_object() {
            validate(graph, &classes());
        }
    }
}
