use proptest::prelude::*;

use super::*;

const WORKFLOW: &str = r#"{"nodes": [], "links": [], "name": "größe"}"#;
const PROMPT: &str = r#"{"1": {"class_type": "A", "inputs": {}}}"#;

fn both() -> Embedded {
    Embedded { prompt: Some(PROMPT.to_owned()), workflow: Some(WORKFLOW.to_owned()) }
}

fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("short");
    [&len.to_be_bytes()[..], kind, body, &[0; 4]].concat()
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat(), &chunk(b"IEND", b"")].concat()
}

#[test]
fn pngs_have_texts_of_three_kinds() {
    let text = |name: &str, text: &str| [name.as_bytes(), &[0], text.as_bytes()].concat();
    let international = [b"workflow\0\0\0\0\0", WORKFLOW.as_bytes()].concat();
    assert_eq!(Embedded::read(&png(&[chunk(b"tEXt", &text("prompt", PROMPT)), chunk(b"iTXt", &international)])), Some(both()));
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(PROMPT.as_bytes(), 6);
    let short = [b"prompt\0\0", &packed[..]].concat();
    assert_eq!(Embedded::read(&png(&[chunk(b"zTXt", &short), chunk(b"comf", &text("workflow", WORKFLOW))])), Some(both()));
}

#[test]
fn webps_have_exif() {
    let texts = [format!("prompt:{PROMPT}\0"), format!("workflow:{WORKFLOW}\0")];
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    let mut at = 8 + 2 + 24 + 4;
    for (tag, text) in [0x0110_u16, 0x010f].iter().zip(&texts) {
        let len = u32::try_from(text.len()).expect("short");
        exif.extend([&tag.to_be_bytes()[..], &2_u16.to_be_bytes(), &len.to_be_bytes(), &u32::to_be_bytes(at)].concat());
        at += len;
    }
    exif.extend([&[0; 4][..], texts.concat().as_bytes()].concat());
    let len = u32::try_from(exif.len()).expect("short").to_le_bytes();
    let file = [b"RIFF\0\0\0\0WEBPVP8 \x02\0\0\0xxEXIF", &len[..], &exif].concat();
    assert_eq!(Embedded::read(&file), Some(both()));
}

fn mp4_box(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 8).expect("short");
    [&len.to_be_bytes()[..], kind, body].concat()
}

#[test]
fn films_have_keys_or_a_comment() {
    let data = |text: &str| mp4_box(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], text.as_bytes()].concat());
    let keys = [&[0, 0, 0, 0, 0, 0, 0, 2][..], &mp4_box(b"mdta", b"prompt"), &mp4_box(b"mdta", b"workflow")].concat();
    let list = [mp4_box(&[0, 0, 0, 1], &data(PROMPT)), mp4_box(&[0, 0, 0, 2], &data(WORKFLOW))].concat();
    let meta = [mp4_box(b"hdlr", b"x"), mp4_box(b"keys", &keys), mp4_box(b"ilst", &list)].concat();
    let film = |meta: &[u8]| [mp4_box(b"ftyp", b"isom"), mp4_box(b"moov", &mp4_box(b"udta", &mp4_box(b"meta", meta)))].concat();
    assert_eq!(Embedded::read(&film(&meta)), Some(both()));
    assert_eq!(Embedded::read(&film(&[&[0; 4], &meta[..]].concat())), Some(both()));
    let comment = serde_json::json!({"prompt": PROMPT, "workflow": WORKFLOW}).to_string();
    let list = mp4_box(b"ilst", &mp4_box(b"\xa9cmt", &data(&comment)));
    assert_eq!(Embedded::read(&film(&[&[0; 4], &list[..]].concat())), Some(both()));
}

#[test]
fn webms_have_simple_tags() {
    let element = |id: &[u8], body: &[u8]| {
        let len = u32::try_from(body.len()).expect("short") | 0x1000_0000;
        [id, &len.to_be_bytes(), body].concat()
    };
    let tag = |name: &str, text: &str| {
        element(&[0x67, 0xc8], &[element(&[0x45, 0xa3], name.as_bytes()), element(&[0x44, 0x87], text.as_bytes())].concat())
    };
    let tags =
        element(&[0x12, 0x54, 0xc3, 0x67], &element(&[0x73, 0x73], &[tag("PROMPT", PROMPT), tag("WORKFLOW", WORKFLOW)].concat()));
    // A segment of unknown length.
    let file = [element(&[0x1a, 0x45, 0xdf, 0xa3], b"x"), [&[0x18, 0x53, 0x80, 0x67, 0xff][..], &tags].concat()].concat();
    assert_eq!(Embedded::read(&file), Some(both()));
}

fn vorbis() -> Vec<u8> {
    let field = |text: String| [&u32::try_from(text.len()).expect("short").to_le_bytes()[..], text.as_bytes()].concat();
    [
        field("x".to_owned()),
        2_u32.to_le_bytes().to_vec(),
        field(format!("prompt={PROMPT}")),
        field(format!("WORKFLOW={WORKFLOW}")),
    ]
    .concat()
}

#[test]
fn sounds_have_comments() {
    let comments = vorbis();
    let flac = [b"fLaC\0\0\0\x01x\x84\0\0", &[u8::try_from(comments.len()).expect("short")][..], &comments].concat();
    assert_eq!(Embedded::read(&flac), Some(both()));
    let packet = [b"OpusTags", &comments[..]].concat();
    let page = |lengths: &[u8], body: &[u8]| {
        [b"OggS", &[0; 22][..], &[u8::try_from(lengths.len()).expect("short")], lengths, body].concat()
    };
    // The packet goes over two pages.
    let (first, second) = packet.split_at(0);
    let ogg = [page(&[1], b"h"), page(&[], first), page(&[u8::try_from(second.len()).expect("short")], second)].concat();
    assert_eq!(Embedded::read(&ogg), Some(both()));
    let frame = |text: &str| {
        let body = [&[3][..], text.as_bytes()].concat();
        [b"TXXX", &u32::try_from(body.len()).expect("short").to_be_bytes()[..], &[0, 0], &body].concat()
    };
    let frames = [frame(&format!("prompt\0{PROMPT}")), frame(&format!("workflow\0{WORKFLOW}"))].concat();
    let size = u8::try_from(frames.len() & 0x7f).expect("seven bits");
    let id3 = [b"ID3\x03\0\0\0\0", &[u8::try_from(frames.len() >> 7).expect("short"), size][..], &frames].concat();
    assert_eq!(Embedded::read(&id3), Some(both()));
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(start in prop::sample::select(vec![
        b"\x89PNG\r\n\x1a\n".to_vec(), b"RIFF\0\0\0\0WEBPEXIF\xff\0\0\0MM".to_vec(), b"\xff\xd8\xff\xe1".to_vec(), b"\0\0\0\x08ftyp\0\0\0\x00moov".to_vec(),
        b"\x1a\x45\xdf\xa3".to_vec(), b"fLaC".to_vec(), b"OggS".to_vec(), b"ID3\x04\0\x40".to_vec(),
    ]), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Embedded::read(&[start, bytes].concat());
    }

    #[test]
    fn no_broken_file_makes_it_panic(at in 0_usize..300, byte in any::<u8>()) {
        let text = [&b"prompt\0"[..], PROMPT.as_bytes()].concat();
        let mut file = png(&[chunk(b"tEXt", &text), chunk(b"iTXt", b"workflow\0\x01\0\0\0xx")]);
        if let Some(place) = file.get_mut(at) {
            *place = byte;
        }
        Embedded::read(&file);
    }
}
