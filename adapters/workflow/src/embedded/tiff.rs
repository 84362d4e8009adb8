//! WebP and JPEG: texts of the form `workflow:{...}` among the EXIF fields.

use super::tags::{Tags, big_endian, little_endian, take};

/// More fields than this has no camera.
const MAX_FIELDS: usize = 1000;

pub(super) fn read_webp(bytes: &[u8], tags: &mut Tags) {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some(head) = take(&mut rest, 8) {
        let len = usize::try_from(little_endian(&head[4..])).unwrap_or(usize::MAX);
        let Some(body) = take(&mut rest, len) else { return };
        take(&mut rest, len % 2);
        if &head[..4] == b"EXIF" {
            read_exif(body, tags);
        }
    }
}

pub(super) fn read_jpeg(bytes: &[u8], tags: &mut Tags) {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(head) = take(&mut rest, 4) {
        let len = usize::try_from(big_endian(&head[2..])).unwrap_or(0);
        if head[0] != 0xff || head[1] == 0xda {
            return;
        }
        let Some(body) = len.checked_sub(2).and_then(|len| take(&mut rest, len)) else { return };
        if head[1] == 0xe1 && body.starts_with(b"Exif\0\0") {
            read_exif(body, tags);
        }
    }
}

/// The fields of the first directory that are texts.
fn read_exif(bytes: &[u8], tags: &mut Tags) -> Option<()> {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    let number: fn(&[u8]) -> u64 = match bytes.get(..2)? {
        b"II" => little_endian,
        b"MM" => big_endian,
        _ => return None, // No order of bytes, so no EXIF.
    };
    let at =
        |place: usize, len: usize| -> Option<usize> { usize::try_from(number(bytes.get(place..place.checked_add(len)?)?)).ok() };
    let directory = at(4, 4)?;
    let count = at(directory, 2)?.min(MAX_FIELDS);
    for field in 0..count {
        let place = directory.checked_add(2 + field * 12)?;
        let (kind, len) = (at(place + 2, 2)?, at(place + 4, 4)?);
        if kind != 2 {
            continue; // No text.
        }
        let start = if len <= 4 { place + 8 } else { at(place + 8, 4)? };
        if let Some(text) = bytes.get(start..start.saturating_add(len)) {
            tags.add_prefixed(text);
        }
    }
    Some(())
}
