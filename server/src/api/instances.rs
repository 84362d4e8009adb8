//! `/api/v1/instances`.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use comfyd_adapters::ssh::Secret;
use comfyd_engine::InstanceId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::body::{self, Fields};
use super::reply::{Answer, flag, ok, query_of, success};
use super::routes::Ctx;
use crate::instances::{InstanceView, NewInstance, Place, SetInstance, SshWish, StatsView, TestReport};
use crate::problem::Problem;

/// All instances.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    /// By name.
    instances: Vec<InstanceView>,
}

/// An instance to be added.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct AddBody {
    /// Its name, which runs give as `instance`.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$")]
    name: String,
    /// Its address: `http://HOST:PORT`, where the host is loopback or an allowed one. Either this or `ssh_connection`.
    url: Option<String>,
    /// How its machine is reached over SSH: `ssh -p 40738 root@198.51.100.7`.
    ssh_connection: Option<String>,
    /// `ComfyUI`'s port on that machine; 18188 if none is told.
    comfyui_port: Option<u16>,
    /// The file of the private key on comfyd's machine, where the connection does not name it.
    identity: Option<String>,
    /// `ComfyUI`'s output folder on that machine, where it cannot be found out.
    output_dir: Option<String>,
    /// What people call it.
    #[schema(max_length = 200)]
    label: Option<String>,
    /// Whether runs that name no instance go there.
    default: Option<bool>,
}

/// What to change of an instance; what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct EditBody {
    /// Its address; refused while runs of it are open, as another address is another server.
    url: Option<String>,
    /// How its machine is reached over SSH; refused while runs of it are open, as another machine is another server.
    ssh_connection: Option<String>,
    /// `ComfyUI`'s port on that machine; given with `ssh_connection`.
    comfyui_port: Option<u16>,
    /// The file of the private key; given with `ssh_connection`.
    identity: Option<String>,
    /// `ComfyUI`'s output folder on that machine; given with `ssh_connection`.
    output_dir: Option<String>,
    /// What people call it; empty for nothing.
    #[schema(max_length = 200)]
    label: Option<String>,
    /// Whether runs that name no instance go there.
    default: Option<bool>,
}

/// An address to be tested.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct TestBody {
    /// `http://HOST:PORT`, where the host is loopback or an allowed one. Either this or `ssh_connection`.
    url: Option<String>,
    /// How a machine is reached over SSH.
    ssh_connection: Option<String>,
    /// `ComfyUI`'s port on that machine; 18188 if none is told.
    comfyui_port: Option<u16>,
    /// The file of the private key on comfyd's machine, where the connection does not name it.
    identity: Option<String>,
    /// `ComfyUI`'s output folder on that machine.
    output_dir: Option<String>,
}

/// Whose host key is accepted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct TrustBody {
    /// The fingerprint of exactly the key that the machine presents: `SHA256:` and 43 characters.
    #[schema(pattern = "^SHA256:[A-Za-z0-9+/]{43}$")]
    fingerprint: String,
    /// Accept it also where the machine had another key before.
    replace: Option<bool>,
}

/// What somebody typed for an instance; kept in memory until the server ends, and shown nowhere.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is read field by field")]
pub(super) struct UnlockBody {
    /// The passphrase of the private key.
    #[schema(format = Password)]
    passphrase: Option<String>,
    /// The password of the user on the machine.
    #[schema(format = Password)]
    password: Option<String>,
}

/// That an instance is removed.
#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    /// Its name.
    name: InstanceId,
    /// The same for people.
    message: &'static str,
}

/// The classes of nodes that an instance has.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of an answer that is passed on as it came")]
pub(super) struct ClassesBody {
    /// By name, as ComfyUI's `/object_info` describes them.
    classes: Map<String, Value>,
}

/// Lists the instances.
#[utoipa::path(get, path = "/api/v1/instances", operation_id = "listInstances", tag = "instances",
    responses((status = 200, description = "All of them, by name.", body = Listed)))]
pub(super) async fn list(State(ctx): State<Ctx>) -> Answer {
    ok(&Listed { instances: ctx.app.instances() })
}

/// Adds an instance.
#[utoipa::path(post, path = "/api/v1/instances", operation_id = "addInstance", tag = "instances",
    request_body = AddBody,
    responses((status = 201, description = "It is recorded; `Location` is its address.", body = InstanceView), (status = 409, description = "Its runs are open, the configuration file has it, or its address or the default is taken.", body = Problem), (status = 403, description = "The address is not allowed, or a page of another origin asked.", body = Problem)))]
