//! The shapes of requests and of the plan's flat answers.

use std::path::PathBuf;

use comfyd_adapters::comfy::lenient::to_wire;
use comfyd_engine::{AttentionView, ErrorView, NodeView, OutputView, Percent, RunView, Status, Time, WarningView};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::Fields;
use crate::app::{Execute, Image, Images, Source, Target, Validation};
use crate::instances::{COMFYUI_PORT, SshWish, understood};
use crate::problem::Problem;

/// The longest `Idempotency-Key`.
const MAX_KEY: usize = 200;

/// The wish in a JSON body.
pub(super) fn execute(mut fields: Fields) -> Result<Execute, Problem> {
    let source = source(fields.take_raw("workflow"), fields.take("workflow_file")?, fields.take("template")?)?;
    Ok(Execute {
        target: target(&mut fields)?,
        inputs: inputs(fields.take("inputs")?),
        images: images(fields.take("input_images")?)?,
        canvas: fields.take_raw("canvas").map(unwrapped),
        validation: validation(fields.take("validate")?),
        name: fields.take("workflow_name")?,
        output_dir: fields.take::<PathBuf>("output_dir")?,
        priority: fields.take("priority")?.unwrap_or_default(),
        retry_of: fields.take("retry_of")?,
        ..Execute::new(source)
    })
}

fn source(inline: Option<String>, file: Option<PathBuf>, template: Option<String>) -> Result<Source, Problem> {
    match (inline, file, template) {
        (Some(text), None, None) => Ok(Source::Inline { text: unwrapped(text), file: None }),
        (None, Some(path), None) => Ok(Source::File(path)),
        (None, None, Some(name)) => Ok(Source::Template(name)),
        (None, None, None) => Err(no_workflow()),
        (inline, file, template) => {
            let given = [("workflow", inline.is_some()), ("workflow_file", file.is_some()), ("template", template.is_some())];
            let given: Vec<String> = given.iter().filter(|(_, given)| *given).map(|(name, _)| format!("`{name}`")).collect();
            Err(Problem::invalid("two_workflows", format!("{} are given", given.join(" and ")), "Give one of them."))
        }
    }
}

fn validation(asked: Option<bool>) -> Validation {
    if asked == Some(false) { Validation::ByInstance } else { Validation::Before }
}

/// Nothing to run was given.
pub(super) fn no_workflow() -> Problem {
    let hint = "Give `workflow` (the graph in API format), `workflow_file` (a path on the server) or `template` (a name).";
    Problem::invalid("no_workflow", "none of `workflow`, `workflow_file` and `template` is given", hint)
}

/// A workflow may come as an object or as a text that holds one.
pub(super) fn unwrapped(raw: String) -> String {
    serde_json::from_str::<String>(&raw).unwrap_or(raw)
}

/// Where a request wants to work.
pub(super) fn target(fields: &mut Fields) -> Result<Option<Target>, Problem> {
    let instance: Option<String> = fields.take("instance")?;
    let url: Option<String> = fields.take("url")?;
    let ssh: Option<String> = fields.take("ssh_connection")?;
    let comfyui_port: Option<u16> = fields.take("comfyui_port")?;
    let given = [("instance", instance.is_some()), ("url", url.is_some()), ("ssh_connection", ssh.is_some())];
    let given: Vec<String> = given.iter().filter(|(_, given)| *given).map(|(name, _)| format!("`{name}`")).collect();
    if given.len() > 1 {
        return Err(Problem::invalid("two_targets", format!("{} are given", given.join(" and ")), "Give one of them."));
    }
    if comfyui_port.is_some() && ssh.is_none() {
        let hint = "Give `ssh_connection` with it; the port of a `url` stands in the address.";
        return Err(Problem::invalid("field_alone", "`comfyui_port` is given without `ssh_connection`", hint));
    }
    if let Some(connection) = ssh {
        let wish = SshWish { connection, comfyui_port, ..SshWish::default() };
        understood(&wish, COMFYUI_PORT)?;
        return Ok(Some(Target::Ssh(wish)));
    }
    match (instance, url) {
        (None, None) => Ok(None),
        // Both were refused above.
        (_, Some(url)) => Ok(Some(Target::Url(url))),
        (Some(name), None) => {
            let id = name
                .parse()
                .map_err(|error| Problem::invalid("bad_instance", format!("field `instance`: {error}"), "Correct the name."))?;
            Ok(Some(Target::Instance(id)))
        }
    }
}

