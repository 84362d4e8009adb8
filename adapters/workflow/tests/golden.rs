//! Hand-made canvas files against what ComfyUI's own page made of them (`./test.sh oracle` asks it again with `--update`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use comfyd_workflow::{Classes, Converted, Moment, Options, Problem, convert};
use serde_json::{Value, json};

/// Where comfyd knowingly does something else, by the warning that says so.
const FAULTS: [(&str, &str); 7] = [
    ("fault_control_not_saved", "control_not_saved"),
    ("fault_group_node_bypassed", "group_node"),
    ("fault_group_node_muted", "group_node"),
    ("fault_group_node_takes_a_linked_widget", "group_node"),
    ("fault_group_node_with_reroutes", "group_node"),
    ("fault_inner_subgraph_bypassed", "inner_subgraph_off"),
    ("fault_primitive_into_a_subgraph", "primitive_handed_on"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/canvas").join(name)
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn classes() -> Classes {
    Classes::from_value(read(&folder("object_info.json"))).expect("an object")
}

fn converted(canvas: &Value) -> Result<Converted, Vec<Problem>> {
    let now = Moment { year: 2026, month: 11, day: 22, hour: 1, minute: 2, second: 3 };
    convert(canvas, &classes(), &Options { now, seed: 0 })
}

/// Numbers as JavaScript has them: all are floats.
fn as_javascript(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(as_javascript).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), as_javascript(field))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn keys(graph: &Value) -> Vec<(String, Vec<String>)> {
    let nodes = graph.as_object().into_iter().flatten();
    nodes
        .map(|(id, node)| (id.clone(), node["inputs"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()))
        .collect()
}

fn cases() -> BTreeMap<String, Value> {
    let entries = std::fs::read_dir(folder("cases")).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), read(&path))).collect()
}

#[test]
fn hand_made_cases_are_what_the_page_makes_of_them() {
    let mut equal = 0;
    for (name, canvas) in cases() {
        let page = read(&folder("page").join(format!("{name}.json")))["output"].take();
        let ours = converted(&canvas).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let graph = Value::Object(ours.graph.clone());
        let codes: Vec<&str> = ours.warnings.iter().map(|warning| warning.code).collect();
        if let Some((_, code)) = FAULTS.iter().find(|(fault, _)| *fault == name) {
            assert!(codes.contains(code), "{name}: {codes:?}");
            assert_ne!(as_javascript(&graph), as_javascript(&page), "{name} is no fault of the page any more");
            continue;
        }
        assert_eq!(as_javascript(&graph), as_javascript(&page), "{name}");
        assert_eq!(keys(&graph), keys(&page), "{name}: the order of keys");
        assert_eq!(codes, Vec::<&str>::new(), "{name}");
        equal += 1;
    }
    assert!(equal >= 24, "only {equal} cases");
}

#[test]
fn faults_of_the_page_are_put_right() {
    let cases = cases();
    let of = |name: &str| converted(&cases[name]).expect("it converts").graph;
    let saved = of("fault_control_not_saved");
    assert_eq!(
        (&saved["1"]["inputs"]["strength"], &saved["1"]["inputs"]["mode"], &saved["1"]["inputs"]["note"]),
        (&json!(2.5), &json!("hard"), &json!("x"))
    );
    assert_eq!(of("fault_primitive_into_a_subgraph")["20:5"]["inputs"]["width"], 768);
    assert!(of("fault_inner_subgraph_bypassed").keys().all(|id| !id.starts_with("40:30:")));
    let muted = of("fault_group_node_muted");
    assert_eq!(muted.keys().collect::<Vec<_>>(), ["2", "3", "4"], "what is muted takes no part");
    assert!(muted["2"]["inputs"].get("images").is_none() && muted["4"]["inputs"]["images"] == json!(["3", 0]));
    let bypassed = of("fault_group_node_bypassed");
    assert_eq!((bypassed.len(), &bypassed["4"]["inputs"]["images"]), (2, &json!(["1", 0])));
    assert_eq!(of("fault_group_node_takes_a_linked_widget")["5:4"]["inputs"]["width"], json!(["1", 0]));
    let through = of("fault_group_node_with_reroutes");
    assert_eq!((&through["8:6"]["inputs"]["image"], &through["4"]["inputs"]["images"]), (&json!(["1", 0]), &json!(["8:6", 0])));
}

