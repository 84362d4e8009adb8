//! Which ComfyUI a server is, and what it can therefore be asked.

use std::fmt;

/// The version that `/system_stats` tells.
///
/// ```
/// use comfyd_adapters::comfy::version::Version;
/// let version = Version::parse("0.3.75").expect("three numbers");
/// assert!(version.interrupts_by_id());
/// assert!(!Version::parse("0.3.56").expect("three numbers").interrupts_by_id());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The version in a text such as `0.3.75`, `v0.3.75` or `0.8.0-dev`; none if it does not begin with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let mut numbers = text.split('.').map(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part[..digits].parse::<u32>().ok()
        });
        let major = numbers.next()??;
        let minor = numbers.next()??;
        let patch = numbers.next().flatten().unwrap_or(0);
        Some(Self { major, minor, patch })
    }

    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Whether `POST /interrupt` looks at the `prompt_id` (0.3.57 on); older ones stop whatever runs.
    pub fn interrupts_by_id(self) -> bool {
        self >= Self::new(0, 3, 57)
    }

    /// Whether `POST /prompt` takes the client's `prompt_id` (0.3.45 on); older ones make their own.
    pub fn takes_prompt_id(self) -> bool {
        self >= Self::new(0, 3, 45)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let read = |text| Version::parse(text).map(|version| version.to_string());
        for (text, expected) in [
            ("0.8.0", Some("0.8.0")),
            ("v0.3.56+fork.2", Some("0.3.56")),
            ("0.3.57rc1", Some("0.3.57")),
            ("1.2", Some("1.2.0")),
            ("unknown", None),
            ("7", None),
            ("", None),
            ("0.99999999999999.1", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
        assert!(Version::parse("1.0").is_some_and(|version| version.interrupts_by_id() && version.takes_prompt_id()));
        assert!(Version::parse("0.3.44").is_some_and(|version| !version.takes_prompt_id()));
    }
}
