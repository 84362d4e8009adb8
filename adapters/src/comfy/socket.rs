//! The WebSocket of one instance: opened with our flags, kept alive, watched for silence.
//!
//! Invariants: `next` may be dropped at any point without losing a frame; a peer that says nothing for as long as the tuning
//! says is dead.
//! Absent: what frames mean.

use std::time::Duration;

use bytes::Bytes;
use comfyd_engine::ClientId;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::http::HttpError;
use super::parse::{self, Incoming, MAX_MESSAGE};
use super::tuning::Tuning;
use crate::hot::Hot;
use crate::transport::{CONNECT_LIMIT, Stream, Transport};

/// How often we ping at least: the server never does (protocol.md 2).
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long the answer to our flags is waited for; older servers never give one.
const FLAGS_LIMIT: Duration = Duration::from_secs(3);
/// How long a close handshake may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How many frames may come before the answer to our flags.
const MAX_EARLY: usize = 1_024;
/// Our flags; they must be the first message of a connection.
const FLAGS: &str = r#"{"type": "feature_flags", "data": {"supports_preview_metadata": true}}"#;

/// A frame with something in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message.
    Text(Utf8Bytes),
    /// A preview or a text of a node.
    Binary(Bytes),
}

/// The socket cannot be had, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No connection.
    #[error(transparent)]
    Connect(HttpError),
    /// The server did not switch to WebSocket, or the connection broke.
    #[error("use the WebSocket: {0}")]
    Broken(Box<tungstenite::Error>),
    /// The handshake took too long.
    #[error("open the WebSocket: no answer within 10 s")]
    NoAnswer,
    /// Nothing came for as long as a peer may be silent.
    #[error("use the WebSocket: nothing came for too long, not even answers to pings")]
    Dead,
    /// The server closed it.
    #[error("use the WebSocket: the server closed it")]
    Closed,
}

impl SocketError {
    /// Whether the port was refused.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_refused(),
            Self::Broken(_) | Self::NoAnswer | Self::Dead | Self::Closed => false,
        }
    }
}

impl From<tungstenite::Error> for SocketError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Closed,
            other => Self::Broken(Box::new(other)), // Every other error ends the connection as well.
        }
    }
}

/// A new socket and what it said first.
#[derive(Debug)]
pub struct Opened {
    /// The socket.
    pub socket: Socket,
    /// The frames that came before the answer to our flags, in order.
    pub early: Vec<Frame>,
    /// Whether the answer came: previews will name their prompts.
    pub labelled: bool,
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    heard: Instant,
    next_ping: Instant,
    tuning: Hot<Tuning>,
}

impl std::fmt::Debug for dyn Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Socket {
    /// Opens the socket under a `clientId` and sends our flags.
    ///
    /// # Errors
    /// If the server cannot be reached or does not speak WebSocket.
    pub async fn open(transport: &dyn Transport, client: &ClientId) -> Result<Opened, SocketError> {
        Self::open_tuned(transport, client, Hot::default()).await
    }

    /// The same with a tuning that others may change.
    ///
    /// # Errors
    /// If the server cannot be reached or does not speak WebSocket.
    pub async fn open_tuned(transport: &dyn Transport, client: &ClientId, tuning: Hot<Tuning>) -> Result<Opened, SocketError> {
        let connect = |source| SocketError::Connect(HttpError::Connect { host: transport.host(), source });
        let stream = match timeout(CONNECT_LIMIT, transport.connect()).await {
            Ok(opened) => opened.map_err(connect)?,
            Err(_) => return Err(connect(std::io::ErrorKind::TimedOut.into())),
        };
        let url = format!("ws://{}/ws?clientId={}", transport.host(), super::http::percent(&client.0));
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let shaking = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
        let (mut stream, _) = timeout(CONNECT_LIMIT, shaking).await.map_err(|_| SocketError::NoAnswer)??;
        timeout(CONNECT_LIMIT, stream.send(Message::text(FLAGS))).await.map_err(|_| SocketError::NoAnswer)??;
        let now = Instant::now();
        let mut socket = Self { stream, heard: now, next_ping: now, tuning };
        socket.next_ping += socket.ping_every();
        let mut early = Vec::new();
        let answered = timeout(FLAGS_LIMIT, socket.answer_to_flags(&mut early)).await;
        let labelled = match answered {
            Ok(answer) => answer?,
            Err(_) => false, // An older server.
        };
        Ok(Opened { socket, early, labelled })
    }

    async fn answer_to_flags(&mut self, early: &mut Vec<Frame>) -> Result<bool, SocketError> {
        while early.len() < MAX_EARLY {
            let frame = self.next().await?;
            if let Frame::Text(text) = &frame
                && matches!(parse::text(text), Ok(Incoming::FeatureFlags))
            {
                return Ok(true);
            }
            early.push(frame);
        }
        Ok(false)
    }

    /// The next frame. Pings meanwhile.
    ///
    /// # Errors
    /// If the connection broke or went silent: the socket is of no more use.
    pub async fn next(&mut self) -> Result<Frame, SocketError> {
        loop {
            let (silence, ping_every) = (self.tuning.get().socket_silence, self.ping_every());
            tokio::select! {
                biased;
                message = self.stream.next() => {
                    self.heard = Instant::now();
                    match message.ok_or(SocketError::Closed)?? {
                        Message::Text(text) => return Ok(Frame::Text(text)),
                        Message::Binary(bytes) => return Ok(Frame::Binary(bytes)),
                        Message::Close(_) => return Err(SocketError::Closed),
                        // Control frames are answered by the library; raw frames are never read.
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                    }
                }
                () = sleep_until(self.heard + silence) => return Err(SocketError::Dead),
                () = sleep_until(self.next_ping.min(Instant::now() + ping_every)) => {
                    // Set first: if this future is dropped while sending, the ping leaves with the next read.
                    self.next_ping = Instant::now() + ping_every;
                    let sent = timeout(ping_every, self.stream.send(Message::Ping(Bytes::new()))).await;
                    sent.map_err(|_| SocketError::Dead)??;
                }
            }
        }
    }

    /// Often enough that a peer which is there has something to say in time.
    fn ping_every(&self) -> Duration {
        PING_EVERY.min(self.tuning.get().socket_silence / 4)
    }

    /// Closes the connection with a handshake: the server then forgets us before we come again (protocol.md 1, fact 2).
    pub async fn close(mut self) {
        let closing = async {
            self.stream.close(None).await?;
            // What was under way is read to the server's own close.
            while let Some(message) = self.stream.next().await {
                message?;
            }
            Ok::<(), tungstenite::Error>(())
        };
        match timeout(CLOSE_LIMIT, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the close handshake broke"),
            Err(_) => tracing::debug!("no answer to the close handshake"),
        }
    }
}
