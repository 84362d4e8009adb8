//! Canvas files and pictures: converted, judged and run, with a simulated ComfyUI that tells its classes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{House, workflow};

/// Two nodes and a subgraph's worth of what only the canvas has.
fn canvas() -> Value {
    json!({
        "last_node_id": 9, "last_link_id": 2, "version": 0.4,
        "nodes": [
            {"id": 1, "type": "EmptyImage", "pos": [10, 20], "size": [200, 100], "widgets_values": [64, 48, 1, 255], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]},
            {"id": 2, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [{"name": "", "type": "*", "links": [2]}]},
            {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 2}], "widgets_values": ["%EmptyImage.width%x"]},
            {"id": 4, "type": "Note", "widgets_values": ["read me"]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "*"]],
    })
}

fn body(house: &House, workflow: &Value) -> Value {
    json!({ "workflow": workflow, "url": house.fake.url() })
}

#[tokio::test]
async fn a_canvas_becomes_the_graph_that_the_page_would_send() {
    let house = House::new(20.0).await;
    let reply = house.post("/api/v1/workflows/convert", &body(&house, &canvas())).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["workflow"]["3"]["inputs"], json!({"filename_prefix": "64x", "images": ["1", 0]}));
    assert_eq!(answer["workflow"].as_object().map(serde_json::Map::len), Some(2));
    let place = &answer["places"].as_array().expect("a list")[0];
    assert_eq!((&place["path"], &place["node_id"], &place["position"]), (&json!("1"), &json!("1"), &json!([10.0, 20.0])));
    let graph = workflow("01_simple_save");
    let same = house.post("/api/v1/workflows/convert", &body(&house, &graph)).await.json();
    assert_eq!((&same["workflow"], &same["converted"]), (&graph, &json!(false)));
}

#[tokio::test]
async fn a_canvas_runs_as_it_is() {
    let house = House::new(20.0).await;
    let created = house.post("/api/v1/runs", &body(&house, &canvas())).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let run = created.json()["run_id"].as_str().expect("an id").to_owned();
    let ended = house.ended(&run).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let sent = house.get(&format!("/api/v1/runs/{run}/workflow")).await.json();
    assert_eq!(sent["workflow"]["1"]["inputs"]["color"], 255);
}

#[tokio::test]
async fn all_that_is_wrong_is_named_before_anything_is_queued() {
    let house = House::new(20.0).await;
    let mut broken = canvas();
    broken["nodes"][0]["widgets_values"] = json!([0, 48, "many", 255]);
    let verdict = house.post("/api/v1/workflows/validate", &body(&house, &broken)).await.json();
    assert_eq!(verdict["valid"], false);
    let found: Vec<(&str, &str)> = verdict["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| (finding["input"].as_str().expect("an input"), finding["code"].as_str().expect("a code")))
        .collect();
    assert_eq!(found, [("width", "value_smaller_than_min"), ("batch_size", "invalid_input_type")]);
    // Its classes were asked for, so that a run is refused at once, for the same reasons.
    let refused = house.post("/api/v1/runs", &body(&house, &broken)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str()),
        (422, Some("workflow_not_valid")),
        "{:?}",
        refused.body
    );
    assert_eq!(refused.json()["details"].as_str().map(|details| details.lines().count()), Some(2));
    let mended = json!({ "workflow": broken, "url": house.fake.url(), "inputs": {"1.width": 32, "1.batch_size": 1} });
    let created = house.post("/api/v1/runs", &mended).await;
    assert_eq!(created.status, StatusCode::CREATED, "what is set counts: {:?}", created.body);
    assert_eq!(house.ended(created.json()["run_id"].as_str().expect("an id")).await["status"], "completed");
    let mut unknown = canvas();
    unknown["nodes"][0]["type"] = json!("EmptyImages");
    for path in ["/api/v1/workflows/convert", "/api/v1/workflows/validate", "/api/v1/runs"] {
        let refused = house.post(path, &body(&house, &unknown)).await;
        assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (422, Some("workflow_not_converted")), "{path}");
        assert!(refused.json()["hint"].as_str().is_some_and(|hint| hint.contains("`EmptyImage`")), "{:?}", refused.body);
    }
}

/// A PNG with these texts in it.
fn picture(texts: &[(&str, &Value)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (key, value) in texts {
        let body = format!("{key}\0{value}").into_bytes();
        let len = u32::try_from(body.len()).expect("short").to_be_bytes();
        file.extend([&len[..], b"tEXt", &body, &[0; 4]].concat());
    }
    file
}

#[tokio::test]
async fn a_picture_runs_again() {
    let house = House::new(20.0).await;
    let made = picture(&[("prompt", &workflow("01_simple_save"))]);
    let file = house.dir.path().join("inputs").join("made.png");
    std::fs::write(&file, &made).expect("a file");
    let wish = json!({ "workflow_file": file, "url": house.fake.url() });
    let created = house.post("/api/v1/runs", &wish).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    assert_eq!(house.ended(created.json()["run_id"].as_str().expect("an id")).await["status"], "completed");
    std::fs::write(&file, &made[..8]).expect("a file");
    let refused = house.post("/api/v1/runs", &wish).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (400, Some("workflow_not_embedded")));
}

