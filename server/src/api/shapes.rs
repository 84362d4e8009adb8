//! What requests hold and short answers say, for the document.
//!
//! Bodies of requests are read field by field (see [`super::body`]), so that an error names its field and a workflow keeps its numbers; these are their
//! shapes. A field that is not named here is refused.

use comfyd_engine::{InstanceId, RunId};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

fn object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object)
}

fn of_type(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

/// A graph, or a text that holds one.
fn graph() -> Schema {
    OneOfBuilder::new().item(object()).item(of_type(Type::String)).item(of_type(Type::Null)).build().into()
}

/// A list of paths, or paths by node.
fn pictures() -> Schema {
    let list = ArrayBuilder::new().items(of_type(Type::String));
    let by_node = object().additional_properties(Some(of_type(Type::String)));
    OneOfBuilder::new().item(list).item(by_node).item(of_type(Type::Null)).build().into()
}

/// A wish to run a workflow. Exactly one of `workflow`, `workflow_file` and `template` is given, and at most one of `instance`, `url` and `ssh_connection`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct ExecuteBody {
    /// The workflow in API format or as a canvas, or a text that holds one.
    #[schema(schema_with = graph)]
    pub(super) workflow: Option<Value>,
    /// The path of a workflow on the server, below an input root.
    pub(super) workflow_file: Option<String>,
    /// The name of a template, see `GET /api/v1/workflows`.
    pub(super) template: Option<String>,
    /// The name shown to people.
    pub(super) workflow_name: Option<String>,
    /// A known instance.
    pub(super) instance: Option<InstanceId>,
    /// The address of a ComfyUI: loopback or an allowed host.
    pub(super) url: Option<String>,
    /// How the machine of a ComfyUI is reached over SSH: `ssh -p 40738 root@198.51.100.7`.
    pub(super) ssh_connection: Option<String>,
    /// ComfyUI's port on that machine.
    pub(super) comfyui_port: Option<u16>,
    /// Values to set: `NODE.INPUT` (id, title or class) to a value.
    pub(super) inputs: Option<Map<String, Value>>,
    /// Pictures on the server, below an input root: for the loading nodes in order of their ids, or by node id or title.
    #[schema(schema_with = pictures)]
    pub(super) input_images: Option<Value>,
    /// Where copies of the outputs go, below an output root.
    pub(super) output_dir: Option<String>,
    /// Larger goes first.
    pub(super) priority: Option<i32>,
    /// The run that this one repeats.
    pub(super) retry_of: Option<RunId>,
    /// The canvas that `workflow` was made from, or a text that holds one: it is kept with the run. A `workflow` that is a canvas is kept without.
    #[schema(schema_with = graph)]
    pub(super) canvas: Option<Value>,
    /// Whether what the instance is known to refuse is refused before it is queued; `true` if left out.
    pub(super) validate: Option<bool>,
}

/// A workflow to convert or to check, and the instance whose classes count: at most one of `instance`, `url` and `ssh_connection`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct ConvertBody {
    /// A canvas as `ComfyUI` saves it, or a graph in API format, or a text that holds one.
    #[schema(schema_with = graph)]
    pub(super) workflow: Option<Value>,
    /// A known instance.
    pub(super) instance: Option<InstanceId>,
    /// The address of a ComfyUI: loopback or an allowed host.
    pub(super) url: Option<String>,
    /// How the machine of a ComfyUI is reached over SSH: `ssh -p 40738 root@198.51.100.7`.
    pub(super) ssh_connection: Option<String>,
    /// ComfyUI's port on that machine.
    pub(super) comfyui_port: Option<u16>,
}

/// The same as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a form that is read field by field")]
pub(super) struct ConvertForm {
    /// The workflow, as a file or a text: JSON, or a picture, film or sound that ComfyUI saved with its workflow.
    #[schema(format = Binary)]
    pub(super) workflow: Option<String>,
    /// A known instance.
    pub(super) instance: Option<InstanceId>,
    /// The address of a ComfyUI: loopback or an allowed host.
    pub(super) url: Option<String>,
    /// How the machine of a ComfyUI is reached over SSH: `ssh -p 40738 root@198.51.100.7`.
    pub(super) ssh_connection: Option<String>,
    /// ComfyUI's port on that machine.
    pub(super) comfyui_port: Option<u16>,
}

