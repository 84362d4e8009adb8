//! Forms of every sample workflow, and of graphs made for the purpose.

use std::collections::BTreeSet;

use comfyd_adapters::workflow::{Graph, Held};
use comfyd_fixtures::workflows;
use serde_json::{Value, json};

use super::{Classes, Field, Kind, derive};

const TXT2IMG: &str = include_str!("../../../../resources/workflows/txt2img_basic/workflow.json");
const ENHANCE: &str = include_str!("../../../../resources/workflows/image_enhancement/workflow.json");
const VIDEO: &str = include_str!("../../../../resources/workflows/img2video/workflow.json");

/// What the simulated ComfyUI says about its classes; the entries are those of a real one.
fn object_info() -> Value {
    let nodes = comfyd_fixtures::NodeRegistry::standard();
    nodes.iter().map(|class| (class.name().to_owned(), class.info().clone())).collect::<serde_json::Map<_, _>>().into()
}

fn graph(text: &str) -> Graph {
    Graph::parse(text).expect("a workflow")
}

fn form(text: &str) -> Vec<Field> {
    derive(&graph(text), None)
}

/// The basic fields as `id kind label`.
fn basic(fields: &[Field]) -> Vec<String> {
    let shown = fields.iter().filter(|field| !field.advanced);
    shown.map(|field| format!("{} {:?} {}", field.id, field.kind, field.label)).collect()
}

fn field<'a>(fields: &'a [Field], id: &str) -> &'a Field {
    fields.iter().find(|field| field.id == id).unwrap_or_else(|| panic!("no field {id}"))
}

#[test]
fn every_value_of_every_workflow_is_a_field_that_can_be_set() {
    let info = object_info();
    let classes = Classes::of(&info);
    let samples = workflows::ALL.iter().map(|workflow| workflow.json).chain([TXT2IMG, ENHANCE, VIDEO]);
    for text in samples {
        let graph = graph(text);
        for fields in [derive(&graph, None), derive(&graph, classes)] {
            let mut wanted = BTreeSet::new();
            for node in graph.nodes() {
                for (input, held) in node.inputs() {
                    if let Held::Value(Value::Bool(_) | Value::Number(_) | Value::String(_)) = held {
                        wanted.insert(format!("{}.{input}", node.id()));
                    }
                }
            }
            let ids: Vec<String> = fields.iter().map(|field| field.id.clone()).collect();
            assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{text}");
            assert_eq!(ids.len(), wanted.len(), "each once");
            for field in &fields {
                let mut changed = graph.clone();
                let value = if field.default.is_number() { json!(7) } else { json!("other") };
                changed.set(&field.node_id, &field.input, &value.to_string()).expect("it can be set by its id");
                assert!(!field.label.is_empty() && !field.group.is_empty() && !field.node_title.is_empty(), "{field:?}");
                assert_eq!(field.group.starts_with("node:"), field.advanced, "{field:?}");
            }
            let first_advanced = fields.iter().position(|field| field.advanced).unwrap_or(fields.len());
            assert!(fields[first_advanced..].iter().all(|field| field.advanced), "what matters stands first");
        }
    }
}

#[test]
fn the_forms_of_the_templates() {
    assert_eq!(
        basic(&form(TXT2IMG)),
        [
            "6.text Prompt Prompt",
            "7.text NegativePrompt Negative prompt",
            "5.width Size Width",
            "5.height Size Height",
            "3.seed Seed Seed",
            "3.steps Steps Steps",
            "3.cfg Cfg CFG",
            "3.sampler_name Sampler Sampler",
            "3.scheduler Scheduler Scheduler",
            "4.ckpt_name Model Checkpoint",
        ]
    );
    assert_eq!(
        basic(&form(VIDEO)),
        [
            "23.image Image First frame",
            "12.width Size Width",
            "12.height Size Height",
            "3.seed Seed Seed",
            "3.steps Steps Steps",
            "3.cfg Cfg CFG",
            "3.sampler_name Sampler Sampler",
            "3.scheduler Scheduler Scheduler",
            "15.ckpt_name Model Checkpoint",
        ]
    );
    assert_eq!(
        basic(&form(ENHANCE)),
        [
            "1.image Image Picture",
            "2.scale_by Number Scale by",
            "3.sharpen_radius Integer Sharpen radius",
            "3.sigma Number Sigma",
            "3.alpha Number Alpha",
        ]
    );
    let fields = form(TXT2IMG);
    assert_eq!(field(&fields, "5.width").group, field(&fields, "5.height").group);
    assert_eq!(field(&fields, "6.text").multiline, Some(true));
    let advanced: Vec<&str> = fields.iter().filter(|field| field.advanced).map(|field| field.id.as_str()).collect();
    assert_eq!(advanced, ["3.denoise", "5.batch_size", "9.filename_prefix"]);
}

