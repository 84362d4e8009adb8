//! Ogg: the second packet of Opus and Vorbis has the comments; it may go over many pages.

use super::MAX_TEXT;
use super::tags::{Tags, read_vorbis, take};

pub(super) fn read(bytes: &[u8], tags: &mut Tags) {
    let mut rest = bytes;
    let mut packet: Vec<u8> = Vec::new();
    let mut number = 0;
    while let Some(head) = take(&mut rest, 27) {
        if &head[..4] != b"OggS" {
            return;
        }
        let Some(lengths) = take(&mut rest, usize::from(head[26])) else { return };
        for len in lengths {
            let Some(part) = take(&mut rest, usize::from(*len)) else { return };
            if number == 1 {
                packet.extend_from_slice(part);
            }
            if packet.len() > MAX_TEXT {
                return;
            }
            // A part that is not full ends its packet.
            if *len < 255 {
                number += 1;
                if number > 1 {
                    return comments(&packet, tags);
                }
            }
        }
    }
}

fn comments(packet: &[u8], tags: &mut Tags) {
    let body = packet.strip_prefix(b"OpusTags").or_else(|| packet.strip_prefix(b"\x03vorbis"));
    if let Some(body) = body {
        read_vorbis(body, tags);
    }
}