#[test]
fn group_nodes_that_cannot_be_known_are_refused() {
    let inside = |class: &str| json!({"nodes": [{"type": class, "widgets_values": [5]}], "links": [], "external": []});
    let with = |class: &str, group: Value| {
        let mut file = canvas(&json!([{"id": 7, "type": class}]), &json!([]));
        file["extra"] = json!({"groupNodes": {"g": group}});
        let problems = converted(&file).expect_err("it is refused");
        assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
        problems.into_iter().map(|problem| (problem.node.unwrap_or_default(), problem.reason.code())).collect::<Vec<_>>()
    };
    assert_eq!(with("workflow/g", inside("PrimitiveNode")), [("7".to_owned(), "needs_browser")]);
    assert_eq!(with("workflow>g", inside("NoSuchClass")), [("7:0".to_owned(), "unknown_class")]);
    assert_eq!(with("workflow>other", inside("Load")), [("7".to_owned(), "unknown_class")], "the file does not bring it");
    assert_eq!(with("workflow/g", json!({"nodes": 3})), [(String::new(), "not_a_canvas")], "an empty group runs nothing");
}

#[test]
fn large_whole_numbers_stay_whole() {
    let graph = converted(&cases()["titles_packs_and_large_seeds"]).expect("it converts").graph;
    assert_eq!(graph["1"]["inputs"]["seed"].to_string(), "18446744073709551615");
}

fn canvas(nodes: &Value, links: &Value) -> Value {
    json!({"last_node_id": 99, "nodes": nodes, "links": links, "version": 0.4})
}

fn refusal(nodes: &Value, links: &Value) -> Vec<(String, &'static str)> {
    let problems = converted(&canvas(nodes, links)).expect_err("it is refused");
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
    problems.into_iter().map(|problem| (problem.node.unwrap_or_default(), problem.reason.code())).collect()
}

#[test]
fn what_cannot_be_known_is_refused_with_all_nodes() {
    let save = json!({"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 1}]});
    let nodes = json!([{"id": 1, "type": "Camera"}, {"id": 2, "type": "NoSuchClass"}, save.clone()]);
    let found = refusal(&nodes, &json!([[1, 1, 0, 3, 0, "IMAGE"]]));
    assert_eq!(found, [("1".to_owned(), "needs_browser"), ("2".to_owned(), "unknown_class")]);
    let lost = refusal(&json!([save.clone()]), &json!([[1, 77, 0, 3, 0, "IMAGE"]]));
    assert_eq!(lost, [("3".to_owned(), "broken_link")]);
    let get = json!({"id": 1, "type": "GetNode", "widgets_values": ["gone"], "outputs": [{"type": "IMAGE"}]});
    assert_eq!(
        refusal(&json!([get, save]), &json!([[1, 1, 0, 3, 0, "IMAGE"]])),
        [("3".to_owned(), "unknown_name")].map(|(_, code)| ("1".to_owned(), code))
    );
    assert_eq!(refusal(&json!([{"id": 1, "type": "Note"}]), &json!([])), [(String::new(), "not_a_canvas")]);
}

#[test]
fn subgraphs_that_hold_themselves_are_refused() {
    let inner = json!({"id": "s", "name": "S", "nodes": [{"id": 1, "type": "s"}], "links": [], "inputs": [], "outputs": []});
    let mut file = canvas(&json!([{"id": 5, "type": "s"}]), &json!([]));
    file["definitions"] = json!({"subgraphs": [inner]});
    let problems = converted(&file).expect_err("it goes round");
    assert_eq!(problems[0].reason.code(), "circle");
}

#[test]
fn packs_that_keep_plain_data_are_understood() {
    let image = |link: i64| json!([{"name": "IMAGE", "type": "IMAGE", "link": link}]);
    let nodes = json!([
        {"id": 1, "type": "Make", "widgets_values": {"width": 5, "note": "by name"}},
        {"id": 2, "type": "SetNode", "widgets_values": ["made"], "inputs": image(1)},
        {"id": 3, "type": "GetNode", "widgets_values": ["made"]},
        {"id": 4, "type": "Reroute (rgthree)", "inputs": image(2)},
        {"id": 5, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 3}]},
        {"id": 6, "type": "Fast Groups Muter (rgthree)"},
    ]);
    let links = json!([[1, 1, 0, 2, 0, "IMAGE"], [2, 3, 0, 4, 0, "IMAGE"], [3, 4, 0, 5, 0, "IMAGE"]]);
    let graph = converted(&canvas(&nodes, &links)).expect("it converts").graph;
    assert_eq!(graph.keys().collect::<Vec<_>>(), ["1", "5"]);
    assert_eq!(graph["5"]["inputs"]["images"], json!(["1", 0]));
    assert_eq!(
        (&graph["1"]["inputs"]["width"], &graph["1"]["inputs"]["note"], &graph["1"]["inputs"]["height"]),
        (&json!(5), &json!("by name"), &json!(64))
    );
}

