//! What an input is for, by its name, its class and its value.

use serde_json::Value;

use super::field::Kind;

/// Inputs that name a model, with the folder of `ComfyUI`'s models that they choose from.
const MODELS: [(&str, &str); 15] = [
    ("ckpt_name", "checkpoints"),
    ("lora_name", "loras"),
    ("vae_name", "vae"),
    ("unet_name", "diffusion_models"),
    ("clip_name", "text_encoders"),
    ("clip_name1", "text_encoders"),
    ("clip_name2", "text_encoders"),
    ("clip_name3", "text_encoders"),
    ("clip_name4", "text_encoders"),
    ("control_net_name", "controlnet"),
    ("style_model_name", "style_models"),
    ("gligen_name", "gligen"),
    ("hypernetwork_name", "hypernetworks"),
    ("photomaker_model_name", "photomaker"),
    ("audio_encoder_name", "audio_encoders"),
];

/// How the names of model files end.
const MODEL_ENDINGS: [&str; 9] = [".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".engine"];

/// Inputs that hold words for people and text encoders.
const TEXTS: [&str; 13] = [
    "text",
    "prompt",
    "string",
    "t5xxl",
    "clip_l",
    "clip_g",
    "llama",
    "bert",
    "mt5xl",
    "lyrics",
    "tags",
    "wildcard_text",
    "populated_text",
];

/// The folder of `ComfyUI`'s models that an input of a class chooses from, where the names tell.
pub(crate) fn model_folder(class: &str, input: &str) -> Option<&'static str> {
    match input {
        "clip_name" if class.contains("CLIPVision") => return Some("clip_vision"),
        "model_name" if class.contains("Upscale") => return Some("upscale_models"),
        _ => {} // the name alone tells, or nothing
    }
    MODELS.iter().find(|(name, _)| *name == input).map(|(_, folder)| *folder)
}

/// Whether an input holds words.
pub(super) fn is_texty(class: &str, input: &str) -> bool {
    let stem = input.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = ["_a", "_b", "_c", "_g", "_l"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
    let words = |name: &str| TEXTS.contains(&name.trim_end_matches('_'));
    words(stem) || words(input) || (is_primitive(class) && input == "value")
}

/// Whether a node only holds a value for others.
pub(super) fn is_primitive(class: &str) -> bool {
    class.starts_with("Primitive")
}

/// What the value of an input is for; none for lists, objects and nothing.
pub(super) fn kind_of(class: &str, input: &str, value: &Value) -> Option<Kind> {
    let whole = whole(value);
    Some(match value {
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
        Value::Bool(_) => Kind::Boolean,
        Value::String(text) => match input {
            "sampler_name" => Kind::Sampler,
            "scheduler" => Kind::Scheduler,
            _ if is_model(class, input, text) => Kind::Model,
            _ => Kind::Text, // any other text
        },
        Value::Number(_) => match input {
            "seed" | "noise_seed" if whole => Kind::Seed,
            _ if whole && input.ends_with("_seed") => Kind::Seed,
            "steps" if whole => Kind::Steps,
            "cfg" => Kind::Cfg,
            "guidance" if class.contains("Guidance") => Kind::Cfg,
            _ if whole => Kind::Integer,
            _ => Kind::Number, // any other number
        },
    })
}

/// Whether a number is written without a fraction.
fn whole(value: &Value) -> bool {
    value.as_number().is_some_and(|number| !number.to_string().contains(['.', 'e', 'E']))
}

fn is_model(class: &str, input: &str, text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let file = MODEL_ENDINGS.iter().any(|ending| lower.ends_with(ending));
    (model_folder(class, input).is_some() || file) && class.contains("Load")
}
