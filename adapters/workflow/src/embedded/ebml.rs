//! `WebM` and Matroska: simple tags.

use super::tags::{Tags, big_endian, take};

const SEGMENT: u64 = 0x1853_8067;
const TAGS: u64 = 0x1254_c367;
const TAG: u64 = 0x7373;
const SIMPLE_TAG: u64 = 0x67c8;
const TAG_NAME: u64 = 0x45a3;
const TAG_STRING: u64 = 0x4487;
/// Elements inside of elements are followed this far.
const MAX_DEPTH: usize = 8;

pub(super) fn read(bytes: &[u8], tags: &mut Tags) {
    elements(bytes, 0, tags);
}

fn elements(bytes: &[u8], depth: usize, tags: &mut Tags) {
    let mut rest = bytes;
    while let Some((id, body)) = next_element(&mut rest) {
        match id {
            SEGMENT | TAGS | TAG if depth < MAX_DEPTH => elements(body, depth + 1, tags),
            SIMPLE_TAG => simple_tag(body, tags),
            _ => {} // The film itself.
        }
    }
}

fn simple_tag(bytes: &[u8], tags: &mut Tags) {
    let (mut rest, mut name, mut text) = (bytes, None, None);
    while let Some((id, body)) = next_element(&mut rest) {
        match id {
            TAG_NAME => name = std::str::from_utf8(body).ok(),
            TAG_STRING => text = Some(body),
            _ => {} // Its language.
        }
    }
    if let (Some(name), Some(text)) = (name, text) {
        tags.add(name.trim_end_matches('\0'), text);
    }
}

fn next_element<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let first = *rest.first()?;
    let id = big_endian(take(rest, usize::try_from(first.leading_zeros()).ok()? + 1).filter(|id| id.len() <= 4)?);
    let first = *rest.first()?;
    let len = usize::try_from(first.leading_zeros()).ok()? + 1;
    let size = take(rest, len).filter(|size| size.len() <= 8)?;
    let value = big_endian(size) & ((1 << (7 * len)) - 1);
    // All ones: the writer did not know, it goes to the end.
    let unknown = value == (1 << (7 * len)) - 1;
    let size = if unknown { rest.len() } else { usize::try_from(value).ok()?.min(rest.len()) };
    Some((id, take(rest, size)?))
}
