//! The HTTP client of the command line: one server, one request a connection.
//!
//! Invariants: a request is sent once; the token leaves only in the header; an answer has a size limit. Absent: TLS, proxies, redirects;
//! a remote comfyd is reached through an SSH tunnel.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{CliError, Exit};
use super::sse::SseReader;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin, and to end where it is read at once.
const ANSWER: Duration = Duration::from_mins(2);
/// The largest answer read at once.
const MAX_ANSWER: usize = 512 << 20;

/// Where a server is found again after it went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Always at this address.
    Address,
    /// Where the data directory's `server.json` says.
    Directory(PathBuf),
}

/// The way to one server.
#[derive(Clone)]
pub(crate) struct Client {
    address: String,
    token: Option<String>,
    place: Place,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).field("place", &self.place).finish_non_exhaustive()
    }
}

/// A body to send.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// Its media type.
    pub(crate) media_type: String,
    /// Its bytes.
    pub(crate) bytes: Bytes,
}

impl Body {
    /// JSON text.
    pub(crate) fn json(text: String) -> Self {
        Self { media_type: "application/json".to_owned(), bytes: text.into() }
    }
}

#[derive(Deserialize)]
struct ProblemDoc {
    code: String,
    message: String,
    #[serde(default)]
    hint: String,
    #[serde(default)]
    details: Option<String>,
}

impl Client {
    /// A client for `host:port`.
    pub(crate) fn new(address: String, token: Option<String>, place: Place) -> Self {
        Self { address, token, place }
    }

    /// A client for a base URL.
    pub(crate) fn for_url(url: &str, token: Option<String>) -> Result<Self, CliError> {
        let wrong = |why: &str| {
            let hint = "Write http://HOST:PORT. For another machine, forward its port: ssh -L 8787:127.0.0.1:8787 HOST.";
            CliError::usage("bad_server_url", format!("`{url}` is not the address of a comfyd: {why}"), hint)
        };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(wrong("only http is spoken")),
            None => url,
        };
        let address = rest.trim_end_matches('/');
        let authority: hyper::http::uri::Authority = address.parse().map_err(|_| wrong("it is no HOST:PORT"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it must hold no user name"));
        }
        let address = if authority.port_u16().is_some() { address.to_owned() } else { format!("{address}:80") };
        Ok(Self::new(address, token, Place::Address))
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The data directory behind it, if it is on this machine and known.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Address => None,
            Place::Directory(dir) => Some(dir),
        }
    }

    /// Looks where the server is now: a restarted one may have another address.
    pub(crate) fn refresh(&mut self) {
        let Place::Directory(dir) = &self.place else { return };
        if let Some(address) = super::access::announced(dir) {
            self.address = address;
        }
        if let Some(token) = super::access::kept_token(dir) {
            self.token = Some(token);
        }
    }

    /// Asks for JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let bytes = self.get_bytes(path).await?;
        read_json(&bytes)
    }

    /// Asks for anything, as bytes.
    pub(crate) async fn get_bytes(&self, path: &str) -> Result<Bytes, CliError> {
        whole(self.request(Method::GET, path, None, &[]).await?).await
    }

    /// Asks for something to be streamed.
    pub(crate) async fn get_stream(&self, path: &str) -> Result<Response<Incoming>, CliError> {
        self.request(Method::GET, path, None, &[]).await
    }

    /// Asks for events, after the one with this id if there was one.
    pub(crate) async fn events(&self, path: &str, last: Option<&str>) -> Result<SseReader, CliError> {
        let accept = (header::ACCEPT, "text/event-stream");
        let last = last.map(|id| (header::HeaderName::from_static("last-event-id"), id));
        let headers: Vec<_> = std::iter::once(accept).chain(last).collect();
        let response = self.request(Method::GET, path, None, &headers).await?;
        Ok(SseReader::new(response.into_body()))
    }

    /// Puts a body.
    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str, body: Body) -> Result<T, CliError> {
        let bytes = whole(self.request(Method::PUT, path, Some(body), &[]).await?).await?;
        read_json(&bytes)
    }

    /// Posts a body.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: Body) -> Result<T, CliError> {
        let bytes = whole(self.request(Method::POST, path, Some(body), &[]).await?).await?;
        read_json(&bytes)
    }

    /// Removes something.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let bytes = whole(self.request(Method::DELETE, path, None, &[]).await?).await?;
        read_json(&bytes)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Incoming>, CliError> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.address);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, body.media_type);
                body.bytes
            }
            None => Bytes::new(),
        };
        let bad = |_| CliError::usage("bad_token", "the token holds characters that no header can carry", "Look at the token.");
        let request = request.body(Full::new(body)).map_err(bad)?;
        let stream = match timeout(CONNECT, TcpStream::connect(&self.address)).await {
            Ok(connected) => connected.map_err(|error| self.unreachable(&error.to_string()))?,
            Err(_) => return Err(self.unreachable("no answer in 10 s")),
        };
        // Small requests must not wait; failing only costs time.
        let _ = stream.set_nodelay(true);
        let lost = |error: hyper::Error| self.unreachable(&error.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // It ends with the answer's body, which keeps it alive.
        tokio::spawn(connection);
        let response = match timeout(ANSWER, sender.send_request(request)).await {
            Ok(answered) => answered.map_err(lost)?,
            Err(_) => return Err(self.unreachable("it does not answer")),
        };
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    fn unreachable(&self, why: &str) -> CliError {
        let hint = match self.place {
            Place::Address => "Is comfyd running there? Check the address, or start it with `comfyd serve`.",
            Place::Directory(_) => "Is that comfyd still running? Try again in a moment.",
        };
        CliError::new(Exit::Unreachable, "server_unreachable", format!("comfyd at {} does not answer: {why}", self.url()), hint)
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, CliError> {
    let broken = |why: String| {
        CliError::new(Exit::Unreachable, "server_unreachable", format!("the answer broke off: {why}"), "Try again.")
    };
    match timeout(ANSWER, Limited::new(response.into_body(), MAX_ANSWER).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => Err(broken(error.to_string())),
        Err(_) => Err(broken("too slow".to_owned())),
    }
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let hint = "Is it a comfyd, and of this version?";
        CliError::failed("strange_answer", format!("the server's answer cannot be read: {error}"), hint)
    })
}

async fn problem(response: Response<Incoming>) -> CliError {
    let status = response.status();
    let exit = match status.as_u16() {
        409 | 429 => Exit::Failed,
        400..=499 => Exit::Usage,
        _ => Exit::Failed, // the server's own troubles
    };
    let body = match whole(response).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    match serde_json::from_slice::<ProblemDoc>(&body) {
        Ok(told) => CliError::new(exit, &told.code, told.message, told.hint).with_details(told.details),
        Err(_) => CliError::new(exit, "http_error", format!("the server answered {status}"), "Is it a comfyd?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, want) in [
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
            ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
            ("localhost:1", "http://localhost:1"),
            ("http://[::1]:9", "http://[::1]:9"),
            ("http://host", "http://host:80"),
        ] {
            assert_eq!(Client::for_url(url, None).expect(url).url(), want);
        }
        for bad in ["https://x", "ssh://x", "http://", "http://a b", "http://u@h:1", "http://h:1/path"] {
            assert!(Client::for_url(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let client = Client::for_url("http://h:1", Some("s3cret".into())).expect("good");
        assert!(!format!("{client:?}").contains("s3cret"));
    }
}
