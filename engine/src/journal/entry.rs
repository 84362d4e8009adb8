//! The payload of a journal record: one record of one stream.
//!
//! Invariants: a named MessagePack map `{s, n, p}`; what it carries stays opaque. Absent: the envelope inside `p`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Seq, StreamId};

/// The most bytes that an entry adds to what it carries.
pub const ENTRY_OVERHEAD: usize = 256;

/// One record of one stream, as the journal carries it.
///
/// ```
/// # use comfyd_engine::{Seq, journal::entry::Entry};
/// let entry = Entry { stream: "instance/gpu-a".parse()?, seq: Seq(3), payload: b"a fact" };
/// let bytes = entry.encode();
/// assert_eq!(Entry::decode(&bytes).ok(), Some(entry));
/// # Ok::<(), comfyd_engine::ParseIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose record it is.
    pub stream: StreamId,
    /// Its place in the stream.
    pub seq: Seq,
    /// The stream record's payload.
    pub payload: &'a [u8],
}

/// A journal record that is not an entry of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal record is not an entry: {why}")]
pub struct EntryError {
    why: String,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    s: &'a str,
    n: u64,
    #[serde(with = "serde_bytes", borrow)]
    p: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The bytes for the journal.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 80);
        self.encode_into(&mut out);
        out
    }

    /// Appends the bytes for the journal to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let wire = Wire { s: &self.stream.to_string(), n: self.seq.0, p: self.payload };
        let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
        wire.serialize(&mut serializer).expect("text, number and bytes always encode into memory");
    }

    /// Reads an entry; unknown fields are skipped.
    ///
    /// # Errors
    /// The bytes are no such map, or name no stream.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let wire: Wire<'a> = rmp_serde::from_slice(bytes).map_err(|error| EntryError { why: error.to_string() })?;
        let stream = StreamId::from_str(wire.s).map_err(|error| EntryError { why: error.to_string() })?;
        Ok(Self { stream, seq: Seq(wire.n), payload: wire.p })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_covers_the_longest_name() {
        let stream = StreamId::from_str(&format!("instance/{}", "x".repeat(100))).expect("a good id");
        let payload = vec![1; 70_000];
        let entry = Entry { stream, seq: Seq(u64::MAX), payload: &payload };
        assert!(entry.encode().len() <= payload.len() + ENTRY_OVERHEAD);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(Entry::decode(b"").is_err());
        assert!(Entry::decode(&[0x80]).is_err());
        let wire = rmp_serde::to_vec_named(&Wire { s: "run/nonsense", n: 1, p: b"x" }).expect("encodes");
        assert!(Entry::decode(&wire).is_err());
    }
}
