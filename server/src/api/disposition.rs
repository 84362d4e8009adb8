//! What a browser does with a file: shows it, or saves it under a name (RFC 6266, RFC 8187).
//!
//! Invariants: only media that cannot run code is shown; a name from an instance is a label and never leaves its quotes.

use std::fmt::Write as _;

/// What may be shown in the page: pictures, films and sounds whose first bytes were looked at.
const SHOWN: [&str; 11] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "video/mp4",
    "video/webm",
    "audio/mpeg",
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
    "audio/x-flac",
];

/// The media type to serve: what was sniffed if it may be shown, else plain bytes that no browser interprets.
pub(super) fn media_type(sniffed: Option<&str>) -> &'static str {
    SHOWN.into_iter().find(|shown| Some(*shown) == sniffed).unwrap_or("application/octet-stream")
}

/// The `Content-Disposition` of a file.
pub(super) fn disposition(label: &str, media_type: &str, saving: Saving) -> String {
    let shown = saving == Saving::IfNotShown && SHOWN.contains(&media_type);
    let kind = if shown { "inline" } else { "attachment" };
    format!("{kind}; filename=\"{}\"; filename*=UTF-8''{}", plain(label), encoded(label))
}

/// Whether the caller wants it saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saving {
    /// Saved only if it cannot be shown.
    IfNotShown,
    /// In any case.
    Always,
}

/// The name for clients that know ASCII only.
fn plain(label: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ' | '(' | ')') { c } else { '_' };
    let name: String = label.chars().take(200).map(safe).collect();
    if name.trim_matches(['.', ' ']).is_empty() { "output".to_owned() } else { name }
}

fn encoded(label: &str) -> String {
    // Path separators and controls have no place in a name, whatever the client does with it.
    let safe = |c: char| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c };
    let name: String = label.chars().take(200).map(safe).collect();
    let name = if name.trim_matches(['.', ' ']).is_empty() { "output".to_owned() } else { name };
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes everything");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Saving, disposition, media_type};

    #[test]
    fn only_harmless_media_is_shown() {
        for shown in ["image/png", "video/webm", "audio/flac"] {
            assert_eq!(media_type(Some(shown)), shown);
            assert!(disposition("a", shown, Saving::IfNotShown).starts_with("inline; "));
            assert!(disposition("a", shown, Saving::Always).starts_with("attachment; "));
        }
        for hidden in
            [Some("image/svg+xml"), Some("text/html"), Some("application/xml"), Some("text/plain"), Some("IMAGE/PNG; x"), None]
        {
            assert_eq!(media_type(hidden), "application/octet-stream");
        }
        assert!(disposition("a.html", "application/octet-stream", Saving::IfNotShown).starts_with("attachment; "));
    }

    #[test]
    fn a_name_never_leaves_its_quotes() {
        let rows = [
            ("a b.png", r#"filename="a b.png"; filename*=UTF-8''a%20b.png"#),
            ("a\"; x=\"b", r#"filename="a__ x__b"; filename*=UTF-8''a%22%3B%20x%3D%22b"#),
            ("a\r\nSet-Cookie: x", r#"filename="a__Set-Cookie_ x"; filename*=UTF-8''a__Set-Cookie%3A%20x"#),
            ("../../etc/passwd", r#"filename=".._.._etc_passwd"; filename*=UTF-8''.._.._etc_passwd"#),
            ("grün.png", r#"filename="gr_n.png"; filename*=UTF-8''gr%C3%BCn.png"#),
            ("..", r#"filename="output"; filename*=UTF-8''output"#),
            ("", r#"filename="output"; filename*=UTF-8''output"#),
        ];
        for (label, expected) in rows {
            assert_eq!(disposition(label, "image/png", Saving::IfNotShown), format!("inline; {expected}"), "{label:?}");
        }
    }
}
