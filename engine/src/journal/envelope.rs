//! The payload of a record: a named MessagePack map `{at, kind, version, optional, data}`.
//!
//! Invariants: `data` is read only once `kind` and `version` are known; an unknown kind is skipped only if it says `optional`.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

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

    /// The event of this kind and version.
    ///
    /// # Errors
    /// If the kind is unknown or its body has another shape.
    fn decode(kind: &str, version: u32, payload: &[u8]) -> Result<Self, DecodeError>;
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    at: Timestamp,
    kind: &'a str,
    version: u32,
    optional: bool,
    data: &'a T,
}

struct Head<'a> {
    at: Timestamp,
    kind: &'a str,
    version: u32,
    optional: bool,
}

impl<'de> Deserialize<'de> for Head<'de> {
    /// Stops before `data`, which is written last: walking it twice would cost as much as the rest of a replay.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Head<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                let (mut at, mut kind, mut version, mut optional, mut data) = (None, None, None, None, false);
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "at" => at = Some(map.next_value()?),
                        "kind" => kind = Some(map.next_value()?),
                        "version" => version = Some(map.next_value()?),
                        "optional" => optional = Some(map.next_value()?),
                        "data" => {
                            data = true;
                            // A reader of maps wants all of one: where fields of the future follow, it is walked.
                            let last = map.size_hint() == Some(0);
                            if last && at.is_some() && kind.is_some() && version.is_some() && optional.is_some() {
                                break;
                            }
                            map.next_value::<IgnoredAny>()?;
                        }
                        // A field of the future.
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                if !data {
                    return Err(A::Error::missing_field("data"));
                }
                Ok(Head {
                    at: at.ok_or_else(|| A::Error::missing_field("at"))?,
                    kind: kind.ok_or_else(|| A::Error::missing_field("kind"))?,
                    version: version.ok_or_else(|| A::Error::missing_field("version"))?,
                    optional: optional.unwrap_or(false),
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// Writes an envelope; every kind known today is needed for the fold, so none is optional.
pub(crate) fn write<T: Serialize>(at: Timestamp, kind: &str, version: u32, data: &T) -> Vec<u8> {
    let envelope = Envelope { at, kind, version, optional: false, data };
    rmp_serde::to_vec_named(&envelope).expect("writing plain structs to memory cannot fail")
}

/// Reads the body out of an envelope.
pub(crate) fn data<T: DeserializeOwned>(kind: &str, payload: &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice::<Data<T>>(payload)
        .map(|envelope| envelope.data)
        .map_err(|e| DecodeError::Body { kind: kind.to_owned(), why: e.to_string() })
}

/// Reads a payload: its time, and the event unless it is an unknown optional one.
///
/// # Errors
/// If it is no envelope, or a kind that this program must know and does not.
pub fn read<E: Body>(payload: &[u8]) -> Result<(Timestamp, Option<E>), DecodeError> {
    let head: Head<'_> = rmp_serde::from_slice(payload).map_err(|e| DecodeError::Envelope { why: e.to_string() })?;
    match E::decode(head.kind, head.version, payload) {
        Ok(event) => Ok((head.at, Some(event))),
        Err(DecodeError::UnknownKind { .. }) if head.optional => Ok((head.at, None)),
        Err(error) => Err(error),
    }
}