#[test]
fn an_instance_tells_ranges_and_choices() {
    let info = object_info();
    let fields = derive(&graph(TXT2IMG), Classes::of(&info));
    let steps = field(&fields, "3.steps");
    assert_eq!((&steps.min, &steps.max, steps.required), (&Some(json!(1)), &Some(json!(10_000)), true));
    let seed = field(&fields, "3.seed");
    assert_eq!(seed.max, Some(json!("18446744073709551615")), "whole numbers beyond 2^53 are texts");
    assert_eq!(field(&fields, "5.width").step, Some(json!(8)));
    let sampler = field(&fields, "3.sampler_name");
    assert!(sampler.options.as_ref().is_some_and(|options| options.contains(&json!("euler"))) && sampler.kind == Kind::Sampler);
    let fields = derive(&graph(ENHANCE), Classes::of(&info));
    let method = field(&fields, "2.upscale_method");
    assert_eq!((method.kind, method.advanced), (Kind::Choice, false));
    assert_eq!(field(&fields, "2.scale_by").max, Some(json!(8.0)));
    assert_eq!(field(&fields, "1.image").kind, Kind::Image);
    // Both ways of declaring a list, and an input that need not be there.
    let info = json!({"A": {"input": {"required": {"x": ["COMBO", {"options": ["p", "q"]}]}, "optional": {"y": [["r"]], "z": ["FLOAT", {"min": 0.5}]}}}});
    let graph = graph(
        r#"{"1": {"class_type": "A", "inputs": {"x": "p", "y": "r", "z": 3}}, "2": {"class_type": "B", "inputs": {"x": "p"}}}"#,
    );
    let fields = derive(&graph, Classes::of(&info));
    assert_eq!(field(&fields, "1.x").options, Some(vec![json!("p"), json!("q")]));
    assert!(!field(&fields, "1.y").required && field(&fields, "1.x").required);
    assert_eq!((field(&fields, "1.z").kind, &field(&fields, "1.z").min), (Kind::Number, &Some(json!(0.5))));
    assert_eq!((field(&fields, "2.x").kind, &field(&fields, "2.x").options), (Kind::Text, &None));
}

#[test]
fn prompts_are_found_behind_what_lies_between() {
    let text = r#"{
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": ["2", 0], "clip": ["9", 1]}},
        "2": {"class_type": "StringConcatenate", "inputs": {"string_a": "a cat", "string_b": ["3", 0], "delimiter": ", "}},
        "3": {"class_type": "PrimitiveString", "inputs": {"value": "on a mat"}, "_meta": {"title": "Where"}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["9", 1]}},
        "5": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["1", 0], "negative": ["4", 0], "strength": 1.0, "control_net": ["8", 0]}},
        "6": {"class_type": "KSampler", "inputs": {"positive": ["5", 0], "negative": ["5", 1], "seed": ["7", 0], "steps": 4}},
        "7": {"class_type": "PrimitiveInt", "inputs": {"value": 3}},
        "8": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "canny.safetensors"}},
        "9": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.ckpt"}},
        "10": {"class_type": "CLIPTextEncode", "inputs": {"text": "of nobody", "clip": ["9", 1]}}
    }"#;
    let fields = form(text);
    let kind = |id: &str| field(&fields, id).kind;
    assert_eq!([kind("2.string_a"), kind("3.value"), kind("4.text")], [Kind::Prompt, Kind::Prompt, Kind::NegativePrompt]);
    assert_eq!(kind("10.text"), Kind::Text, "a text that nothing samples is no prompt");
    assert!(!field(&fields, "10.text").advanced && field(&fields, "2.delimiter").advanced);
    assert_eq!([kind("7.value"), kind("8.control_net_name"), kind("9.ckpt_name")], [Kind::Seed, Kind::Model, Kind::Model]);
    assert!(!fields.iter().any(|field| field.id == "6.seed"), "a linked input is no field");
    let labels: BTreeSet<&str> = fields.iter().filter(|field| !field.advanced).map(|field| field.label.as_str()).collect();
    assert!(labels.contains("Prompt (Where)") && labels.contains("Control net name"), "{labels:?}");
}