#[test]
fn values_that_the_file_names_otherwise_are_said() {
    let classes = Classes::from_value(
        json!({"K": {"input": {"required": {"steps": ["INT", {}], "seed": ["INT", {"control_after_generate": true}], "cfg": ["INT", {}]}}, "output": [], "output_node": true}}),
    );
    let classes = classes.expect("an object");
    let codes = |named: Value| {
        let node = json!({"id": 1, "type": "K", "widgets_values": [4, 30, "fixed", 7], "widgets_values_named": named});
        let now = Moment { year: 2026, month: 11, day: 22, hour: 1, minute: 2, second: 3 };
        let done = convert(&canvas(&json!([node]), &json!([])), &classes, &Options { now, seed: 0 }).expect("it converts");
        assert_eq!(done.graph["1"]["inputs"], json!({"steps": 4, "seed": 30, "cfg": 7}), "in order, as the page sets them");
        done.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(json!({"steps": 4, "seed": 30, "control_after_generate": "fixed", "cfg": 7})), Vec::<&str>::new());
    assert_eq!(codes(json!({"steps": 4, "seed": 30, "control_after_generate#1": "fixed", "cfg": 7})), Vec::<&str>::new());
    for other in [
        json!({"cfg": 4, "seed": 30, "control_after_generate": "fixed", "steps": 7}),
        json!({"stepps": 4, "seed": 30, "control_after_generate": "fixed", "cfg": 7}),
        json!({"steps": 4, "seed": 30, "cfg": 7}),
    ] {
        assert_eq!(codes(other), ["other_widgets"]);
    }
}

#[test]
fn what_is_broadcast_is_refused_and_not_dropped() {
    let info = json!({
        "Make": {"input": {"required": {}}, "output": ["IMAGE"]},
        "Anything Everywhere": {"input": {"optional": {"anything": ["*"]}}, "output": [], "output_node": true},
        "Seed Everywhere": {"input": {"required": {"seed": ["INT", {}]}}, "output": ["INT"], "output_node": true},
        "Save": {"input": {"optional": {"image": ["IMAGE"]}}, "output": [], "output_node": true},
    });
    let classes = Classes::from_value(info).expect("an object");
    let of = |nodes: &Value, links: &Value| {
        let now = Moment { year: 2026, month: 11, day: 22, hour: 1, minute: 2, second: 3 };
        convert(&canvas(nodes, links), &classes, &Options { now, seed: 0 })
    };
    let everywhere = |mode: i64, link: Value| json!([{"id": 1, "type": "Make"}, {"id": 2, "type": "Anything Everywhere", "mode": mode, "inputs": [{"name": "anything", "type": "IMAGE", "link": link}]}, {"id": 3, "type": "Save"}]);
    let links = json!([[1, 1, 0, 2, 0, "IMAGE"]]);
    let problems = of(&everywhere(0, json!(1)), &links).expect_err("who knows where it goes");
    assert_eq!((problems[0].node.as_deref(), problems[0].reason.code()), (Some("2"), "needs_browser"));
    assert!(problems[0].remedy.contains("real links"));
    assert!(of(&everywhere(2, json!(1)), &links).is_ok(), "what is muted gives nothing");
    assert!(of(&everywhere(0, Value::Null), &json!([])).is_ok(), "nor what takes nothing");
    assert!(of(&json!([{"id": 1, "type": "Seed Everywhere"}]), &json!([])).is_err());
}

