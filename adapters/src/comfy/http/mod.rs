//! The HTTP client of one server.
//!
//! Invariants: `POST /prompt` goes over a connection with nothing in flight and is never sent twice; only a GET on a connection that was idle is sent again, once;
//! every answer has a time limit and a length limit.
//! Absent: what the answers mean for a run.

mod connection;
mod download;
mod error;
mod pieces;
mod requests;
mod survey;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};

pub use download::{Download, Measure};
pub use error::{HttpError, PostError};
pub(super) use requests::percent;
pub use requests::{Cancelling, Uploaded};

use super::parse::MAX_MESSAGE;
use super::produced::cut;
use super::tuning::Tuning;
use crate::hot::Hot;
use crate::transport::{CONNECT_LIMIT, Transport};
use connection::Connection;
use pieces::Pieces;

/// How long a GET may take (reliability.md 8).
const GET_LIMIT: Duration = Duration::from_secs(30);
/// How long `POST /prompt` may take: validation can be slow.
const PROMPT_LIMIT: Duration = Duration::from_mins(2);
/// How many idle connections are kept: polling, a download or two, a look-up, and prompts that are posted side by side.
const MAX_IDLE: usize = 8;
/// How long after its last answer a connection may take a prompt: servers and proxies keep idle ones for five seconds and more.
const FRESH: Duration = Duration::from_secs(1);
/// How much of an unexpected answer is kept for people.
const MAX_EXCERPT: usize = 4 * 1024;

/// The HTTP client of one server; clones share its idle connections.
///
/// ```
/// use comfyd_adapters::comfy::http::Client;
/// use comfyd_adapters::transport::{Address, TcpTransport};
/// use std::sync::Arc;
/// let address: Address = "http://127.0.0.1:8188".parse()?;
/// let client = Client::new(Arc::new(TcpTransport::new(address)));
/// assert_eq!(client.transport().host(), "127.0.0.1:8188");
/// # Ok::<(), comfyd_adapters::transport::AddressError>(())
/// ```
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    idle: Arc<Mutex<Vec<Connection>>>,
    tuning: Hot<Tuning>,
}

/// An answer that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The reply itself if its status is 200.
    fn ok(self, what: &str) -> Result<Self, HttpError> {
        if self.status == 200 {
            return Ok(self);
        }
        let body = cut(&self.text(), MAX_EXCERPT).to_owned();
        Err(HttpError::Status { what: what.to_owned(), status: self.status, body })
    }
}

