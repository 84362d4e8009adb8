//! One lane of closed-loop work against each kind of server.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::ends::{Ends, between};
use crate::http::Connection;
use crate::options::Options;
use crate::work::Work;

/// Whom the work is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// ComfyUI itself, with nothing recorded: the floor.
    Bare,
    /// comfyd, ends told by one stream over all runs.
    Comfyd,
    /// comfyd, ends told by a stream for each run.
    ComfydPerRun,
    /// comfy-api-proxy.
    Proxy,
}

impl Mode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Bare, Self::Comfyd, Self::ComfydPerRun, Self::Proxy].into_iter().find(|mode| mode.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Comfyd => "comfyd",
            Self::ComfydPerRun => "comfyd-per-run",
            Self::Proxy => "proxy",
        }
    }
}

/// What all lanes of a slice share: the stream that tells ends, if the mode has one.
pub(crate) struct Shared {
    ends: Ends,
    listener: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

/// How often a job is asked for whose stream was refused.
const POLL: Duration = Duration::from_millis(5);
/// The clientId of the bare client.
const CLIENT: &str = "load";

impl Shared {
    pub(crate) async fn open(mode: Mode, options: &Options) -> io::Result<Self> {
        let ends = Ends::default();
        let listener = match mode {
            Mode::Bare => Some(listen_bare(options, ends.clone()).await?),
            Mode::Comfyd => Some(listen_comfyd(options, ends.clone()).await?),
            Mode::ComfydPerRun | Mode::Proxy => None,
        };
        Ok(Self { ends, listener })
    }
}

/// A socket whose flags were answered: it misses no end of what is posted from now on.
async fn listen_bare(options: &Options, ends: Ends) -> io::Result<tokio::task::JoinHandle<()>> {
    let url = format!("ws://{}/ws?clientId={CLIENT}", options.comfy);
    let stream = tokio::net::TcpStream::connect(&options.comfy).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.map_err(io::Error::other)?;
    let flags = r#"{"type": "feature_flags", "data": {"supports_preview_metadata": true}}"#;
    socket.send(Message::text(flags)).await.map_err(io::Error::other)?;
    loop {
        let message = socket.next().await.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
        if matches!(&message, Message::Text(text) if text.contains("\"feature_flags\"")) {
            break;
        }
    }
    Ok(tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            if text.starts_with("{\"type\": \"executing\", \"data\": {\"node\": null")
                && let Some(id) = between(&text, "\"prompt_id\": \"", "\"")
            {
                ends.told(id);
            }
        }
    }))
}

async fn listen_comfyd(options: &Options, ends: Ends) -> io::Result<tokio::task::JoinHandle<()>> {
    let mut connection = Connection::open(&options.comfyd).await?;
    if let Some(status) = connection.stream("/api/v1/events", &options.bearer()).await? {
        return Err(io::Error::other(format!("GET /api/v1/events: status {status}")));
    }
    Ok(tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(chunk)) = connection.chunk().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = text.find("\n\n") {
                // A list is told after falling behind: it holds many runs.
                for part in text[..end].split("{\"run_id\":\"").skip(1) {
                    let over =
                        ["completed", "failed", "cancelled"].iter().any(|word| part.contains(&format!("\"status\":\"{word}\"")));
                    if let Some((id, _)) = part.split_once('"').filter(|_| over) {
                        ends.told(id);
                    }
                }
                text.drain(..end + 2);
            }
        }
    }))
}

/// One lane: a connection, and one run after the other.
pub(crate) struct Lane {
    mode: Mode,
    connection: Connection,
    headers: String,
}

impl Lane {
    pub(crate) async fn open(mode: Mode, options: &Options) -> io::Result<Self> {
        let host = match mode {
            Mode::Bare => &options.comfy,
            Mode::Comfyd | Mode::ComfydPerRun => &options.comfyd,
            Mode::Proxy => &options.proxy,
        };
        let headers = match mode {
            Mode::Comfyd | Mode::ComfydPerRun => options.bearer(),
            Mode::Bare | Mode::Proxy => String::new(),
        };
        Ok(Self { mode, connection: Connection::open(host).await?, headers })
    }

