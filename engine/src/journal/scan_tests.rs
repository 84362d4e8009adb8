//! The recovery rule, tried on every cut and every flipped bit of small logs.

use super::*;
use crate::journal::frame::FrameEncoder;

/// A log with its synced places: the length then, and how many records it had.
struct Sample {
    bytes: Vec<u8>,
    marks: Vec<(u64, u64)>,
    payloads: Vec<Vec<u8>>,
}

/// Numbers without a crate for them: the tests must not depend on luck.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.below(256)).expect("below 256")).collect()
    }
}

fn sample(seed: u64) -> Sample {
    let mut numbers = Numbers(seed);
    let salt = u32::try_from(numbers.below(1 << 31)).expect("below 2^31");
    let mut log = Sample { bytes: FileHeader { salt }.encode().to_vec(), marks: Vec::new(), payloads: Vec::new() };
    let mut encoder = FrameEncoder::new(salt, 1);
    let mut durable = 0;
    for n in 1..=12 {
        let len = 1 + numbers.below(40);
        log.payloads.push(numbers.bytes(len));
        encoder.push(log.payloads.last().expect("just pushed"), durable, &mut log.bytes).expect("a small payload");
        if numbers.below(2) == 0 || n == 12 {
            durable = log.bytes.len() as u64;
            log.marks.push((durable, n));
        }
    }
    log
}

fn judge(bytes: &[u8], floor: Option<u64>) -> Scan {
    scan(bytes, Rule { first: 1, floor })
}

/// The payloads that come out; they must always be the first ones that went in.
fn whole(log: &Sample, bytes: &[u8]) -> usize {
    let mut seen = 0;
    scan_with(bytes, Rule::default(), |frame| {
        assert_eq!(frame.payload, log.payloads[seen]);
        seen += 1;
    });
    seen
}

#[test]
fn a_log_cut_anywhere_keeps_what_was_synced() {
    for seed in 0..4 {
        let log = sample(seed);
        for cut in 0..=log.bytes.len() {
            let bytes = &log.bytes[..cut];
            let found = judge(bytes, None);
            let end = found.prefix.end;
            let expected = match cut {
                0..HEADER_LEN => Verdict::CutHeader,
                _ if end == cut as u64 => Verdict::Clean,
                _ => Verdict::TornTail { at: end },
            };
            assert_eq!(found.verdict, expected, "seed {seed}, cut {cut}");
            whole(&log, bytes);
            for &(floor, records) in &log.marks {
                let floored = judge(bytes, Some(floor));
                match (cut as u64) < floor {
                    true if cut < HEADER_LEN => assert_eq!(floored.verdict, Verdict::BadHeader(HeaderError::Short)),
                    true => {
                        let why = Damage::ShorterThanSnapshot { floor };
                        assert_eq!(floored.verdict, Verdict::Damaged { at: end, why }, "seed {seed}, cut {cut}");
                    }
                    false => {
                        assert_eq!(floored.verdict, expected, "seed {seed}, cut {cut}, floor {floor}");
                        assert!(floored.prefix.records >= records);
                    }
                }
            }
        }
    }
}

#[test]
fn no_flipped_bit_loses_a_synced_record_when_the_snapshot_names_the_length() {
    for seed in 0..4 {
        let log = sample(seed);
        let last_batch = log.marks[log.marks.len() - 2].0;
        let full = log.bytes.len() as u64;
        let mut repaired = 0;
        for bit in 0..log.bytes.len() * 8 {
            let mut bytes = log.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            whole(&log, &bytes);
            let refused = |verdict| matches!(verdict, Verdict::Damaged { .. } | Verdict::BadHeader(_));
            assert!(refused(judge(&bytes, Some(full)).verdict), "seed {seed}, bit {bit}");
            match judge(&bytes, None).verdict {
                // Without a snapshot only the last batch can be taken for an unsynced tail.
                Verdict::TornTail { at } => {
                    assert!(at >= last_batch, "seed {seed}, bit {bit}, cut at {at}");
                    repaired += 1;
                }
                verdict => assert!(refused(verdict), "seed {seed}, bit {bit}: {verdict:?}"),
            }
        }
        assert!(repaired > 0, "the last batch has bits too");
    }
}

#[test]
fn junk_behind_a_log_is_a_torn_tail() {
    let log = sample(7);
    let full = log.bytes.len() as u64;
    let stale = sample(8);
    for tail in [vec![0; 4096], Numbers(1).bytes(600), log.bytes[HEADER_LEN..300].to_vec(), stale.bytes[HEADER_LEN..].to_vec()] {
        let bytes = [log.bytes.as_slice(), &tail].concat();
        for floor in [None, Some(full)] {
            assert_eq!(judge(&bytes, floor).verdict, Verdict::TornTail { at: full });
        }
    }
}

#[test]
fn a_batch_torn_by_sector_is_never_damage() {
    let log = sample(9);
    let base = log.bytes.len();
    let mut full = log.bytes.clone();
    let found = judge(&full, None).prefix;
    let mut encoder = FrameEncoder::resume(found.salt, found.last, found.crc);
    for fill in 1..=3 {
        encoder.push(&[fill; 700], base as u64, &mut full).expect("a small payload");
    }
    let pieces: Vec<usize> = (base..full.len()).step_by(512).collect();
    for kept in 0..1_u32 << pieces.len() {
        let mut bytes = full.clone();
        for (index, start) in pieces.iter().enumerate() {
            if kept & (1 << index) == 0 {
                let end = (start + 512).min(bytes.len());
                bytes[*start..end].fill(0);
            }
        }
        let found = judge(&bytes, Some(base as u64));
        assert!(matches!(found.verdict, Verdict::Clean | Verdict::TornTail { .. }), "pieces {kept:b}: {found:?}");
        assert!(found.prefix.records >= 12);
        assert_eq!(found.verdict == Verdict::Clean, kept == (1 << pieces.len()) - 1);
    }
}

