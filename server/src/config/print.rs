//! The configuration as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::keys::{Change, KEYS, SECTIONS};
use super::load::Loaded;
use super::model::Config;
use crate::instances::SshWish;

/// A file with every key, its meaning and its default; this is `docs/comfyd.example.yaml`.
pub fn example() -> String {
    let mut text = String::from(
        "# Every key of comfyd.yaml with its default. A key that is left out keeps its default; an unknown key is an error.\n\
         # `comfyd serve --config FILE`, COMFYD_CONFIG or $XDG_CONFIG_HOME/comfyd/comfyd.yaml name the file; COMFYD_SECTION__KEY\n\
         # (such as COMFYD_SERVER__LISTEN) goes before it, and a flag before both. `comfyd config check` tells what is wrong,\n\
         # `comfyd config show` what is in force. A server that runs reads the file again when it changes; keys marked (start)\n\
         # wait for the next start.\n",
    );
    let defaults = Config::default();
    for (section, about) in SECTIONS {
        line(&mut text, format_args!("\n# {about}."));
        if section == "instances" {
            text.push_str(
                "# A name, and below it `url`, `label` (shown to people) and `default: true` for the one that runs go to which name none:\n\
                 #   gpu-a:\n#     url: http://10.0.0.5:8188\n#     label: The big one\n#     default: true\n#   rental:\n#     ssh: ssh -p 40738 root@198.51.100.7\n#     comfyui_port: 18188\ninstances: {}\n",
            );
            continue;
        }
        line(&mut text, format_args!("{section}:"));
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let mark = match key.change {
                Change::AtOnce => "",
                Change::NextStart => " (start)",
            };
            let (last, first) = key.about.split_last().expect("every key says what it does");
            for about in first {
                line(&mut text, format_args!("  # {about}"));
            }
            line(&mut text, format_args!("  # {last}.{mark}"));
            line(&mut text, format_args!("  {}: {}", key.name(), yaml(&key.slot.get(&defaults))));
        }
    }
    text
}

/// The values in force, each with where it was said.
pub fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    for (section, _) in SECTIONS {
        if section == "instances" {
            instances(&mut text, loaded);
            continue;
        }
        line(&mut text, format_args!("{section}:"));
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let value = yaml(&key.slot.get(&loaded.config));
            line(&mut text, format_args!("  {}: {value} # {}", key.name(), loaded.origin(key.path)));
        }
    }
    text
}

fn over_ssh(text: &mut String, ssh: &SshWish) {
    line(text, format_args!("    ssh: {}", yaml(&ssh.connection.as_str().into())));
    if let Some(port) = ssh.comfyui_port {
        line(text, format_args!("    comfyui_port: {port}"));
    }
    let paths = [("identity", &ssh.identity), ("password_file", &ssh.password_file), ("output_dir", &ssh.output_dir)];
    for (name, path) in paths {
        if let Some(path) = path {
            line(text, format_args!("    {name}: {}", yaml(&path.as_str().into())));
        }
    }
}

fn instances(text: &mut String, loaded: &Loaded) {
    if loaded.config.instances.is_empty() {
        return line(text, format_args!("instances: {{}} # default"));
    }
    line(text, format_args!("instances:"));
    for instance in &loaded.config.instances {
        let origin = loaded.origin(&format!("instances.{}", instance.name));
        line(text, format_args!("  {}: # {origin}", yaml(&instance.name.as_str().into())));
        match &instance.ssh {
            None => line(text, format_args!("    url: {}", yaml(&instance.url.as_str().into()))),
            Some(ssh) => over_ssh(text, ssh),
        }
        if let Some(label) = &instance.label {
            line(text, format_args!("    label: {}", yaml(&label.as_str().into())));
        }
        if instance.default {
            line(text, format_args!("    default: true"));
        }
    }
}

/// JSON is YAML; words that can be nothing else need no quotes.
fn yaml(value: &Value) -> String {
    const TAKEN: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let plain = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
            && !TAKEN.contains(&word)
    };
    match value {
        Value::String(word) if plain(word) => word.clone(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn line(text: &mut String, shown: std::fmt::Arguments<'_>) {
    writeln!(text, "{shown}").expect("a string takes everything");
}
