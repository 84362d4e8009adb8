//! The payload of a record: a named MessagePack map `{at, kind, version, optional, data}`.
//!
//! Invariants: `data` is read only once `kind` and `version` are known; an unknown kind is skipped only if it says `optional`.

use rmp::decode::{read_bool, read_int, read_map_len, read_str_from_slice};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize as _, Serialize};

use crate::time::Timestamp;

/// A payload cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No envelope.
    #[error("read the envelope: {why}")]
    Envelope {
        /// What the decoder said.
        why: String,
    },
    /// A kind or version that this program does not know.
    #[error("know the event kind `{kind}` version {version}; a newer comfyd wrote it")]
    UnknownKind {
        /// The stored name.
        kind: String,
        /// The stored version.
        version: u32,
    },
    /// A known kind with a body of another shape.
    #[error("read the body of `{kind}`: {why}")]
    Body {
        /// The stored name.
        kind: String,
        /// What the decoder said.
        why: String,
    },
}

/// An event that can be put into an envelope.
pub trait Body: Sized {
    /// The payload's bytes.
    fn encode(&self, at: Timestamp) -> Vec<u8>;

    /// The event of this kind and version, from the bytes of its body.
    ///
    /// # Errors
    /// If the kind is unknown or its body has another shape.
    fn decode(kind: &str, version: u32, data: &[u8]) -> Result<Self, DecodeError>;
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    at: Timestamp,
    kind: &'a str,
    version: u32,
    optional: bool,
    data: &'a T,
}

/// What is around a body, and its bytes.
struct Parts<'a> {
    at: Timestamp,
    kind: &'a str,
    version: u32,
    optional: bool,
    data: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Finds them without a look into `data`, which is written last: walking it twice would cost as much as the rest of a replay.
    fn of(payload: &'a [u8]) -> Result<Self, String> {
        let (mut at, mut kind, mut version, mut optional, mut data) = (None, None, None, None, None);
        let mut rest = payload;
        let fields = read_map_len(&mut rest).map_err(|error| format!("a map: {error}"))?;
        for left in (0..fields).rev() {
            match text(&mut rest)? {
                "at" => at = Some(Timestamp(number(&mut rest)?)),
                "kind" => kind = Some(text(&mut rest)?),
                "version" => version = Some(number(&mut rest)?),
                "optional" => optional = Some(read_bool(&mut rest).map_err(|error| error.to_string())?),
                "data" => {
                    data = Some(rest);
                    if left > 0 {
                        skip(&mut rest)?;
                    }
                }
                // A field of the future.
                _ => skip(&mut rest)?,
            }
        }
        let missing = |name: &str| format!("missing field `{name}`");
        Ok(Self {
            at: at.ok_or_else(|| missing("at"))?,
            kind: kind.ok_or_else(|| missing("kind"))?,
            version: version.ok_or_else(|| missing("version"))?,
            optional: optional.unwrap_or(false),
            data: data.ok_or_else(|| missing("data"))?,
        })
    }
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, String> {
    let (text, behind) = read_str_from_slice(*rest).map_err(|error| error.to_string())?;
    *rest = behind;
    Ok(text)
}

fn number<T: TryFrom<u64>>(rest: &mut &[u8]) -> Result<T, String> {
    let number: u64 = read_int(rest).map_err(|error| error.to_string())?;
    T::try_from(number).map_err(|_| format!("the number {number} is too large"))
}

fn skip(rest: &mut &[u8]) -> Result<(), String> {
    IgnoredAny::deserialize(&mut rmp_serde::Deserializer::new(rest)).map(drop).map_err(|error| error.to_string())
}

/// Writes an envelope; every kind known today is needed for the fold, so none is optional.
pub(crate) fn write<T: Serialize>(at: Timestamp, kind: &str, version: u32, data: &T) -> Vec<u8> {
    let envelope = Envelope { at, kind, version, optional: false, data };
    rmp_serde::to_vec_named(&envelope).expect("writing plain structs to memory cannot fail")
}

/// Reads the body of an event from its bytes.
pub(crate) fn data<T: DeserializeOwned>(kind: &str, data: &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice(data).map_err(|e| DecodeError::Body { kind: kind.to_owned(), why: e.to_string() })
}

/// Reads a payload: its time, and the event unless it is an unknown optional one.
///
/// # Errors
/// If it is no envelope, or a kind that this program must know and does not.
pub fn read<E: Body>(payload: &[u8]) -> Result<(Timestamp, Option<E>), DecodeError> {
    let parts = Parts::of(payload).map_err(|why| DecodeError::Envelope { why })?;
    match E::decode(parts.kind, parts.version, parts.data) {
        Ok(event) => Ok((parts.at, Some(event))),
        Err(DecodeError::UnknownKind { .. }) if parts.optional => Ok((parts.at, None)),
        Err(error) => Err(error),
    }
}
