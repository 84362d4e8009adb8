//! What a run is asked to do.

use serde::{Deserialize, Serialize};

use crate::id::{ClientId, InstanceId, NodeId, RunId, Sha256};

/// Everything that a run needs, fixed when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The name shown to people.
    pub name: String,
    /// Where it runs.
    pub instance: InstanceId,
    /// What is walked.
    pub workload: Workload,
    /// Larger goes first among the waiting runs of an instance.
    #[serde(default)]
    pub priority: i32,
    /// The run that this one repeats.
    #[serde(default)]
    pub retry_of: Option<RunId>,
    /// The file that the workflow came from, as the user named it.
    #[serde(default)]
    pub workflow_file: Option<String>,
    /// The SSH connection in its normal form, without keys and passwords.
    #[serde(default)]
    pub ssh_connection: Option<String>,
    /// Where copies of the outputs go.
    #[serde(default)]
    pub output_dir: Option<String>,
    /// The caller's key for this request, so that a repeat is answered and not run.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
    /// The batch that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
}

impl RunSpec {
    /// A spec with everything optional left out.
    pub fn new(name: &str, instance: InstanceId, workload: Workload) -> Self {
        Self {
            name: name.to_owned(),
            instance,
            workload,
            priority: 0,
            retry_of: None,
            workflow_file: None,
            ssh_connection: None,
            output_dir: None,
            idempotency: None,
            batch: None,
        }
    }

    /// The blobs that it names, whether they travel in its log or not.
    pub fn blobs(&self) -> impl Iterator<Item = &Sha256> {
        let Workload::Prompt(prompt) = &self.workload;
        std::iter::once(&prompt.graph).chain(&prompt.canvas).chain(prompt.uploads.iter().map(|upload| &upload.blob))
    }
}

/// The key that names one request, with the hash of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Idempotency {
    /// The `Idempotency-Key`.
    pub key: String,
    /// The hash of the request's body: the same key with another body is refused.
    pub body: Sha256,
}

/// The kinds of work. An enum and no trait: it is stored, matched exhaustively and versioned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// A ComfyUI prompt: ComfyUI walks the graph, we watch.
    Prompt(PromptSpec),
}

/// A ComfyUI prompt in API format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptSpec {
    /// The hash of the graph's JSON text.
    pub graph: Sha256,
    /// Its nodes, in the order of the text.
    pub nodes: Vec<PlannedNode>,
    /// The output nodes, if the instance's classes were known already; else staging asks for them.
    #[serde(default)]
    pub outputs: Option<Vec<NodeId>>,
    /// Files to upload before the prompt is sent.
    #[serde(default)]
    pub uploads: Vec<Upload>,
    /// The hash of the canvas that the graph was made from, as its user gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canvas: Option<Sha256>,
    /// What was put right when the graph was made from it: warnings of the run from its beginning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// Something that its user should know about a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A stable name.
    pub code: String,
    /// What was found and done.
    pub message: String,
    /// The node concerned.
    #[serde(default)]
    pub node: Option<NodeId>,
}

/// A node of the graph as submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its key in the prompt.
    pub id: NodeId,
    /// Its class.
    pub class: String,
    /// Its title (`_meta.title`), where the workflow has one.
    #[serde(default)]
    pub title: Option<String>,
    /// The nodes that it takes inputs from.
    #[serde(default)]
    pub after: Vec<NodeId>,
    /// How long this class took before, in milliseconds; a weight for progress and the estimate.
    #[serde(default)]
    pub expected_ms: Option<u32>,
}

/// A file that an input of a node names, kept here by its hash until it is uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The hash of the file.
    pub blob: Sha256,
    /// The node that loads it.
    pub node: NodeId,
    /// The input that names it.
    pub input: String,
    /// The name that the user gave it.
    pub file_name: String,
}

impl Upload {
    /// The name that it is given on the instance where we are `client`: its content and who uploads it decide, so that a repeat finds its own file, two
    /// runs with one picture share it, and nobody else has a file of this name.
    ///
    /// ```
    /// # use comfyd_engine::{testkit::sha256_of_zeros, *};
    /// let upload = Upload { blob: sha256_of_zeros(), node: "1".into(), input: "image".into(), file_name: "photo of me.PNG".into() };
    /// assert_eq!(upload.name_for(&ClientId("0123-4567-89ab-cdef".into())), "comfyd_0000000000000000_89abcdef.png");
    /// ```
    pub fn name_for(&self, client: &ClientId) -> String {
        let ours: Vec<char> = client.0.chars().filter(char::is_ascii_alphanumeric).collect();
        let ours: String = ours[ours.len().saturating_sub(8)..].iter().collect::<String>().to_ascii_lowercase();
        let ending = self.file_name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let ending = ending.filter(|text| (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()));
        format!("comfyd_{}_{ours}.{}", &self.blob.as_str()[..16], ending.as_deref().unwrap_or("bin"))
    }
}