async fn created(house: &House, wish: &Value) -> String {
    let created = house.post("/api/v1/runs", wish).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    created.json()["run_id"].as_str().expect("an id").to_owned()
}

/// A canvas whose first node is inside of a subgraph.
fn with_subgraph() -> Value {
    json!({
        "last_node_id": 9, "last_link_id": 9, "version": 0.4,
        "nodes": [
            {"id": 5, "type": "made", "pos": [0, 0], "size": [100, 50], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [2]}]},
            {"id": 3, "type": "SaveImage", "pos": [200, 0], "size": [200, 100], "inputs": [{"name": "images", "type": "IMAGE", "link": 2}], "widgets_values": ["x"]},
        ],
        "links": [[2, 5, 0, 3, 0, "IMAGE"]],
        "definitions": {"subgraphs": [{"id": "made", "name": "Make", "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [1]}],
            "nodes": [{"id": 1, "type": "EmptyImage", "title": "Blue", "pos": [-40, 70], "size": [210, 130], "widgets_values": [64, 48, 1, 255], "outputs": [{"name": "IMAGE", "type": "IMAGE"}]}],
            "links": [{"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0}]}]},
    })
}

#[tokio::test]
async fn a_run_keeps_its_canvas_and_tells_where_its_nodes_stand() {
    let house = House::new(20.0).await;
    let canvas = with_subgraph();
    let run = created(&house, &body(&house, &canvas)).await;
    assert_eq!(house.ended(&run).await["status"], "completed");
    let place = format!("/api/v1/runs/{run}/canvas");
    assert_eq!(house.get(&format!("/api/v1/runs/{run}/workflow")).await.json()["canvas"], place);
    let kept = house.get(&place).await;
    let told = kept.json();
    assert_eq!(told["canvas"], canvas);
    let rows: Vec<[&Value; 3]> =
        told["places"].as_array().expect("a list").iter().map(|row| [&row["path"], &row["node_id"], &row["title"]]).collect();
    let expected = json!([["5", null, "Make"], ["5:1", "5:1", "Blue"], ["3", "3", "Save Image"]]);
    assert_eq!(json!(rows), expected);
    let (inner, outer, frame) = (&told["positions"]["5:1"], &told["positions"]["3"], &told["boxes"][0]);
    assert_eq!((&frame["path"], &frame["nodes"]), (&json!("5"), &json!(["5:1"])));
    let number = |value: &Value| value.as_f64().expect("a number");
    let end = |area: &Value, from: &str, length: &str| number(&area[from]) + number(&area[length]);
    for (from, length) in [("x", "width"), ("y", "height")] {
        assert!(
            number(&inner[from]) > number(&frame["area"][from]) && end(inner, from, length) < end(&frame["area"], from, length)
        );
    }
    assert!(number(&outer["x"]) > end(&frame["area"], "x", "width"), "what stood beside the subgraph stands beside it opened");
    let same = house
        .ask(
            crate::support::asking("GET", &place)
                .header("if-none-match", kept.header("etag"))
                .body(axum::body::Body::empty())
                .expect("a request"),
        )
        .await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);

    // It outlives the server, and goes with the run that is run again, also when the first is gone.
    let house = house.restarted().await;
    assert_eq!(house.get(&place).await.json()["canvas"], canvas);
    let again =
        house.post(&format!("/api/v1/runs/{run}/retry"), &json!({})).await.json()["run_id"].as_str().expect("an id").to_owned();
    assert_eq!(house.ended(&again).await["status"], "completed");
    assert_eq!(house.delete(&format!("/api/v1/runs/{run}")).await.status, StatusCode::OK);
    assert_eq!(house.get(&place).await.status, StatusCode::NOT_FOUND);
    let copy = house.get(&format!("/api/v1/runs/{again}/canvas")).await.json();
    assert_eq!((&copy["canvas"], &copy["positions"]), (&canvas, &told["positions"]));
}

#[tokio::test]
async fn each_run_of_a_batch_keeps_its_canvas() {
    let house = House::new(20.0).await;
    // One that goes into the log, and one that is larger than the log takes.
    for long in [0, 300 << 10] {
        let mut canvas = with_subgraph();
        canvas["extra"] = json!({ "long": "x".repeat(long) });
        let batch = json!({ "workflow": canvas, "url": house.fake.url(), "repeat": 3 });
        let made = house.post("/api/v1/batches", &batch).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let runs: Vec<String> = made.json()["runs"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|run| run["run_id"].as_str().expect("an id").to_owned())
            .collect();
        for (at, run) in runs.iter().enumerate() {
            assert_eq!(house.get(&format!("/api/v1/runs/{run}/canvas")).await.json()["canvas"], canvas, "{at} of {long}");
            // Those that are left do not live on what the one before had.
            house.ended(run).await;
            assert_eq!(house.delete(&format!("/api/v1/runs/{run}")).await.status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_canvas_beside_the_graph_is_kept_and_not_converted() {
    let house = House::new(20.0).await;
    let canvas = canvas();
    let graph = house.post("/api/v1/workflows/convert", &body(&house, &canvas)).await.json()["workflow"].clone();
    // As the page sends what its form made of a canvas, and as pictures hold both.
    let wish = json!({ "workflow": graph, "canvas": canvas, "url": house.fake.url(), "inputs": {"1.color": 7} });
    let by_field = created(&house, &wish).await;
    let file = house.dir.path().join("inputs").join("both.png");
    std::fs::write(&file, picture(&[("prompt", &graph), ("workflow", &canvas)])).expect("a file");
    let by_picture = created(&house, &json!({ "workflow_file": file, "url": house.fake.url() })).await;
    let by_form = house
        .form(&[
            ("workflow", Some("both.png"), &picture(&[("prompt", &graph), ("workflow", &canvas)])),
            ("url", None, house.fake.url().as_bytes()),
        ])
        .await;
    assert_eq!(by_form.status, StatusCode::CREATED, "{:?}", by_form.body);
    let by_form = by_form.json()["run_id"].as_str().expect("an id").to_owned();
    for (run, color) in [(by_field, 7), (by_picture, 255), (by_form, 255)] {
        let kept = house.get(&format!("/api/v1/runs/{run}/canvas")).await.json();
        assert_eq!((&kept["canvas"], &kept["positions"]["1"]["x"]), (&canvas, &json!(10.0)));
        assert_eq!(house.get(&format!("/api/v1/runs/{run}/workflow")).await.json()["workflow"]["1"]["inputs"]["color"], color);
    }
    let bare = created(&house, &body(&house, &graph)).await;
    let none = house.get(&format!("/api/v1/runs/{bare}/canvas")).await;
    assert_eq!((none.status.as_u16(), none.json()["code"].as_str()), (404, Some("no_canvas")));
    assert_eq!(house.get(&format!("/api/v1/runs/{bare}/workflow")).await.json()["canvas"], Value::Null);
    let wrong = json!({ "workflow": graph, "canvas": graph, "url": house.fake.url() });
    let refused = house.post("/api/v1/runs", &wrong).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (400, Some("bad_field")));
    // What is none in a picture is left alone.
    std::fs::write(&file, picture(&[("prompt", &graph), ("workflow", &json!({"version": 1}))])).expect("a file");
    let other = created(&house, &json!({ "workflow_file": file, "url": house.fake.url() })).await;
    assert_eq!(house.get(&format!("/api/v1/runs/{other}/canvas")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_run_may_be_left_to_the_instance_unchecked() {
    let house = House::new(20.0).await;
    let mut broken = canvas();
    broken["nodes"][0]["widgets_values"] = json!([0, 48, 1, 255]);
    let mut wish = body(&house, &broken);
    let refused = house.post("/api/v1/runs", &wish).await;
    assert_eq!(refused.json()["code"], "workflow_not_valid");
    assert!(refused.json()["hint"].as_str().is_some_and(|hint| hint.contains("`validate: false`")), "{:?}", refused.body);
    wish["validate"] = json!(false);
    let run = created(&house, &wish).await;
    let mut batch = wish.clone();
    batch["repeat"] = json!(2);
    assert_eq!(house.post("/api/v1/batches", &batch).await.status, StatusCode::CREATED);
    let form = house
        .form(&[
            ("workflow", None, broken.to_string().as_bytes()),
            ("url", None, house.fake.url().as_bytes()),
            ("validate", None, b"false"),
        ])
        .await;
    assert_eq!(form.status, StatusCode::CREATED, "{:?}", form.body);
    let sent = house.get(&format!("/api/v1/runs/{run}/workflow")).await.json();
    assert_eq!(sent["workflow"]["1"]["inputs"]["width"], 0);
    house.until(&run, |view| view["status"] == "completed" || view["status"] == "failed").await;
}

#[tokio::test]
async fn what_was_put_right_stands_with_the_run() {
    let house = House::new(20.0).await;
    let mut canvas = with_subgraph();
    let inner = &mut canvas["definitions"]["subgraphs"][0]["nodes"][0];
    inner["widgets_values_named"] = json!({"height": 64, "width": 48, "batch_size": 1, "color": 255});
    let run = created(&house, &body(&house, &canvas)).await;
    let warnings = house.ended(&run).await["warnings"].clone();
    assert_eq!(warnings.as_array().map(Vec::len), Some(1), "{warnings}");
    assert_eq!((&warnings[0]["code"], &warnings[0]["node_id"]), (&json!("other_widgets"), &json!("5:1")));
    let house = house.restarted().await;
    assert_eq!(house.get(&format!("/api/v1/runs/{run}")).await.json()["warnings"], warnings, "they are of the run");
}

#[tokio::test]
async fn each_run_of_a_batch_draws_for_itself() {
    let house = House::new(20.0).await;
    let mut canvas = canvas();
    let prompt = json!({"id": 5, "type": "CLIPTextEncode", "widgets_values": ["a {cat|dog}"]});
    canvas["nodes"].as_array_mut().expect("a list").push(prompt);
    let batch = json!({ "workflow": canvas, "url": house.fake.url(), "repeat": 24, "variations": [{"inputs": {"1.color": 9}}] });
    let made = house.post("/api/v1/batches", &batch).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let mut drawn = std::collections::BTreeSet::new();
    for run in made.json()["runs"].as_array().expect("a list") {
        let run = run["run_id"].as_str().expect("an id");
        let graph = house.get(&format!("/api/v1/runs/{run}/workflow")).await.json()["workflow"].clone();
        assert_eq!(graph["1"]["inputs"]["color"], 9);
        drawn.insert(graph["5"]["inputs"]["text"].as_str().expect("a text").to_owned());
    }
    // The same word 24 times is one chance in eight millions.
    assert_eq!(drawn, ["a cat".to_owned(), "a dog".to_owned()].into());
}

#[tokio::test]
async fn classes_are_asked_for_by_each_way_to_an_instance() {
    let house = House::new(20.0).await;
    let with = |more: Value| {
        let mut wish = json!({ "workflow": canvas() });
        wish.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        wish
    };
    let refused = |more: Value| {
        let house = &house;
        async move {
            let reply = house.post("/api/v1/workflows/convert", &with(more)).await;
            (reply.status.as_u16(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
        }
    };
    assert_eq!(house.post("/api/v1/workflows/convert", &with(json!({}))).await.status, StatusCode::OK, "the default");
    assert_eq!(refused(json!({"instance": "nobody"})).await, (404, "unknown_instance".to_owned()));
    assert_eq!(refused(json!({"comfyui_port": 8188})).await, (400, "field_alone".to_owned()));
    let ssh = json!({"ssh_connection": "ssh -p 1 root@127.0.0.1", "comfyui_port": 8188});
    let (status, code) = refused(ssh).await;
    assert!((500..=504).contains(&status) && code != "unknown_field", "nobody listens there: {status} {code}");
}

#[tokio::test]
async fn a_file_is_converted_and_judged_without_being_run() {
    let house = House::new(50.0).await;
    let graph = workflow("01_simple_save");
    let text = graph.to_string();
    let made = picture(&[("prompt", &graph)]);
    let bare = picture(&[]);
    let url = house.fake.url();
    let at = ("url", None, url.as_bytes());
    for (name, bytes) in [("workflow.json", text.as_bytes()), ("made.png", &made[..])] {
        let file = ("workflow", Some(name), bytes);
        let converted = house.form_to("/api/v1/workflows/convert", &[file, at]).await;
        assert_eq!(converted.status.as_u16(), 200, "{name}: {:?}", converted.body);
        assert_eq!((&converted.json()["workflow"], &converted.json()["converted"]), (&graph, &json!(false)), "{name}");
        let judged = house.form_to("/api/v1/workflows/validate", &[file, at]).await;
        assert_eq!((judged.status.as_u16(), &judged.json()["valid"]), (200, &json!(true)), "{name}: {:?}", judged.body);
    }
    let code = async |parts: &[(&str, Option<&str>, &[u8])]| {
        let reply = house.form_to("/api/v1/workflows/convert", parts).await;
        (reply.status.as_u16(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(&[("workflow", Some("bare.png"), &bare), at]).await, (400, "workflow_not_embedded".to_owned()));
    assert_eq!(code(&[at]).await, (400, "no_workflow".to_owned()));
    assert_eq!(code(&[("input_images", Some("a.png"), &made), at]).await, (400, "unknown_field".to_owned()));
    assert_eq!(code(&[("worklow", Some("a.png"), &made), at]).await, (400, "unknown_field".to_owned()));
    // A number of a form is a text that holds it.
    let port = ("comfyui_port", None, &b"8188"[..]);
    assert_eq!(code(&[("workflow", Some("made.png"), &made), port]).await, (400, "field_alone".to_owned()));
    assert!(house.get("/api/v1/runs").await.json()["runs"].as_array().is_some_and(Vec::is_empty), "nothing was run");
}
