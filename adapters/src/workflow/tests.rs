use super::*;

const TWO: &str = r#"{"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "seed": 18446744073709551615, "cfg": 1.0}, "_meta": {"title": "Start"}},
 "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}}"#;

fn code(text: &str) -> &'static str {
    match Graph::parse(text) {
        Ok(graph) => panic!("{} was read", graph.text()),
        Err(error) => {
            assert!(!error.hint().is_empty() && !error.to_string().is_empty());
            error.code()
        }
    }
}

#[test]
fn what_is_no_workflow() {
    for (text, expected) in [
        ("", "workflow_not_json"),
        ("{\"1\": ", "workflow_not_json"),
        ("[]", "workflow_not_an_object"),
        ("null", "workflow_not_an_object"),
        ("{}", "workflow_empty"),
        (r#"{"prompt": {}}"#, "workflow_empty"),
        (r#"{"1": {"inputs": {}}}"#, "workflow_no_class"),
        (r#"{"1": 7}"#, "workflow_no_class"),
        (r#"{"1": {"class_type": "A", "inputs": {"x": ["9", 0]}}}"#, "workflow_broken_link"),
        (r#"{"last_node_id": 3, "nodes": [], "links": [], "version": 0.4}"#, "workflow_canvas_format"),
        (r#"{"prompt": {"nodes": [], "links": []}}"#, "workflow_canvas_format"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
    let error = Graph::parse("{\n  \"1\": x}").expect_err("it is no JSON");
    assert!(error.to_string().ends_with("at line 2, column 8"), "{error}");
}

#[test]
fn limits() {
    assert_eq!(code(&"[".repeat(1_000_000)), "workflow_too_deep");
    let deep = |levels: usize| {
        format!(r#"{{"1": {{"class_type": "A", "inputs": {{"x": {}{}}}}}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert!(Graph::parse(&deep(61)).is_ok());
    assert_eq!(code(&deep(62)), "workflow_too_deep");
    let brackets = format!(r#"{{"1": {{"class_type": "A", "inputs": {{"x": "\"{}"}}}}}}"#, "[".repeat(100));
    assert!(Graph::parse(&brackets).is_ok(), "brackets in a string nest nothing");
    assert_eq!(code(&" ".repeat(16 * 1024 * 1024 + 1)), "workflow_too_large");
    let nodes = |count: usize| {
        let nodes: Vec<String> = (0..count).map(|n| format!(r#""{n}": {{"class_type": "A"}}"#)).collect();
        format!("{{{}}}", nodes.join(","))
    };
    assert!(Graph::parse(&nodes(5_000)).is_ok());
    assert_eq!(code(&nodes(5_001)), "workflow_too_many_nodes");
}

#[test]
fn unchanged_text_keeps_its_bytes() {
    for text in [
        TWO,
        "  {\"a\" : {\"class_type\":\"B\",\"inputs\":{\"x\":NaN,\"y\":\"\\ud83d\"}}}\n",
        r#"{"1": {"class_type": "A", "inputs": {"pair": [1, 2], "wrapped": {"__value__": ["9", 0]}}}}"#,
    ] {
        assert_eq!(Graph::parse(text).map(|graph| graph.text().to_owned()), Ok(text.to_owned()));
    }
    let wrapped = format!(r#"{{"client_id": "x", "prompt": {TWO}}}"#);
    assert_eq!(Graph::parse(&wrapped).map(|graph| graph.text().to_owned()), Ok(TWO.to_owned()));
    assert_eq!(Graph::parse(&format!("\u{feff}{TWO}")).map(|graph| graph.text().to_owned()), Ok(TWO.to_owned()));
}

#[test]
fn a_node_may_be_called_prompt() {
    let graph = Graph::parse(r#"{"prompt": {"class_type": "A", "inputs": {}}}"#).expect("a workflow");
    assert_eq!(graph.planned()[0].id, "prompt".into());
}

#[test]
fn setting_inputs() {
    let mut graph = Graph::parse(TWO).expect("a workflow");
    graph.set("1", "width", "64").expect("an input");
    assert_eq!(graph.text(), TWO, "the same value changes nothing");
    graph.set("Start", "width", "128").expect("a title");
    graph.set("2", "filename_prefix", "new name").expect("an input");
    let expected = r#"{"1":{"class_type":"EmptyImage","inputs":{"width":128,"seed":18446744073709551615,"cfg":1.0},"_meta":{"title":"Start"}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"new name"}}}"#;
    assert_eq!(graph.text(), expected);
    graph.set("1", "cfg", "NaN").expect("an input");
    assert!(graph.text().contains(r#""cfg":NaN"#));
    graph.set_text(&"1".into(), "cfg", "7").expect("an input");
    assert!(graph.text().contains(r#""cfg":"7""#));

    let hint = |result: Result<(), WorkflowError>| result.map_err(|error| (error.code(), error.hint()));
    let (code, words) = hint(graph.set("1", "widht", "1")).expect_err("no such input");
    assert_eq!(code, "unknown_input");
    assert!(words.starts_with("Did you mean `width`?"), "{words}");
    let (code, words) = hint(graph.set("start", "width", "1")).expect_err("no such node");
    assert_eq!(code, "unknown_node");
    assert!(words.starts_with("Did you mean `Start`?"), "{words}");
    assert_eq!(hint(graph.set("99999999", "width", "1")).map_err(|error| error.0), Err("unknown_node"));
}

#[test]
fn plans() {
    let text = r#"{"b": {"class_type": "A", "inputs": {"x": ["a", 0], "y": ["a", 1], "z": [4, 0], "n": [1, 2]}},
        "a": {"class_type": "A", "_meta": {"title": "First"}}, "4": {"class_type": "B"}}"#;
    let graph = Graph::parse(text).expect("a workflow");
    let plan = graph.planned();
    let ids: Vec<_> = plan.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["b", "a", "4"], "in the order of the text");
    assert_eq!(plan[0].after, ["a".into(), "4".into()]);
    assert_eq!(plan[1].title.as_deref(), Some("First"));
    assert_eq!(graph.sinks(), ["b".into()]);
    assert_eq!(graph.classes().into_iter().collect::<Vec<_>>(), ["A", "B"]);
}

#[test]
fn images() {
    let text = r#"{"10": {"class_type": "LoadImage", "inputs": {"image": "ten.png"}, "_meta": {"title": "Style"}},
        "2": {"class_type": "LoadImageMask", "inputs": {"image": "two.png", "channel": "alpha"}},
        "x": {"class_type": "VHS_LoadVideo", "inputs": {"video": "v.mp4"}}, "y": {"class_type": "LoadImage", "inputs": {"image": ["2", 0]}},
        "z": {"class_type": "LoraLoader", "inputs": {"file": ["2", 0]}}, "s": {"class_type": "SaveImage", "inputs": {"images": ["10", 0]}}}"#;
    let graph = Graph::parse(text).expect("a workflow");
    let loaders: Vec<_> = graph.image_inputs().into_iter().map(|loader| (loader.node.0, loader.input, loader.current)).collect();
    let row = |node: &str, input: &str, current: &str| (node.to_owned(), input.to_owned(), current.to_owned());
    assert_eq!(loaders, [row("2", "image", "two.png"), row("10", "image", "ten.png"), row("x", "video", "v.mp4")]);

    let given = |images: Images| {
        let assigned = graph.assign_images(&images).map_err(|error| error.code())?;
        Ok(assigned.into_iter().map(|image| (image.node.0, image.file)).collect::<Vec<_>>())
    };
    let list = |files: &[&str]| Images::List(files.iter().map(|file| (*file).to_owned()).collect());
    let by = |pairs: &[(&str, &str)]| {
        Images::ByNode(pairs.iter().map(|(node, file)| ((*node).to_owned(), (*file).to_owned())).collect())
    };
    let pairs = |pairs: &[(&str, &str)]| {
        Ok(pairs.iter().map(|(node, file)| ((*node).to_owned(), (*file).to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(given(list(&["a", "b", "c"])), pairs(&[("2", "a"), ("10", "b"), ("x", "c")]));
    assert_eq!(given(list(&["a"])), Err("image_count"));
    assert_eq!(given(by(&[("Style", "a")])), pairs(&[("10", "a")]));
    assert_eq!(given(by(&[("Style", "a"), ("10", "b")])), Err("image_assigned_twice"));
    assert_eq!(given(by(&[("s", "a")])), Err("not_a_loader"));
    assert_eq!(given(by(&[("nobody at all", "a")])), Err("unknown_node"));
}

#[test]
fn a_class_that_one_node_has_names_it_and_a_title_comes_first() {
    let text = r#"{"1": {"class_type": "KSampler", "inputs": {"seed": 1}},
        "2": {"class_type": "Save", "inputs": {"seed": 2}, "_meta": {"title": "KSampler"}},
        "3": {"class_type": "Load", "inputs": {"image": "a"}}, "4": {"class_type": "Twin", "inputs": {}}, "5": {"class_type": "Twin", "inputs": {}}}"#;
    let mut graph = Graph::parse(text).expect("a graph");
    graph.set("Load", "image", "b").expect("only node 3 is a Load");
    graph.set("KSampler", "seed", "7").expect("the title of node 2");
    assert!(graph.text().contains(r#""seed":7},"_meta""#) || graph.text().contains(r#""seed": 7}, "_meta""#), "{}", graph.text());
    assert!(!graph.names_node("Twin"), "two nodes are of this class");
}
