//! Files changed at random: canvases, graphs, classes, and the pictures, films and sounds that hold them.
//!
//! A short round each time, and for so many seconds as `COMFYD_FUZZ_SECONDS` says (`./test.sh soak`). `COMFYD_SEED` begins with a certain
//! number; the number of the case that fails is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use comfyd_workflow::embedded::Embedded;
use comfyd_workflow::{Classes, Moment, Options, arrange, convert, locate, validate};
use serde_json::{Map, Value, json};

/// How many cases there are without more time.
const CASES: u64 = 400;

/// Chance that can be told again (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(below.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn all_json(name: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(folder(name)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")).collect()
}

/// What is changed.
struct Corpus {
    canvases: Vec<Value>,
    graphs: Vec<Value>,
    classes: Vec<Value>,
    files: Vec<Vec<u8>>,
    /// Pieces of all of them, to put in elsewhere.
    pieces: Vec<Value>,
}

impl Corpus {
    fn read() -> Self {
        let canvases: Vec<Value> = all_json("canvas/cases").into_iter().chain(all_json("canvas/real")).collect();
        let mut graphs = all_json("workflows");
        graphs.extend(all_json("canvas/page").into_iter().filter_map(|answer| answer.get("output").cloned()));
        let classes = vec![
            serde_json::from_str(&std::fs::read_to_string(folder("canvas/object_info.json")).expect("a file")).expect("JSON"),
        ];
        let files = graphs.iter().zip(&canvases).flat_map(|(graph, canvas)| containers(graph, canvas)).collect();
        let mut pieces: Vec<Value> = vec![
            Value::Null,
            json!(-1),
            json!(1e308),
            json!(u64::MAX),
            json!(""),
            json!("-10"),
            json!("-20"),
            json!([]),
            json!({}),
            json!("%date:yy%%A.b%{a|{b|c}}/*"),
        ];
        for value in canvases.iter().chain(&graphs).chain(&classes) {
            pieces.extend(
                ways(value).iter().filter_map(|way| value.pointer(way)).filter(|piece| piece.to_string().len() < 2000).cloned(),
            );
        }
        Self { canvases, graphs, classes, files, pieces }
    }
}

