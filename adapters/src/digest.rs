//! Hashes and their text.

use std::fmt::Write as _;

use comfyd_engine::Sha256;
use sha2::{Digest, Sha256 as Hasher};

/// Lower-case hex digits, two a byte.
///
/// ```
/// assert_eq!(comfyd_adapters::digest::hex(&[0, 255]), "00ff");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// The hash that a finished hasher gives.
pub fn finished(hasher: Hasher) -> Sha256 {
    hex(&hasher.finalize()).parse().expect("a digest is 64 hex digits")
}

/// The hash of some bytes.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    finished(Hasher::new_with_prefix(bytes))
}
