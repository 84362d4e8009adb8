//! Outputs one by one: as JSON, as a small picture, and all in one archive.

use std::io::{Cursor, Read};
use std::path::PathBuf;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};
use zip::ZipArchive;

use crate::support::{House, asking};

fn stored(house: &House, run: &str, output: &Value) -> PathBuf {
    let name = output["local_name"].as_str().expect("a name");
    house.dir.path().join("data/runs").join(run).join("outputs").join(name)
}

#[tokio::test]
async fn an_output_is_told_of_alone() {
    let house = House::new(50.0).await;
    let run = house.run("01_simple_save").await;
    house.ended(&run).await;
    let list = house.get(&format!("/api/v1/runs/{run}/outputs")).await.json();
    let n = &list["outputs"][0]["n"];
    let mut one = house.get(&format!("/api/v1/runs/{run}/outputs/{n}")).await.json();
    assert_eq!(one.as_object_mut().expect("an output").remove("success"), Some(json!(true)));
    assert_eq!(one, list["outputs"][0]);
    assert_eq!(house.get(&format!("/api/v1/runs/{run}/outputs/99")).await.json()["code"], "no_such_output");
    assert_eq!(house.get(&format!("/api/v1/runs/{run}/outputs/x")).await.json()["code"], "bad_number");
}

#[tokio::test]
async fn a_thumbnail_is_small_and_kept() {
    let house = House::new(50.0).await;
    let run = house.run("01_simple_save").await;
    let view = house.ended(&run).await;
    let output = &view["outputs"][0];
    let path = format!("/api/v1/runs/{run}/outputs/{}/thumbnail", output["n"]);
    let small = house.get(&format!("{path}?size=60")).await;
    assert_eq!((small.status, small.header("content-type")), (StatusCode::OK, "image/jpeg"), "{:?}", small.body);
    let picture = image::load_from_memory(&small.body).expect("a picture");
    assert_eq!(picture.width().max(picture.height()), 64, "rounded up");
    let etag = format!("\"{}-64\"", output["sha256"].as_str().expect("a hash"));
    let expected = [
        ("etag", etag.as_str()),
        ("cache-control", "private, no-cache"),
        ("content-security-policy", "sandbox"),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in expected {
        assert_eq!(small.header(name), value, "{name}");
    }
    let again = asking("GET", &format!("{path}?size=64")).header("if-none-match", &etag).body(Body::empty()).expect("a request");
    let again = house.ask(again).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    // It is served from its folder, and made again without it.
    let kept = house.dir.path().join("data/runs").join(&run).join("thumbs").join(format!("{}-64.jpg", output["n"]));
    assert_eq!(std::fs::read(&kept).expect("it is kept"), small.body);
    std::fs::write(&kept, b"kept").expect("written");
    assert_eq!(house.get(&format!("{path}?size=64")).await.body.as_ref(), b"kept");
    std::fs::remove_dir_all(kept.parent().expect("a folder")).expect("removed");
    assert_eq!(house.get(&format!("{path}?size=64")).await.body, small.body);
    for bad in ["0", "1025", "x", "-1", ""] {
        assert_eq!(house.get(&format!("{path}?size={bad}")).await.json()["code"], "bad_query", "{bad}");
    }
}

/// A picture that says that it is this large, and no more.
fn png_that_says(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d".as_slice(), &chunk, &(!crc).to_be_bytes(), b"\0\0\0\0IDAT"].concat()
}

#[tokio::test]
async fn what_is_no_picture_has_no_thumbnail() {
    let house = House::new(50.0).await;
    let text = house.run("06_text").await;
    let view = house.ended(&text).await;
    let reply = house.get(&format!("/api/v1/runs/{text}/outputs/{}/thumbnail", view["outputs"][0]["n"])).await;
    assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::NOT_FOUND, &json!("no_thumbnail")));
    let run = house.run("01_simple_save").await;
    let view = house.ended(&run).await;
    let file = stored(&house, &run, &view["outputs"][0]);
    let path = format!("/api/v1/runs/{run}/outputs/{}/thumbnail", view["outputs"][0]["n"]);
    let whole = std::fs::read(&file).expect("it is stored");
    let rows = [
        (whole[..whole.len() / 2].to_vec(), 422, "picture_damaged"),
        (b"not at all".to_vec(), 422, "picture_damaged"),
        (png_that_says(100_000, 100_000), 422, "picture_too_large"),
        (png_that_says(9_999, 9_999), 422, "picture_too_large"),
    ];
    for (bytes, status, code) in rows {
        std::fs::write(&file, bytes).expect("written");
        let reply = house.get(&path).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (status, &json!(code)), "{:?}", reply.body);
    }
    std::fs::remove_file(&file).expect("it was there");
    assert_eq!(house.get(&path).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn all_outputs_come_in_one_archive() {
    let house = House::new(50.0).await;
    for sample in ["01_simple_save", "06_text"] {
        let run = house.run(sample).await;
        let view = house.ended(&run).await;
        let reply = house.get(&format!("/api/v1/runs/{run}/outputs.zip")).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/zip"));
        assert_eq!((reply.header("content-security-policy"), reply.header("x-content-type-options")), ("sandbox", "nosniff"));
        assert!(reply.header("content-disposition").starts_with(&format!("attachment; filename=\"{sample}.zip\"")));
        let mut archive = ZipArchive::new(Cursor::new(reply.body.to_vec())).expect("an archive");
        let outputs = view["outputs"].as_array().expect("a list");
        assert_eq!(archive.len(), outputs.len());
        for (n, output) in outputs.iter().enumerate() {
            let mut entry = archive.by_index(n).expect("an entry");
            let name = entry.name().expect("text").into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("whole");
            if let Some(text) = output["text"].as_str() {
                assert_eq!(bytes, text.as_bytes());
                assert_eq!(name, format!("{}-{}.txt", output["n"], output["key"].as_str().expect("a key")));
            } else {
                assert_eq!(name, output["local_name"].as_str().expect("a name"));
                assert_eq!(bytes, std::fs::read(stored(&house, &run, output)).expect("stored"));
            }
        }
    }
    let run = house.run("01_simple_save").await;
    let view = house.ended(&run).await;
    std::fs::write(stored(&house, &run, &view["outputs"][0]), b"changed").expect("written");
    let reply = house.get(&format!("/api/v1/runs/{run}/outputs.zip")).await;
    assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::GONE, &json!("gone")));
}

