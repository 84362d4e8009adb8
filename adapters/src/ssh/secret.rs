//! Passwords and passphrases.

use zeroize::Zeroizing;

/// A text that nothing can show or store: it has neither `Debug` nor `Display` nor `Serialize`, and its memory is wiped.
///
/// ```
/// use comfyd_adapters::ssh::Secret;
/// assert_eq!(Secret::new("hunter2".into()).reveal(), "hunter2");
/// ```
/// ```compile_fail
/// # use comfyd_adapters::ssh::Secret;
/// format!("{:?}", Secret::new("hunter2".into()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
