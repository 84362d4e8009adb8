//! `comfyd templates` and `comfyd run --template`.

use std::collections::BTreeMap;

use comfyd_fixtures::{FakeConfig, Folder, Picture};
use serde_json::json;

use crate::support::{Comfy, Place, text};

/// A ComfyUI with what the built-in templates need.
fn comfy() -> Comfy {
    let files = ["v1-5-pruned-emaonly-fp16.safetensors", "svd.safetensors"].map(str::to_owned).to_vec();
    let models = BTreeMap::from([("checkpoints".to_owned(), files)]);
    let comfy = Comfy::with("127.0.0.1:0", FakeConfig { time_scale: 50.0, models, ..FakeConfig::default() });
    comfy.fake.put_file(Folder::Input, "", "example.png", Picture::finished(32, 32, 1).png(&[]));
    comfy
}

#[test]
fn templates_are_listed_and_shown() {
    let place = Place::new();
    let listed = place.ends(&["templates"]).is(0).bare().says("txt2img_basic").says("Image to video");
    let listed = listed.says("checkpoints/svd.safetensors").says("needs no models");
    assert!(listed.out.lines().all(|line| line == line.trim_end()), "{listed:?}");
    let rows = place.ends(&["templates", "--json"]).is(0).json();
    let names: Vec<String> = rows.iter().map(|row| text(row, "name")).collect();
    assert_eq!(names, ["image_enhancement", "img2video", "txt2img_basic"]);
    place
        .ends(&["templates", "img2video"])
        .is(0)
        .bare()
        .says("# Image to video")
        .says("12.motion_bucket_id")
        .says("--template img2video");
    let one = place.ends(&["templates", "img2video", "--json"]).is(0).json();
    assert_eq!((one[0].get("success"), &one[0]["form"][0]["id"]), (None, &json!("23.image")));
    let unknown = place.ends(&["templates", "img2vide"]).is(2).warns("unknown_template").warns("`img2video`");
    assert!(unknown.out.is_empty());
}

#[test]
fn a_template_of_the_user_is_listed_with_what_is_wrong_with_it() {
    let place = Place::new();
    let folder = place.data().join("workflows/mine");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("workflow.json"), "{").expect("written");
    place.ends(&["templates"]).is(0).says("mine").says("mine/workflow.json: the workflow is not JSON").says("txt2img_basic");
    let json = place.ends(&["templates", "--json"]).is(0).json();
    let mine = json.iter().find(|row| row["name"] == "mine").expect("it is listed");
    assert_eq!(mine["error"]["code"], json!("workflow_not_json"));
    place.ends(&["templates", "mine"]).is(2).warns("workflow_not_json");
}

#[test]
fn a_template_is_run_by_its_name() {
    let (place, comfy) = (Place::new(), comfy());
    let url = comfy.url();
    let args =
        ["run", "--template", "txt2img_basic", "--url", &url, "--set", "Prompt.text=a fox", "--set", "3.steps=2", "--json"];
    let last = place.ends(&args).is(0).json().pop().expect("a last state");
    assert_eq!((text(&last, "workflow_name"), text(&last, "status")), ("Text to image".to_owned(), "completed".to_owned()));
    let image = place.path("in.png");
    std::fs::write(&image, Picture::finished(16, 16, 2).png(&[])).expect("written");
    let image = image.to_str().expect("a plain name");
    let args = ["run", "--template", "image_enhancement", "--url", &url, "--image", image, "--name", "mine", "--json"];
    let last = place.ends(&args).is(0).json().pop().expect("a last state");
    assert_eq!((text(&last, "workflow_name"), text(&last, "status")), ("mine".to_owned(), "completed".to_owned()));
    assert_eq!(comfy.fake.ledger().uploads.len(), 1);
}

#[test]
fn what_is_no_template_is_refused() {
    let place = Place::new();
    let url = "http://127.0.0.1:9";
    place.ends(&["run", "--template", "txt2img", "--url", url]).is(2).warns("unknown_template").warns("txt2img_basic");
    place.ends(&["run", "--template", "img2video", "file.json", "--url", url]).is(2).warns("cannot be used with");
    place.ends(&["run", "--url", url]).is(2).warns("WORKFLOW.json");
}