#[tokio::test]
async fn chosen_outputs_of_several_runs_come_in_one_archive() {
    let house = House::new(50.0).await;
    let mut runs = Vec::new();
    for sample in ["01_simple_save", "06_text"] {
        let run = house.run(sample).await;
        let view = house.ended(&run).await;
        runs.push((run, view));
    }
    let [(first, picture), (second, _)] = [&runs[0], &runs[1]];
    let ask = async |of: &str| house.get(&format!("/api/v1/outputs.zip?of={of}")).await;
    let names = |reply: &crate::support::Reply| {
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/zip"));
        let mut archive = ZipArchive::new(Cursor::new(reply.body.to_vec())).expect("an archive");
        (0..archive.len()).map(|n| archive.by_index(n).expect("an entry").name().expect("text").into_owned()).collect::<Vec<_>>()
    };
    let name = picture["outputs"][0]["local_name"].as_str().expect("a name");
    assert_eq!(names(&ask(&format!("{first}/1,{first}/1")).await), [name], "what is named twice comes once");
    let both = names(&ask(&format!("{first}/1,{second}/1")).await);
    assert_eq!(both[0], format!("{first}/{name}"), "several runs have a folder each");
    assert!(both[1].starts_with(&format!("{second}/1-")), "{both:?}");
    let many = vec![format!("{first}/1"); 301].join(",");
    for (of, status, code) in [
        ("", 400, "bad_query"),
        (first.as_str(), 400, "bad_query"),
        ("/1", 400, "bad_query"),
        (&format!("{first}/0"), 400, "bad_query"),
        (&format!("{first}/01"), 400, "bad_query"),
        (&format!("{first}/1,"), 400, "bad_query"),
        (&many, 400, "bad_query"),
        (&format!("{first}/99"), 404, "no_such_output"),
        ("nobody/1", 404, "unknown_run"),
    ] {
        let reply = ask(of).await;
        assert_eq!((reply.status.as_u16(), reply.json()["code"].as_str()), (status, Some(code)), "{of:.60}");
    }
    std::fs::write(stored(&house, first, &picture["outputs"][0]), b"changed").expect("written");
    assert_eq!(ask(&format!("{first}/1")).await.json()["code"], "gone");
}
