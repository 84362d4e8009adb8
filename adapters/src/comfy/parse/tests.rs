use super::*;
use comfyd_engine::{NodeReport, Produced};

const P: &str = "0193a1b2-0000-7000-8000-000000abc123";

fn event(frame: &str) -> ComfyEvent {
    match text(frame) {
        Ok(Incoming::Event(event)) => event,
        other => panic!("{frame}: {other:?}"),
    }
}

fn of(kind: &str, data: &str) -> ComfyEvent {
    event(&format!(r#"{{"type": "{kind}", "data": {}}}"#, data.replace("P!", P)))
}

#[test]
fn messages() {
    let prompt = PromptId(P.into());
    let node = NodeId::from("2");
    assert_eq!(of("execution_start", r#"{"prompt_id": "P!", "timestamp": 1}"#), ComfyEvent::Started { prompt: prompt.clone() });
    assert_eq!(
        of("execution_cached", r#"{"nodes": ["1", "2"], "prompt_id": "P!", "timestamp": 1}"#),
        ComfyEvent::Cached { prompt: prompt.clone(), nodes: vec!["1".into(), "2".into()] }
    );
    assert_eq!(
        of("executing", r#"{"node": "2", "display_node": "2", "prompt_id": "P!"}"#),
        ComfyEvent::NodeStarted { prompt: Some(prompt.clone()), node: node.clone() }
    );
    assert_eq!(of("executing", r#"{"node": "2"}"#), ComfyEvent::NodeStarted { prompt: None, node: node.clone() });
    assert_eq!(of("executing", r#"{"node": null, "prompt_id": "P!"}"#), ComfyEvent::WentIdle { prompt: Some(prompt.clone()) });
    assert_eq!(
        of("progress", r#"{"value": 1.5, "max": 3, "prompt_id": "P!", "node": "2"}"#),
        ComfyEvent::NodeProgressed { prompt: Some(prompt.clone()), node: node.clone(), done: 1500, total: 3000 }
    );
    assert_eq!(
        of("executed", r#"{"node": "2", "display_node": "2", "output": null, "prompt_id": "P!"}"#),
        ComfyEvent::NodeProduced { prompt: prompt.clone(), node: node.clone(), outputs: vec![] }
    );
    assert_eq!(of("execution_success", r#"{"prompt_id": "P!"}"#), ComfyEvent::Ending { prompt: prompt.clone() });
    assert_eq!(of("execution_interrupted", r#"{"prompt_id": "P!"}"#), ComfyEvent::Ending { prompt: prompt.clone() });
    let error = r#"{"prompt_id": "P!", "node_id": "2", "exception_type": "ValueError", "exception_message": "no\n"}"#;
    assert_eq!(of("execution_error", error), ComfyEvent::Ending { prompt: prompt.clone() });
    assert_eq!(
        of("execution_error", &error.replace("ValueError", "ExecutionBlocked")),
        ComfyEvent::NodeBlocked { prompt, node, message: "no".into() }
    );
    assert_eq!(of("crystools.monitor", "{}"), ComfyEvent::Unknown { kind: "crystools.monitor".into() });
    assert_eq!(text(r#"{"type": "feature_flags", "data": {}}"#).ok(), Some(Incoming::FeatureFlags));
    assert_eq!(text(r#"{"type": "progress", "data": {"value": 1, "max": 2, "node": null}}"#).ok(), Some(Incoming::Nothing));
}

#[test]
fn progress_states() {
    let frame = r#"{"prompt_id": "P!", "nodes": {
        "1": {"value": 1.0, "max": 1.0, "state": "finished", "node_id": "1", "prompt_id": "P!", "display_node_id": "1", "parent_node_id": null, "real_node_id": "1"},
        "2.0.0.1": {"value": 0.25, "max": 1, "state": "running", "node_id": "2.0.0.1", "parent_node_id": "2", "extra": [{}]},
        "3": {"value": NaN, "max": 7, "state": "running"},
        "4": {"state": "pending"}}}"#;
    let report = |node: &str, parent: Option<&str>, done, total, finished| NodeReport {
        node: node.into(),
        parent: parent.map(Into::into),
        done,
        total,
        finished,
    };
    let expected =
        vec![report("1", None, 1, 1, true), report("2.0.0.1", Some("2"), 250, 1000, false), report("3", None, 0, 7, false)];
    assert_eq!(of("progress_state", frame), ComfyEvent::ProgressReported { prompt: PromptId(P.into()), nodes: expected });
}

#[test]
fn a_state_is_the_same_however_it_is_written() {
    let state = r#"{"prompt_id": "P!", "nodes": {"1": {"value": 2.0, "max": 5.0, "state": "running"}}}"#;
    let rows = [
        format!(r#"{{"type": "progress_state", "data": {state}}}"#),
        format!(r#"{{"type":"progress_state","data":{state}}}"#),
        format!(r#"{{"data": {state}, "type": "progress_state"}}"#),
        format!(r#"{{"type": "progress_state", "sid": "x", "data": {state}}}"#),
    ];
    let read = rows.map(|frame| text(&frame).expect("a message"));
    assert!(matches!(&read[0], Incoming::Event(ComfyEvent::ProgressReported { nodes, .. }) if nodes[0].done == 2), "{read:?}");
    assert!(read.iter().all(|other| *other == read[0]), "{read:?}");
}

#[test]
fn a_state_of_too_many_nodes_is_cut() {
    let nodes: Vec<String> = (0..wire::MAX_REPORTS + 5).map(|n| format!(r#""{n}": {{"state": "running"}}"#)).collect();
    let frame = format!(r#"{{"prompt_id": "P!", "nodes": {{{}}}}}"#, nodes.join(", "));
    let ComfyEvent::ProgressReported { nodes, .. } = of("progress_state", &frame) else { panic!("a state is expected") };
    assert_eq!(nodes.len(), wire::MAX_REPORTS);
    let state: wire::ProgressState = serde_json::from_str(&frame).expect("a state");
    assert_eq!(state.nodes.dropped, 5);
}

#[test]
fn odd_json_is_read() {
    let ui = r#"{"node": "2", "output": {"text": ["a\ud83d", NaN], "x": -Infinity}, "prompt_id": "P!"}"#;
    let ComfyEvent::NodeProduced { outputs, .. } = of("executed", ui) else { panic!("outputs are expected") };
    let texts: Vec<_> = outputs
        .iter()
        .map(|output| match output {
            Produced::Text { text, .. } => text.as_str(),
            Produced::File(file) => panic!("{file:?}"),
        })
        .collect();
    assert_eq!(texts, ["a\u{fffd}", "NaN", "-Infinity"]);
}

#[test]
fn bad_text_is_an_error_and_no_more() {
    let deep = format!(r#"{{"type": "executed", "data": {}}}"#, "[".repeat(100_000));
    let rows = ["", "null", "[]", "{", "7", r#"{"data": {}}"#, r#"{"type": 7}"#, r#"{"type": "execution_start"}"#, deep.as_str()];
    for frame in rows {
        assert!(text(frame).is_err(), "{}", &frame[..frame.len().min(80)]);
    }
    for kind in ["status", "progress_state", "executed", "execution_error", "execution_cached"] {
        assert!(text(&format!(r#"{{"type": "{kind}", "data": {{"nodes": 3}}}}"#)).is_err(), "{kind}");
    }
}

#[test]
fn binary_frames() {
    let frame = |words: &[u32], rest: &[u8]| {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend_from_slice(rest);
        binary(&Bytes::from(bytes))
    };
    let preview = |prompt: Option<&str>, node: Option<&str>, media_type, bytes: &'static [u8]| Incoming::Preview {
        prompt: prompt.map(|id| PromptId(id.into())),
        node: node.map(Into::into),
        media_type,
        bytes: Bytes::from_static(bytes),
    };
    assert_eq!(frame(&[1, 1], b"JPG").ok(), Some(preview(None, None, "image/jpeg", b"JPG")));
    assert_eq!(frame(&[1, 2], b"").ok(), Some(preview(None, None, "image/png", b"")));
    assert_eq!(frame(&[1, 9], b"x").ok(), Some(Incoming::Nothing));
    assert_eq!(frame(&[9], b"x").ok(), Some(Incoming::Nothing));
    assert_eq!(
        frame(&[3, 1], b"7hello").ok(),
        Some(Incoming::Event(ComfyEvent::NodeTexted { node: "7".into(), text: "hello".into() }))
    );
    let Ok(Incoming::Event(ComfyEvent::NodeTexted { text, .. })) = frame(&[3, 1], &[b'7'; 10_000]) else {
        panic!("a text is expected")
    };
    assert_eq!(text.len(), MAX_NODE_TEXT);
    let json = br#"{"node_id": "7", "prompt_id": "p", "image_type": "image/png", "more": 1}PNG"#;
    let len = u32::try_from(json.len() - 3).expect("it is short");
    assert_eq!(frame(&[4, len], json).ok(), Some(preview(Some("p"), Some("7"), "image/png", b"PNG")));

    for (words, rest) in
        [(&[][..], &b"abc"[..]), (&[1], b""), (&[3, 9], b"short"), (&[4, u32::MAX], b"x"), (&[3, 1], b"\xffx"), (&[4, 2], b"{x")]
    {
        assert!(frame(words, rest).is_err(), "{words:?}");
    }
}
