//! The content of outputs: whole, in parts, and only in harmless ways.

use axum::body::Body;
use axum::http::StatusCode;

use crate::support::{House, asking};

#[tokio::test]
async fn an_output_is_served_whole_and_in_parts() {
    let house = House::new(50.0).await;
    let run = house.run("01_simple_save").await;
    let view = house.ended(&run).await;
    let output = &view["outputs"][0];
    let path = format!("/api/v1/runs/{run}/outputs/{}/content", output["n"]);
    let whole = house.get(&path).await;
    assert_eq!(whole.status, StatusCode::OK);
    let etag = format!("\"{}\"", output["sha256"].as_str().expect("a hash"));
    let expected = [
        ("etag", etag.as_str()),
        ("content-type", "image/png"),
        ("cache-control", "private, no-cache"),
        ("content-security-policy", "sandbox"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
    ];
    for (name, value) in expected {
        assert_eq!(whole.header(name), value, "{name}");
    }
    let size = whole.body.len();
    assert_eq!((whole.header("content-length"), output["size"].as_u64()), (size.to_string().as_str(), Some(size as u64)));
    assert!(
        whole.header("content-disposition").starts_with("inline; filename=\"simple"),
        "{}",
        whole.header("content-disposition")
    );
    let saved = house.get(&format!("{path}?download=1")).await;
    assert!(saved.header("content-disposition").starts_with("attachment; "));

    let ask = async |method: &str, headers: &[(&str, &str)]| {
        let mut request = asking(method, &path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        house.ask(request.body(Body::empty()).expect("a request")).await
    };
    for (range, from, to) in [("bytes=0-9", 0, 10), ("bytes=10-", 10, size), ("bytes=-7", size - 7, size), ("bytes=5-5", 5, 6)] {
        let part = ask("GET", &[("range", range)]).await;
        assert_eq!((part.status, &part.body), (StatusCode::PARTIAL_CONTENT, &whole.body.slice(from..to)), "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{size}", to - 1));
        assert_eq!(part.header("content-length"), (to - from).to_string());
        assert_eq!(part.header("content-security-policy"), "sandbox");
    }
    let outside = ask("GET", &[("range", "bytes=99999999-")]).await;
    assert_eq!(
        (outside.status, outside.header("content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{size}").as_str())
    );
    let several = ask("GET", &[("range", "bytes=0-1,4-5")]).await;
    assert_eq!((several.status, several.body.len()), (StatusCode::OK, size));
    let changed = ask("GET", &[("range", "bytes=0-1"), ("if-range", "\"other\"")]).await;
    assert_eq!((changed.status, changed.body.len()), (StatusCode::OK, size));
    let same = ask("GET", &[("range", "bytes=0-1"), ("if-range", &etag)]).await;
    assert_eq!(same.status, StatusCode::PARTIAL_CONTENT);
    let known = ask("GET", &[("if-none-match", &format!("\"x\", {etag}"))]).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (StatusCode::NOT_MODIFIED, 0, etag.as_str()));
    let head = ask("HEAD", &[]).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (StatusCode::OK, 0, size.to_string().as_str()));

    let none = house.get(&format!("/api/v1/runs/{run}/outputs/77/content")).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND, "{:?}", none.body);
    assert_eq!(house.get(&format!("/api/v1/runs/{run}/outputs/x/content")).await.json()["code"], "bad_number");
}

#[tokio::test]
async fn what_was_put_in_the_place_of_an_output_is_not_served() {
    let house = House::new(50.0).await;
    let run = house.run("01_simple_save").await;
    let view = house.ended(&run).await;
    let output = &view["outputs"][0];
    let path = format!("/api/v1/runs/{run}/outputs/{}/content", output["n"]);
    let name = output["local_name"].as_str().expect("a name");
    let file = house.dir.path().join("data/runs").join(&run).join("outputs").join(name);
    std::fs::remove_file(&file).expect("it was there");
    let secret = house.dir.path().join("secret");
    std::fs::write(&secret, "secret").expect("written");
    std::os::unix::fs::symlink(&secret, &file).expect("linked");
    assert_eq!(house.get(&path).await.status, StatusCode::GONE);
    std::fs::remove_file(&file).expect("it was there");
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &file, pipe, rustix::fs::Mode::RUSR, 0).expect("made");
    assert_eq!(house.get(&path).await.status, StatusCode::GONE);
}
