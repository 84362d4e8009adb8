//! Makes the request for a new run out of what was typed.
//!
//! Invariant: files are read here, by the user's own rights, and sent as bytes, so the server's roots for paths do not matter.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use comfyd_adapters::comfy::lenient::to_strict;
use comfyd_workflow::embedded::Container;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::args;
use super::client::{Body, Client};
use super::error::CliError;
use crate::intake::{Held, held};

/// The largest workflow that a server takes.
const MAX_WORKFLOW: u64 = 16 << 20;
/// The largest picture that a server takes.
const MAX_IMAGE: u64 = 64 << 20;
/// A canvas that leaves room for the largest workflow beside it.
const SHORT: usize = 256 << 10;
/// So many bytes tell what a file is.
const HEAD: u64 = 16;

/// A run that was made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Created {
    /// Its id.
    pub(crate) run_id: String,
    /// Its name in the plan's shapes.
    pub(crate) workflow_id: String,
}

/// A picture with the node that it is for.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    node: Option<String>,
    name: String,
    bytes: Vec<u8>,
}

/// What to run.
#[derive(Clone, Debug)]
enum What {
    /// The text of a workflow, and the canvas that came with it.
    Text(Held),
    /// A template of the server, by its name.
    Template(String),
}

/// A wish to run a workflow.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    what: What,
    images: Vec<Picture>,
    inputs: Map<String, Value>,
    output_dir: Option<PathBuf>,
    instance: Option<String>,
    url: Option<String>,
    ssh: Option<(String, Option<u16>)>,
    name: Option<String>,
    validate: bool,
}

impl Wish {
    /// A wish for this text, with everything else left out.
    pub(crate) fn inline(text: &str) -> Self {
        Self::of(What::Text(Held { text: text.to_owned(), canvas: None }))
    }

    fn of(what: What) -> Self {
        Self {
            what,
            images: vec![],
            inputs: Map::new(),
            output_dir: None,
            instance: None,
            url: None,
            ssh: None,
            name: None,
            validate: true,
        }
    }