    /// Runs one workflow from the wish to the known end; says whether its outcome was told.
    pub(crate) async fn run(&mut self, shared: &Shared, work: Work, number: u64) -> io::Result<bool> {
        match self.mode {
            Mode::Bare => self.bare(shared, work, number).await.map(|()| true),
            Mode::Comfyd | Mode::ComfydPerRun => self.comfyd(shared, work, number).await.map(|()| true),
            Mode::Proxy => self.proxy(work, number).await,
        }
    }

    async fn bare(&mut self, shared: &Shared, work: Work, number: u64) -> io::Result<()> {
        let id = format!("{:08x}-0000-7000-8000-{number:012x}", std::process::id());
        let body = format!("{{\"prompt\": {}, \"prompt_id\": \"{id}\", \"client_id\": \"{CLIENT}\"}}", work.graph(number));
        self.ask("POST", "/prompt", &body, 200).await?;
        if !shared.ends.wait(&id).await {
            return Err(io::Error::other(format!("prompt {id} did not end")));
        }
        let history = self.ask("GET", &format!("/history/{id}"), "", 200).await?;
        if !history.contains("\"status_str\": \"success\"") {
            return Err(io::Error::other(format!("prompt {id}: {history}")));
        }
        if work == Work::File {
            let name = between(&history, "\"filename\": \"", "\"").ok_or_else(|| io::Error::other("no file"))?;
            self.ask("GET", &format!("/view?filename={name}&subfolder=load&type=output"), "", 200).await?;
        }
        Ok(())
    }

    async fn comfyd(&mut self, shared: &Shared, work: Work, number: u64) -> io::Result<()> {
        let body = format!("{{\"workflow\": {}, \"workflow_name\": \"load\"}}", work.graph(number));
        let created = self.ask("POST", "/api/v1/runs", &body, 201).await?;
        let id = between(&created, "\"run_id\":\"", "\"").ok_or_else(|| io::Error::other("no run id"))?.to_owned();
        let told = match self.mode {
            Mode::ComfydPerRun => {
                let streaming = self.connection.stream(&format!("/api/v1/runs/{id}/events"), &self.headers).await?.is_none();
                streaming && self.last_of_stream("event: end").await?.contains("\"completed\"")
            }
            Mode::Bare | Mode::Comfyd | Mode::Proxy => shared.ends.wait(&id).await,
        };
        if !told {
            let state = self.ask("GET", &format!("/api/v1/runs/{id}"), "", 200).await?;
            if !state.contains("\"status\":\"completed\"") {
                return Err(io::Error::other(format!("run {id} did not complete: {state}")));
            }
        }
        Ok(())
    }

    /// It can miss the end of a short run and calls it expired then: such a run is lost to its client.
    async fn proxy(&mut self, work: Work, number: u64) -> io::Result<bool> {
        let body = format!("{{\"workflow\": {}}}", work.graph(number));
        let created = self.ask("POST", "/api/v2/jobs", &body, 201).await?;
        let id = between(&created, "\"id\": \"", "\"").ok_or_else(|| io::Error::other(format!("no job id: {created}")))?;
        let path = format!("/api/v2/jobs/{id}/events");
        let last = match self.connection.stream(&path, &self.headers).await? {
            None => self.last_of_stream("event: status").await?,
            // It has room for a certain number of streams: its clients ask again and again then.
            Some(429) => loop {
                let state = self.ask("GET", &format!("/api/v2/jobs/{id}"), "", 200).await?;
                if ["succeeded", "failed", "expired"].iter().any(|word| state.contains(word)) {
                    break state;
                }
                tokio::time::sleep(POLL).await;
            },
            Some(status) => return Err(io::Error::other(format!("GET {path}: status {status}"))),
        };
        let expired = last.contains("expired");
        if expired || last.contains("succeeded") { Ok(!expired) } else { Err(io::Error::other(format!("job {id}: {last}"))) }
    }

    /// Reads a stream to its end and gives the last event of a kind.
    async fn last_of_stream(&mut self, kind: &str) -> io::Result<String> {
        let mut text = String::new();
        while let Some(chunk) = self.connection.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text.rfind(kind).map(|at| text[at..].to_owned()).ok_or_else(|| io::Error::other(format!("no {kind}: {text}")))
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str, status: u16) -> io::Result<String> {
        let reply = self.connection.ask(method, path, &self.headers, body).await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if reply.status == status {
            Ok(text)
        } else {
            Err(io::Error::other(format!("{method} {path}: status {}: {text}", reply.status)))
        }
    }
}