/// As these packs describe their nodes, and as canvas files in the wild have them.
#[test]
fn packs_whose_widgets_are_plain_data_convert_and_the_others_are_refused() {
    let info = json!({
        "mxSlider": {"input": {"required": {"Xi": ["INT", {"default": 20}], "Xf": ["FLOAT", {"default": 20}], "isfloatX": ["INT", {"default": 0, "min": 0, "max": 1}]}}, "output": ["*"]},
        "mxSeed": {"input": {"required": {"X": ["INT", {"default": 0}]}}, "output": ["INT"]},
        "easy seed": {"input": {"required": {"seed": ["INT", {"default": 0}]}}, "output": ["INT"]},
        "Seed (rgthree)": {"input": {"required": {"seed": ["INT", {"default": 0, "min": -1_125_899_906_842_624_i64, "max": 1_125_899_906_842_624_i64}]}}, "output": ["INT"]},
        "Power Lora Loader (rgthree)": {"input": {"required": {}, "optional": {"model": ["MODEL"], "clip": ["CLIP"]}}, "output": ["MODEL", "CLIP"]},
        "Power Primitive (rgthree)": {"input": {"optional": {}}, "output": ["*"]},
        "VHS_VideoCombine": {"input": {"required": {"frame_rate": ["FLOAT", {"default": 8}], "format": [["image/gif", "video/h264-mp4"]], "number": ["INT"]}}, "output": ["VHS_FILENAMES"], "output_node": true},
        "Text Multiline": {"input": {"required": {"text": ["STRING", {"default": "", "multiline": true}]}}, "output": ["STRING"]},
        "Take": {"input": {"required": {"value": ["INT", {"forceInput": true}]}}, "output": [], "output_node": true},
    });
    let classes = Classes::from_value(info).expect("an object");
    let of = |nodes: &Value, links: &Value| {
        let now = Moment { year: 2026, month: 11, day: 22, hour: 1, minute: 2, second: 3 };
        convert(&canvas(nodes, links), &classes, &Options { now, seed: 0 })
    };
    let input = |name: &str, link: i64| json!([{"name": name, "type": "INT", "link": link}]);
    let nodes = json!([
        {"id": 1, "type": "mxSlider", "widgets_values": [120, 120.5, 1], "properties": {"value": 120.5, "min": 0, "max": 300}},
        {"id": 2, "type": "mxReroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [{"name": "", "type": "*"}]},
        {"id": 3, "type": "Take", "inputs": input("value", 2)},
        {"id": 4, "type": "easy seed", "widgets_values": [77, "fixed", null]},
        {"id": 5, "type": "Seed (rgthree)", "widgets_values": [-1, "", "", ""]},
        {"id": 6, "type": "Power Lora Loader (rgthree)", "widgets_values": [{}, {"type": "PowerLoraLoaderHeaderWidget"}, {"on": true, "lora": "a.safetensors", "strength": 0.5, "strengthTwo": null}, {}, ""]},
        {"id": 7, "type": "VHS_VideoCombine", "inputs": [{"name": "number", "type": "INT", "widget": {"name": "number"}, "link": 3}],
            "widgets_values": {"frame_rate": 12, "format": "video/h264-mp4", "crf": 19, "pix_fmt": "yuv420p", "number": 1, "videopreview": {"hidden": false}}},
        {"id": 8, "type": "Text Multiline", "widgets_values": ["a\nb"]},
        {"id": 9, "type": "mxSeed", "widgets_values": [5]},
        {"id": 10, "type": "Label (rgthree)", "title": "read me"},
    ]);
    let graph =
        of(&nodes, &json!([[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "INT"], [3, 9, 0, 7, 0, "INT"]])).expect("it converts").graph;
    let inputs: BTreeMap<&str, &Value> = graph.iter().map(|(id, node)| (id.as_str(), &node["inputs"])).collect();
    assert_eq!(inputs["1"], &json!({"Xi": 120, "Xf": 120.5, "isfloatX": 1}));
    assert_eq!(inputs["3"], &json!({"value": ["1", 0]}));
    assert_eq!((&inputs["4"]["seed"], &inputs["5"]["seed"], &inputs["9"]["X"]), (&json!(77), &json!(-1), &json!(5)));
    assert_eq!(inputs["6"]["lora_1"], json!({"on": true, "lora": "a.safetensors", "strength": 0.5, "strengthTwo": null}));
    assert_eq!(
        inputs["7"],
        &json!({"frame_rate": 12, "format": "video/h264-mp4", "number": ["9", 0], "crf": 19, "pix_fmt": "yuv420p"})
    );
    assert_eq!(inputs["8"], &json!({"text": "a\nb"}));
    assert_eq!(graph.len(), 8, "what is for people only is left out");
    for refused in [
        json!({"id": 1, "type": "Power Primitive (rgthree)", "widgets_values": ["INT", 5]}),
        json!({"id": 1, "type": "Seed (rgthree)", "widgets_values": [-2, "", "", ""]}),
    ] {
        let problems = of(&json!([refused]), &json!([])).expect_err("only the page knows");
        assert_eq!((problems[0].node.as_deref(), problems[0].reason.code()), (Some("1"), "needs_browser"));
        assert!(!problems[0].remedy.is_empty());
    }
}
