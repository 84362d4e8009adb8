//! Makes the spec.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use comfyd_adapters::comfy::ports::Blobs;
use comfyd_adapters::digest::sha256;
use comfyd_adapters::env::Rng;
use comfyd_adapters::hot::Hot;
use comfyd_adapters::workflow::{Graph, WorkflowError};
use comfyd_engine::{Idempotency, PlannedNode, PromptSpec, RunId, RunSpec, Sha256, Timestamp, Workload};
use comfyd_workflow::embedded::{Container, Embedded};

use super::files;
use super::{Durations, Execute, Image, Images, Source, Validation};
use crate::conversion::canvas_of;
use crate::core::CoreHandle;
use crate::instances::Board;
use crate::known::KnownInstances;
use crate::offload::Offload;
use crate::problem::Problem;
use crate::store::Health;
use crate::templates::Library;
use crate::vault::Vault;

/// Graphs up to this size travel in the log.
const INLINE_BLOB: usize = 256 << 10;
/// Graphs from this size on take longer to read than handing them to another thread does.
const LARGE_GRAPH: usize = 64 << 10;
/// Limits of a request (reliability.md 9).
const MAX_WORKFLOW: u64 = 16 << 20;
pub(super) const MAX_IMAGE: u64 = comfyd_adapters::comfy::executor::MAX_UPLOAD;

/// What callers may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Where a run goes that names no instance.
    pub(crate) default_url: Option<String>,
    /// Hosts that a `url` may name beside loopback; none for any host.
    pub(crate) url_hosts: Option<Vec<String>>,
    /// `ComfyUI`'s port on machines that are reached over SSH, where none is told.
    pub(crate) comfyui_port: u16,
    /// Folders whose files may be read.
    pub(crate) input_roots: Vec<PathBuf>,
    /// Folders that copies of outputs may go to.
    pub(crate) output_roots: Vec<PathBuf>,
    /// New runs are refused below this much free disk space.
    pub(crate) min_free: u64,
}

/// A workflow's text, where it came from, and what people call it.
pub(crate) struct Given {
    pub(crate) text: String,
    /// The canvas beside it, in a picture that has both.
    pub(crate) canvas: Option<String>,
    pub(crate) file: Option<String>,
    title: Option<String>,
}

/// Makes specs.
pub(crate) struct Intake {
    pub(crate) rules: Hot<Rules>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) durations: Arc<Durations>,
    pub(crate) store: Arc<crate::store::FileStore>,
    pub(crate) offload: Offload,
    pub(crate) board: Arc<Board>,
    pub(crate) templates: Arc<Library>,
    pub(crate) known: Arc<KnownInstances>,
}

/// A spec with the bytes that go into the log beside it.
pub(crate) struct Prepared {
    pub(crate) spec: RunSpec,
    pub(crate) blobs: Vec<(Sha256, Vec<u8>)>,
    /// The graph as it will be sent, but for the names of files.
    pub(crate) graph: Arc<Graph>,
}

