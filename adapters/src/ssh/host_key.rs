//! The key by which a machine proves that it is itself.

use std::fmt;

use russh::keys::{HashAlg, PublicKey};

/// The public key of a machine.
///
/// ```
/// use comfyd_adapters::ssh::HostKey;
/// let key = HostKey::parse("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIFd5t24vDBXAPTxsXKEsZRBIe4AQAiAR8nuAicdeI0Za")?;
/// assert_eq!(key.fingerprint(), "SHA256:aTEeu1vVnDU+3ntqfxzbXsPMAAj5owBdISajX//5lyo");
/// # Ok::<(), comfyd_adapters::ssh::BadHostKey>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostKey {
    algorithm: String,
    base64: String,
    fingerprint: String,
}

/// A text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the host key of type `{0}`")]
pub struct BadHostKey(String);

impl HostKey {
    /// The key that stands in a file of keys: its algorithm and its base64.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(algorithm: &str, base64: &str) -> Result<Self, BadHostKey> {
        let bad = || BadHostKey(algorithm.chars().take(40).collect());
        let key = PublicKey::from_openssh(&format!("{algorithm} {base64}")).map_err(|_| bad())?;
        Self::of(&key).map_err(|_| bad())
    }

    pub(super) fn of(key: &PublicKey) -> Result<Self, BadHostKey> {
        let algorithm = key.algorithm().to_string();
        let text = key.to_openssh().map_err(|_| BadHostKey(algorithm.clone()))?;
        let base64 = text.split(' ').nth(1).ok_or_else(|| BadHostKey(algorithm.clone()))?.to_owned();
        Ok(Self { algorithm, base64, fingerprint: key.fingerprint(HashAlg::Sha256).to_string() })
    }

    /// Its algorithm, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key itself, as files of keys have it.
    pub fn base64(&self) -> &str {
        &self.base64
    }

    /// What people compare: `SHA256:` and 43 characters.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint)
    }
}
