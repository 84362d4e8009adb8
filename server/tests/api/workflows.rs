//! Templates: listed, shown, run, and followed while their folder changes.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use comfyd_fixtures::{FakeComfy, FakeConfig, Folder, Picture};
use comfyd_server::api::{Names, Secret, Security, router};
use comfyd_server::server::{ServeOptions, start};
use serde_json::{Value, json};

use crate::support::{House, TOKEN, asking};

const SMALL: &str = r#"{"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0}, "_meta": {"title": "Canvas"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "small"}}}"#;

fn models() -> BTreeMap<String, Vec<String>> {
    let files = ["v1-5-pruned-emaonly-fp16.safetensors", "svd.safetensors"];
    BTreeMap::from([("checkpoints".to_owned(), files.map(str::to_owned).to_vec())])
}

/// A house whose ComfyUI has what the templates need, and whose templates are in these folders.
async fn house(dirs: Option<Vec<&str>>) -> House {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let fake = FakeComfy::new(FakeConfig { time_scale: 50.0, models: models(), ..FakeConfig::default() });
    fake.put_file(Folder::Input, "", "example.png", Picture::finished(32, 32, 1).png(&[]));
    let fake = fake.listen("127.0.0.1:0").await.expect("a free port");
    let options = ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        token: Some(TOKEN.to_owned()),
        default_url: Some(fake.url()),
        input_roots: Some(vec![]),
        output_roots: Some(vec![]),
        template_dirs: dirs.map(|dirs| dirs.into_iter().map(|name| dir.path().join(name)).collect()),
        min_free: 0,
        ..ServeOptions::new(dir.path().join("data"))
    };
    let running = start(options).await.expect("the server starts");
    let security = Security::fixed(Secret::new(TOKEN), 8787, Names::default());
    House { router: router(running.app.clone(), security), running, fake, dir }
}

impl House {
    async fn listed(&self) -> Vec<Value> {
        let reply = self.get("/api/v1/workflows").await;
        assert_eq!(reply.status, StatusCode::OK);
        reply.json()["workflows"].as_array().expect("a list").clone()
    }

    /// The list, as soon as it is as wanted.
    async fn listed_until(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let listed = self.listed().await;
            if wanted(&listed) {
                return listed;
            }
            assert!(tokio::time::Instant::now() < deadline, "the list does not get there: {listed:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn named<'a>(listed: &'a [Value], name: &str) -> Option<&'a Value> {
    listed.iter().find(|row| row["name"] == name)
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder.join(name).parent().expect("a folder")).expect("made");
    std::fs::write(folder.join(name), text).expect("written");
}

#[tokio::test]
async fn the_built_in_templates_are_listed_shown_and_drawn() {
    let house = house(None).await;
    let listed = house.listed().await;
    let names: Vec<&str> = listed.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["image_enhancement", "img2video", "txt2img_basic"]);
    for row in &listed {
        assert_eq!((&row["source"], &row["error"]), (&json!("builtin"), &Value::Null));
        let name = row["name"].as_str().expect("a name");
        let one = house.get(&format!("/api/v1/workflows/{name}")).await.json();
        assert_eq!((&one["success"], &one["title"], &one["node_count"]), (&json!(true), &row["title"], &row["node_count"]));
        assert!(one["description"].as_str().is_some_and(|text| text.starts_with("# ") && text.contains("comfyd run --template")));
        let graph = house.get(&format!("/api/v1/workflows/{name}/workflow.json")).await;
        assert_eq!((graph.header("content-type"), &graph.json()), ("application/json", &one["workflow"]));
        for field in one["form"].as_array().expect("a form") {
            let (node, input) = (field["node_id"].as_str().expect("an id"), field["input"].as_str().expect("an input"));
            assert_eq!(field["default"], one["workflow"][node]["inputs"][input], "{field}");
        }
        let preview = house.get(row["preview"].as_str().expect("a preview")).await;
        assert_eq!((preview.status, preview.header("content-type")), (StatusCode::OK, "image/png"));
        assert!(preview.body.starts_with(b"\x89PNG") && !preview.header("etag").is_empty());
        let again = asking("GET", row["preview"].as_str().expect("a path")).header("if-none-match", preview.header("etag"));
        let again = house.ask(again.body(Body::empty()).expect("a request")).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let needs = &named(&listed, "img2video").expect("it is there")["needs_models"];
    let model = json!({"file": "svd.safetensors", "folder": "checkpoints", "node_id": "15", "input": "ckpt_name"});
    assert_eq!(needs, &json!([model]));
}

#[tokio::test]
async fn an_instance_tells_ranges_and_choices() {
    let house = house(None).await;
    let added = house.post("/api/v1/instances", &json!({"name": "gpu", "url": house.fake.url()})).await;
    assert_eq!(added.status, StatusCode::CREATED, "{:?}", added.body);
    let one = house.get("/api/v1/workflows/txt2img_basic?instance=gpu").await.json();
    let field =
        |id: &str| one["form"].as_array().into_iter().flatten().find(|field| field["id"] == id).cloned().unwrap_or_default();
    assert_eq!(field("4.ckpt_name")["options"], json!(models()["checkpoints"]));
    assert_eq!((&field("3.steps")["max"], &field("5.width")["step"]), (&json!(10_000), &json!(8)));
    assert!(field("3.sampler_name")["options"].as_array().is_some_and(|options| options.contains(&json!("euler"))));
    let unknown = house.get("/api/v1/workflows/txt2img_basic?instance=nowhere").await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (StatusCode::NOT_FOUND, &json!("unknown_instance")));
    house.post("/api/v1/instances", &json!({"name": "gone", "url": "http://127.0.0.1:1"})).await;
    let silent = house.get("/api/v1/workflows/img2video?instance=gone").await;
    assert_eq!(silent.status, StatusCode::BAD_GATEWAY, "{:?}", silent.body);
}