    /// The same under this name.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// The same on the ComfyUI at this address.
    pub(crate) fn on(self, url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..self }
    }

    /// The same, with the outputs left where the server keeps them.
    pub(crate) fn without_output_dir(&self) -> Self {
        Self { output_dir: None, ..self.clone() }
    }

    /// The same with an input set.
    pub(crate) fn setting(mut self, target: &str, value: &str) -> Self {
        self.inputs.insert(target.to_owned(), value_of(value));
        self
    }

    /// Reads the files that the arguments name.
    pub(crate) fn read(args: &args::Run, output_dir: Option<PathBuf>) -> Result<Self, CliError> {
        let (what, named) = match (&args.workflow, &args.template) {
            (Some(path), _) => {
                let named = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).filter(|stem| stem != "-");
                (What::Text(read_workflow(path)?), named)
            }
            // Its title is the server's to know.
            (None, Some(template)) => (What::Template(template.clone()), None),
            (None, None) => {
                let hint = "Give what ComfyUI saved, or --template NAME.";
                return Err(CliError::usage("no_workflow", "neither a workflow nor a template is given", hint));
            }
        };
        let wish = Self {
            images: args.images.iter().map(|image| picture(image)).collect::<Result<_, _>>()?,
            output_dir,
            instance: args.instance.clone(),
            url: url_or_environment(args.url.as_ref(), args.instance.is_some() || args.ssh.is_some()),
            ssh: args.ssh.clone().map(|ssh| (ssh, args.comfyui_port)),
            name: args.name.clone().or(named),
            validate: !args.no_validate,
            ..Self::of(what)
        };
        Ok(args.set.iter().fold(wish, |wish, (target, value)| wish.setting(target, value)))
    }

    /// Sends it.
    pub(crate) async fn send(&self, client: &Client) -> Result<Created, CliError> {
        // In a form each text has room of its own.
        let canvas = match &self.what {
            What::Text(Held { canvas: Some(canvas), .. }) => canvas.len(),
            What::Text(_) | What::Template(_) => 0,
        };
        let body = if self.images.is_empty() && canvas <= SHORT { self.as_json()? } else { self.as_form()? };
        client.post("/api/v1/runs", body).await
    }

    fn fields(&self) -> Result<Map<String, Value>, CliError> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), json!(value));
            }
        };
        match &self.what {
            What::Template(name) => put("template", Some(name)),
            What::Text(held) => put("canvas", held.canvas.as_ref()),
        }
        put("url", self.url.as_ref());
        put("ssh_connection", self.ssh.as_ref().map(|(connection, _)| connection));
        put("instance", self.instance.as_ref());
        put("workflow_name", self.name.as_ref());
        if let Some((_, Some(port))) = &self.ssh {
            fields.insert("comfyui_port".to_owned(), json!(port));
        }
        if let Some(dir) = &self.output_dir {
            let dir = dir.to_str().ok_or_else(|| {
                CliError::usage(
                    "output_dir_invalid",
                    format!("{} is not UTF-8", dir.display()),
                    "Choose a directory with a plain name.",
                )
            })?;
            fields.insert("output_dir".to_owned(), json!(dir));
        }
        if !self.validate {
            fields.insert("validate".to_owned(), json!(false));
        }
        if !self.inputs.is_empty() {
            fields.insert("inputs".to_owned(), Value::Object(self.inputs.clone()));
        }
        Ok(fields)
    }

    fn as_json(&self) -> Result<Body, CliError> {
        let text = match &self.what {
            What::Text(held) => &held.text,
            What::Template(_) => return Ok(Body::json(Value::Object(self.fields()?).to_string())),
        };
        // The workflow goes out byte for byte, so that no number in it changes.
        let workflow = text.trim_start_matches('\u{feff}').trim();
        // Only looked at: Python writes `NaN`, which is no JSON to others.
        let _: &RawValue = serde_json::from_str(&to_strict(workflow)).map_err(|error| {
            let hint = "Give what ComfyUI saves or exports: in ComfyUI, Workflow > Save or Export (API).";
            CliError::usage("not_json", format!("the workflow is not JSON: {error}"), hint)
        })?;
        let fields = Value::Object(self.fields()?).to_string();
        let rest = fields.strip_prefix('{').unwrap_or(&fields);
        let comma = if rest == "}" { "" } else { "," };
        Ok(Body::json(format!("{{\"workflow\":{workflow}{comma}{rest}")))
    }

    fn as_form(&self) -> Result<Body, CliError> {
        let mut parts = match &self.what {
            What::Text(held) => vec![Part { name: "workflow".to_owned(), file: None, bytes: held.text.as_bytes() }],
            What::Template(_) => vec![],
        };
        let fields = self.fields()?;
        let texts: Vec<(String, String)> = fields.into_iter().map(|(name, value)| (name, plain(value))).collect();
        parts.extend(texts.iter().map(|(name, text)| Part { name: name.clone(), file: None, bytes: text.as_bytes() }));
        parts.extend(self.images.iter().map(|image| {
            let name = image.node.as_ref().map_or_else(|| "input_images".to_owned(), |node| format!("input_images[{node}]"));
            Part { name, file: Some(&image.name), bytes: &image.bytes }
        }));
        Ok(form(&parts))
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// JSON if it can be read so, else a text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

struct Part<'a> {
    name: String,
    file: Option<&'a str>,
    bytes: &'a [u8],
}

/// `multipart/form-data` (RFC 7578), names escaped as browsers do.
fn form(parts: &[Part<'_>]) -> Body {
    let boundary = boundary();
    let mut body = Vec::new();
    for part in parts {
        let file = part.file.map(|file| format!("; filename=\"{}\"", escaped(file))).unwrap_or_default();
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"{file}\r\n\r\n", escaped(&part.name));
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(part.bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Body { media_type: format!("multipart/form-data; boundary={boundary}"), bytes: Bytes::from(body) }
}

fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A line that is in none of the parts: random, so nobody can have put it there.
fn boundary() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = || RandomState::new().build_hasher().finish();
    format!("comfyd-{:016x}{:016x}", random(), random())
}

/// `[NODE=]FILE`; what stands before `=` is a node unless the whole is a file.
fn picture(text: &str) -> Result<Picture, CliError> {
    let (node, path) = match text.split_once('=') {
        Some((node, file)) if !node.is_empty() && !Path::new(text).exists() => (Some(node.to_owned()), file),
        Some(_) | None => (None, text),
    };
    let path = Path::new(path);
    let name = path.file_name().map_or_else(|| "image".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(Picture { node, name, bytes: read_file(path, MAX_IMAGE)? })
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    let file = std::fs::File::open(path).map_err(|error| CliError::unreadable(path, &error))?;
    read_limited(file, limit, &path.display().to_string()).map_err(|error| match error {
        Reading::Io(error) => CliError::unreadable(path, &error),
        Reading::TooLarge(error) => error,
    })
}

/// The address that was given, or that of the environment where nothing else was.
pub(crate) fn url_or_environment(given: Option<&String>, otherwise: bool) -> Option<String> {
    let set = || std::env::var("COMFYD_URL").ok().filter(|url| !otherwise && !url.is_empty());
    given.cloned().or_else(set)
}

/// A workflow, also out of a picture, film or sound; `-` is standard input.
pub(crate) fn read_workflow(path: &Path) -> Result<Held, CliError> {
    let stdin = path.as_os_str() == "-";
    let (named, what) =
        if stdin { (Path::new("standard input"), "standard input".to_owned()) } else { (path, path.display().to_string()) };
    let unreadable = |error: &std::io::Error| CliError::unreadable(named, error);
    let from: Box<dyn Read> = if stdin {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| unreadable(&error))?)
    };
    let bytes = read_either(from, &what).map_err(|error| match error {
        Reading::Io(error) => unreadable(&error),
        Reading::TooLarge(error) => error,
    })?;
    held(bytes).map_err(|(code, why)| {
        let hint = "Give a workflow (JSON), or a picture, film or sound that ComfyUI saved with its workflow.";
        CliError::usage(code, format!("{what} {why}"), hint)
    })
}

