//! Names with texts, as many kinds of files have them.

use serde_json::Value;

use super::MAX_TEXT;

/// What was found so far; the first text of a name stays.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) prompt: Option<String>,
    pub(super) workflow: Option<String>,
    /// How many comments were looked into.
    comments: usize,
    /// How many bytes may still be inflated.
    pub(super) room: usize,
}

impl Default for Tags {
    fn default() -> Self {
        Self { prompt: None, workflow: None, comments: 0, room: 2 * MAX_TEXT }
    }
}

/// More comments than this are not looked into.
const MAX_COMMENTS: usize = 8;

impl Tags {
    /// Whether a text of this name is still looked for, so that it is worth inflating.
    pub(super) fn wants(&self, name: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "prompt" => self.prompt.is_none(),
            "workflow" => self.workflow.is_none(),
            "comment" | "\u{a9}cmt" => self.comments < MAX_COMMENTS && (self.prompt.is_none() || self.workflow.is_none()),
            _ => false, // All other tags are of no concern.
        }
    }

    /// Takes a tag, if it is one of ours.
    pub(super) fn add(&mut self, name: &str, text: &[u8]) {
        if !self.wants(name) {
            return;
        }
        let place = match name.to_ascii_lowercase().as_str() {
            "prompt" => &mut self.prompt,
            "workflow" => &mut self.workflow,
            // Some packs write both into the comment, as one object.
            "comment" | "\u{a9}cmt" => return self.add_comment(text),
            _ => return, // All other tags are of no concern.
        };
        *place = clean(text);
    }

    fn add_comment(&mut self, text: &[u8]) {
        self.comments += 1;
        let Some(text) = clean(text) else { return };
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(&text) else { return };
        for name in ["prompt", "workflow"] {
            match fields.get(name) {
                Some(Value::String(text)) => self.add(name, text.as_bytes()),
                Some(object @ Value::Object(_)) => self.add(name, object.to_string().as_bytes()),
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {}
            }
        }
    }

    /// Takes `name:text`, as EXIF has it.
    pub(super) fn add_prefixed(&mut self, bytes: &[u8]) {
        let Some(colon) = bytes.iter().take(20).position(|byte| *byte == b':') else { return };
        if let Ok(name) = std::str::from_utf8(&bytes[..colon]) {
            self.add(name, &bytes[colon + 1..]);
        }
    }

    /// Takes `name=text`, as Vorbis comments have it.
    fn add_comment_field(&mut self, bytes: &[u8]) {
        let Some(equals) = bytes.iter().take(100).position(|byte| *byte == b'=') else { return };
        if let Ok(name) = std::str::from_utf8(&bytes[..equals]) {
            self.add(name, &bytes[equals + 1..]);
        }
    }
}

/// A text without the zeros at its end; none if it is too long or no UTF-8.
fn clean(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    (!text.is_empty() && text.len() <= MAX_TEXT).then(|| text.to_owned())
}

/// Takes so many bytes off the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

/// A number of up to eight bytes, the largest first.
pub(super) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// A number of up to eight bytes, the smallest first.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn length(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(little_endian(take(bytes, 4)?)).ok()
}

/// The comments of Vorbis, which FLAC and Opus have as well.
pub(super) fn read_vorbis(bytes: &[u8], tags: &mut Tags) -> Option<()> {
    let mut rest = bytes;
    let vendor = length(&mut rest)?;
    take(&mut rest, vendor)?;
    let count = length(&mut rest)?;
    for _ in 0..count {
        let len = length(&mut rest)?;
        tags.add_comment_field(take(&mut rest, len)?);
    }
    Some(())
}

/// The blocks before the sound; the fourth kind has the comments.
pub(super) fn read_flac(bytes: &[u8], tags: &mut Tags) {
    let mut rest = bytes.get(4..).unwrap_or_default();
    while let Some(head) = take(&mut rest, 4) {
        let len = usize::try_from(big_endian(&head[1..])).unwrap_or(usize::MAX);
        let Some(block) = take(&mut rest, len) else { return };
        if head[0] & 0x7f == 4 {
            read_vorbis(block, tags);
        }
        if head[0] & 0x80 != 0 {
            return;
        }
    }
}

/// The frames of ID3 version 2.3 or 2.4 that have a name of their own.
pub(super) fn read_id3(bytes: &[u8], tags: &mut Tags) {
    let mut rest = bytes;
    let Some(head) = take(&mut rest, 10) else { return };
    let version = head[3];
    let len = synchsafe(&head[6..10]);
    let mut rest = rest.get(..len).unwrap_or(rest);
    if head[5] & 0x40 != 0 {
        let extended = rest
            .get(..4)
            .map_or(0, |size| if version == 4 { synchsafe(size) } else { usize::try_from(big_endian(size)).unwrap_or(0) + 4 });
        rest = rest.get(extended..).unwrap_or_default();
    }
    while let Some(frame) = take(&mut rest, 10) {
        let size =
            if version == 4 { synchsafe(&frame[4..8]) } else { usize::try_from(big_endian(&frame[4..8])).unwrap_or(usize::MAX) };
        let Some(body) = take(&mut rest, size) else { return };
        if &frame[..4] == b"TXXX" {
            read_named_text(body, tags);
        }
    }
}

/// Seven bits of each byte.
fn synchsafe(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |number, byte| (number << 7) | usize::from(byte & 0x7f))
}

/// The encoding, the name, the text.
fn read_named_text(body: &[u8], tags: &mut Tags) {
    let Some((encoding, rest)) = body.split_first() else { return };
    match encoding {
        0 | 3 => {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else { return };
            if let Ok(name) = std::str::from_utf8(&rest[..end]) {
                let text = &rest[end + 1..];
                if *encoding == 0 {
                    tags.add(name, text.iter().map(|byte| char::from(*byte)).collect::<String>().as_bytes());
                } else {
                    tags.add(name, text);
                }
            }
        }
        1 | 2 => {
            let big = *encoding == 2;
            let words: Vec<u16> = rest
                .chunks_exact(2)
                .map(|pair| if big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) })
                .collect();
            // A mark that says the order of bytes stands before each of the two.
            let swapped = words.first() == Some(&0xfffe);
            let words: Vec<u16> = words.into_iter().map(|word| if swapped { word.swap_bytes() } else { word }).collect();
            let mut parts = words.split(|word| *word == 0);
            let text = |part: Option<&[u16]>| {
                String::from_utf16_lossy(part.unwrap_or_default()).trim_start_matches('\u{feff}').to_owned()
            };
            let name = text(parts.next());
            tags.add(&name, text(parts.next()).as_bytes());
        }
        _ => {} // There are no other encodings.
    }
}