/// A `UUIDv7` of this time.
pub(crate) fn new_run_id(now: Timestamp, rng: &dyn Rng) -> RunId {
    let mut random = [0u8; 10];
    for byte in &mut random {
        *byte = u8::try_from(rng.below(256)).expect("below 256");
    }
    RunId::new(uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
}

impl Intake {
    pub(crate) async fn prepare(&self, request: Execute, body: Option<Sha256>, core: &CoreHandle) -> Result<Prepared, Problem> {
        self.check_room()?;
        let Given { text, canvas: _, file, title } = self.text(&request.source).await?;
        let mut graph = self.parsed(text).await?;
        for (target, value) in &request.inputs {
            set(&mut graph, target, value)?;
        }
        let output_dir =
            request.output_dir.as_deref().map(|dir| files::check_output_dir(dir, &self.rules.get().output_roots)).transpose()?;
        let uploads = self.uploads(&graph, request.images).await?;
        let instance = self.instance(request.target.as_ref(), core).await?;
        let name = request.name.or(title).or_else(|| file.as_deref().map(stem)).unwrap_or_else(|| "workflow".to_owned());
        let (hash, mut blobs) = self.keep(graph.text().as_bytes()).await?;
        let mut canvas = None;
        if let Some(text) = request.canvas {
            let (hash, kept) = self.keep(text.as_bytes()).await?;
            blobs.extend(kept);
            canvas = Some(hash);
        }
        // Without files to upload, a run whose output nodes are known goes straight to the instance.
        let nodes = self.weighed(graph.planned());
        let outputs = if uploads.is_empty() { self.known.outputs_of(&instance, &nodes) } else { None };
        let prompt = PromptSpec { graph: hash, nodes, outputs, uploads, canvas, notes: request.notes };
        let spec = RunSpec {
            priority: request.priority,
            retry_of: request.retry_of,
            workflow_file: file,
            output_dir,
            ssh_connection: self.ssh_of(&instance),
            idempotency: request.idempotency_key.zip(body).map(|(key, body)| Idempotency { key, body }),
            ..RunSpec::new(&name.chars().take(200).collect::<String>(), instance, Workload::Prompt(prompt))
        };
        Ok(Prepared { spec, blobs, graph: Arc::new(graph) })
    }

    pub(crate) fn check_room(&self) -> Result<(), Problem> {
        if let Health::ReadOnly { why } = self.store.health() {
            return Err(Problem::read_only(&why));
        }
        let rules = self.rules.get();
        let free = self.store.free_bytes().map_err(|error| {
            let message = format!("the free space of the data directory cannot be read: {error}");
            Problem::unavailable(
                "data_directory_unreadable",
                message,
                "Look at the data directory and its disk. Nothing was started.",
            )
        })?;
        if free < rules.min_free {
            let message = format!("only {} MiB are free on the disk of the data directory", free >> 20);
            let hint = format!("Free disk space: new runs need {} MiB. Runs that exist go on.", rules.min_free >> 20);
            return Err(Problem::new(507, "disk_full", message, hint));
        }
        Ok(())
    }

    /// Reads a file where that may block.
    pub(super) async fn read(&self, field: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, Problem> {
        let (path, roots) = (path.to_owned(), self.rules.get().input_roots.clone());
        self.offload.run(move || files::read(field, &path, &roots, limit)).await
    }

    /// The graph of a text. A large one is read beside the tasks that serve others.
    async fn parsed(&self, text: String) -> Result<Graph, Problem> {
        let parsed =
            if text.len() < LARGE_GRAPH { Graph::parse(&text) } else { self.offload.run(move || Graph::parse(&text)).await };
        parsed.map_err(|error| bad_workflow(&error))
    }

    /// The text of a workflow, out of a request, a file or a template.
    pub(crate) async fn text(&self, source: &Source) -> Result<Given, Problem> {
        match source {
            Source::Inline { text, file } => Ok(Given { text: text.clone(), canvas: None, file: file.clone(), title: None }),
            Source::File(path) => {
                // Pictures and films are larger than the workflows in them.
                let bytes = match self.read("workflow_file", path, MAX_WORKFLOW).await {
                    Err(too_large) if too_large.code == "file_too_large" => {
                        let bytes = self.read("workflow_file", path, MAX_IMAGE).await.unwrap_or_default();
                        if Container::of(&bytes).is_none() {
                            return Err(too_large);
                        }
                        bytes
                    }
                    other => other?,
                };
                let Held { text, canvas } = held(bytes).map_err(|(code, why)| {
                    Problem::invalid(
                        code,
                        format!("workflow_file: {} {why}", path.display()),
                        "Give a workflow (JSON), or a picture, film or sound that ComfyUI saved with its workflow.",
                    )
                })?;
                Ok(Given { text, canvas, file: Some(path.display().to_string()), title: None })
            }
            Source::Template(name) => {
                let template = self.templates.find(name).await?;
                template.check()?;
                let content = self.templates.content(&template).await?;
                Ok(Given { text: content.text, canvas: None, file: Some(template.file()), title: Some(template.title) })
            }
        }
    }

    /// Small bytes go into the log, large ones into a file that is synced before the log names it.
    async fn keep(&self, bytes: &[u8]) -> Result<(Sha256, Vec<(Sha256, Vec<u8>)>), Problem> {
        if bytes.len() <= INLINE_BLOB {
            let hash = sha256(bytes);
            return Ok((hash.clone(), vec![(hash, bytes.to_vec())]));
        }
        let stored = self.vault.put(Bytes::copy_from_slice(bytes)).await;
        stored.map(|hash| (hash, vec![])).map_err(|error| not_stored("the workflow", &error))
    }

    fn weighed(&self, mut nodes: Vec<PlannedNode>) -> Vec<PlannedNode> {
        for node in &mut nodes {
            node.expected_ms = self.durations.of(&node.class);
        }
        nodes
    }
}

/// What a file holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The workflow, of either kind.
    pub(crate) text: String,
    /// The canvas beside it.
    pub(crate) canvas: Option<String>,
}

/// The workflow that a file holds: its text, or what ComfyUI wrote into a picture, film or sound.
pub(crate) fn held(bytes: Vec<u8>) -> Result<Held, (&'static str, &'static str)> {
    let Some(found) = Embedded::read(&bytes) else {
        let text = String::from_utf8(bytes)
            .map_err(|_| ("workflow_not_text", "is neither UTF-8 text nor a file of a kind that ComfyUI saves"));
        return text.map(|text| Held { text, canvas: None });
    };
    match (found.prompt, found.workflow) {
        // The graph is what made the picture; the canvas would have to be converted, and only tells where its nodes stand.
        (Some(text), canvas) => {
            Ok(Held { text, canvas: canvas.filter(|text| text.len() as u64 <= MAX_WORKFLOW && canvas_of(text).is_some()) })
        }
        (None, Some(text)) => Ok(Held { text, canvas: None }),
        (None, None) => Err(("workflow_not_embedded", "holds no workflow")),
    }
}

/// The hash of everything in a request that makes it that request and no other.
pub(crate) fn fingerprint(request: &Execute) -> Sha256 {
    // What is noted is made from the canvas, later.
    let Execute {
        source,
        target,
        inputs,
        images,
        canvas,
        notes: _,
        validation,
        name,
        output_dir,
        priority,
        retry_of,
        idempotency_key: _,
    } = request;
    // The texts are only compared with others of this program's making.
    let images = match images {
        Images::InOrder(images) => images.iter().map(image_print).collect::<Vec<_>>(),
        Images::ByNode(map) => map.iter().map(|(node, image)| format!("{node:?}:{}", image_print(image))).collect(),
    };
    let mut text = format!("{source:?}\n{target:?}\n{inputs:?}\n{images:?}\n{name:?}\n{output_dir:?}\n{priority}\n{retry_of:?}");
    // Only where they are given, so that a request of an older version keeps its hash.
    if canvas.is_some() || *validation != Validation::Before {
        text = format!("{text}\n{canvas:?}\n{validation:?}");
    }
    sha256(text.as_bytes())
}

fn image_print(image: &Image) -> String {
    match image {
        Image::File(path) => format!("file {}", path.display()),
        Image::Bytes { name, bytes } => format!("bytes {name:?} {}", sha256(bytes)),
    }
}

fn stem(file: &str) -> String {
    let base = base_name(file);
    base.strip_suffix(".json").unwrap_or(&base).to_owned()
}

pub(super) fn base_name(file: &str) -> String {
    file.rsplit(['/', '\\']).next().unwrap_or(file).to_owned()
}

/// Sets `NODE.INPUT`: the longest beginning that names a node is the node, as ids and titles may hold dots.
fn set(graph: &mut Graph, target: &str, value: &str) -> Result<(), Problem> {
    let is_node = |name: &str| graph.names_node(name);
    let dots: Vec<usize> = target.match_indices('.').map(|(at, _)| at).collect();
    let at = dots.iter().rev().find(|at| is_node(&target[..**at])).or_else(|| dots.last()).copied();
    let Some(at) = at else {
        return Err(Problem::invalid(
            "input_name",
            format!("inputs: `{target}` is not NODE.INPUT"),
            "Write for example 3.seed, or \"KSampler.seed\" with the node's title.",
        ));
    };
    graph.set(&target[..at], &target[at + 1..], value).map_err(|error| bad_workflow(&error))
}

/// Why bytes could not be kept; the cause tells whether freeing space helps.
pub(crate) fn not_stored(what: &str, error: &std::io::Error) -> Problem {
    let mut message = format!("{what} cannot be stored: failed to {error}");
    let mut source = error.source();
    let mut full = error.kind() == std::io::ErrorKind::StorageFull;
    while let Some(cause) = source {
        full |= cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull);
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    if full {
        return Problem::new(507, "disk_full", message, "Free disk space; nothing was started.");
    }
    Problem::unavailable("not_stored", message, "Nothing was started. Look at the data directory and its disk, and try again.")
}

pub(super) fn bad_workflow(error: &WorkflowError) -> Problem {
    let too_large = error.code() == "workflow_too_large";
    Problem::new(if too_large { 413 } else { 400 }, error.code(), error.to_string(), error.hint())
}
