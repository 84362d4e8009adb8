//! The file `state.json`: the caller's view plus the place in the log that it shows.
//!
//! Invariants: top-level keys sorted; nested text exactly as the caller gave it. Absent: what a view holds.

use std::collections::BTreeMap;

use comfyd_engine::Seq;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The place in a stream's log that a snapshot shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SnapshotHead {
    /// The last record in it.
    pub seq: Seq,
    /// The length of the log with that record.
    pub log_len: u64,
    /// The checksum of that record, 8 hex digits.
    pub chain: String,
}

/// The text of a record's checksum.
pub(crate) fn chain_text(crc: u32) -> String {
    format!("{crc:08x}")
}

/// Puts the place into the caller's JSON object.
pub(crate) fn seal(json: &str, head: &SnapshotHead) -> serde_json::Result<String> {
    let mut object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json)?;
    object.insert("seq".to_owned(), RawValue::from_string(head.seq.to_string())?);
    object.insert("log_len".to_owned(), RawValue::from_string(head.log_len.to_string())?);
    object.insert("chain".to_owned(), RawValue::from_string(format!("\"{}\"", head.chain))?);
    serde_json::to_string(&object)
}

/// Reads the place that a snapshot names; nothing if the file is torn.
pub(crate) fn head(bytes: &[u8]) -> Option<SnapshotHead> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_sorts_keys_and_keeps_nested_text() {
        let place = SnapshotHead { seq: Seq(3), log_len: 120, chain: chain_text(0xab) };
        let text = seal(r#"{"zeta": {"b":1,"a":2.50}, "seq":3, "beta":[9007199254740993]}"#, &place).expect("an object");
        assert_eq!(text, r#"{"beta":[9007199254740993],"chain":"000000ab","log_len":120,"seq":3,"zeta":{"b":1,"a":2.50}}"#);
        assert_eq!(head(text.as_bytes()), Some(place));
    }

    #[test]
    fn torn_snapshots_have_no_head() {
        let place = SnapshotHead { seq: Seq(3), log_len: 120, chain: chain_text(7) };
        let text = seal(r#"{"view":{"name":"x"}}"#, &place).expect("an object");
        for cut in 0..text.len() {
            assert_eq!(head(&text.as_bytes()[..cut]), None);
        }
        assert!(seal("[1]", &place).is_err());
    }
}