/// Values to set, as JSON text.
pub(super) fn inputs(inputs: Option<Map<String, Value>>) -> Vec<(String, String)> {
    // As JSON text: a text keeps its quotes, so that "5" stays a text.
    inputs.unwrap_or_default().into_iter().map(|(place, value)| (place, to_wire(&value.to_string()).into_owned())).collect()
}

fn images(given: Option<Value>) -> Result<Images, Problem> {
    let path = |place: &str, value: Value| match value {
        Value::String(path) => Ok(Image::File(PathBuf::from(path))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let message = format!("`input_images` has something at {place} that is no path");
            Err(Problem::invalid("bad_field", message, "Give a path on the server, or send the file by multipart."))
        }
    };
    match given {
        None => Ok(Images::InOrder(vec![])),
        Some(Value::Array(list)) => {
            let list = list.into_iter().enumerate().map(|(place, value)| path(&(place + 1).to_string(), value));
            Ok(Images::InOrder(list.collect::<Result<_, _>>()?))
        }
        Some(Value::Object(map)) => {
            let map = map.into_iter().map(|(node, value)| Ok((node.clone(), path(&node, value)?)));
            Ok(Images::ByNode(map.collect::<Result<_, Problem>>()?))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            let hint = "Give a list of paths, or an object of node ids or titles to paths.";
            Err(Problem::invalid("bad_field", "`input_images` is neither a list nor an object", hint))
        }
    }
}

/// The key under which a request is made once.
pub(super) fn idempotency_key(header: Option<&axum::http::HeaderValue>) -> Result<Option<String>, Problem> {
    let Some(header) = header else { return Ok(None) };
    let good = |key: &&str| !key.is_empty() && key.len() <= MAX_KEY;
    let key = header.to_str().ok().filter(good).map(str::to_owned);
    if key.as_deref().is_some_and(|key| key.starts_with(crate::setup::KEYS)) {
        let message = format!("`Idempotency-Key` begins with `{}`, as those of generic workflows do", crate::setup::KEYS);
        return Err(Problem::invalid("bad_idempotency_key", message, "Choose another, such as a UUID."));
    }
    key.map(Some).ok_or_else(|| {
        let message = format!("`Idempotency-Key` is empty, longer than {MAX_KEY} characters or not ASCII");
        Problem::invalid("bad_idempotency_key", message, "Send a short random text, such as a UUID.")
    })
}

/// The plan's flat progress.
#[derive(Serialize, ToSchema)]
pub(super) struct Flat<'a> {
    workflow_id: &'a str,
    run_id: String,
    r#type: &'a str,
    workflow_name: &'a str,
    workflow_file: Option<&'a str>,
    ssh_connection: Option<&'a str>,
    #[schema(value_type = Status)]
    status: &'a str,
    phase: &'a str,
    seq: u64,
    prompt_id: String,
    queue_position: Option<u32>,
    current_node: Option<&'a str>,
    current_node_id: Option<&'a str>,
    current_node_title: Option<&'a str>,
    total_nodes: usize,
    completed_nodes: usize,
    progress_percent: Percent,
    nodes: &'a [NodeView],
    queue_time: Time,
    start_time: Option<Time>,
    end_time: Option<Time>,
    last_update: Time,
    estimated_completion: Option<Time>,
    attention: Option<&'a AttentionView>,
    warnings: &'a [WarningView],
    outputs: Vec<OutputLink<'a>>,
    error_message: Option<&'a str>,
    failed_node: Option<String>,
    error: Option<&'a ErrorView>,
}