impl Client {
    /// A client on this way; nothing is connected yet.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self::tuned(transport, Hot::default())
    }

    /// The same with a tuning that others may change.
    pub fn tuned(transport: Arc<dyn Transport>, tuning: Hot<Tuning>) -> Self {
        Self { transport, idle: Arc::default(), tuning }
    }

    /// The rhythms and patience of whatever uses this client.
    pub fn tuning(&self) -> &Hot<Tuning> {
        &self.tuning
    }

    /// The way to the server.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// Posts a prompt: once, over a new connection or one that was in use a moment ago.
    ///
    /// # Errors
    /// If there was no answer; the error says whether the request may have arrived.
    pub async fn post_prompt(&self, body: Bytes) -> Result<Reply, PostError> {
        let what = "POST /prompt";
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let mut connection = match self.take_fresh().await {
            Some(connection) => connection,
            None => self.connect().await.map_err(|error| PostError::NotSent(error.to_string()))?,
        };
        let request = self.request(Method::POST, "/prompt", Some("application/json"), body);
        let exchange = async {
            let response = connection.send(request).await.map_err(|error| HttpError::broken(what, &error))?;
            read(what, response).await
        };
        let error = match tokio::time::timeout(PROMPT_LIMIT, exchange).await {
            Ok(Ok(reply)) => {
                self.keep(connection);
                return Ok(reply);
            }
            Ok(Err(error)) => error,
            Err(_) => timeout(what, PROMPT_LIMIT),
        };
        let sent = connection.give_up().await;
        if sent < length {
            // A cut body queues nothing (faults.md 1.3).
            Err(PostError::NotSent(format!("{error} ({sent} of {length} bytes were sent)")))
        } else {
            Err(PostError::Unclear(error.to_string()))
        }
    }

    /// Gets a path.
    async fn get(&self, what: &str, path: &str) -> Result<Reply, HttpError> {
        self.get_within(what, path, MAX_MESSAGE, GET_LIMIT).await
    }

    /// Gets a path whose answer must not be longer than so many bytes, and must be there by then.
    async fn get_within(&self, what: &str, path: &str, max: usize, limit: Duration) -> Result<Reply, HttpError> {
        let exchange = async {
            let (response, connection) = self.open(what, path, &[]).await?;
            let reply = read_up_to(what, response, max).await?;
            self.keep(connection);
            Ok(reply)
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(timeout(what, limit)))
    }

    /// Sends a GET, on an idle connection if there is one.
    async fn open(
        &self,
        what: &str,
        path: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<(Response<Incoming>, Connection), HttpError> {
        let request = || {
            let mut request = self.request(Method::GET, path, None, Bytes::new());
            for (name, value) in headers {
                // A server's ETag that is no header value is left out: the whole file comes then.
                if let Ok(value) = header::HeaderValue::from_str(value) {
                    request.headers_mut().insert(name.clone(), value);
                }
            }
            request
        };
        if let Some(mut connection) = self.take().await {
            match connection.send(request()).await {
                Ok(response) => return Ok((response, connection)),
                // The server closes idle connections when it likes; a new one tells whether it is there.
                Err(error) => tracing::debug!(%error, what, "an idle connection was stale"),
            }
        }
        let mut connection = self.connect().await?;
        let response = connection.send(request()).await.map_err(|error| HttpError::broken(what, &error))?;
        Ok((response, connection))
    }

    /// Posts to a path over a new connection, once.
    async fn post(&self, what: &str, path: &str, content_type: &str, body: Bytes, limit: Duration) -> Result<Reply, HttpError> {
        let exchange = async {
            let mut connection = self.connect().await?;
            let request = self.request(Method::POST, path, Some(content_type), body);
            let response = connection.send(request).await.map_err(|error| HttpError::broken(what, &error))?;
            let reply = read(what, response).await?;
            self.keep(connection);
            Ok(reply)
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(timeout(what, limit)))
    }

    fn request(&self, method: Method, path: &str, content_type: Option<&str>, body: Bytes) -> Request<Pieces> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.transport.host());
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request
            .body(Pieces::new(body, self.tuning.get().upload_piece))
            .expect("paths are percent-encoded and hosts are checked when they are parsed")
    }

    async fn connect(&self) -> Result<Connection, HttpError> {
        let host = || self.transport.host();
        let opened = tokio::time::timeout(CONNECT_LIMIT, self.transport.connect());
        let stream = match opened.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(HttpError::Connect { host: host(), source }),
            Err(_) => return Err(HttpError::Connect { host: host(), source: std::io::ErrorKind::TimedOut.into() }),
        };
        Connection::over(stream).await.map_err(|error| HttpError::broken("connect", &error))
    }

    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// An idle connection that no server closes yet for being idle: one that closes while a prompt is on its way would leave it in doubt.
    async fn take_fresh(&self) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let fresh = idle.iter().rposition(|connection| connection.idle_for() < FRESH)?;
                idle.remove(fresh)
            };
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end.
    fn keep(&self, mut connection: Connection) {
        connection.rest();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        if idle.len() < MAX_IDLE && !connection.is_closed() {
            idle.push(connection);
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("host", &self.transport.host()).finish_non_exhaustive()
    }
}

fn timeout(what: &str, limit: Duration) -> HttpError {
    HttpError::Timeout { what: what.to_owned(), seconds: limit.as_secs() }
}

/// Reads an answer to its end, up to the limit.
async fn read(what: &str, response: Response<Incoming>) -> Result<Reply, HttpError> {
    read_up_to(what, response, MAX_MESSAGE).await
}

async fn read_up_to(what: &str, response: Response<Incoming>, max: usize) -> Result<Reply, HttpError> {
    let too_large = || HttpError::TooLarge { what: what.to_owned(), limit: max };
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let promised = usize::try_from(hyper::body::Body::size_hint(&incoming).lower()).unwrap_or(usize::MAX);
    if promised > max {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|error| HttpError::broken(what, &error))?.into_data() else { continue };
        if body.len() + data.len() > max {
            return Err(too_large());
        }
        body.extend_from_slice(&data);
    }
    Ok(Reply { status, body: body.freeze() })
}
