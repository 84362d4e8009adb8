//! What the server can be asked, one function per question.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use comfyd_engine::{Ending, PromptId, RunId};
use serde::Deserialize;

use super::{Client, GET_LIMIT, HttpError, Reply};
use crate::comfy::history;
use crate::comfy::lenient::from_json;
use crate::comfy::queue::Queue;
use crate::comfy::terminal;
use crate::digest::sha256;

/// How long an upload may take.
const UPLOAD_LIMIT: Duration = Duration::from_mins(10);

/// How long a server's log may be: it keeps 300 pieces.
const MAX_LOG: usize = 4 * 1024 * 1024;

/// What a wish to cancel a job came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// It was taken; a newer server also says so of jobs that it does not know.
    Taken,
    /// There is no such job.
    NoSuchJob,
    /// The server is too old to know the request.
    NotSupported,
}

/// A file under the name that the server gave it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Uploaded {
    name: String,
    #[serde(default)]
    subfolder: String,
}

impl Uploaded {
    /// What an input must say to load it.
    pub fn name(&self) -> String {
        if self.subfolder.is_empty() { self.name.clone() } else { format!("{}/{}", self.subfolder, self.name) }
    }
}

impl Client {
    /// Who runs and who waits.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn queue(&self) -> Result<Queue, HttpError> {
        let what = "GET /queue";
        let reply = self.get(what, "/queue").await?.ok(what)?;
        Queue::parse(&reply.text()).map_err(|error| HttpError::shape(what, &error))
    }

    /// How a prompt ended; none while it is not in history.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn history(&self, prompt: &PromptId) -> Result<Option<Ending>, HttpError> {
        let what = "GET /history/{id}";
        let reply = self.get(what, &format!("/history/{}", percent(&prompt.0))).await?.ok(what)?;
        history::ending(&reply.text(), prompt).map_err(|error| HttpError::shape(what, &error))
    }

    /// How the newest prompts in history ended, by their ids there; those that are not in it any more or not yet are missing.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn newest_endings(&self, most: usize) -> Result<BTreeMap<String, Ending>, HttpError> {
        let what = "GET /history";
        let reply = self.get(what, &format!("/history?max_items={most}")).await?.ok(what)?;
        history::endings(&reply.text()).map_err(|error| HttpError::shape(what, &error))
    }

    /// The id under which an old server keeps a run that ended: the newest entries are searched for our mark.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn history_of_run(&self, run: RunId) -> Result<Option<PromptId>, HttpError> {
        let what = "GET /history";
        let reply = self.get(what, "/history?max_items=64").await?.ok(what)?;
        history::marked(&reply.text(), run).map_err(|error| HttpError::shape(what, &error))
    }

    /// The last lines that the server wrote to its terminal; it has to answer within this time.
    ///
    /// # Errors
    /// If there is no usable answer: old servers have none.
    pub async fn log_lines(&self, limit: Duration) -> Result<Vec<String>, HttpError> {
        let what = "GET /internal/logs/raw";
        let reply = self.get_within(what, "/internal/logs/raw", MAX_LOG, limit).await?.ok(what)?;
        terminal::last_lines(&reply.text()).map_err(|error| HttpError::shape(what, &error))
    }

    /// How many prompts run and wait: the cheapest question.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn prompt_info(&self) -> Result<u32, HttpError> {
        #[derive(Deserialize)]
        struct Info {
            exec_info: ExecInfo,
        }
        #[derive(Deserialize)]
        struct ExecInfo {
            queue_remaining: u32,
        }
        let what = "GET /prompt";
        let reply = self.get(what, "/prompt").await?.ok(what)?;
        let info: Info = json(what, &reply)?;
        Ok(info.exec_info.queue_remaining)
    }

    /// The server's version, where it tells.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn system_stats(&self) -> Result<Option<String>, HttpError> {
        #[derive(Deserialize)]
        struct Stats {
            system: System,
        }
        #[derive(Deserialize)]
        struct System {
            #[serde(default)]
            comfyui_version: Option<String>,
        }
        let what = "GET /system_stats";
        let reply = self.get(what, "/system_stats").await?.ok(what)?;
        let stats: Stats = json(what, &reply)?;
        Ok(stats.system.comfyui_version.map(|version| version.chars().take(100).collect()))
    }

    /// Whether nodes of a class are outputs; none if the server does not know the class.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn object_info(&self, class: &str) -> Result<Option<bool>, HttpError> {
        #[derive(Deserialize)]
        struct Class {
            #[serde(default)]
            output_node: bool,
        }
        let what = "GET /object_info/{class}";
        let reply = self.get(what, &format!("/object_info/{}", percent(class))).await?.ok(what)?;
        let classes: BTreeMap<String, Class> = json(what, &reply)?;
        Ok(classes.get(class).map(|class| class.output_node))
    }

    /// Puts a file into the server's input folder, and tells its name there.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn upload_image(&self, name: &str, bytes: &Bytes) -> Result<Uploaded, HttpError> {
        let what = "POST /upload/image";
        // The content decides the boundary, so that the same upload is the same request; it cannot hold its own hash.
        let boundary = format!("comfyd-{}", &sha256(bytes).as_str()[..32]);
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\ninput\r\n--{boundary}\r\nContent-Disposition: form-data; \
             name=\"image\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let mut body = BytesMut::with_capacity(head.len() + bytes.len() + tail.len());
        for part in [head.as_bytes(), bytes, tail.as_bytes()] {
            body.extend_from_slice(part);
        }
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let reply = self.post(what, "/upload/image", &content_type, body.freeze(), UPLOAD_LIMIT).await?.ok(what)?;
        json(what, &reply)
    }

    /// Stops a prompt where it runs; a server before 0.3.57 stops whatever runs.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn interrupt(&self, prompt: &PromptId) -> Result<(), HttpError> {
        let what = "POST /interrupt";
        let body = serde_json::json!({"prompt_id": prompt.0}).to_string();
        self.post(what, "/interrupt", "application/json", body.into(), GET_LIMIT).await?.ok(what).map(drop)
    }

    /// Takes a prompt out of the queue; the answer is the same if it is not there.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn delete(&self, prompt: &PromptId) -> Result<(), HttpError> {
        let what = "POST /queue";
        let body = serde_json::json!({"delete": [prompt.0]}).to_string();
        self.post(what, "/queue", "application/json", body.into(), GET_LIMIT).await?.ok(what).map(drop)
    }

    /// Cancels a prompt wherever it is, where the server can do that in one step.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn cancel_job(&self, prompt: &PromptId) -> Result<Cancelling, HttpError> {
        let what = "POST /api/jobs/{id}/cancel";
        let path = format!("/api/jobs/{}/cancel", percent(&prompt.0));
        let reply = self.post(what, &path, "application/json", Bytes::new(), GET_LIMIT).await?;
        match reply.status {
            200..=299 => Ok(Cancelling::Taken),
            // Only a handler of this route answers with JSON; an unknown path has another body or none.
            404 if from_json::<serde_json::Map<String, serde_json::Value>>(&reply.text()).is_ok() => Ok(Cancelling::NoSuchJob),
            404 | 405 | 501 => Ok(Cancelling::NotSupported),
            // Anything else is a failure of a server that may know the route.
            _ => reply.ok(what).map(|_| Cancelling::Taken),
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(what: &str, reply: &Reply) -> Result<T, HttpError> {
    let text = reply.text();
    if !text.trim_start().starts_with('{') {
        // serde would fill a struct from a list, and so take any server for a ComfyUI.
        return Err(HttpError::shape(what, &"it is no JSON object"));
    }
    from_json(&text).map_err(|error| HttpError::shape(what, &error))
}

/// A text as one segment of a path or one value of a query.
pub(in crate::comfy) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes everything");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_one_segment() {
        assert_eq!(percent("0193a1b2-0000"), "0193a1b2-0000");
        assert_eq!(percent("a b/../c?d#e%"), "a%20b%2F..%2Fc%3Fd%23e%25");
        assert_eq!(percent("\u{e4}"), "%C3%A4");
    }

    #[test]
    fn the_name_to_use_has_its_folder() {
        let named = |text: &str| from_json::<Uploaded>(text).map(|uploaded| uploaded.name()).ok();
        assert_eq!(named(r#"{"name": "a.png", "subfolder": "", "type": "input"}"#).as_deref(), Some("a.png"));
        assert_eq!(named(r#"{"name": "a.png", "subfolder": "s"}"#).as_deref(), Some("s/a.png"));
        assert_eq!(named("{}"), None);
    }
}
