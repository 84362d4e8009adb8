//! Everything that was recorded of real servers can be read.

use std::collections::BTreeMap;

use bytes::Bytes;
use comfyd_adapters::comfy::parse::{self, Incoming};
use comfyd_adapters::comfy::queue::Queue;
use comfyd_adapters::comfy::{history, refusal};
use comfyd_engine::{ComfyEvent, PromptId, Verdict};
use comfyd_fixtures::traces::{self, Frame, Trace};

fn all() -> impl Iterator<Item = Trace> {
    let names = traces::names().unwrap();
    assert!(names.len() >= 36, "the traces are there");
    names.into_iter().map(|name| Trace::read(&name).unwrap())
}

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bytes: Vec<u8> = text.trim_end_matches('=').bytes().map(value).collect();
    let mut out = Vec::new();
    for chunk in bytes.chunks(4) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (at, six)| word | u32::from(*six) << (18 - 6 * at));
        out.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    out
}

#[test]
fn every_recorded_frame_is_read() {
    let mut texts = 0;
    let mut binaries = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    let mut nothing = 0;
    for trace in all() {
        for connection in trace.connections() {
            for (_, frame) in trace.frames(&connection) {
                let incoming = match &frame {
                    Frame::Text(text) => parse::text(text),
                    Frame::Binary(line) => parse::binary(&Bytes::from(base64(line["b64"].as_str().unwrap()))),
                };
                let incoming = incoming.unwrap_or_else(|error| panic!("{}: {error}: {frame:?}", trace.name));
                match (&frame, incoming) {
                    (Frame::Text(_), Incoming::Event(ComfyEvent::Unknown { kind })) => *unknown.entry(kind).or_insert(0) += 1,
                    (Frame::Text(_), Incoming::Nothing) => nothing += 1,
                    (Frame::Text(_), Incoming::Event(_) | Incoming::FeatureFlags) => texts += 1,
                    (Frame::Binary(line), Incoming::Preview { prompt, bytes, .. }) => {
                        assert_eq!(prompt.is_some(), line["event_type"] == 4, "{}", trace.name);
                        assert!(bytes.starts_with(b"\xff\xd8") || bytes.starts_with(b"\x89PNG"), "{}", trace.name);
                        *binaries.entry("preview").or_insert(0) += 1;
                    }
                    (Frame::Binary(_), Incoming::Event(ComfyEvent::NodeTexted { .. })) => {
                        *binaries.entry("text").or_insert(0) += 1;
                    }
                    other => panic!("{}: {other:?}", trace.name),
                }
            }
        }
    }
    assert!(texts > 2_000, "{texts}");
    assert!(binaries["preview"] > 20 && binaries["text"] > 0, "{binaries:?}");
    assert_eq!((unknown, nothing), (BTreeMap::new(), 0), "ComfyUI itself sends known kinds only");
}

#[test]
fn every_recorded_ending_agrees_with_the_last_frame() {
    let mut verdicts = BTreeMap::new();
    for trace in all() {
        for exchange in trace.exchanges() {
            let Some(id) = exchange.path.strip_prefix("/history/") else { continue };
            let (Some(200), Some(body)) = (exchange.status, exchange.response["body"].as_str()) else { continue };
            // The recorder kept only the presence of an entry here.
            if body.ends_with("\"...\"}") {
                continue;
            }
            let prompt = PromptId(id.replace("%20", " ").replace("%2F", "/"));
            let ending = history::ending(body, &prompt).unwrap_or_else(|error| panic!("{}: {error}: {body}", trace.name));
            let Some(ending) = ending else { continue };
            let word = match &ending.verdict {
                Verdict::Succeeded => "execution_success",
                Verdict::Failed(failure) => {
                    assert!(!failure.message.is_empty() && !failure.message.ends_with('\n'), "{failure:?}");
                    "execution_error"
                }
                Verdict::Interrupted { .. } => "execution_interrupted",
            };
            let last = ["execution_success", "execution_error", "execution_interrupted"]
                .into_iter()
                .max_by_key(|kind| body.rfind(&format!("[\"{kind}\"")))
                .unwrap();
            assert_eq!(word, last, "{}: {body}", trace.name);
            *verdicts.entry(word).or_insert(0) += 1;
        }
    }
    assert!(verdicts.len() == 3 && verdicts.values().all(|count| *count > 1), "{verdicts:?}");
}

#[test]
fn every_recorded_queue_and_refusal_is_read() {
    let (mut queues, mut refusals) = (0, 0);
    for trace in all() {
        for exchange in trace.exchanges() {
            let Some(body) = exchange.response["body"].as_str() else { continue };
            match (exchange.method.as_str(), exchange.path.as_str(), exchange.status) {
                ("GET", "/queue", Some(200)) => {
                    Queue::parse(body).unwrap_or_else(|error| panic!("{}: {error}: {body}", trace.name));
                    queues += 1;
                }
                ("POST", "/prompt", Some(400)) => {
                    let error = refusal::refused(400, body);
                    assert_ne!(error.code, "refused", "{}: {body}", trace.name);
                    assert!(!error.message.is_empty() && !error.hint.is_empty());
                    for problem in &error.problems {
                        assert!(!problem.class.is_empty() && !problem.reason.is_empty(), "{problem:?}");
                    }
                    refusals += 1;
                }
                _ => {}
            }
        }
    }
    assert!(queues > 20 && refusals > 15, "{queues} {refusals}");
}
