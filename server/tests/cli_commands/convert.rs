//! `comfyd convert`, and `comfyd run` of what ComfyUI saves.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Comfy, Place};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn canvas(place: &Place) -> String {
    let canvas = json!({
        "nodes": [
            {"id": 1, "type": "EmptyImage", "widgets_values": [64, 48, 1, 255], "outputs": [{"type": "IMAGE", "links": [1]}]},
            {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "widgets_values": ["kept"]},
        ],
        "links": [[1, 1, 0, 3, 0, "IMAGE"]],
    });
    place.file("canvas.json", &canvas.to_string())
}

#[test]
fn a_canvas_is_converted_without_a_server() {
    let place = Place::new();
    let (file, info) = (canvas(&place), fixture("assets/object_info.json"));
    let done = place.ends(&["convert", &file, "--object-info", shown(&info)]).is(0);
    let graph: Value = serde_json::from_str(&done.out).expect("JSON and nothing else");
    assert_eq!(graph["3"]["inputs"], json!({"filename_prefix": "kept", "images": ["1", 0]}));
    let empty = place.file("none.json", "{}");
    let refused = place.ends(&["convert", &file, "--object-info", &empty]).is(2);
    let refused = refused.warns("workflow_not_converted").warns("`EmptyImage`").warns("`SaveImage`");
    assert!(refused.out.is_empty(), "{refused:?}");
    let empty = place.file("none.json", "[]");
    place.ends(&["convert", &file, "--object-info", &empty]).is(2).warns("object_info_invalid");
}

#[test]
fn what_is_in_api_format_stays_as_it_is() {
    let place = Place::new();
    let file = fixture("workflows/01_simple_save.json");
    let done = place.ends(&["convert", shown(&file)]).is(0);
    assert_eq!(done.out, std::fs::read_to_string(&file).expect("a workflow"));
}

#[test]
fn a_canvas_is_converted_and_run_by_its_comfyui() {
    let (place, comfy) = (Place::new(), Comfy::fast());
    let (file, url) = (canvas(&place), comfy.url());
    let done = place.ends(&["convert", &file, "--url", &url]).is(0);
    let graph: Value = serde_json::from_str(&done.out).expect("JSON and nothing else");
    assert_eq!(graph["1"]["inputs"]["width"], 64);
    let last = place.ends(&["run", &file, "--url", &url, "--json"]).is(0).json().pop().expect("a last state");
    assert_eq!(last["status"], "completed", "{last:#}");
}
