//! Reading: defaults, then the file, then the environment, then flags.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use comfyd_adapters::ssh::Destination;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::check;
use super::complaint::{Complaint, ConfigError};
use super::keys::{Change, KEYS, Key, SECTIONS};
use super::model::{Config, InstanceSetting};
use super::tree::{Placed, Tree};
use crate::instances::{SshWish, check_entries};

/// The largest file that is read.
const MAX_FILE: u64 = 1 << 20;
/// The keys of an instance.
const OF_INSTANCE: [&str; 8] = ["url", "ssh", "comfyui_port", "identity", "password_file", "output_dir", "label", "default"];

/// Where a value was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    #[default]
    Default,
    /// In the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line; 0 if it is not known.
        line: u64,
    },
    /// In a variable of the environment.
    Variable(String),
    /// On the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Everything that says what is configured; what comes later goes before what comes earlier.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file.
    pub file: Option<PathBuf>,
    /// The environment: only variables with `COMFYD_` and `__` matter.
    pub environment: Vec<(String, String)>,
    /// The flags: key, value, and what the flag is called.
    pub flags: Vec<(&'static str, Value, String)>,
}

/// A configuration, and where each of its values was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where the values were said that are no defaults.
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of a key was said.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// The keys whose values differ and that only a start can change.
    pub fn needs_start(&self, newer: &Self) -> Vec<&'static str> {
        self.differing(newer).filter(|key| key.change == Change::NextStart).map(|key| key.path).collect()
    }

    /// The keys whose values differ and that can change while the server runs.
    pub fn changes(&self, newer: &Self) -> Vec<&'static str> {
        let keys = self.differing(newer).filter(|key| key.change == Change::AtOnce).map(|key| key.path);
        let instances = (self.config.instances != newer.config.instances).then_some("instances");
        keys.chain(instances).collect()
    }

    fn differing(&self, newer: &Self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| key.slot.get(&self.config) != key.slot.get(&newer.config))
    }
}

/// Reads all layers.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(layers: &Layers) -> Result<Loaded, ConfigError> {
    let mut reading = Reading::default();
    if let Some(path) = &layers.file {
        let text = text_of(path)?;
        let place = |line| Origin::File { path: path.clone(), line };
        let tree: Placed = serde_saphyr::from_str(&text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            ConfigError::Syntax { origin: place(line), why: first_line(&error.without_snippet().to_string()) }
        })?;
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        reading.file(&tree, &FileAt { path, base: &std::path::absolute(&base).unwrap_or(base.clone()) });
    }
    for (name, text) in &layers.environment {
        reading.variable(name, text);
    }
    for (path, value, name) in &layers.flags {
        match KEYS.iter().find(|key| key.path == *path) {
            Some(key) => reading.put(key, value, Origin::Flag(name.clone()), Path::new("")),
            None => reading.unknown(path, Origin::Flag(name.clone()), KEYS.iter().map(|key| key.path)),
        }
    }
    reading.judge();
    if reading.complaints.is_empty() { Ok(reading.loaded) } else { Err(ConfigError::Wrong(reading.complaints)) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE });
    }
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

struct FileAt<'a> {
    path: &'a Path,
    base: &'a Path,
}

impl FileAt<'_> {
    fn line<T>(&self, of: &Spanned<T>) -> Origin {
        Origin::File { path: self.path.to_owned(), line: of.referenced.line() }
    }
}

/// What has been read so far, and what was wrong with it.
#[derive(Default)]
struct Reading {
    loaded: Loaded,
    complaints: Vec<Complaint>,
}

impl Reading {
    fn complain(&mut self, origin: Origin, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let (key, message, hint) = (key.to_owned(), message.into(), hint.into());
        self.complaints.push(Complaint { origin, key, message, hint });
    }

