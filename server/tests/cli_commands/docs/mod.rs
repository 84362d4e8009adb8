//! The guides in `docs/`, executed: every fenced `sh` block of a guide, in order, in one shell.

mod blocks;
mod shell;

use shell::Shell;

/// The guides with commands. A guide with a block that is missing here fails the last test.
const GUIDES: &[&str] = &["quickstart", "backup"];

fn execute(name: &str) {
    let guide = blocks::guide(name);
    let script = guide.script();
    assert!(!script.is_empty(), "{name} has no command: take it off the list");
    Shell::new().run(name, &script);
}

#[test]
fn quickstart() {
    execute("quickstart");
}

#[test]
fn backup() {
    execute("backup");
}

#[test]
fn every_guide_with_commands_is_executed() {
    let mut missing = vec![];
    let mut left_out = vec![];
    for guide in blocks::guides() {
        if !guide.script().is_empty() && !GUIDES.contains(&guide.name.as_str()) {
            missing.push(guide.name.clone());
        }
        left_out.extend(guide.left_out());
    }
    assert_eq!(missing, [""; 0], "guides with commands that nobody executes");
    assert!(left_out.len() <= 12, "too many blocks are not run: {left_out:#?}");
    assert!(left_out.iter().all(|(_, reason)| !reason.is_empty()), "a block that is not run says why: {left_out:#?}");
}
