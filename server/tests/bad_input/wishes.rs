//! Workflows, settings, pictures and addresses that cannot be: refused at both doors, and nothing is left of them.

use serde_json::{Value, json};

use crate::harness::{House, sample, wish};

/// A sample, what is sent with it, what is typed instead, the code, what is said.
type Setting<'a> = (&'a str, Value, &'a [&'a str], &'a str, &'a [&'a str]);

struct Row {
    workflow: String,
    status: u16,
    code: &'static str,
    /// Where the command line looks first.
    cli: &'static str,
    says: &'static [&'static str],
}

fn row(workflow: impl Into<String>, code: &'static str, says: &'static [&'static str]) -> Row {
    Row { workflow: workflow.into(), status: 400, code, cli: code, says }
}

fn nodes(count: usize) -> String {
    let nodes: Vec<String> =
        (0..count).map(|n| format!("\"{n}\": {{\"class_type\": \"EmptyImage\", \"inputs\": {{}}}}")).collect();
    format!("{{{}}}", nodes.join(","))
}

#[test]
fn a_workflow_that_is_none_is_refused_at_both_doors() {
    let house = House::new();
    let before = house.traces();
    let canvas = r#"{"last_node_id": 1, "nodes": [], "links": [], "version": 0.4}"#;
    let mut broken = sample("01_simple_save");
    broken["2"]["inputs"]["images"] = json!(["9", 0]);
    let rows = [
        Row { cli: "not_json", ..row("{\"1\":\n \"class", "workflow_not_json", &["line 2"]) },
        Row { cli: "not_json", ..row("", "workflow_not_json", &["line 1"]) },
        row("[1, 2]", "workflow_not_an_object", &["a list", "Export (API)"]),
        row("17", "workflow_not_an_object", &["a number"]),
        row("null", "no_workflow", &["`workflow`"]),
        row("{}", "workflow_empty", &["no nodes"]),
        row(r#"{"prompt": {}}"#, "workflow_empty", &["no nodes"]),
        row(canvas, "workflow_canvas_format", &["canvas", "Export (API)"]),
        row(format!("{{\"prompt\": {canvas}}}"), "workflow_canvas_format", &["canvas", "Export (API)"]),
        row(format!("{{\"output\": {}, \"workflow\": {canvas}}}", sample("06_text")), "workflow_no_class", &["node output"]),
        row(r#"{"7": {"inputs": {}}}"#, "workflow_no_class", &["node 7", "class_type"]),
        row(r#"{"7": {"class_type": 3}}"#, "workflow_no_class", &["node 7"]),
        row(r#"{"7": "KSampler"}"#, "workflow_no_class", &["node 7"]),
        row(broken.to_string(), "workflow_broken_link", &["`images`", "node 2", "node 9"]),
        row(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), "workflow_too_deep", &["64"]),
        row(format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)), "workflow_too_deep", &["64"]),
        row(nodes(5_001), "workflow_too_many_nodes", &["5001", "5000"]),
    ];
    for row in rows {
        house.server.execute(&wish(&row.workflow)).refuses(row.status, row.code, row.says);
        let file = house.place.file("workflow.json", &row.workflow);
        house.cli_refuses(&["run", &file], 2, row.cli, row.says);
    }
    assert_eq!(house.traces(), before, "nothing was stored, posted or uploaded");
    house.server.stop();
}

#[test]
fn a_workflow_in_the_wrapper_of_a_request_is_taken() {
    let house = House::new();
    let wrapped = json!({ "prompt": sample("06_text"), "client_id": "x", "extra_data": {} }).to_string();
    let run = house.server.run(&json!({ "workflow": serde_json::from_str::<Value>(&wrapped).expect("JSON") }));
    assert_eq!(house.server.ended(&run)["status"], "completed");
    let file = house.place.file("wrapped.json", &wrapped);
    house.place.ends(&["run", &file]).is(0).says("completed");
}

#[test]
fn settings_and_pictures_that_fit_nothing_are_refused_at_both_doors() {
    let house = House::new();
    let before = house.traces();
    let picture = house.place.file("a.png", "not looked at");
    let (simple, loads, twins) = (
        house.place.workflow("01_simple_save"),
        house.place.workflow("07_load_image"),
        house.place.workflow("20_custom_slow_previews"),
    );
    let at_99 = format!("99={picture}");
    let at_2 = format!("2={picture}");
    let rows: &[Setting<'_>] = &[
        ("01_simple_save", json!({ "inputs": { "99.seed": 1 } }), &[&simple, "--set", "99.seed=1"], "unknown_node", &["`99`"]),
        (
            "01_simple_save",
            json!({ "inputs": { "1.widht": 5 } }),
            &[&simple, "--set", "1.widht=5"],
            "unknown_input",
            &["`widht`", "node 1 (EmptyImage)", "Did you mean `width`"],
        ),
        (
            "01_simple_save",
            json!({ "inputs": { "EmptyImgae.width": 5 } }),
            &[&simple, "--set", "EmptyImgae.width=5"],
            "unknown_node",
            &["`EmptyImgae`", "Did you mean `EmptyImage`"],
        ),
        (
            "20_custom_slow_previews",
            json!({ "inputs": { "SlowSteps.steps": 5 } }),
            &[&twins, "--set", "SlowSteps.steps=5"],
            "ambiguous_title",
            &["1, 2", "id"],
        ),
        (
            "01_simple_save",
            json!({ "input_images": [picture] }),
            &[&simple, "--image", &picture],
            "image_count",
            &["1 images", "but 0", "No node"],
        ),
        (
            "07_load_image",
            json!({ "input_images": [picture, picture] }),
            &[&loads, "--image", &picture, "--image", &picture],
            "image_count",
            &["2 images", "but 1"],
        ),
        ("07_load_image", json!({ "input_images": { "99": picture } }), &[&loads, "--image", &at_99], "unknown_node", &["`99`"]),
        (
            "07_load_image",
            json!({ "input_images": { "2": picture } }),
            &[&loads, "--image", &at_2],
            "not_a_loader",
            &["node 2 (ImageScale)", "1 ("],
        ),
    ];
    for (name, fields, typed, code, says) in rows {
        let mut sent = fields.clone();
        sent["workflow"] = sample(name);
        house.server.execute(&sent.to_string()).refuses(400, code, says);
        let args: Vec<&str> = ["run"].into_iter().chain(typed.iter().copied()).collect();
        house.cli_refuses(&args, 2, code, says);
    }
    assert_eq!(house.traces(), before, "nothing was stored, posted or uploaded");
    house.server.stop();
}

#[test]
fn addresses_that_cannot_be_are_refused_at_both_doors() {
    let house = House::new();
    let before = house.traces();
    let workflow = house.place.workflow("01_simple_save");
    let rows: &[(&str, u16, &str, &[&str])] = &[
        ("https://127.0.0.1:8188", 400, "address_tls", &["https://127.0.0.1:8188", "http://"]),
        ("http://me:hunter2@127.0.0.1:8188", 400, "address_userinfo", &["password", "@"]),
        ("http://127.0.0.1:8188/comfy", 400, "address_path", &["/comfy", "host and port only"]),
        ("http://127.0.0.1:8188?x=1", 400, "address_path", &["?x=1"]),
        ("ftp://127.0.0.1:21", 400, "address_scheme", &["ftp://127.0.0.1:21", "http://"]),
        ("127.0.0.1:8188", 400, "address_scheme", &["127.0.0.1:8188", "http://HOST:PORT"]),
        ("http://127.0.0.1", 400, "address_port", &["8188"]),
        ("http://127.0.0.1:0", 400, "address_port", &["1 to 65535"]),
        ("http://127.0.0.1:99999", 400, "address_port", &["99999"]),
        ("http://:8188", 400, "address_host", &["http://:8188"]),
        ("http://-x:8188", 400, "address_host", &["-x"]),
        ("http://gpu.example:8188", 403, "host_not_allowed", &["gpu.example", "ssh"]),
        ("http://169.254.169.254:80", 403, "address_refused", &["169.254.169.254"]),
        ("http://127.0.0.1.evil.example:8188", 403, "host_not_allowed", &["evil.example"]),
        ("http://[::ffff:169.254.169.254]:80", 403, "address_refused", &["169.254.169.254"]),
    ];
    for (url, status, code, says) in rows {
        let answer = house.server.execute(&json!({ "workflow": sample("01_simple_save"), "url": url }).to_string());
        answer.refuses(*status, code, says);
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
        house.cli_refuses(&["run", &workflow, "--url", url], 2, code, says);
    }
    assert_eq!(house.traces(), before);
    let log = house.server.stop();
    assert!(!log.contains("hunter2"), "a password reached the log");
}
