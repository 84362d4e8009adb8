//! Every error code of the program is in `docs/troubleshooting.md`, and that has no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::blocks;

/// What stands before a code: a call that makes an error, a warning, or what decides between codes.
const MAKERS: &[&str] = &[
    "Problem::new(",
    "Problem::invalid(",
    "Problem::unavailable(",
    "Self::new(",
    "Self::invalid(",
    "Self::unavailable(",
    "Self::failed(",
    "Self::usage(",
    "CliError::new(",
    "CliError::usage(",
    "CliError::failed(",
    "run_error(",
    "..error(",
    " error(",
    " plain(",
    ".warn(",
    "(Exit::Failed,",
    "(Exit::Usage,",
    "OUTPUTS_REFUSED: &str =",
    "code:",
];

/// Where the kinds of attention are named.
const ATTENTION: &str = "Self::Unreachable => \"unreachable\"";

#[test]
fn every_code_is_explained_and_every_explanation_is_of_a_code() {
    let crates = ["server", "adapters", "engine"].iter();
    let sources: Vec<String> = crates.flat_map(|name| files(&blocks::root().join(name).join("src"))).collect();
    let made: BTreeSet<String> = sources.iter().flat_map(|text| codes(text)).collect();
    let some = [
        "no_token",
        "directory_locked",
        "workflow_canvas_format",
        "time_limit",
        "log_repaired",
        "submit_unknown",
        "upload_refused",
    ];
    assert!(some.iter().all(|code| made.contains(*code)), "the search does not find all: {made:?}");
    let explained = explained();
    let missing: Vec<_> = made.iter().filter(|code| !explained.contains(*code)).collect();
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks {missing:?}");
    let gone: Vec<_> =
        explained.iter().filter(|code| !sources.iter().any(|text| text.contains(&format!("\"{code}\"")))).collect();
    assert!(gone.is_empty(), "docs/troubleshooting.md explains what there is not: {gone:?}");
}

/// The codes of the tables.
fn explained() -> BTreeSet<String> {
    let guide = blocks::guide("docs/troubleshooting.md");
    let rows = guide.text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let rows: Vec<&str> = rows.map(|(code, _)| code).collect();
    let codes: BTreeSet<String> = rows.iter().flat_map(|row| row.split("` `")).map(str::to_owned).collect();
    assert_eq!(codes.len(), rows.iter().flat_map(|row| row.split("` `")).count(), "a code stands there twice");
    codes
}

/// The texts of all sources below a folder, each up to its tests.
fn files(folder: &Path) -> Vec<String> {
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    let mut texts = vec![];
    while let Some(path) = open.pop() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !name.contains("test") {
            let text = std::fs::read_to_string(&path).expect("a source");
            texts.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
    texts
}

/// The codes that a source makes.
fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for maker in MAKERS {
        let calls = text.match_indices(maker).map(|(at, _)| &text[at + maker.len()..]);
        found.extend(calls.filter_map(first_text));
    }
    // Where a function or an assignment chooses between codes, all of them count.
    for (beginning, end) in [("fn code(", "\n    }\n"), (ATTENTION, "\n    }\n"), ("let code = ", ";\n")] {
        for (at, _) in text.match_indices(beginning) {
            let body = &text[at..];
            let body = body.find(end).map_or(body, |len| &body[..len]);
            found.extend(body.split('"').skip(1).step_by(2).filter(|text| is_code(text)).map(str::to_owned));
        }
    }
    found
}

/// The text that is the first or the second argument of a call, if it is a code.
fn first_text(rest: &str) -> Option<String> {
    let (before, rest) = rest.split_once('"')?;
    // A status or an exit code may go before.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | ',' | '_' | '&') || c.is_whitespace();
    let code = rest.split_once('"')?.0;
    (before.len() < 60 && before.chars().all(plain) && before.matches(',').count() <= 1 && is_code(code)).then(|| code.to_owned())
}

fn is_code(text: &str) -> bool {
    text.len() > 2 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