/// A graph and a canvas as ComfyUI writes them into files.
fn containers(graph: &Value, canvas: &Value) -> Vec<Vec<u8>> {
    let (prompt, workflow) = (graph.to_string(), canvas.to_string());
    let number = |len: usize| u32::try_from(len).expect("short");
    let chunk = |kind: &[u8], body: &[u8]| [&number(body.len()).to_be_bytes()[..], kind, body, &[0; 4]].concat();
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(workflow.as_bytes(), 6);
    let texts =
        [chunk(b"tEXt", &[b"prompt\0", prompt.as_bytes()].concat()), chunk(b"zTXt", &[b"workflow\0\0", &packed[..]].concat())];
    let png = [
        &b"\x89PNG\r\n\x1a\n"[..],
        &texts.concat(),
        &chunk(b"iTXt", &[b"workflow\0\x01\0\0\0", &packed[..]].concat()),
        &chunk(b"IEND", b""),
    ]
    .concat();
    let exif_text = format!("workflow:{workflow}\0");
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0".to_vec();
    exif.extend([&number(exif_text.len()).to_le_bytes()[..], &26_u32.to_le_bytes(), &[0; 4], exif_text.as_bytes()].concat());
    let webp = [b"RIFF\0\0\0\0WEBPEXIF", &number(exif.len()).to_le_bytes()[..], &exif].concat();
    // A segment of JPEG has 64 KiB at most.
    let segment = u16::try_from(exif.len() + 8).unwrap_or(u16::MAX).to_be_bytes();
    let jpeg = [&b"\xff\xd8\xff\xe1"[..], &segment, b"Exif\0\0", &exif].concat();
    let field = |name: &str, text: &str| {
        [&number(name.len() + 1 + text.len()).to_le_bytes()[..], name.as_bytes(), b"=", text.as_bytes()].concat()
    };
    let comments = [&[0; 4][..], &2_u32.to_le_bytes(), &field("prompt", &prompt), &field("WORKFLOW", &workflow)].concat();
    let length = number(comments.len()).to_be_bytes();
    let flac = [&b"fLaC\x84"[..], &length[1..], &comments].concat();
    let page = |lengths: &[u8], body: &[u8]| {
        [b"OggS", &[0; 22][..], &[u8::try_from(lengths.len()).expect("short")], lengths, body].concat()
    };
    // A packet over many pages; the last part of it is not full.
    let opus = [b"OpusTags", &comments[..]].concat();
    let full = opus.chunks(255).filter(|part| part.len() == 255).flat_map(|part| page(&[255], part)).collect::<Vec<u8>>();
    let last = &opus[opus.len() / 255 * 255..];
    let ogg = [page(&[1], b"h"), full, page(&[u8::try_from(last.len()).expect("short")], last)].concat();
    let mp4_box = |kind: &[u8], body: &[u8]| [&number(body.len() + 8).to_be_bytes()[..], kind, body].concat();
    let data = mp4_box(
        b"data",
        &[&[0, 0, 0, 1, 0, 0, 0, 0], json!({"prompt": graph, "workflow": canvas}).to_string().as_bytes()].concat(),
    );
    let meta = [&[0; 4][..], &mp4_box(b"ilst", &mp4_box(b"\xa9cmt", &data))].concat();
    let mp4 = [mp4_box(b"ftyp", b"isom"), mp4_box(b"moov", &mp4_box(b"udta", &mp4_box(b"meta", &meta)))].concat();
    let element =
        |id: &[u8], body: &[u8]| [id, &[0x01], &u64::try_from(body.len()).expect("short").to_be_bytes()[1..], body].concat();
    let tag = element(b"\x67\xc8", &[element(b"\x45\xa3", b"WORKFLOW"), element(b"\x44\x87", workflow.as_bytes())].concat());
    let matroska =
        [&b"\x1a\x45\xdf\xa3\x80"[..], &element(b"\x18\x53\x80\x67", &element(b"\x12\x54\xc3\x67", &element(b"\x73\x73", &tag)))]
            .concat();
    let frame = [&[3][..], b"prompt\0", prompt.as_bytes()].concat();
    let size = number(frame.len());
    let synchsafe = |size: u32| [21, 14, 7, 0].map(|shift| u8::try_from((size >> shift) & 0x7f).expect("seven bits"));
    let mp3 = [&b"ID3\x04\0\0"[..], &synchsafe(size + 10), b"TXXX", &synchsafe(size), &[0; 2], &frame].concat();
    let small = segment != [0xff; 2];
    let mut all = vec![png, webp, flac, ogg, mp4, matroska, mp3];
    all.extend(small.then_some(jpeg));
    all
}