pub(super) async fn add(State(ctx): State<Ctx>, request: Request) -> Answer {
    let mut fields = body::fields(request).await?;
    let name: String = needed(&mut fields, "name", "the name that runs give as `instance`, such as gpu-1")?;
    let new = NewInstance {
        name: name_of(&name)?,
        place: place(&mut fields)?.ok_or_else(no_place)?,
        label: fields.take("label")?,
        default: fields.take("default")?.unwrap_or(false),
    };
    let view = ctx.app.add_instance(new).await?;
    let mut response = success(StatusCode::CREATED, &view)?;
    let place = HeaderValue::from_str(&format!("/api/v1/instances/{}", view.name));
    response.headers_mut().insert(LOCATION, place.map_err(|_| Problem::internal("an instance id is not a header value"))?);
    Ok(response)
}

/// Shows an instance.
#[utoipa::path(get, path = "/api/v1/instances/{name}", operation_id = "getInstance", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    responses((status = 200, description = "The instance as it is known now.", body = InstanceView)))]
pub(super) async fn one(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    ok(&ctx.app.instance(&name)?)
}

/// Changes an instance; what is left out stays.
#[utoipa::path(put, path = "/api/v1/instances/{name}", operation_id = "setInstance", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    request_body = EditBody,
    responses((status = 200, description = "It is recorded.", body = InstanceView), (status = 409, description = "Its runs are open, the configuration file has it, or its address or the default is taken.", body = Problem), (status = 403, description = "The address is not allowed, or a page of another origin asked.", body = Problem)))]
pub(super) async fn edit(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let mut fields = body::fields(request).await?;
    let change = SetInstance { place: place(&mut fields)?, label: fields.take("label")?, default: fields.take("default")? };
    if change == SetInstance::default() {
        let hint = "Give `url`, `ssh_connection`, `label` or `default`.";
        return Err(Problem::invalid("nothing_to_change", "the request changes nothing", hint));
    }
    ok(&ctx.app.set_instance(&name, change).await?)
}

/// Removes an instance; its runs stay in history.
#[utoipa::path(delete, path = "/api/v1/instances/{name}", operation_id = "removeInstance", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    responses((status = 200, description = "It is removed.", body = Removed), (status = 409, description = "Its runs are open, or the configuration file has it.", body = Problem)))]
pub(super) async fn remove(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let name = ctx.app.remove_instance(&name).await?;
    ok(&Removed { name, message: "The instance is removed; its runs stay in history" })
}

/// Goes the way to an instance step by step.
///
/// The answer is the verdict, also when it is bad.
#[utoipa::path(post, path = "/api/v1/instances/{name}/test", operation_id = "testInstance", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    responses((status = 200, description = "The verdict, good or bad.", body = TestReport)))]
pub(super) async fn test(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    body::fields(request).await?;
    ok(&ctx.app.test_instance(&name).await?)
}

/// Goes the way to an address step by step, without an instance.
#[utoipa::path(post, path = "/api/v1/instances/test", operation_id = "testAddress", tag = "instances",
    request_body = TestBody,
    responses((status = 200, description = "The verdict, good or bad.", body = TestReport), (status = 403, description = "The address is not allowed, or a page of another origin asked.", body = Problem)))]
pub(super) async fn test_url(State(ctx): State<Ctx>, request: Request) -> Answer {
    let mut fields = body::fields(request).await?;
    let place = place(&mut fields)?.ok_or_else(no_place)?;
    ok(&ctx.app.test_place(&place).await?)
}

/// Accepts the host key of a machine.
///
/// Exactly the key whose fingerprint is given, and only if the machine presents it.
#[utoipa::path(post, path = "/api/v1/instances/{name}/trust", operation_id = "trustInstance", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    request_body = TrustBody,
    responses((status = 200, description = "The decision is recorded, and its runs go on.", body = InstanceView), (status = 409, description = "The machine presents another key or none, the key changed, or the instance is not reached over SSH.", body = Problem), (status = 502, description = "The machine cannot be reached, so it presents no key.", body = Problem)))]
pub(super) async fn trust(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let mut fields = body::fields(request).await?;
    let fingerprint: String = needed(&mut fields, "fingerprint", "the fingerprint that the test of the instance shows")?;
    let replace = fields.take("replace")?.unwrap_or(false);
    ok(&ctx.app.trust_instance(&name, fingerprint.trim(), replace).await?)
}

/// Takes the passphrase of a private key, or a password.
///
/// It is kept in memory until the server ends, and the way to the instance is tried again.
#[utoipa::path(post, path = "/api/v1/instances/{name}/unlock", operation_id = "unlockInstance", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    request_body = UnlockBody,
    responses((status = 200, description = "It is kept.", body = InstanceView), (status = 409, description = "The instance is not reached over SSH.", body = Problem)))]