    fn unknown<'a>(&mut self, key: &str, origin: Origin, known: impl Iterator<Item = &'a str> + Clone) {
        let hint = match nearest(key, known.clone()) {
            Some(name) => format!("Did you mean `{name}`?"),
            None => format!("Known here: {}.", known.collect::<Vec<_>>().join(", ")),
        };
        self.complain(origin, key, "there is no such key", hint);
    }

    fn put(&mut self, key: &Key, value: &Value, origin: Origin, base: &Path) {
        if key.slot.put(&mut self.loaded.config, value, base) {
            self.loaded.origins.insert(key.path.to_owned(), origin);
        } else {
            self.complain(origin, key.path, format!("{} is not allowed", shown(value)), format!("Write {}.", key.slot.allowed()));
        }
    }

    fn file(&mut self, tree: &Placed, at: &FileAt<'_>) {
        match &tree.value {
            // A file of comments alone.
            Tree::Leaf(Value::Null) => {}
            Tree::Map(sections) => sections.iter().for_each(|(name, section)| self.section(name, section, at)),
            Tree::Leaf(_) | Tree::List(_) => {
                self.complain(at.line(tree), "(the file)", "it is no mapping of sections", sections_hint());
            }
        }
    }

    fn section(&mut self, name: &Spanned<String>, section: &Placed, at: &FileAt<'_>) {
        let known = SECTIONS.iter().map(|(name, _)| *name);
        if !known.clone().any(|known| known == name.value) {
            return self.unknown(&name.value, at.line(name), known);
        }
        let entries = match &section.value {
            Tree::Map(entries) => entries,
            // A section whose keys are all comments.
            Tree::Leaf(Value::Null) => return,
            Tree::Leaf(_) | Tree::List(_) => {
                let hint = format!("Write the keys of `{}:` below it, indented.", name.value);
                return self.complain(at.line(section), &name.value, "it is a section, not a value", hint);
            }
        };
        for (key, value) in entries {
            if name.value == "instances" {
                self.instance(key, value, at);
                continue;
            }
            let of_section = KEYS.iter().filter(|known| known.section() == name.value);
            let path = format!("{}.{}", name.value, key.value);
            match of_section.clone().find(|known| known.path == path) {
                Some(known) => self.put(known, &value.value.plain(), at.line(value), at.base),
                None => self.unknown(&path, at.line(key), of_section.map(|known| known.path)),
            }
        }
    }

    fn instance(&mut self, name: &Spanned<String>, entry: &Placed, at: &FileAt<'_>) {
        let path = format!("instances.{}", name.value);
        let id = match name.value.parse() {
            Ok(id) => id,
            Err(error) => {
                let error: comfyd_engine::ParseIdError = error;
                return self.complain(at.line(name), &path, error.to_string(), "Rename it, such as gpu-a.");
            }
        };
        let Tree::Map(fields) = &entry.value else {
            let hint = "Write `url: http://HOST:PORT` below it, indented.";
            return self.complain(at.line(entry), &path, "an instance has an address", hint);
        };
        let mut setting = InstanceSetting { name: id, url: String::new(), ssh: None, label: None, default: false };
        let mut ssh = SshWish::default();
        let before = self.complaints.len();
        for (key, value) in fields {
            let path = format!("{path}.{}", key.value);
            let plain = value.value.plain();
            match (key.value.as_str(), &plain) {
                ("url", Value::String(url)) if check::comfy_url(url) => setting.url.clone_from(url),
                ("url", _) => self.not_allowed(at.line(value), &path, &plain, "http://HOST:PORT, or a host alone"),
                ("ssh", Value::String(text)) => match Destination::parse(text, Some("me")) {
                    Ok(_) => ssh.connection.clone_from(text),
                    Err(error) => self.complain(at.line(value), &path, format!("failed to {error}"), error.hint()),
                },
                ("comfyui_port", Value::Number(port)) if port.as_u64().is_some_and(|port| (1..=65_535).contains(&port)) => {
                    ssh.comfyui_port = port.as_u64().and_then(|port| u16::try_from(port).ok());
                }
                ("identity", Value::String(file)) if !file.is_empty() => ssh.identity = Some(file.clone()),
                ("password_file", Value::String(file)) if !file.is_empty() => ssh.password_file = Some(file.clone()),
                ("output_dir", Value::String(dir)) if dir.starts_with('/') => ssh.output_dir = Some(dir.clone()),
                ("ssh", _) => self.not_allowed(at.line(value), &path, &plain, "ssh -p PORT USER@HOST"),
                ("comfyui_port", _) => self.not_allowed(at.line(value), &path, &plain, "a number from 1 to 65535"),
                ("identity" | "password_file", _) => self.not_allowed(at.line(value), &path, &plain, "the path of a file"),
                ("output_dir", _) => self.not_allowed(at.line(value), &path, &plain, "the whole path of a folder on the machine"),
                ("label", Value::String(label)) if (1..=200).contains(&label.len()) => setting.label = Some(label.clone()),
                ("label", _) => self.not_allowed(at.line(value), &path, &plain, "a text of 1 to 200 bytes"),
                ("default", Value::Bool(default)) => setting.default = *default,
                ("default", _) => self.not_allowed(at.line(value), &path, &plain, "true or false"),
                _ => self.unknown(&path, at.line(key), OF_INSTANCE.into_iter()), // Every known key stands above.
            }
        }
        let over_ssh = !ssh.connection.is_empty();
        if self.complaints.len() == before {
            let hint = "Write `url: http://HOST:PORT` or `ssh: ssh -p PORT USER@HOST` below it.";
            match (setting.url.is_empty(), over_ssh) {
                (true, false) => self.complain(at.line(name), &path, "`url` is missing, and so is `ssh`", hint),
                (false, true) => self.complain(at.line(name), &path, "`url` and `ssh` are given", "Keep one of them."),
                (false, false) if ssh != SshWish::default() => {
                    self.complain(at.line(name), &path, "it has keys of SSH and no `ssh`", hint);
                }
                (true, true) | (false, false) => {}
            }
        }
        setting.ssh = over_ssh.then_some(ssh);
        self.loaded.origins.insert(path, at.line(name));
        self.loaded.config.instances.push(setting);
    }

    fn not_allowed(&mut self, origin: Origin, path: &str, value: &Value, allowed: &str) {
        self.complain(origin, path, format!("{} is not allowed", shown(value)), format!("Write {allowed}."));
    }

    fn variable(&mut self, name: &str, text: &str) {
        if !name.starts_with("COMFYD_") || !name.contains("__") {
            return;
        }
        let origin = Origin::Variable(name.to_owned());
        match KEYS.iter().find(|key| key.variable() == name) {
            Some(key) => {
                let base = std::env::current_dir().unwrap_or_default();
                self.put(key, &key.slot.value_of(text), origin, &base);
            }
            None if name.starts_with("COMFYD_INSTANCES__") => {
                self.complain(origin, name, "instances are named in the file only", "Write them below `instances:`.");
            }
            None => {
                let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
                self.unknown(name, origin, names.iter().map(String::as_str));
            }
        }
    }

    /// What no key alone can tell.
    fn judge(&mut self) {
        let defaults: Vec<_> = self.loaded.config.instances.iter().filter(|instance| instance.default).cloned().collect();
        if let [first, second, ..] = defaults.as_slice() {
            let key = format!("instances.{}", second.name);
            let message = format!("`{}` is the default already", first.name);
            self.complain(self.loaded.origin(&key), &key, message, "Keep `default: true` at one of them.");
        }
        if let (Some(default), true) = (defaults.first(), self.loaded.config.server.default_url.is_some()) {
            let message = format!("instance `{}` is the default already", default.name);
            let origin = self.loaded.origin("server.default_url");
            self.complain(origin, "server.default_url", message, "Remove one of the two.");
        }
        if self.complaints.is_empty() {
            let named = |message: &str| message.split(':').next().unwrap_or_default().to_owned();
            for problem in check_entries(&self.loaded.config.entries()) {
                let key = named(&problem.message);
                self.complain(self.loaded.origin(&key), &key, problem.message, problem.hint);
            }
        }
    }
}

/// A value for people; what may hold a password is not repeated.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.contains('@') { "what stands there".to_owned() } else { text.chars().take(80).collect() }
}

fn sections_hint() -> String {
    let names: Vec<String> = SECTIONS.iter().map(|(name, _)| format!("{name}:")).collect();
    format!("Its sections are {}.", names.join(" "))
}

/// The known name that is most like this one, if any is.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| strsim::jaro_winkler(&last(name), &last(known));
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best)
}
