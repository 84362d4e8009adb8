//! MP4 and MOV: names in `keys` with values in `ilst`, or a comment.

use super::tags::{Tags, big_endian, take};

/// Boxes inside of boxes are followed this far.
const MAX_DEPTH: usize = 8;

pub(super) fn read(bytes: &[u8], tags: &mut Tags) {
    boxes(bytes, 0, &mut Vec::new(), tags);
}

/// Calls for each box; those that hold others are opened.
fn boxes(bytes: &[u8], depth: usize, names: &mut Vec<String>, tags: &mut Tags) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut rest = bytes;
    while let Some((kind, body)) = next_box(&mut rest) {
        match &kind {
            b"moov" | b"udta" | b"trak" => boxes(body, depth + 1, names, tags),
            b"meta" => {
                // Some writers have a version before the boxes, some have not.
                let plain = body.get(4..8).is_some_and(|kind| kind == b"hdlr" || kind == b"keys" || kind == b"ilst");
                boxes(if plain { body } else { body.get(4..).unwrap_or_default() }, depth + 1, names, tags);
            }
            b"keys" => *names = keys(body.get(8..).unwrap_or_default()),
            b"ilst" => values(body, names, tags),
            _ => {} // The film itself.
        }
    }
}

fn next_box<'a>(rest: &mut &'a [u8]) -> Option<([u8; 4], &'a [u8])> {
    let head = take(rest, 8)?;
    let kind: [u8; 4] = head[4..8].try_into().ok()?;
    let len = match big_endian(&head[..4]) {
        // To the end of the file.
        0 => rest.len(),
        1 => usize::try_from(big_endian(take(rest, 8)?)).ok()?.checked_sub(16)?,
        len => usize::try_from(len).ok()?.checked_sub(8)?,
    };
    // A box that is cut off is taken as far as it goes.
    Some((kind, take(rest, len.min(rest.len()))?))
}

fn keys(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut names = Vec::new();
    while let Some((_, name)) = next_box(&mut rest) {
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    names
}

fn values(bytes: &[u8], names: &[String], tags: &mut Tags) {
    let mut rest = bytes;
    while let Some((kind, body)) = next_box(&mut rest) {
        let place = usize::try_from(u32::from_be_bytes(kind)).ok().and_then(|number| number.checked_sub(1));
        let by_number = place.and_then(|place| names.get(place)).cloned();
        let name = by_number.unwrap_or_else(|| kind.iter().map(|byte| char::from(*byte)).collect());
        let mut inner = body;
        while let Some((kind, data)) = next_box(&mut inner) {
            if &kind == b"data" {
                // The type of the value, and its language.
                tags.add(&name, data.get(8..).unwrap_or_default());
            }
        }
    }
}
