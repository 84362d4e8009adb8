//! PNG: texts between the picture data; animated ones have them in a chunk of ComfyUI's own.

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::MAX_TEXT;
use super::tags::{Tags, big_endian, take};

pub(super) fn read(bytes: &[u8], tags: &mut Tags) {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some(head) = take(&mut rest, 8) {
        let len = usize::try_from(big_endian(&head[..4])).unwrap_or(usize::MAX);
        let Some(body) = take(&mut rest, len) else { return };
        take(&mut rest, 4);
        match &head[4..] {
            b"tEXt" | b"comf" => plain(body, tags),
            b"zTXt" => compressed(body, tags),
            b"iTXt" => international(body, tags),
            b"IEND" => return,
            _ => {} // The picture, and what says how it looks.
        }
    }
}

/// The text up to the first zero, and the bytes after it.
fn named(body: &[u8]) -> Option<(&str, &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&body[..end]).ok()?, &body[end + 1..]))
}

fn plain(body: &[u8], tags: &mut Tags) {
    let Some((name, text)) = named(body) else { return };
    add_latin1_or_utf8(name, text, tags);
}

/// The format says Latin-1; some programs write UTF-8.
fn add_latin1_or_utf8(name: &str, text: &[u8], tags: &mut Tags) {
    if text.len() > MAX_TEXT {
        return;
    }
    if std::str::from_utf8(text).is_ok() {
        return tags.add(name, text);
    }
    let decoded: String = text.iter().map(|byte| char::from(*byte)).collect();
    tags.add(name, decoded.as_bytes());
}

fn compressed(body: &[u8], tags: &mut Tags) {
    let Some((name, [0, packed @ ..])) = named(body) else { return };
    if let Some(text) = inflated(name, packed, tags) {
        add_latin1_or_utf8(name, &text, tags);
    }
}

/// A text that is looked for, as long as the file has not brought too much.
fn inflated(name: &str, packed: &[u8], tags: &mut Tags) -> Option<Vec<u8>> {
    if !tags.wants(name) {
        return None;
    }
    let text = decompress_to_vec_zlib_with_limit(packed, tags.room);
    let len = text.as_ref().map_or_else(|error| error.output.len(), Vec::len);
    tags.room = tags.room.saturating_sub(len);
    text.ok()
}

fn international(body: &[u8], tags: &mut Tags) {
    let Some((name, [packed, 0, rest @ ..])) = named(body) else { return };
    // The language, and the name in that language.
    let Some((_, rest)) = named(rest) else { return };
    let Some((_, text)) = named(rest) else { return };
    if *packed == 0 {
        tags.add(name, text);
    } else if let Some(text) = inflated(name, text, tags) {
        tags.add(name, &text);
    }
}
