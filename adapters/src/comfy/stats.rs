//! What a server tells of itself: version, memory, devices.
//!
//! Invariants: texts and lists are cut to a length, as whoever answers may not be a ComfyUI; what is not told is left out, never made up.

use serde::Serialize;
use serde_json::Value;

use super::lenient::from_json;

/// The longest text that is kept.
const MAX_TEXT: usize = 200;
/// As many devices as no machine has.
const MAX_DEVICES: usize = 64;

/// The answer to `GET /system_stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SystemStats {
    /// ComfyUI's version.
    pub version: Option<String>,
    /// The operating system, as Python calls it.
    pub os: Option<String>,
    /// Python's version.
    pub python: Option<String>,
    /// The version of `PyTorch`.
    pub pytorch: Option<String>,
    /// The machine's memory, in bytes.
    pub ram_total: Option<u64>,
    /// What is free of it.
    pub ram_free: Option<u64>,
    /// What it computes on.
    pub devices: Vec<Device>,
}

/// A device that a server computes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// `cuda`, `cpu`, `mps` and the like.
    pub kind: Option<String>,
    /// Its memory, in bytes.
    pub vram_total: Option<u64>,
    /// What is free of it.
    pub vram_free: Option<u64>,
}

impl SystemStats {
    /// Reads an answer; none if it is not of this shape.
    ///
    /// ```
    /// use comfyd_adapters::comfy::stats::SystemStats;
    /// let stats = SystemStats::parse(r#"{"system": {"comfyui_version": "0.3.75"}, "devices": []}"#);
    /// assert_eq!(stats.and_then(|stats| stats.version).as_deref(), Some("0.3.75"));
    /// assert_eq!(SystemStats::parse("{}"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let answer: Value = from_json(text).ok()?;
        let system = answer.get("system").filter(|system| system.is_object())?;
        let devices = answer.get("devices").and_then(Value::as_array).into_iter().flatten().take(MAX_DEVICES);
        Some(Self {
            version: text_of(system, "comfyui_version"),
            os: text_of(system, "os"),
            python: text_of(system, "python_version"),
            pytorch: text_of(system, "pytorch_version"),
            ram_total: bytes_of(system, "ram_total"),
            ram_free: bytes_of(system, "ram_free"),
            devices: devices.map(device).collect(),
        })
    }
}

fn device(told: &Value) -> Device {
    Device {
        name: text_of(told, "name").unwrap_or_else(|| "unnamed".to_owned()),
        kind: text_of(told, "type"),
        vram_total: bytes_of(told, "vram_total"),
        vram_free: bytes_of(told, "vram_free"),
    }
}

fn text_of(object: &Value, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(|text| text.chars().take(MAX_TEXT).collect())
}

fn bytes_of(object: &Value, key: &str) -> Option<u64> {
    object.get(key)?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_left_out() {
        let text = r#"{"system": {"os": 3, "ram_total": -1, "comfyui_version": null}, "devices": [{"type": "cuda"}, 7]}"#;
        let stats = SystemStats::parse(text).expect("it has a system");
        let nameless = Device { name: "unnamed".into(), ..Device::default() };
        let expected = SystemStats {
            devices: vec![Device { kind: Some("cuda".into()), ..nameless.clone() }, nameless],
            ..SystemStats::default()
        };
        assert_eq!(stats, expected);
        for other in ["", "[]", "null", "{\"system\": 3}", "<html>"] {
            assert_eq!(SystemStats::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let devices = vec![serde_json::json!({"name": "x".repeat(10_000)}); 1_000];
        let answer = serde_json::json!({"system": {"os": "y".repeat(10_000)}, "devices": devices});
        let stats = SystemStats::parse(&answer.to_string()).expect("it has a system");
        assert_eq!((stats.devices.len(), stats.devices[0].name.len()), (MAX_DEVICES, MAX_TEXT));
        assert_eq!(stats.os.map(|os| os.len()), Some(MAX_TEXT));
    }
}