pub(super) async fn unlock(State(ctx): State<Ctx>, Path(name): Path<String>, request: Request) -> Answer {
    let mut fields = body::fields(request).await?;
    let passphrase: Option<String> = fields.take("passphrase")?;
    let password: Option<String> = fields.take("password")?;
    if passphrase.is_none() && password.is_none() {
        let hint = "Give `passphrase` for the private key, or `password` for the user.";
        return Err(Problem::invalid("nothing_to_change", "the request holds no secret", hint));
    }
    ok(&ctx.app.unlock_instance(&name, passphrase.map(Secret::new), password.map(Secret::new))?)
}

/// How an instance is reached, from a request that tells it.
fn place(fields: &mut Fields) -> Result<Option<Place>, Problem> {
    let url: Option<String> = fields.take("url")?;
    let connection: Option<String> = fields.take("ssh_connection")?;
    let comfyui_port: Option<u16> = fields.take("comfyui_port")?;
    let identity: Option<String> = fields.take("identity")?;
    let output_dir: Option<String> = fields.take("output_dir")?;
    let of_ssh =
        [("comfyui_port", comfyui_port.is_some()), ("identity", identity.is_some()), ("output_dir", output_dir.is_some())];
    let alone = of_ssh.iter().find(|(_, given)| *given && connection.is_none());
    match (url, connection, alone) {
        (_, _, Some((name, _))) => {
            let message = format!("`{name}` is given without `ssh_connection`");
            Err(Problem::invalid("field_alone", message, "Give `ssh_connection` with it."))
        }
        (Some(_), Some(_), None) => {
            Err(Problem::invalid("two_targets", "`url` and `ssh_connection` are given", "Give one of them."))
        }
        (Some(url), None, None) => Ok(Some(Place::Url(url))),
        (None, Some(connection), None) => {
            Ok(Some(Place::Ssh(SshWish { connection, comfyui_port, identity, password_file: None, output_dir })))
        }
        (None, None, None) => Ok(None),
    }
}

fn no_place() -> Problem {
    let hint =
        "Give the address of the ComfyUI, such as http://127.0.0.1:8188, or `ssh_connection`: ssh -p 40738 root@198.51.100.7.";
    Problem::invalid("field_missing", "field `url` is missing, and so is `ssh_connection`", hint)
}

/// Asks an instance what it tells of itself.
#[utoipa::path(get, path = "/api/v1/instances/{name}/stats", operation_id = "getInstanceStats", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance.")),
    responses((status = 200, description = "Version, devices, memory and queue as of now.", body = StatsView), (status = 502, description = "The instance does not answer, or not as a ComfyUI.", body = Problem), (status = 504, description = "It does not answer in time.", body = Problem)))]
pub(super) async fn stats(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    ok(&ctx.app.instance_stats(&name).await?)
}

/// What of the classes is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only this class.
    class: Option<String>,
    /// `1` asks the instance again; else the answer is kept while it is the same process.
    #[param(pattern = "^[01]$")]
    fresh: Option<String>,
}

/// Tells which classes of nodes an instance has.
#[utoipa::path(get, path = "/api/v1/instances/{name}/object_info", operation_id = "getClasses", tag = "instances",
    params(("name" = String, Path, description = "The name of the instance."), Wanted),
    responses((status = 200, description = "As its `/object_info` describes them, with an `ETag`.", body = ClassesBody), (status = 304, description = "They are as they were."), (status = 502, description = "The instance does not answer, or not as a ComfyUI.", body = Problem), (status = 504, description = "It does not answer in time.", body = Problem)))]
pub(super) async fn object_info(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let wanted = query_of(query)?;
    let classes = ctx.app.classes(&name, wanted.class.as_deref(), flag("fresh", wanted.fresh.as_deref())?).await?;
    let tag = format!("\"{}\"", classes.sha256);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same =
        known.flat_map(|tags| tags.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*");
    let mut response = if same {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        // Passed on as it came: it can be large, and every number in it stays.
        let parts = [Bytes::from_static(b"{\"success\":true,\"classes\":"), classes.json, Bytes::from_static(b"}")];
        let parts = parts.map(Ok::<_, std::convert::Infallible>);
        let mut whole = Response::new(Body::from_stream(futures_util::stream::iter(parts)));
        whole.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        whole
    };
    let tag = HeaderValue::from_str(&tag).map_err(|_| Problem::internal("a hash is not a header value"))?;
    response.headers_mut().insert(ETAG, tag);
    // Kept by the caller only to ask whether it still holds.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

fn name_of(text: &str) -> Result<InstanceId, Problem> {
    text.parse().map_err(|error| Problem::invalid("bad_instance", format!("field `name`: {error}"), "Correct the name."))
}

fn needed(fields: &mut Fields, name: &str, what: &str) -> Result<String, Problem> {
    let given: Option<String> = fields.take(name)?;
    given.ok_or_else(|| Problem::invalid("field_missing", format!("field `{name}` is missing"), format!("Give {what}.")))
}
