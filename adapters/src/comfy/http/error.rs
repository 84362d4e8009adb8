//! What can go wrong with a request.

use std::error::Error as _;
use std::io;

use comfyd_engine::Obstacle;

use crate::ssh::SshError;

/// A request did not get a usable answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error("connect to {host}: {source}")]
    Connect {
        /// Where to.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No answer in time.
    #[error("wait for {what}: no answer within {seconds} s")]
    Timeout {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection ended.
    #[error("read the answer to {what}: {why}")]
    Broken {
        /// What was asked.
        what: String,
        /// What the connection said.
        why: String,
    },
    /// The answer is too long.
    #[error("read the answer to {what}: it is longer than {limit} bytes")]
    TooLarge {
        /// What was asked.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// The server said no, or failed.
    #[error("{what}: the server answered with status {status}")]
    Status {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The body, cut.
        body: String,
    },
    /// The answer has another shape than ComfyUI's.
    #[error("read the answer to {what}, so this may not be a ComfyUI: {why}")]
    Shape {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl HttpError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { source, .. } => SshError::of(source).map_or("unreachable", SshError::code),
            Self::Timeout { .. } => "no_answer",
            Self::Broken { .. } => "connection_lost",
            Self::TooLarge { .. } => "answer_too_large",
            Self::Status { .. } => "bad_status",
            Self::Shape { .. } => "not_comfyui",
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connect { source, .. } => {
                SshError::of(source).map_or("Check that ComfyUI runs and that host and port are right.", SshError::hint)
            }
            Self::Timeout { .. } => "ComfyUI may be busy loading; comfyd tries again.",
            Self::Broken { .. } => "The connection was lost; comfyd tries again.",
            Self::TooLarge { .. } => "Clear ComfyUI's history or queue: its answer is too large to be read.",
            Self::Status { .. } => "Look at ComfyUI's own log.",
            Self::Shape { .. } => "Check host and port: another program than ComfyUI seems to answer there.",
        }
    }

    /// Whether the port was refused: no process listens there now.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::ConnectionRefused,
            Self::Timeout { .. } | Self::Broken { .. } | Self::TooLarge { .. } | Self::Status { .. } | Self::Shape { .. } => {
                false
            }
        }
    }

    /// What stands in the way until a person acts.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Connect { source, .. } => SshError::of(source)?.obstacle(),
            Self::Timeout { .. } | Self::Broken { .. } | Self::TooLarge { .. } | Self::Status { .. } | Self::Shape { .. } => None,
        }
    }

    /// Whether the way to the server is at fault, and not what it said.
    pub fn is_of_the_way(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::TooLarge { .. } | Self::Status { .. } | Self::Shape { .. } => false,
        }
    }

    pub(super) fn broken(what: &str, error: &hyper::Error) -> Self {
        // The cause says more: `connection error` alone helps nobody.
        let why = match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        Self::Broken { what: what.to_owned(), why }
    }

    pub(super) fn shape(what: &str, error: &impl ToString) -> Self {
        Self::Shape { what: what.to_owned(), why: error.to_string() }
    }
}

/// What became of a `POST /prompt` that got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The request certainly did not arrive whole: it can be posted again.
    #[error("{0}")]
    NotSent(String),
    /// The request may have arrived.
    #[error("{0}")]
    Unclear(String),
}
