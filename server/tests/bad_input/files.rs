//! Files that a request or a command names: missing, outside, too large, no files at all.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::harness::{House, sample};

/// What each row is about: the path and what is said of it.
type Row<'a> = (&'a str, u16, &'a str, &'a [&'a str]);

#[test]
fn paths_in_requests_lead_only_to_files_under_the_roots() {
    let house = House::new();
    let before = house.traces();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let secret = elsewhere.path().join("secret.json");
    std::fs::write(&secret, sample("06_text").to_string()).expect("written");
    let path = |name: &str| house.place.path(name).display().to_string();
    symlink(&secret, house.place.path("link.json")).expect("linked");
    symlink(elsewhere.path(), house.place.path("way")).expect("linked");
    std::fs::create_dir(house.place.path("folder")).expect("made");
    std::fs::File::create(house.place.path("large")).and_then(|file| file.set_len(65 << 20)).expect("made");
    rustix::fs::mknodat(rustix::fs::CWD, house.place.path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("made");
    let rows: &[Row<'_>] = &[
        (&path("missing"), 400, "file_not_readable", &["missing", "No such file", "Check the path"]),
        (&path("folder"), 400, "not_a_file", &["folder", "Name a file"]),
        (&path("pipe"), 400, "not_a_file", &["pipe"]),
        (&path("large"), 413, "file_too_large", &["large", "Use a smaller file"]),
        (&path("link.json"), 403, "path_not_allowed", &["link.json", "outside"]),
        (&path("way/secret.json"), 403, "path_not_allowed", &["secret.json"]),
        (&path(&format!("../../{}", secret.display())), 403, "path_not_allowed", &["secret.json"]),
        (&secret.display().to_string(), 403, "path_not_allowed", &["secret.json", "outside"]),
        ("/etc/passwd", 403, "path_not_allowed", &["/etc/passwd"]),
        ("/dev/zero", 403, "path_not_allowed", &["/dev/zero"]),
        ("", 400, "path_not_absolute", &["``", "absolute"]),
        ("flow.json", 400, "path_not_absolute", &["`flow.json`", "from the root"]),
        ("/a\u{0}b", 403, "path_not_allowed", &[]),
        (&path("a\u{0}b"), 400, "file_not_readable", &[]),
    ];
    for (path, status, code, says) in rows {
        let workflow = house.server.execute(&json!({ "workflow_file": path }).to_string());
        workflow.refuses(*status, code, says);
        workflow.refuses(*status, code, &["workflow_file"]);
        let image = house.server.execute(&json!({ "workflow": sample("07_load_image"), "input_images": [path] }).to_string());
        image.refuses(*status, code, says);
        image.refuses(*status, code, &["input_images"]);
    }
    let folders: &[Row<'_>] = &[
        (&path("way/out"), 403, "output_dir_not_allowed", &["out"]),
        (&path("../elsewhere"), 400, "output_dir_invalid", &[".."]),
        ("relative", 400, "output_dir_invalid", &["relative", "absolute"]),
        ("/etc", 403, "output_dir_not_allowed", &["/etc"]),
    ];
    for (path, status, code, says) in folders {
        let wish = json!({ "workflow": sample("06_text"), "output_dir": path });
        house.server.execute(&wish.to_string()).refuses(*status, code, says);
    }
    assert!(!elsewhere.path().join("out").exists() && !house.place.path("relative").exists());
    std::fs::write(house.place.path("latin.json"), b"{\"a\": \"\xff\"}").expect("written");
    let latin: Value = json!({ "workflow_file": path("latin.json") });
    house.server.execute(&latin.to_string()).refuses(400, "workflow_not_text", &["latin.json", "UTF-8"]);
    assert_eq!(house.traces(), before, "nothing was stored, posted or uploaded");
    house.server.stop();
}

#[test]
fn files_on_the_command_line_are_named_when_they_cannot_be_used() {
    let house = House::new();
    let before = house.traces();
    let path = |name: &str| house.place.path(name).display().to_string();
    let loads = house.place.workflow("07_load_image");
    std::fs::create_dir(house.place.path("folder")).expect("made");
    std::fs::File::create(house.place.path("large")).and_then(|file| file.set_len(65 << 20)).expect("made");
    let not_text = path("latin.json");
    std::fs::write(&not_text, b"{\"a\": \"\xff\"}").expect("written");
    let (missing, folder, large) = (path("missing"), path("folder"), path("large"));
    let at_missing = format!("1={missing}");
    let rows: &[(&[&str], &str, &[&str])] = &[
        (&["run", &missing], "file_not_found", &["missing", "Check the path"]),
        (&["run", &folder], "file_unreadable", &["folder", "directory"]),
        (&["run", &large], "file_too_large", &["large", "16 MiB"]),
        (&["run", &not_text], "workflow_not_text", &["latin.json", "UTF-8"]),
        (&["run", &loads, "--image", &missing], "file_not_found", &["missing"]),
        (&["run", &loads, "--image", &at_missing], "file_not_found", &["missing"]),
        (&["run", &loads, "--image", &folder], "file_unreadable", &["folder"]),
        (&["run", &loads, "--image", &large], "file_too_large", &["large", "64 MiB"]),
        (&["run", &loads, "--token-file", &missing], "file_not_found", &["missing"]),
    ];
    for (args, code, says) in rows {
        house.cli_refuses(args, 2, code, says);
    }
    // Where a copy should go there is a file.
    let there = house.place.file("there", "");
    house.cli_refuses(&["run", &loads, "--output-dir", &there], 2, "file_exists", &["there", "never overwritten"]);
    assert_eq!(house.traces(), before, "nothing was stored, posted or uploaded");
}