impl<'a> From<&'a RunView> for Flat<'a> {
    fn from(view: &'a RunView) -> Self {
        Self {
            workflow_id: &view.workflow_id,
            run_id: view.run_id.to_string(),
            r#type: view.kind,
            workflow_name: &view.workflow_name,
            workflow_file: view.workflow_file.as_deref(),
            ssh_connection: view.ssh_connection.as_deref(),
            status: view.status.as_str(),
            phase: view.phase,
            seq: view.seq.0,
            prompt_id: view.prompt_id.to_string(),
            queue_position: view.progress.queue_position,
            current_node: view.progress.current_node.as_deref(),
            current_node_id: view.progress.current_node_id.as_ref().map(comfyd_engine::NodeId::as_str),
            current_node_title: view.progress.current_node_title.as_deref(),
            total_nodes: view.progress.total_nodes,
            completed_nodes: view.progress.completed_nodes,
            progress_percent: view.progress.progress_percent,
            nodes: &view.nodes,
            queue_time: view.timing.queue_time,
            start_time: view.timing.start_time,
            end_time: view.timing.end_time,
            last_update: view.timing.last_update,
            estimated_completion: view.timing.estimated_completion,
            attention: view.attention.as_ref(),
            warnings: &view.warnings,
            outputs: OutputLink::of(view),
            error_message: view.error.as_ref().map(|error| error.message.as_str()),
            failed_node: view.failed_node(),
            error: view.error.as_ref(),
        }
    }
}

/// An output with the place where its content is served.
#[derive(Serialize, ToSchema)]
pub(super) struct OutputLink<'a> {
    n: u32,
    node_id: &'a str,
    r#type: &'a str,
    key: &'a str,
    filename: &'a str,
    subfolder: &'a str,
    folder: &'a str,
    path: Option<&'a str>,
    downloaded: bool,
    local_name: Option<&'a str>,
    size: Option<u64>,
    sha256: Option<&'a str>,
    media_type: Option<&'a str>,
    text: Option<&'a str>,
    problem: Option<&'a str>,
    url: Option<String>,
}

impl<'a> OutputLink<'a> {
    /// The outputs of a run.
    pub(super) fn of(view: &'a RunView) -> Vec<Self> {
        view.outputs.iter().map(|output| Self::one(view, output)).collect()
    }

