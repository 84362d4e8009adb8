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

/// The address of the environment is for those who name nothing else.
#[test]
fn an_address_in_the_environment_gives_way() {
    let (place, comfy) = (Place::new(), Comfy::fast());
    let (file, info, url) = (canvas(&place), fixture("assets/object_info.json"), comfy.url());
    let ends = |args: &[&str], url: &str| {
        let output = place.comfyd(args).env("COMFYD_URL", url).output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ends(&["convert", &file, "--object-info", shown(&info)], "http://127.0.0.1:1").0, Some(0), "offline");
    assert_eq!(ends(&["convert", &file], &url).0, Some(0), "it is taken");
    assert_eq!(ends(&["run", &file], &url).0, Some(0), "for runs too");
    let (code, said) = ends(&["run", &file, "--instance", "nobody"], &url);
    assert!(code == Some(2) && said.contains("nobody") && !said.contains("cannot be used with"), "{code:?} {said}");
}

#[test]
fn a_run_that_would_be_refused_goes_unchecked_only_if_asked() {
    let (place, comfy) = (Place::new(), Comfy::fast());
    let url = comfy.url();
    let text = std::fs::read_to_string(canvas(&place)).expect("a canvas").replace("[64,48,1,255]", "[0,48,1,255]");
    let file = place.file("small.json", &text);
    place.ends(&["run", &file, "--url", &url]).is(2).warns("workflow_not_valid").warns("--no-validate");
    // The simulated ComfyUI says for itself what it thinks of it.
    let last = place.ends(&["run", &file, "--url", &url, "--no-validate", "--json"]).json().pop().expect("a last state");
    assert!(last["prompt_id"].is_string() && last["status"] != "queued", "{last:#}");
}