#[tokio::test]
async fn every_template_runs_and_a_run_of_one_is_repeated() {
    let house = house(None).await;
    for name in ["txt2img_basic", "image_enhancement", "img2video"] {
        let reply = house.post("/api/v1/runs", &json!({ "template": name })).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
        let run = reply.json()["run_id"].as_str().expect("a run id").to_owned();
        let view = house.ended(&run).await;
        assert_eq!((&view["status"], &view["warnings"]), (&json!("completed"), &json!([])), "{view:#}");
        assert!(!view["outputs"].as_array().expect("outputs").is_empty());
        let one = house.get(&format!("/api/v1/workflows/{name}")).await.json();
        assert_eq!(view["workflow_name"], one["title"]);
        assert_eq!(view["workflow_file"], json!(format!("resources/workflows/{name}/workflow.json")));
        let again = house.post(&format!("/api/v1/runs/{run}/retry"), &json!({})).await;
        assert_eq!(again.status, StatusCode::CREATED, "{:?}", again.body);
        let view = house.ended(again.json()["run_id"].as_str().expect("a run id")).await;
        assert_eq!((&view["status"], &view["workflow_name"]), (&json!("completed"), &one["title"]));
    }
}

#[tokio::test]
async fn a_template_takes_inputs_a_name_and_pictures_by_json_and_by_form() {
    let house = house(None).await;
    let wish = json!({"template": "txt2img_basic", "workflow_name": "mine", "inputs": {"Prompt.text": "a fox", "3.steps": 2, "5.width": 64, "Picture size.height": 64}});
    let reply = house.post("/comfyui/workflow/execute", &wish).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let run = reply.json()["run_id"].as_str().expect("a run id").to_owned();
    let view = house.ended(&run).await;
    assert_eq!((&view["workflow_name"], &view["status"]), (&json!("mine"), &json!("completed")), "{view:#}");
    // The saved picture carries its prompt.
    let picture = house.get(&format!("/api/v1/runs/{run}/outputs/{}/content", view["outputs"][0]["n"])).await.body;
    let text = String::from_utf8_lossy(&picture);
    assert!(text.contains("a fox") && text.contains("\"steps\": 2"), "{text}");
    assert_eq!(picture[16..24], [0, 0, 0, 64, 0, 0, 0, 64]);
    let mut form = Vec::new();
    for (head, body) in [
        ("name=\"template\"", b"image_enhancement".as_slice()),
        ("name=\"inputs\"", b"{\"Enlarge.scale_by\": 1.5}".as_slice()),
        ("name=\"input_images\"; filename=\"a.png\"", Picture::finished(16, 16, 3).png(&[]).as_slice()),
    ] {
        form.extend_from_slice(format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        form.extend_from_slice(body);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--x--\r\n");
    let request = asking("POST", "/api/v1/runs").header("content-type", "multipart/form-data; boundary=x");
    let reply = house.ask(request.body(Body::from(form)).expect("a request")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    let view = house.ended(reply.json()["run_id"].as_str().expect("a run id")).await;
    assert_eq!((&view["workflow_name"], &view["status"]), (&json!("Image enhancement"), &json!("completed")), "{view:#}");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_what_to_do() {
    let house = house(Some(vec!["mine"])).await;
    write(&house.dir.path().join("mine"), "bad.json", "{");
    for (wish, status, code, says) in [
        (json!({"template": "txt2img_basik"}), 404, "unknown_template", "`txt2img_basic`"),
        (json!({"template": "../etc/passwd"}), 404, "unknown_template", "comfyd templates"),
        (json!({"template": "bad"}), 400, "workflow_not_json", "Export"),
        (json!({"template": "txt2img_basic", "workflow": {}}), 400, "two_workflows", "one of them"),
        (json!({"template": "txt2img_basic", "inputs": {"3.sed": 1}}), 400, "unknown_input", "seed"),
        (json!({"template": 3}), 400, "bad_field", "template"),
        (json!({}), 400, "no_workflow", "template"),
    ] {
        let reply = house.post("/api/v1/runs", &wish).await;
        let problem = reply.json();
        assert_eq!((reply.status.as_u16(), &problem["code"]), (status, &json!(code)), "{wish}: {problem}");
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains(says)), "{problem}");
    }
    assert_eq!(house.get("/api/v1/workflows/none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.get("/api/v1/workflows/none/preview").await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.get("/api/v1/workflows/bad").await.json()["code"], json!("workflow_not_json"));
}

#[tokio::test]
async fn the_users_folder_is_followed_while_it_changes() {
    let house = house(None).await;
    let folder = house.dir.path().join("data/workflows");
    assert!(folder.is_dir(), "it is made at the start");
    write(&folder, "mine/workflow.json", SMALL);
    let listed = house.listed_until(|listed| named(listed, "mine").is_some_and(|row| row["error"].is_null())).await;
    assert_eq!(
        named(&listed, "mine").map(|row| (&row["source"], &row["preview"], &row["title"])),
        Some((&json!("user"), &Value::Null, &json!("Mine")))
    );
    // Its folder is followed too.
    write(&folder, "mine/description.md", "# My own\n\nWith words.");
    house
        .listed_until(|listed| {
            named(listed, "mine").is_some_and(|row| row["title"] == "My own" && row["description"] == "With words.")
        })
        .await;
    std::fs::write(folder.join("mine/preview.png"), Picture::finished(4, 4, 1).png(&[])).expect("written");
    let listed = house.listed_until(|listed| named(listed, "mine").is_some_and(|row| row["preview"].is_string())).await;
    let place = named(&listed, "mine").and_then(|row| row["preview"].as_str()).expect("a place");
    assert_eq!(house.get(place).await.header("content-type"), "image/png");
    write(&folder, "a b.json", SMALL);
    house.listed_until(|listed| named(listed, "a b").is_some()).await;
    assert_eq!(house.get("/api/v1/workflows/a%20b").await.json()["form"][0]["id"], json!("1.width"));
    // A name of a built-in one hides it, and what cannot be used hides nothing.
    write(&folder, "img2video/workflow.json", "{");
    let listed = house.listed_until(|listed| listed.iter().filter(|row| row["name"] == "img2video").count() == 2).await;
    assert!(listed.iter().any(|row| row["name"] == "img2video" && row["error"]["code"] == "workflow_not_json"));
    assert_eq!(house.get("/api/v1/workflows/img2video").await.json()["source"], json!("builtin"));
    write(&folder, "img2video/workflow.json", SMALL);
    let listed = house.listed_until(|listed| listed.iter().all(|row| row["error"].is_null())).await;
    assert_eq!(named(&listed, "img2video").map(|row| &row["source"]), Some(&json!("user")));
    let run =
        house.post("/api/v1/runs", &json!({"template": "img2video"})).await.json()["run_id"].as_str().expect("a run").to_owned();
    assert_eq!(house.ended(&run).await["status"], json!("completed"));
    std::fs::remove_dir_all(folder.join("img2video")).expect("removed");
    std::fs::rename(folder.join("mine"), folder.join("yours")).expect("moved");
    let listed = house.listed_until(|listed| named(listed, "yours").is_some() && named(listed, "mine").is_none()).await;
    assert_eq!(named(&listed, "img2video").map(|row| &row["source"]), Some(&json!("builtin")));
    // A folder that is made anew is found again.
    std::fs::remove_dir_all(&folder).expect("removed");
    house.listed_until(|listed| listed.len() == 3).await;
    write(&folder, "late.json", SMALL);
    house.listed_until(|listed| named(listed, "late").is_some()).await;
}

#[tokio::test]
async fn what_is_broken_too_large_or_elsewhere_is_listed_with_the_reason() {
    let house = house(Some(vec!["mine", "not there", "more"])).await;
    let (mine, more, secret) = (house.dir.path().join("mine"), house.dir.path().join("more"), house.dir.path().join("secret"));
    write(&secret, "workflow.json", SMALL);
    write(&mine, "good.json", SMALL);
    write(&mine, "cut.json", "{\"1\": ");
    write(&mine, "canvas.json", r#"{"nodes": [], "links": [], "last_node_id": 3}"#);
    write(&mine, "empty/notes.txt", "nothing here");
    write(&mine, "notes.txt", "not a template");
    write(&mine, ".hidden.json", "{");
    write(&mine, "binary.json", "x");
    std::fs::write(mine.join("binary.json"), [0xff, 0xfe]).expect("written");
    let huge = std::fs::File::create(mine.join("huge.json")).expect("made");
    huge.set_len((16 << 20) + 1).expect("a hole");
    symlink(secret.join("workflow.json"), mine.join("link.json")).expect("linked");
    symlink(&secret, mine.join("way")).expect("linked");
    std::fs::create_dir(mine.join("inside")).expect("made");
    symlink(secret.join("workflow.json"), mine.join("inside/workflow.json")).expect("linked");
    write(&mine, "drawn/workflow.json", SMALL);
    symlink("/etc/passwd", mine.join("drawn/description.md")).expect("linked");
    std::fs::write(mine.join("drawn/preview.png"), "<svg/>").expect("written");
    write(&mine, "drawn.json", SMALL);
    write(&more, "good.json", SMALL);
    let listed = house.listed_until(|listed| named(listed, "good").is_some() && named(listed, "drawn").is_some()).await;
    let code = |name: &str| {
        let rows: Vec<&Value> = listed.iter().filter(|row| row["name"] == name).map(|row| &row["error"]["code"]).collect();
        rows
    };
    let one = |code: &'static str| [json!(code)];
    assert_eq!(code("cut"), one("workflow_not_json").iter().collect::<Vec<_>>());
    assert_eq!(code("canvas"), one("workflow_canvas_format").iter().collect::<Vec<_>>());
    assert_eq!(code("empty"), one("template_without_workflow").iter().collect::<Vec<_>>());
    assert_eq!(code("binary"), one("template_not_text").iter().collect::<Vec<_>>());
    assert_eq!(code("huge"), one("template_too_large").iter().collect::<Vec<_>>());
    assert_eq!([code("link"), code("way")], [[&json!("template_link")], [&json!("template_link")]]);
    assert_eq!(code("inside"), one("template_unreadable").iter().collect::<Vec<_>>());
    // The folder comes before the file, and the first folder of templates before the second.
    assert_eq!(
        [code("drawn"), code("good")],
        [[&Value::Null, &json!("template_name_taken")], [&Value::Null, &json!("template_name_taken")]]
    );
    assert!(named(&listed, "notes").is_none() && named(&listed, ".hidden").is_none());
    let drawn = named(&listed, "drawn").expect("it is there");
    assert_eq!((&drawn["preview"], &drawn["title"], drawn.get("description")), (&Value::Null, &json!("Drawn"), None));
    let canvas = named(&listed, "canvas").expect("it is there");
    assert!(canvas["error"]["hint"].as_str().is_some_and(|hint| hint.contains("Export (API)")), "{canvas}");
    assert_eq!(house.post("/api/v1/runs", &json!({"template": "inside"})).await.json()["code"], json!("template_unreadable"));
    assert!(named(&listed, "txt2img_basic").is_some(), "the built-in ones stay");
}

#[tokio::test]
async fn the_stream_of_all_runs_hints_at_templates_that_change() {
    let house = house(Some(vec!["mine"])).await;
    let folder = house.dir.path().join("mine");
    write(&folder, "first.json", SMALL);
    house.listed_until(|listed| named(listed, "first").is_some()).await;
    let mut events = house.events("/api/v1/events").await;
    assert_eq!(events.next().await.expect("the list").kind, "list");
    for change in ["made", "changed", "removed"] {
        let path = folder.join("late.json");
        match change {
            "made" => write(&folder, "late.json", SMALL),
            "changed" => write(&folder, "late.json", "{"),
            _ => std::fs::remove_file(path).expect("removed"),
        }
        let hint = events.next().await.expect("a hint");
        assert_eq!((hint.kind.as_str(), hint.tag, &hint.data), ("workflows", None, &json!({})), "{change}");
        // What follows the hint is read as it is now.
        let broken = |row: &Value| !row["error"].is_null();
        house
            .listed_until(|listed| match change {
                "made" => named(listed, "late").is_some_and(|row| !broken(row)),
                "changed" => named(listed, "late").is_some_and(broken),
                _ => named(listed, "late").is_none(),
            })
            .await;
    }
}
