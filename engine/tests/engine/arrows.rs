//! Who may know whom: the engine knows neither input and output nor any other crate of the workspace.

use std::process::Command;

fn cargo(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("cargo writes UTF-8")
}

#[test]
fn the_engine_has_no_runtime_and_no_input_or_output() {
    let tree = cargo(&["tree", "--offline", "-p", "comfyd-engine", "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"comfyd-engine") && names.contains(&"rmp-serde"), "{names:?}");
    let banned = [
        "tokio",
        "hyper",
        "mio",
        "rustix",
        "nix",
        "socket2",
        "async-std",
        "smol",
        "rand",
        "rand_core",
        "getrandom",
        "tempfile",
        "tracing",
        "reqwest",
        "axum",
    ];
    let found: Vec<&&str> = names.iter().filter(|name| banned.contains(name)).collect();
    assert_eq!(found, Vec::<&&str>::new());
}

/// The crates of ours that each crate of ours may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("comfyd-engine", &[]),
    ("comfyd-adapters", &["comfyd-engine"]),
    ("comfyd-workflow", &[]),
    ("comfyd-fixtures", &["comfyd-engine"]),
    ("comfyd-server", &["comfyd-engine", "comfyd-adapters", "comfyd-workflow", "comfyd-fixtures"]),
];

/// What a crate's own tests may name beside that.
const ARROWS_OF_TESTS: &[(&str, &[&str])] = &[("comfyd-adapters", &["comfyd-fixtures"])];

fn allowed(table: &[(&str, &'static [&'static str])], name: &str) -> &'static [&'static str] {
    table.iter().find(|(krate, _)| *krate == name).map_or(&[], |(_, may)| may)
}

#[test]
fn crates_name_only_those_that_they_may_know() {
    let text = cargo(&["metadata", "--offline", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("cargo writes JSON");
    let mut seen = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        if name == "comfyd-tests" {
            continue; // They may know everything.
        }
        assert!(ARROWS.iter().any(|(krate, _)| *krate == name), "{name} has no line in the table");
        seen.push(name);
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            let for_tests = dependency["kind"] == "dev";
            let fine = allowed(ARROWS, name).contains(&to) || (for_tests && allowed(ARROWS_OF_TESTS, name).contains(&to));
            assert!(!to.starts_with("comfyd") || fine, "{name} must not know {to}");
        }
    }
    assert_eq!(seen.len(), ARROWS.len(), "{seen:?}");
}
