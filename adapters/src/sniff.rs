//! What the first bytes of a file tell about its type.
//!
//! Invariant: only types that a browser may show without running anything are named; names and headers of the server are never asked.

/// How many bytes at the beginning are enough.
pub const SNIFF_BYTES: usize = 512;

/// The media type that the first bytes tell: pictures, films, sounds, JSON and plain text.
///
/// ```
/// use comfyd_adapters::sniff::sniff;
/// assert_eq!(sniff(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
/// assert_eq!(sniff(b"<html><script>"), None);
/// ```
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let riff = |kind: &[u8]| at(0, b"RIFF") && at(8, kind);
    if at(0, b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if at(0, b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if riff(b"WEBP") {
        Some("image/webp")
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        Some("image/gif")
    } else if riff(b"WAVE") {
        Some("audio/wav")
    } else if at(4, b"ftyp") {
        Some(if at(8, b"M4A ") { "audio/mp4" } else { "video/mp4" })
    } else if at(0, b"\x1a\x45\xdf\xa3") {
        // Matroska and WebM share the magic; the document type follows soon.
        head.windows(4).any(|window| window == b"webm").then_some("video/webm")
    } else if at(0, b"ID3") || is_mpeg_audio(head) {
        Some("audio/mpeg")
    } else if at(0, b"fLaC") {
        Some("audio/flac")
    } else if at(0, b"OggS") {
        Some("audio/ogg")
    } else {
        text(head)
    }
}

/// A frame header of MPEG audio layer III without a tag before it.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let &[sync, kind, rates, ..] = head else { return false };
    let layer_three = kind & 0b0000_0110 == 0b0000_0010;
    let version = kind & 0b0001_1000 != 0b0000_1000;
    sync == 0xff && kind & 0xe0 == 0xe0 && layer_three && version && rates >> 4 != 0xf && rates >> 4 != 0 && rates & 0x0c != 0x0c
}

fn text(head: &[u8]) -> Option<&'static str> {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut can fall into a character.
        Err(error) if error.error_len().is_none() && head.len() == SNIFF_BYTES => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    let shown = valid.trim_start_matches('\u{feff}').trim_start();
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    // Markup may be run by a browser: it gets no type.
    if shown.is_empty() || shown.starts_with('<') || valid.contains(control) {
        return None;
    }
    Some(if shown.starts_with(['{', '[']) { "application/json" } else { "text/plain" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        let rows: &[(&[u8], Option<&str>)] = &[
            (b"\x89PNG\r\n\x1a\n\0\0", Some("image/png")),
            (b"\x89PNG", None),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\x10\0\0\0WAVEfmt ", Some("audio/wav")),
            (b"RIFF\x10\0\0\0AVI ", None),
            (b"GIF89a", Some("image/gif")),
            (b"\0\0\0\x20ftypisom", Some("video/mp4")),
            (b"\0\0\0\x20ftypM4A ", Some("audio/mp4")),
            (b"\x1a\x45\xdf\xa3\x01\0\0\0\x42\x82\x84webm", Some("video/webm")),
            (b"\x1a\x45\xdf\xa3\x01\0\0\0\x42\x82\x88matroska", None),
            (b"ID3\x04", Some("audio/mpeg")),
            (b"\xff\xfb\x90\x64", Some("audio/mpeg")),
            (b"fLaC\0", Some("audio/flac")),
            (b"OggS\0", Some("audio/ogg")),
            (b" {\"a\": 1}", Some("application/json")),
            (b"[1]", Some("application/json")),
            (b"hello\nworld", Some("text/plain")),
            (b"<svg onload=1>", None),
            (b"\xef\xbb\xbf <!doctype html>", None),
            (b"a\0b", None),
            (b"\xc3", None),
            (b"", None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(sniff(bytes), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_character_cut_at_the_limit_is_still_text() {
        let mut long = vec![b'a'; SNIFF_BYTES - 1];
        long.extend("\u{e4}".bytes());
        assert_eq!(sniff(&long), Some("text/plain"));
    }
}