/// The same as a form, with files. `input_images[NODE]` is a file for a certain node.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a form that is read field by field")]
pub(super) struct ExecuteForm {
    /// The workflow, as a file or a text.
    #[schema(format = Binary)]
    pub(super) workflow: Option<String>,
    /// The path of a workflow on the server.
    pub(super) workflow_file: Option<String>,
    /// The name of a template.
    pub(super) template: Option<String>,
    /// The name shown to people.
    pub(super) workflow_name: Option<String>,
    /// A known instance.
    pub(super) instance: Option<String>,
    /// The address of a ComfyUI.
    pub(super) url: Option<String>,
    /// How the machine of a ComfyUI is reached over SSH: `ssh -p 40738 root@198.51.100.7`.
    pub(super) ssh_connection: Option<String>,
    /// ComfyUI's port on that machine.
    pub(super) comfyui_port: Option<u16>,
    /// Values to set, as a JSON object.
    pub(super) inputs: Option<String>,
    /// Files for the loading nodes, in order of their ids.
    pub(super) input_images: Option<Vec<String>>,
    /// Where copies of the outputs go.
    pub(super) output_dir: Option<String>,
    /// Larger goes first.
    pub(super) priority: Option<i32>,
    /// The run that this one repeats.
    pub(super) retry_of: Option<String>,
    /// The canvas that `workflow` was made from, as a text: it is kept with the run.
    pub(super) canvas: Option<String>,
    /// Whether what the instance is known to refuse is refused before it is queued; `true` if left out.
    pub(super) validate: Option<bool>,
}

/// What one run of a batch has of its own.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a part of a body that is read field by field")]
pub(super) struct VariationBody {
    /// Values to set after the shared ones.
    pub(super) inputs: Option<Map<String, Value>>,
    /// Its name; else the shared one.
    pub(super) name: Option<String>,
}

/// A wish for several runs of one workflow: as many as there are variations, each so often as `repeat` says; 1,000 at most.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct BatchBody {
    /// The workflow in API format or as a canvas, or a text that holds one.
    #[schema(schema_with = graph)]
    pub(super) workflow: Option<Value>,
    /// The path of a workflow on the server, below an input root.
    pub(super) workflow_file: Option<String>,
    /// The name of a template.
    pub(super) template: Option<String>,
    /// The name shown to people.
    pub(super) workflow_name: Option<String>,
    /// A known instance.
    pub(super) instance: Option<InstanceId>,
    /// The address of a ComfyUI: loopback or an allowed host.
    pub(super) url: Option<String>,
    /// How the machine of a ComfyUI is reached over SSH: `ssh -p 40738 root@198.51.100.7`.
    pub(super) ssh_connection: Option<String>,
    /// ComfyUI's port on that machine.
    pub(super) comfyui_port: Option<u16>,
    /// Values to set in all runs: `NODE.INPUT` (id, title or class) to a value.
    pub(super) inputs: Option<Map<String, Value>>,
    /// Pictures on the server, below an input root: for the loading nodes in order of their ids, or by node id or title.
    #[schema(schema_with = pictures)]
    pub(super) input_images: Option<Value>,
    /// Where copies of the outputs go, below an output root.
    pub(super) output_dir: Option<String>,
    /// Larger goes first.
    pub(super) priority: Option<i32>,
    /// The canvas that `workflow` was made from, or a text that holds one: it is kept with the run. A `workflow` that is a canvas is kept without.
    #[schema(schema_with = graph)]
    pub(super) canvas: Option<Value>,
    /// Whether what the instance is known to refuse is refused before it is queued; `true` if left out.
    pub(super) validate: Option<bool>,
    /// How the runs differ.
    #[schema(max_items = 1000)]
    pub(super) variations: Option<Vec<VariationBody>>,
    /// How many runs there are of each variation; 1 if left out.
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) repeat: Option<usize>,
}

/// How to cancel.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct CancelBody {
    /// Cancel also where an old server may stop another prompt instead, or where nobody hears it.
    pub(super) force: Option<bool>,
}

/// The token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct LoginBody {
    /// What `comfyd token` prints.
    pub(super) token: String,
}

/// Nothing more to say.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {}

/// A run was started.
#[derive(Serialize, ToSchema)]
pub(super) struct Started {
    /// Its name in the plan's shapes.
    pub(super) workflow_id: String,
    /// Its id.
    pub(super) run_id: RunId,
    /// In words.
    pub(super) message: &'static str,
}

/// Something was asked of a run.
#[derive(Serialize, ToSchema)]
pub(super) struct Asked {
    /// Its name in the plan's shapes.
    pub(super) workflow_id: Option<String>,
    /// Its id.
    pub(super) run_id: RunId,
    /// In words.
    pub(super) message: &'static str,
}

/// A run was started that repeats another.
#[derive(Serialize, ToSchema)]
pub(super) struct Retried {
    /// The new run.
    pub(super) run_id: RunId,
    /// Its name in the plan's shapes.
    pub(super) workflow_id: String,
    /// The run that it repeats.
    pub(super) retry_of: RunId,
}
