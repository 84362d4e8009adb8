//! The token.
//!
//! Invariants: its value reaches no log, reply or error text; it is compared in constant time.

use std::fmt;

use sha2::{Digest, Sha256};

/// A text that must not be shown: no `Serialize`, and a `Debug` that hides it.
///
/// ```
/// # use comfyd_server::api::Secret;
/// let token = Secret::new("0123456789abcdef");
/// assert!(token.matches("0123456789abcdef"));
/// assert!(!token.matches("0123456789abcdeF"));
/// assert_eq!(format!("{token:?}"), "Secret(..)");
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that must hand it on (a file of mode 0600, a link for its owner).
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a guess is right, in a time that says nothing about how wrong it is.
    pub fn matches(&self, guess: &str) -> bool {
        same(&digest(&[self.0.as_bytes()]), &digest(&[guess.as_bytes()]))
    }

    /// A key made from it for another purpose; the secret cannot be found from it.
    pub(super) fn key_for(&self, purpose: &str) -> [u8; 32] {
        mac(&digest(&[self.0.as_bytes()]), purpose.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// HMAC-SHA-256 with a key of 32 bytes (RFC 2104).
pub(super) fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        for (place, byte) in block.iter_mut().zip(key) {
            *place ^= byte;
        }
        block
    };
    let inner = digest(&[&padded(0x36), message]);
    digest(&[&padded(0x5c), &inner])
}

/// Whether two digests are equal, looking at every byte.
pub(super) fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0u8, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::{Secret, mac};

    #[test]
    fn the_mac_is_hmac_sha_256() {
        // RFC 4231, test case 1, whose key of 20 bytes is padded with zeros by the definition.
        let mut key = [0u8; 32];
        key[..20].fill(0x0b);
        let hex = mac(&key, b"Hi There").iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn only_the_whole_token_matches() {
        let token = Secret::new("abc");
        for (guess, right) in [("abc", true), ("ab", false), ("abcd", false), ("", false), ("ABC", false), (" abc", false)] {
            assert_eq!(token.matches(guess), right, "{guess:?}");
        }
    }
}
