//! Putting everything in place that a prompt needs: files, output nodes, the final graph.
//!
//! Invariant: every step can be done twice without harm, as uploads are named by their content.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use bytes::Bytes;
use comfyd_engine::{NodeId, Outcome, PlannedNode, RunError, Sha256, Upload, UploadedFile};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Executor, run_error};
use crate::comfy::http::HttpError;
use crate::digest::sha256;
use crate::workflow::{Graph, WorkflowError};

/// How large a graph may travel in the log (reliability.md 2).
const MAX_BLOB: usize = 256 * 1024;
/// How many classes are asked for at a time.
const AT_ONCE: usize = 4;

/// Staging did not come to its end.
enum Halt {
    Failed(RunError),
    Delayed(String),
}

impl From<WorkflowError> for Halt {
    fn from(error: WorkflowError) -> Self {
        Self::Failed(run_error(error.code(), error.to_string(), &error.hint()))
    }
}

impl Executor {
    pub(super) async fn stage(&self, graph: &Sha256, uploads: &[Upload], outputs: Option<Vec<NodeId>>) -> Outcome {
        match self.try_stage(graph, uploads, outputs).await {
            Ok(outcome) => outcome,
            Err(Halt::Failed(error)) => Outcome::StagingFailed { error },
            Err(Halt::Delayed(why)) => Outcome::StagingDelayed { why },
        }
    }

    async fn try_stage(&self, hash: &Sha256, uploads: &[Upload], outputs: Option<Vec<NodeId>>) -> Result<Outcome, Halt> {
        let bytes = self.blob(hash, "the workflow").await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            let message = "the stored workflow is no UTF-8 text".to_owned();
            Halt::Failed(run_error("workflow_not_json", message, "Start the run again from its workflow file."))
        })?;
        let mut graph = Graph::parse(text)?;
        let uploaded = self.upload_all(uploads).await?;
        for file in &uploaded {
            graph.set_text(&file.node, &file.input, &file.name)?;
        }
        let outputs = match outputs {
            Some(outputs) => outputs,
            None => self.outputs_of(&graph).await?,
        };
        let (prompt, blob) = if graph.text() == text {
            (hash.clone(), None)
        } else if graph.text().len() <= MAX_BLOB {
            (sha256(graph.text().as_bytes()), Some(graph.text().as_bytes().to_vec()))
        } else {
            let kept = self.deps.blobs.put(Bytes::copy_from_slice(graph.text().as_bytes())).await;
            (kept.map_err(|error| Halt::Delayed(format!("store the workflow: {error}")))?, None)
        };
        Ok(Outcome::Staged { prompt, outputs, uploaded, blob })
    }

    async fn blob(&self, hash: &Sha256, what: &str) -> Result<Bytes, Halt> {
        match self.deps.blobs.get(hash).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let message = format!("{what} ({hash}) is no longer stored here");
                Err(Halt::Failed(run_error("upload_missing", message, "Start the run again with its files.")))
            }
            Err(error) => Err(Halt::Delayed(format!("read {what}: {error}"))),
        }
    }

    async fn upload_all(&self, uploads: &[Upload]) -> Result<Vec<UploadedFile>, Halt> {
        let mut names: BTreeMap<(Sha256, String), String> = BTreeMap::new();
        let mut done = Vec::new();
        for upload in uploads {
            let asked = upload.name_for(&self.deps.client);
            let key = (upload.blob.clone(), asked.clone());
            let name = if let Some(name) = names.get(&key) {
                name.clone()
            } else {
                let bytes = self.blob(&upload.blob, &format!("the file {}", upload.file_name)).await?;
                let uploaded = self.bulk.upload_image(&asked, &bytes).await;
                let name = uploaded.map_err(|error| upload_halt(&upload.file_name, &error))?.name();
                names.insert(key, name.clone());
                name
            };
            done.push(UploadedFile { node: upload.node.clone(), input: upload.input.clone(), name });
        }
        Ok(done)
    }

    /// The output nodes among these, if the server told of all their classes since it came up, and is up.
    pub fn known_outputs(&self, nodes: &[PlannedNode]) -> Option<Vec<NodeId>> {
        let ups = self.deps.link.peer().ups;
        let classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        if classes.ups != ups {
            return None;
        }
        let mut outputs = Vec::new();
        for node in nodes {
            if classes.known.get(&node.class).copied().flatten()? {
                outputs.push(node.id.clone());
            }
        }
        Some(outputs)
    }

    /// The output nodes; where a class is not known, the nodes at the end of the graph. What is wrong with it the POST will tell.
    async fn outputs_of(&self, graph: &Graph) -> Result<Vec<NodeId>, Halt> {
        let classes = graph.classes();
        let asked = futures_util::stream::iter(classes).map(|class| async move {
            let known = self.is_output(&class).await?;
            Ok::<_, HttpError>((class, known))
        });
        let known: BTreeMap<String, Option<bool>> =
            asked.buffered(AT_ONCE).try_collect().await.map_err(|error| Halt::Delayed(error.to_string()))?;
        let sinks = graph.sinks();
        let is_output = |id: &NodeId, class: &str| known.get(class).copied().flatten().unwrap_or_else(|| sinks.contains(id));
        Ok(graph.planned().into_iter().filter(|node| is_output(&node.id, &node.class)).map(|node| node.id).collect())
    }

    /// Whether nodes of a class are outputs; none if the server cannot tell.
    async fn is_output(&self, class: &str) -> Result<Option<bool>, HttpError> {
        let ups = self.deps.link.peer().ups;
        {
            let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
            if classes.ups != ups {
                classes.ups = ups;
                classes.known.clear();
            }
            if let Some(known) = classes.known.get(class) {
                return Ok(*known);
            }
        }
        let known = match self.deps.http.object_info(class).await {
            Ok(known) => known,
            // A class whose description is broken: it may run all the same.
            Err(HttpError::Status { .. } | HttpError::Shape { .. } | HttpError::TooLarge { .. }) => None,
            Err(error @ (HttpError::Connect { .. } | HttpError::Timeout { .. } | HttpError::Broken { .. })) => return Err(error),
        };
        // A class that is missing now may be installed without a restart being seen.
        if known.is_some() {
            self.classes.lock().unwrap_or_else(PoisonError::into_inner).known.insert(class.to_owned(), known);
        }
        Ok(known)
    }
}

fn upload_halt(file: &str, error: &HttpError) -> Halt {
    match error {
        HttpError::Status { status: 413, .. } => Halt::Failed(run_error(
            "upload_too_large",
            format!("ComfyUI refused the file {file}: it is larger than the server takes"),
            "Use a smaller file, or start ComfyUI with a larger --max-upload-size.",
        )),
        HttpError::Status { status: status @ 400..=499, body, .. } => Halt::Failed(run_error(
            "upload_refused",
            format!("ComfyUI refused the file {file} with status {status} {body}"),
            "Check the file, and ComfyUI's own log.",
        )),
        HttpError::Status { .. }
        | HttpError::Connect { .. }
        | HttpError::Timeout { .. }
        | HttpError::Broken { .. }
        | HttpError::TooLarge { .. }
        | HttpError::Shape { .. } => Halt::Delayed(format!("upload {file}: {error}")),
    }
}
