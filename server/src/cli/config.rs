//! `comfyd config`: what is configured, and whether it is right.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::{self, ConfigFile};
use super::error::CliError;
use super::out::{Form, Out};
use crate::config::{ConfigError, Layers, Loaded, effective, example, load};

/// `comfyd config`
pub(crate) fn config(args: &args::Config, out: Out) -> Result<(), CliError> {
    match args {
        args::Config::Check(check) => self::check(check, out),
        args::Config::Show(file) => out.line(effective(&read(file, vec![])?).trim_end()),
        args::Config::Default => out.line(example().trim_end()),
    }
}

fn check(args: &args::CheckConfig, out: Out) -> Result<(), CliError> {
    let file = args.file.clone().or_else(default_file);
    let shown = file.as_deref().map_or("the environment alone".to_owned(), |file| file.display().to_string());
    let checked = load(&layers(file, vec![]));
    match (checked, out.form()) {
        (Ok(_), Form::Human) => out.line(format!("{shown}: everything is right.")),
        (Ok(_), Form::Json) => out.line(json!({"ok": true, "file": shown, "problems": []})),
        (Err(error), Form::Human) => Err(wrong(&error)),
        (Err(error), Form::Json) => {
            out.line(json!({"ok": false, "file": shown, "problems": problems(&error)}))?;
            Err(wrong(&error))
        }
    }
}

fn problems(error: &ConfigError) -> Vec<Value> {
    let of = |complaint: &crate::config::Complaint| {
        json!({
            "origin": complaint.origin.to_string(), "key": complaint.key, "message": complaint.message, "hint": complaint.hint,
        })
    };
    match error.complaints() {
        [] => vec![json!({"origin": null, "key": null, "message": error.to_string(), "hint": error.hint()})],
        complaints => complaints.iter().map(of).collect(),
    }
}

/// The configuration of this call.
pub(crate) fn read(file: &ConfigFile, flags: Vec<(&'static str, Value, String)>) -> Result<Loaded, CliError> {
    load(&layers(file.file.clone().or_else(default_file), flags)).map_err(|error| wrong(&error))
}

/// What is read for a configuration.
pub(crate) fn layers(file: Option<PathBuf>, flags: Vec<(&'static str, Value, String)>) -> Layers {
    // A variable that is no UTF-8 is none of ours: ours are all read as text.
    let text =
        |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let environment = std::env::vars_os().filter_map(text).collect();
    Layers { file, environment, flags }
}

/// The file that is read if none is named; none if it is not there.
pub(crate) fn default_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    base.map(|base| base.join("comfyd/comfyd.yaml")).filter(|path| path.exists())
}

/// Why a configuration cannot be used, for people.
pub(crate) fn wrong(error: &ConfigError) -> CliError {
    let code = match error {
        ConfigError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => "file_not_found",
        ConfigError::Read { .. } => "file_unreadable",
        ConfigError::TooLarge { .. } | ConfigError::Syntax { .. } | ConfigError::Wrong(_) => "bad_config",
    };
    let message = match error {
        ConfigError::Wrong(complaints) if complaints.len() > 1 => {
            format!("{} things are wrong with the configuration:\n{error}", complaints.len())
        }
        ConfigError::Wrong(_) => format!("the configuration is wrong: {error}"),
        ConfigError::Read { .. } | ConfigError::TooLarge { .. } | ConfigError::Syntax { .. } => format!("failed to {error}"),
    };
    CliError::usage(code, message, error.hint())
}