#[test]
fn a_record_after_a_sync_proves_damage_before_it() {
    let log = sample(3);
    let (first_sync, _) = log.marks[0];
    let mut bytes = log.bytes.clone();
    bytes[HEADER_LEN + 4] ^= 1;
    let Verdict::Damaged { at, why: Damage::SyncedBytes { proof } } = judge(&bytes, None).verdict else {
        panic!("a flipped checksum in the first batch is damage");
    };
    assert_eq!(at, HEADER_LEN as u64);
    assert!(proof >= first_sync);
}

#[test]
fn journal_files_begin_with_the_number_in_their_name() {
    let mut bytes = FileHeader { salt: 5 }.encode().to_vec();
    let mut encoder = FrameEncoder::new(5, 100);
    encoder.push(b"x", 0, &mut bytes).expect("a small payload");
    let found = scan(&bytes, Rule { first: 100, floor: None });
    assert_eq!((found.verdict, found.prefix.last, found.prefix.records), (Verdict::Clean, 100, 1));
    assert_eq!(judge(&bytes, None).verdict, Verdict::TornTail { at: 20 });
}

#[test]
fn a_file_made_of_plausible_records_is_judged_in_bounded_work() {
    // Every eighth byte claims a record of 4 MiB that is plausible in all but its checksum: 2^18 checksums of 4 MiB each.
    let mut bytes = FileHeader { salt: 1 }.encode().to_vec();
    let claim = [0x003f_ffff_u32.to_le_bytes(), 0x10_u32.to_le_bytes()].concat();
    bytes.extend(claim.repeat(6 << 17));
    assert_eq!(judge(&bytes, None).verdict, Verdict::Damaged { at: 20, why: Damage::Imitation });
}

#[test]
fn verdicts_equal_those_of_the_independent_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/wal_vectors.json");
    let text = file(path);
    let vectors: serde_json::Value = serde_json::from_slice(&text).expect("the vectors are JSON");
    let mut compared = 0;
    for log in vectors["logs"].as_array().expect("a list") {
        let bytes = unhex(log["bytes"].as_str().expect("hex"));
        for (index, floor) in log["floors"].as_array().expect("a list").iter().enumerate() {
            let floor = floor.as_u64().filter(|floor| *floor > 0);
            let mut check = |bytes: &[u8], expected: &str, what: &str| {
                assert_eq!(spoken(&judge(bytes, floor)), expected, "{what}, floor {floor:?}");
                compared += 1;
            };
            for (cut, expected) in runs(&log["cuts"][index]).enumerate() {
                check(&bytes[..cut], &expected, &format!("cut {cut}"));
            }
            for (bit, expected) in runs(&log["flips"][index]).enumerate() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                check(&flipped, &expected, &format!("bit {bit}"));
            }
            for tail in log["tails"].as_array().expect("a list") {
                let longer = [bytes.as_slice(), &unhex(tail[0].as_str().expect("hex"))].concat();
                check(&longer, tail[1][index].as_str().expect("a verdict"), "tail");
            }
        }
    }
    assert!(compared > 30_000, "only {compared} vectors");
}

/// The verdict in the words of the vectors.
fn spoken(found: &Scan) -> String {
    let kept = |word: &str| format!("{word}:{}:{}", found.prefix.records, found.prefix.end);
    match found.verdict {
        Verdict::Clean => kept("ok"),
        Verdict::TornTail { .. } | Verdict::CutHeader => kept("repaired"),
        Verdict::BadHeader(_) => "refuse:header".to_owned(),
        Verdict::Damaged { why: Damage::ShorterThanSnapshot { .. }, .. } => "refuse:short".to_owned(),
        Verdict::Damaged { why: Damage::SyncedBytes { .. } | Damage::Imitation, .. } => "refuse:synced".to_owned(),
    }
}

fn runs(list: &serde_json::Value) -> impl Iterator<Item = String> {
    let runs = list.as_array().expect("a list").iter();
    runs.flat_map(|run| {
        let times = usize::try_from(run[0].as_u64().expect("a count")).expect("a small count");
        std::iter::repeat_n(run[1].as_str().expect("a verdict").to_owned(), times)
    })
}

#[expect(clippy::disallowed_methods, reason = "the engine has no files, its tests do")]
fn file(path: &str) -> Vec<u8> {
    std::fs::read(path).expect("the file is part of the tree")
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| u8::try_from((digit as char).to_digit(16).expect("filtered")).expect("below 16");
    digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

#[test]
fn the_documented_example_is_this_format() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    let text = String::from_utf8(file(path)).expect("the documentation is text");
    let block = text.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a hex example");
    // Everything behind two spaces and a bar is for people.
    let bytes: Vec<u8> = block.lines().flat_map(|line| unhex(line.split('|').next().unwrap_or(""))).collect();
    let mut payloads = Vec::new();
    let found = scan_with(&bytes, Rule { first: 42, floor: None }, |frame| payloads.push(frame.payload.to_vec()));
    assert_eq!((found.verdict, found.prefix.salt, found.prefix.last), (Verdict::Clean, 0x0102_0304, 43));
    let entries: Vec<_> = payloads.iter().map(|payload| crate::journal::entry::Entry::decode(payload)).collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| entry.as_ref().map(|entry| (entry.stream.to_string(), entry.seq.0, entry.payload.to_vec())))
        .collect();
    let stream = "instance/gpu-a".to_owned();
    assert_eq!(told, [Ok((stream.clone(), 1, b"one".to_vec())), Ok((stream, 2, b"two".to_vec()))]);
}
