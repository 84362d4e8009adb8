//! A wish to run a workflow as a form with files.
//!
//! Fields: `workflow` (a file, a text, or a picture that holds one), `input_images` (files, in the order of the loading nodes; `input_images[NODE]` for a certain one), and the others of
//! the JSON body as texts; `inputs` is JSON.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use comfyd_adapters::comfy::lenient::from_json;
use http_body_util::Limited;
use serde_json::{Map, Value};

use super::body::{Fields, paced};
use super::dto;
use super::guard::essence;
use super::strict::Taken;
use crate::app::{Execute, Image, Images, Source};
use crate::intake::{Held, held};
use crate::problem::Problem;
use crate::spool::Spool;

/// The largest workflow, and the largest text.
const MAX_TEXT: usize = 16 << 20;
/// The largest picture.
const MAX_IMAGE: usize = 64 << 20;
/// Pictures in one form.
const MAX_IMAGES: usize = 64;
/// The largest form.
const MAX_FORM: usize = 512 << 20;

#[derive(Default)]
struct Form {
    workflow: Option<(Option<String>, Bytes)>,
    canvas: Option<String>,
    in_order: Vec<Image>,
    by_node: BTreeMap<String, Image>,
    others: Map<String, Value>,
}

/// Whether a request is a form.
pub(super) fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(essence);
    kind.as_deref() == Some("multipart/form-data")
}

/// The wish in a form.
pub(super) async fn execute(request: Request, spool: &Spool) -> Result<Execute, Problem> {
    form(request, spool).await?.wish()
}

/// The workflow in a form, which may be a file of any kind that holds one, and the other fields.
pub(super) async fn alone(request: Request, spool: &Spool) -> Result<(Option<String>, Fields), Problem> {
    let form = form(request, spool).await?;
    let text = form.workflow.map(|(_, bytes)| workflow(bytes)).transpose()?.map(|held| held.text);
    let others = serde_json::to_vec(&form.others).map_err(|error| broken(&error.to_string()))?;
    Ok((text, Fields::parse(&others)?))
}

async fn form(request: Request, spool: &Spool) -> Result<Form, Problem> {
    let taken = Taken::form(&request);
    let (head, body) = request.into_parts();
    let body = Body::new(Limited::new(Body::from_stream(paced(body)), MAX_FORM));
    let multipart = Multipart::from_request(Request::from_parts(head, body), &()).await;
    let mut multipart = multipart.map_err(|rejection| broken(&rejection.body_text()))?;
    let mut form = Form::default();
    while let Some(field) = multipart.next_field().await.map_err(|error| unreadable(&error))? {
        form.take(field, taken, spool).await?;
    }
    Ok(form)
}

impl Form {
    async fn take(&mut self, mut field: Field<'_>, taken: Taken, spool: &Spool) -> Result<(), Problem> {
        let name = field.name().unwrap_or_default().to_owned();
        let file = field.file_name().map(str::to_owned);
        let node = name.strip_prefix("input_images[").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned);
        if node.is_some() || (name == "input_images" && file.is_some()) {
            taken.check("input_images")?;
            if self.in_order.len() + self.by_node.len() == MAX_IMAGES {
                return Err(too_large(&format!("more than {MAX_IMAGES} files")));
            }
            let bytes = read(&mut field, MAX_IMAGE, spool).await?;
            let image = Image::Bytes { name: file.unwrap_or_else(|| "image".to_owned()), bytes };
            match node {
                Some(node) => drop(self.by_node.insert(node, image)),
                None => self.in_order.push(image),
            }
            return Ok(());
        }
        taken.check(&name)?;
        let bytes = read(&mut field, MAX_TEXT, spool).await?;
        if name == "workflow" {
            self.workflow = Some((file, bytes));
            return Ok(());
        }
        let text = text(&name, &bytes)?;
        if name == "canvas" {
            self.canvas = Some(text);
            return Ok(());
        }
        // Numbers and objects come as the text of themselves; all else is a text.
        let value = match name.as_str() {
            "inputs" | "priority" | "input_images" | "validate" | "comfyui_port" => {
                from_json(&text).unwrap_or(Value::String(text))
            }
            _ => Value::String(text), // The others are texts.
        };
        self.others.insert(name, value);
        Ok(())
    }

    fn wish(mut self) -> Result<Execute, Problem> {
        let inline = match self.workflow.take() {
            Some((file, bytes)) => Some((file, workflow(bytes)?)),
            None => None,
        };
        if inline.is_some() {
            // Stands for the text below, so that the one check for "exactly one workflow" serves forms too.
            self.others.insert("workflow".to_owned(), Value::Object(Map::new()));
        }
        let others = serde_json::to_vec(&self.others).map_err(|error| broken(&error.to_string()))?;
        let mut wish = dto::execute(Fields::parse(&others)?)?;
        wish.canvas = self.canvas;
        if let Some((file, held)) = inline {
            wish.canvas = wish.canvas.or(held.canvas);
            wish.source = Source::Inline { text: held.text, file };
        }
        match (self.in_order.is_empty(), self.by_node.is_empty()) {
            (true, true) => {}
            (false, true) => wish.images = Images::InOrder(self.in_order),
            (true, false) => wish.images = Images::ByNode(self.by_node),
            (false, false) => {
                return Err(Problem::invalid(
                    "bad_field",
                    "some `input_images` name their node and some do not",
                    "Name all nodes or none.",
                ));
            }
        }
        Ok(wish)
    }
}

async fn read(field: &mut Field<'_>, limit: usize, spool: &Spool) -> Result<Bytes, Problem> {
    let mut whole = spool.open().await.map_err(|error| not_kept(&error))?;
    while let Some(part) = field.chunk().await.map_err(|error| unreadable(&error))? {
        if whole.len() + part.len() > limit {
            let name = field.name().unwrap_or_default().to_owned();
            return Err(too_large(&format!("field `{name}` is larger than {} MiB", limit >> 20)));
        }
        whole.take(&part).await.map_err(|error| not_kept(&error))?;
    }
    whole.whole().await.map_err(|error| not_kept(&error))
}

/// A workflow may also come as a picture, film or sound that holds one.
fn workflow(bytes: Bytes) -> Result<Held, Problem> {
    held(bytes.into()).map_err(|(code, why)| {
        let hint = "Send a workflow (JSON), or a picture, film or sound that ComfyUI saved with its workflow.";
        Problem::invalid(code, format!("field `workflow` {why}"), hint)
    })
}

fn text(name: &str, bytes: &Bytes) -> Result<String, Problem> {
    let not_text = || Problem::invalid("bad_field", format!("field `{name}` is not UTF-8 text"), format!("Correct `{name}`."));
    String::from_utf8(bytes.to_vec()).map_err(|_| not_text())
}

fn not_kept(error: &std::io::Error) -> Problem {
    let message = format!("the form cannot be kept while it comes in: {error}");
    Problem::new(507, "temp_dir_unusable", message, "Look at `comfyui_workflow.temp_dir` and its disk. Nothing was started.")
}

fn too_large(what: &str) -> Problem {
    Problem::new(413, "too_large", what, "Send less in one request.")
}

fn unreadable(error: &MultipartError) -> Problem {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return too_large(&format!("the form is larger than {} MiB", MAX_FORM >> 20));
    }
    broken(&error.body_text())
}

fn broken(why: &str) -> Problem {
    Problem::invalid("bad_form", format!("the form cannot be read: {why}"), "Send multipart/form-data as `curl -F` does.")
}