    /// One of them.
    pub(super) fn one(view: &RunView, output: &'a OutputView) -> Self {
        let stored = output.local_name.is_some();
        Self {
            n: output.n,
            node_id: output.node_id.as_str(),
            r#type: output.kind,
            key: &output.key,
            filename: &output.filename,
            subfolder: &output.subfolder,
            folder: &output.folder,
            path: output.path.as_deref(),
            downloaded: output.downloaded,
            local_name: output.local_name.as_deref(),
            size: output.size,
            sha256: output.sha256.as_ref().map(comfyd_engine::Sha256::as_str),
            media_type: output.media_type.as_deref(),
            text: output.text.as_deref(),
            problem: output.problem.as_deref(),
            url: stored.then(|| format!("/api/v1/runs/{}/outputs/{}/content", view.run_id, output.n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{execute, idempotency_key};
    use crate::api::body::Fields;
    use crate::app::{Image, Images, Source, Target, Validation};

    fn wish(body: &str) -> Result<crate::app::Execute, crate::problem::Problem> {
        execute(Fields::parse(body.as_bytes())?)
    }

    #[test]
    fn a_wish_keeps_its_numbers_and_its_text() {
        let body = r#"{"workflow": {"3": {"inputs": {"seed": 18446744073709551615, "cfg": 1.0}}}, "url": "http://127.0.0.1:8188",
            "inputs": {"3.seed": 12345678901234567890, "6.text": "5"}, "input_images": {"7": "/a.png"}, "workflow_name": "x", "priority": -1}"#;
        let wish = wish(body).expect("a good body");
        let text = r#"{"3": {"inputs": {"seed": 18446744073709551615, "cfg": 1.0}}}"#;
        assert_eq!(wish.source, Source::Inline { text: text.to_owned(), file: None });
        assert_eq!(wish.target, Some(Target::Url("http://127.0.0.1:8188".to_owned())));
        let inputs = [("3.seed".to_owned(), "12345678901234567890".to_owned()), ("6.text".to_owned(), "\"5\"".to_owned())];
        assert_eq!(wish.inputs, inputs);
        assert_eq!(wish.images, Images::ByNode([("7".to_owned(), Image::File("/a.png".into()))].into()));
        assert_eq!((wish.name.as_deref(), wish.priority), (Some("x"), -1));
        assert_eq!((wish.canvas, wish.validation), (None, Validation::Before));
    }

    #[test]
    fn a_wish_may_bring_its_canvas_and_go_unchecked() {
        let wish =
            wish(r#"{"workflow": {}, "canvas": {"nodes": [1e400], "links": []}, "validate": false}"#).expect("a good body");
        assert_eq!(wish.canvas.as_deref(), Some(r#"{"nodes": [1e400], "links": []}"#));
        assert_eq!(wish.validation, Validation::ByInstance);
    }

    #[test]
    fn what_python_writes_is_taken() {
        let wish =
            wish(r#"{"workflow": {"1": {"inputs": {"scale": NaN}}}, "inputs": {"1.scale": -Infinity}}"#).expect("Python's JSON");
        assert_eq!(wish.source, Source::Inline { text: r#"{"1": {"inputs": {"scale": NaN}}}"#.to_owned(), file: None });
        assert_eq!(wish.inputs, [("1.scale".to_owned(), "-Infinity".to_owned())]);
    }

    #[test]
    fn a_bad_wish_says_what_is_wrong() {
        let rows = [
            ("{}", "no_workflow"),
            (r#"{"workflow": null}"#, "no_workflow"),
            (r#"{"workflow": {}, "workflow_file": "a"}"#, "two_workflows"),
            (r#"{"template": "a", "workflow_file": "a"}"#, "two_workflows"),
            (r#"{"template": ["a"]}"#, "bad_field"),
            (r#"{"workflow_file": 3}"#, "bad_field"),
            (r#"{"workflow": {}, "priority": "high"}"#, "bad_field"),
            (r#"{"workflow": {}, "validate": "no"}"#, "bad_field"),
            (r#"{"workflow": {}, "input_images": "a.png"}"#, "bad_field"),
            (r#"{"workflow": {}, "input_images": [3]}"#, "bad_field"),
            (r#"{"workflow": {}, "inputs": [1]}"#, "bad_field"),
            (r#"{"workflow": {}, "retry_of": "x"}"#, "bad_field"),
            (r#"{"workflow": {}, "instance": "A B"}"#, "bad_instance"),
            (r#"{"workflow": {}, "instance": "a", "url": "b"}"#, "two_targets"),
            (r#"{"workflow": {}, "ssh_connection": "ssh -A x"}"#, "ssh_option"),
            (r#"{"workflow": {}, "comfyui_port": 8188}"#, "field_alone"),
            (r#"{"workflow": {}, "ssh_connection": "ssh a@x", "url": "http://127.0.0.1:1"}"#, "two_targets"),
            ("nonsense", "not_json"),
        ];
        for (body, code) in rows {
            let problem = wish(body).expect_err(body);
            assert_eq!(problem.code, code, "{body}");
            assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{body}");
        }
    }

    #[test]
    fn keys_are_short_and_plain() {
        let key =
            |text: &str| idempotency_key(Some(&axum::http::HeaderValue::from_bytes(text.as_bytes()).expect("a header value")));
        assert_eq!(idempotency_key(None).expect("none"), None);
        assert_eq!(key("k-1").expect("good"), Some("k-1".to_owned()));
        assert!(key("").is_err() && key(&"k".repeat(201)).is_err() && key("\u{e9}").is_err());
        assert_eq!(key("setup/a/0/1").expect_err("those of workflows").status, 400);
    }
}
