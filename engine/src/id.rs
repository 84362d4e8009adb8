//! The names of things: one type each, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// A text is not a valid id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {remedy}")]
pub struct ParseIdError {
    what: &'static str,
    text: String,
    remedy: &'static str,
}

impl ParseIdError {
    fn new(what: &'static str, text: &str, remedy: &'static str) -> Self {
        Self { what, text: text.chars().take(120).collect(), remedy }
    }
}

/// A run: one execution of one workflow on one instance.
///
/// A lower-case `UUIDv7`; also the `prompt_id` that ComfyUI is given, so a lost answer can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
pub struct RunId(Uuid);

impl RunId {
    /// A run id from a UUID made elsewhere (the API layer; the engine has no randomness).
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The name in the plan's shapes: `comfyui_workflow_<unix seconds>_<last 6 hex digits>`.
    ///
    /// ```
    /// # use comfyd_engine::{RunId, Timestamp};
    /// let run: RunId = "0193a1b2-0000-7000-8000-000000abc123".parse()?;
    /// assert_eq!(run.workflow_id(Timestamp(1_732_234_567_000)), "comfyui_workflow_1732234567_abc123");
    /// # Ok::<(), comfyd_engine::ParseIdError>(())
    /// ```
    pub fn workflow_id(self, created: Timestamp) -> String {
        let hex = self.0.simple().to_string();
        format!("comfyui_workflow_{}_{}", created.unix_seconds(), &hex[26..])
    }

    /// The UUID itself.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RunId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
        match Uuid::try_parse(text) {
            Ok(uuid) if canonical => Ok(Self(uuid)),
            Ok(_) | Err(_) => Err(ParseIdError::new("run id", text, "a run id is a lower-case UUID with hyphens")),
        }
    }
}

/// A ComfyUI server that comfyd knows; safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$"))]
pub struct InstanceId(String);

impl InstanceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for InstanceId {
    type Err = ParseIdError;

    /// Accepts 1 to 100 characters of `a-z 0-9 . _ -`, beginning with a letter or digit.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = (1..=100).contains(&text.len())
            && text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
            && text.as_bytes().first().is_some_and(|b| plain(*b));
        if good {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseIdError::new("instance id", text, "use 1 to 100 of a-z 0-9 . _ - and begin with a letter or digit"))
    }
}

/// A node of a prompt, or one that a node made while it ran: any text (protocol.md 7).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeId(pub String);

impl NodeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id under which ComfyUI knows a prompt: ours, unless an old server made its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PromptId(pub String);

impl From<RunId> for PromptId {
    fn from(run: RunId) -> Self {
        Self(run.to_string())
    }
}

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `clientId` of our socket at one instance; one per data directory and instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub String);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of some bytes, as 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(pattern = "^[0-9a-f]{64}$"))]
pub struct Sha256(String);

impl Sha256 {
    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Sha256 {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(ParseIdError::new("SHA-256", text, "give 64 lower-case hex digits")) }
    }
}

/// The place of a record in its stream: 1 for the first, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Seq(pub u64);

impl Seq {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A generic workflow: a list of steps, as the plan calls it; safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SetupId(String);

impl SetupId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SetupId {
    type Err = ParseIdError;

    /// Accepts 1 to 100 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let good = (1..=100).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if good {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseIdError::new("workflow id", text, "use 1 to 100 of A-Z a-z 0-9 . _ - and begin with a letter or digit"))
    }
}

/// One sequence of records: a run's, an instance's, or a generic workflow's.
///
/// ```
/// # use comfyd_engine::StreamId;
/// let stream: StreamId = "instance/gpu-a".parse()?;
/// assert_eq!(stream.to_string(), "instance/gpu-a");
/// # Ok::<(), comfyd_engine::ParseIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StreamId {
    /// The events of one run.
    Run(RunId),
    /// The events of one instance.
    Instance(InstanceId),
    /// The events of one generic workflow.
    Setup(SetupId),
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "run/{run}"),
            Self::Instance(instance) => write!(f, "instance/{instance}"),
            Self::Setup(setup) => write!(f, "setup/{setup}"),
        }
    }
}

impl FromStr for StreamId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.split_once('/') {
            Some(("run", id)) => Ok(Self::Run(id.parse()?)),
            Some(("instance", id)) => Ok(Self::Instance(id.parse()?)),
            Some(("setup", id)) => Ok(Self::Setup(id.parse()?)),
            Some(_) | None => Err(ParseIdError::new("stream id", text, "write run/<id>, instance/<id> or setup/<id>")),
        }
    }
}

/// A command, named by the event that caused it, so that a repeat is recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandId {
    /// The stream of the causing event.
    pub stream: StreamId,
    /// Its place there.
    pub seq: Seq,
    /// Which of the commands of that event: 0 for the first.
    pub index: u32,
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}.{}", self.stream, self.seq, self.index)
    }
}
