//! What only ComfyUI can know: the run fails and names the node, its class, the input, the value and what is allowed.

use std::collections::BTreeMap;

use comfyd_fixtures::FakeConfig;
use serde_json::{Value, json};

use crate::harness::{House, sample};
use crate::support::Comfy;

/// A workflow, the code, the node and its class, what message and hint say.
type Row<'a> = (Value, &'a str, Option<(&'a str, &'a str)>, &'a [&'a str]);

fn changed(name: &str, change: impl Fn(&mut Value)) -> Value {
    let mut workflow = sample(name);
    change(&mut workflow);
    workflow
}

#[test]
fn a_refused_workflow_names_node_class_input_and_allowed_values() {
    let models = BTreeMap::from([("checkpoints".to_owned(), vec!["sdxl.safetensors".to_owned(), "sd15.ckpt".to_owned()])]);
    let house = House::with(Comfy::with("127.0.0.1:0", FakeConfig { models, time_scale: 20.0, ..FakeConfig::default() }));
    let checkpoint = json!({
        "4": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": "missing.safetensors" } },
        "8": { "class_type": "VAEDecode", "inputs": { "samples": ["5", 0], "vae": ["4", 2] } },
        "5": { "class_type": "EmptyLatentImage", "inputs": { "width": 64, "height": 64, "batch_size": 1 } },
        "9": { "class_type": "SaveImage", "inputs": { "images": ["8", 0], "filename_prefix": "a" } },
    });
    let refused = "prompt_outputs_failed_validation";
    let rows: Vec<Row<'_>> = vec![
        (
            changed("01_simple_save", |graph| graph["1"]["class_type"] = json!("NoSuchNode")),
            "invalid_prompt",
            Some(("1", "NoSuchNode")),
            &["NoSuchNode", "#1", "Install the custom node"],
        ),
        (
            checkpoint,
            refused,
            Some(("4", "CheckpointLoaderSimple")),
            &[
                "node 4 (CheckpointLoaderSimple)",
                "`ckpt_name`",
                "'missing.safetensors'",
                "'sdxl.safetensors', 'sd15.ckpt'",
                "put on the instance",
            ],
        ),
        (
            changed("01_simple_save", |graph| graph["1"]["inputs"]["width"] = json!(0)),
            refused,
            Some(("1", "EmptyImage")),
            &["node 1 (EmptyImage)", "`width`", "got 0", "INT from 1 to 16384", "allowed value"],
        ),
        (
            changed("01_simple_save", |graph| graph["1"]["inputs"]["width"] = json!("wide")),
            refused,
            Some(("1", "EmptyImage")),
            &["node 1 (EmptyImage)", "`width`", "'wide'", "INT"],
        ),
        (
            changed("02_scale_blur_invert", |graph| {
                for (_, node) in graph.as_object_mut().expect("nodes") {
                    if node["class_type"] == "ImageScale" {
                        node["inputs"]["upscale_method"] = json!("magic");
                    }
                }
            }),
            refused,
            None,
            &["(ImageScale)", "`upscale_method`", "'magic'", "'nearest-exact'"],
        ),
        (
            changed("01_simple_save", |graph| drop(graph["2"]["inputs"].as_object_mut().expect("inputs").remove("images"))),
            refused,
            Some(("2", "SaveImage")),
            &["node 2 (SaveImage)", "`images`", "Connect the input"],
        ),
        (
            sample("07_load_image"),
            refused,
            Some(("1", "LoadImage")),
            &["node 1 (LoadImage)", "`image`", "comfyd-input.png", "on the instance"],
        ),
        (json!({ "1": sample("01_simple_save")["1"] }), "prompt_no_outputs", None, &["no outputs", "SaveImage"]),
    ];
    for (workflow, code, node, says) in rows {
        let run = house.server.run(&json!({ "workflow": workflow }));
        let view = house.server.ended(&run);
        let error = &view["error"];
        assert_eq!((&view["status"], error["code"].as_str()), (&json!("failed"), Some(code)), "{view:#}");
        if let Some((id, class)) = node {
            assert_eq!(error["node_id"], id, "{error:#}");
            assert_eq!(error["node_type"], class, "{error:#}");
        }
        let told = format!("{}\n{}", error["message"].as_str().expect("a message"), error["hint"].as_str().expect("a hint"));
        for wanted in says {
            assert!(told.contains(wanted), "no `{wanted}` in {told}");
        }
        let file = house.place.file("workflow.json", &workflow.to_string());
        let ended = house.place.ends(&["run", &file]).is(1).bare();
        let report = ended.err.split_once(&format!("error[{code}]: ")).unwrap_or_else(|| panic!("{ended:?}")).1;
        assert!(report.contains("\nhint: "), "{report}");
        for wanted in says {
            assert!(report.contains(wanted), "no `{wanted}` in {report}");
        }
        assert!(!ended.out.contains("error["), "{}", ended.out);
    }
    assert_eq!(house.comfy.fake.ledger().executions(), 0, "none of them ran");
    house.server.stop();
}