/// Pictures may be larger than workflows: the first bytes tell which it is.
fn read_either(mut from: impl Read, what: &str) -> Result<Vec<u8>, Reading> {
    let mut head = Vec::new();
    from.by_ref().take(HEAD).read_to_end(&mut head).map_err(Reading::Io)?;
    let limit = if Container::of(&head).is_some() { MAX_IMAGE } else { MAX_WORKFLOW };
    read_limited(std::io::Cursor::new(head).chain(from), limit, what)
}

enum Reading {
    Io(std::io::Error),
    TooLarge(CliError),
}

fn read_limited(from: impl Read, limit: u64, what: &str) -> Result<Vec<u8>, Reading> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes).map_err(Reading::Io)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
        return Ok(bytes);
    }
    let message = format!("{what} is larger than {} MiB", limit >> 20);
    Err(Reading::TooLarge(CliError::usage("file_too_large", message, "Use a smaller file.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &Body) -> String {
        String::from_utf8(body.bytes.to_vec()).expect("text")
    }

    #[test]
    fn the_workflow_goes_out_byte_for_byte() {
        let wish = Wish::inline("{\"3\": {\"seed\": 18446744073709551615, \"cfg\": 1.0}}");
        assert_eq!(text(&wish.as_json().expect("JSON")), r#"{"workflow":{"3": {"seed": 18446744073709551615, "cfg": 1.0}}}"#);
        let wish = wish.on("u").setting("3.seed", "5").setting("6.text", "a \"cat\"");
        let body = text(&wish.as_json().expect("JSON"));
        assert!(body.ends_with(r#""cfg": 1.0}},"url":"u","inputs":{"3.seed":5,"6.text":"a \"cat\""}}"#), "{body}");
        let python = Wish::inline("\u{feff} {\"a\": NaN, \"b\": -Infinity}\n");
        assert_eq!(text(&python.as_json().expect("Python's JSON")), r#"{"workflow":{"a": NaN, "b": -Infinity}}"#);
        assert_eq!(Wish::inline("{} {}").as_json().expect_err("two").code, "not_json");
        assert_eq!(Wish::inline("{").as_json().expect_err("cut").code, "not_json");
    }

    #[test]
    fn a_template_goes_out_by_its_name() {
        let wish = Wish::of(What::Template("a b".to_owned())).setting("3.seed", "5");
        assert_eq!(text(&wish.as_json().expect("JSON")), r#"{"template":"a b","inputs":{"3.seed":5}}"#);
        let image = Picture { node: None, name: "c.png".into(), bytes: vec![] };
        let body = Wish { images: vec![image], ..wish }.as_form().expect("a form");
        let text = text(&body);
        assert!(text.contains("name=\"template\"\r\n\r\na b\r\n") && !text.contains("name=\"workflow\""), "{text}");
    }

    #[test]
    fn forms() {
        let images = vec![
            Picture { node: Some("7".into()), name: "a\"b.png".into(), bytes: b"xy".to_vec() },
            Picture { node: None, name: "c.png".into(), bytes: vec![] },
        ];
        let wish = Wish { images, ..Wish::inline("{}") }.setting("1.a", "true");
        let body = wish.as_form().expect("a form");
        let boundary = body.media_type.split_once("boundary=").expect("a boundary").1;
        let text = text(&body);
        assert_eq!(text.matches(&format!("--{boundary}\r\n")).count(), 4);
        assert!(text.ends_with(&format!("--{boundary}--\r\n")));
        assert!(text.contains("name=\"input_images[7]\"; filename=\"a%22b.png\"\r\n\r\nxy\r\n"), "{text}");
        assert!(text.contains("name=\"inputs\"\r\n\r\n{\"1.a\":true}\r\n"), "{text}");
    }
}