/// All places of a value, as ways to them.
fn ways(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut waiting = vec![(String::new(), value)];
    while let Some((way, value)) = waiting.pop() {
        let inner: Vec<(String, &Value)> = match value {
            Value::Array(items) => items.iter().enumerate().map(|(at, item)| (format!("{way}/{at}"), item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| (format!("{way}/{}", name.replace('~', "~0").replace('/', "~1")), field))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        all.extend(inner.iter().map(|(way, _)| way.clone()));
        waiting.extend(inner);
    }
    all
}

fn changed(value: &Value, corpus: &Corpus, dice: &mut Dice) -> Value {
    let mut value = value.clone();
    for _ in 0..=dice.roll(6) {
        let all = ways(&value);
        let Some(place) = value.pointer_mut(dice.pick::<String>(&all)) else { continue };
        match (dice.roll(5), place) {
            (0, Value::Array(items)) if !items.is_empty() => drop(items.remove(dice.roll(items.len()))),
            (1, Value::Array(items)) if !items.is_empty() => items.push(dice.pick(items).clone()),
            (0, Value::Object(fields)) if !fields.is_empty() => {
                let name = dice.pick(&fields.keys().cloned().collect::<Vec<_>>()).clone();
                fields.remove(&name);
            }
            (2, Value::Number(number)) => *number = number.as_i64().unwrap_or(0).wrapping_add(1).into(),
            (_, place) => *place = dice.pick(&corpus.pieces).clone(),
        }
    }
    value
}

fn changed_bytes(file: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..=dice.roll(8) {
        let at = dice.roll(file.len());
        match dice.roll(5) {
            0 if !file.is_empty() => file[at] ^= 1 << dice.roll(8),
            1 if !file.is_empty() => file[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            2 => file.truncate(at),
            3 => drop(file.drain(at..file.len().min(at + dice.roll(64)))),
            _ => {
                let piece = file[at..file.len().min(at + dice.roll(64))].to_vec();
                file.splice(at..at, piece);
            }
        }
    }
    file
}

fn nodes(value: &Value) -> Map<String, Value> {
    value.get("prompt").unwrap_or(value).as_object().cloned().unwrap_or_default()
}

/// One case; what it must hold whatever comes.
fn play(corpus: &Corpus, known: &Classes, seed: u64) {
    let dice = &mut Dice(seed);
    let options = Options { now: Moment { year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6 }, seed };
    match dice.roll(4) {
        0 | 1 => {
            let canvas = changed(dice.pick(&corpus.canvases), corpus, dice);
            let other = Classes::from_value(changed(&corpus.classes[0], corpus, dice)).unwrap_or_default();
            let classes = if dice.roll(3) == 0 { &other } else { known };
            let first = convert(&canvas, classes, &options);
            assert_eq!(first, convert(&canvas, classes, &options), "the same again");
            match first {
                Ok(converted) => {
                    let links = converted
                        .graph
                        .values()
                        .filter_map(|node| node["inputs"].as_object())
                        .flatten()
                        .filter_map(|(_, value)| value.as_array());
                    for link in links {
                        assert!(
                            link.first().and_then(Value::as_str).is_some_and(|from| converted.graph.contains_key(from)),
                            "{link:?}"
                        );
                    }
                    let places = locate(&canvas, &converted.graph).expect("it was converted");
                    arrange(&places);
                    validate(&converted.graph, known);
                }
                Err(problems) => assert!(problems.iter().all(|problem| !problem.remedy.is_empty()) && !problems.is_empty()),
            }
        }
        2 => {
            let graph = nodes(&changed(dice.pick(&corpus.graphs), corpus, dice));
            let verdict = validate(&graph, known);
            for finding in &verdict.findings {
                assert!(!finding.message().is_empty() && !finding.hint().is_empty());
            }
        }
        _ => drop(Embedded::read(&changed_bytes(dice.pick::<Vec<u8>>(&corpus.files), dice))),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "who runs it for long wants to know how far it came")]
fn changed_files_are_answered() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let corpus = Corpus::read();
    assert!(corpus.canvases.len() >= 30 && corpus.graphs.len() >= 30 && corpus.files.len() >= 100, "the corpus is there");
    let known = Classes::from_value(corpus.classes[0].clone()).expect("classes");
    for file in &corpus.files {
        assert!(
            Embedded::read(file).is_some_and(|found| !found.is_empty()),
            "each file holds something before it is changed: {:?}",
            &file[..8]
        );
    }
    let (begin, until) = (
        number("COMFYD_SEED").unwrap_or(1),
        number("COMFYD_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    );
    let (mut slowest, mut cases) = ((Duration::ZERO, begin), 0_u64);
    while until.map_or(cases < CASES, |until| Instant::now() < until) {
        let (seed, from) = (begin.wrapping_add(cases), Instant::now());
        let played = catch_unwind(AssertUnwindSafe(|| play(&corpus, &known, seed)));
        assert!(played.is_ok(), "case {seed}: COMFYD_SEED={seed} tells it again");
        slowest = slowest.max((from.elapsed(), seed));
        cases += 1;
    }
    println!("{cases} cases from {begin}; the slowest, {}, took {} ms", slowest.1, slowest.0.as_millis());
}