#[test]
fn prompts_of_newer_samplers_and_of_nodes_with_the_text_in_them() {
    let guided = r#"{
        "1": {"class_type": "CLIPTextEncodeFlux", "inputs": {"clip_l": "fox", "t5xxl": "a fox", "guidance": 3.5, "clip": ["9", 0]}},
        "2": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["1", 0], "guidance": 3.5}},
        "3": {"class_type": "BasicGuider", "inputs": {"conditioning": ["2", 0], "model": ["9", 1]}},
        "4": {"class_type": "SamplerCustomAdvanced", "inputs": {"guider": ["3", 0], "latent_image": ["5", 0], "noise": ["6", 0]}},
        "5": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
        "6": {"class_type": "RandomNoise", "inputs": {"noise_seed": 18446744073709551615}},
        "9": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "a.safetensors", "clip_name2": "b.safetensors", "type": "flux"}}
    }"#;
    let fields = form(guided);
    let kind = |id: &str| field(&fields, id).kind;
    assert_eq!([kind("1.clip_l"), kind("1.t5xxl"), kind("2.guidance")], [Kind::Prompt, Kind::Prompt, Kind::Cfg]);
    assert_eq!([kind("5.width"), kind("6.noise_seed"), kind("9.clip_name2")], [Kind::Size, Kind::Seed, Kind::Model]);
    assert_eq!(field(&fields, "6.noise_seed").default, json!("18446744073709551615"));
    assert!(field(&fields, "9.type").advanced);
    let inside = r#"{"1": {"class_type": "Efficient Loader", "inputs": {"positive": "a", "negative": "b", "ckpt_name": "m.safetensors"}}}"#;
    let fields = form(inside);
    assert_eq!([field(&fields, "1.positive").kind, field(&fields, "1.negative").kind], [Kind::Prompt, Kind::NegativePrompt]);
}

#[test]
fn loops_lists_and_pythons_numbers_do_no_harm() {
    let text = r#"{
        "1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0], "negative": ["1", 0], "scale": NaN, "points": [[1, 2]], "none": null}},
        "2": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["2", 0], "conditioning_2": ["1", 0], "text": "x", "pair": [3, 0]}}
    }"#;
    let fields = form(text);
    let ids: Vec<&str> = fields.iter().map(|field| field.id.as_str()).collect();
    assert_eq!(ids, ["2.text", "1.scale"]);
    assert_eq!((fields[0].kind, &fields[1].default), (Kind::Prompt, &json!("NaN")));
    let long: serde_json::Map<String, Value> = (0..4000)
        .map(|n| {
            (n.to_string(), json!({"class_type": "ConditioningSetArea", "inputs": {"conditioning": [(n + 1).to_string(), 0]}}))
        })
        .chain([("4000".to_owned(), json!({"class_type": "CLIPTextEncode", "inputs": {"text": "far"}}))])
        .chain([("s".to_owned(), json!({"class_type": "KSampler", "inputs": {"positive": ["0", 0]}}))])
        .collect();
    assert_eq!(basic(&form(&Value::Object(long).to_string())), ["4000.text Prompt Prompt"]);
}

#[test]
fn what_is_loaded_has_its_kind() {
    let text = r#"{
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "LoadVideo", "inputs": {"file": "a.mp4"}},
        "3": {"class_type": "LoadAudio", "inputs": {"audio": "a.flac"}},
        "4": {"class_type": "VHS_LoadVideo", "inputs": {"video": "b.mp4", "force_rate": 0}},
        "5": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "4x.pth"}}
    }"#;
    let fields = form(text);
    let kinds: Vec<(&str, Kind)> = fields.iter().map(|field| (field.id.as_str(), field.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("1.image", Kind::Image),
            ("2.file", Kind::Video),
            ("4.video", Kind::Video),
            ("3.audio", Kind::Audio),
            ("5.model_name", Kind::Model),
            ("4.force_rate", Kind::Integer)
        ]
    );
}
