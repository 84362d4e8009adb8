//! The guides, executed and held against the program: `README.md`, `ARCHITECTURE.md` and everything in `docs/`.

mod blocks;
mod codes;
mod reference;
mod shell;
mod state_file;

use shell::Shell;

/// The guides with commands; every fenced `sh` block of each is executed, in order, in one shell.
const GUIDES: &[&str] = &[
    "README.md",
    "docs/api.md",
    "docs/backup.md",
    "docs/configuration.md",
    "docs/deployment.md",
    "docs/faq.md",
    "docs/integration.md",
    "docs/monitoring.md",
    "docs/quickstart.md",
    "docs/remote.md",
    "docs/state-file.md",
    "docs/troubleshooting.md",
    "docs/tuning.md",
    "docs/workflows.md",
];

fn execute(name: &str) {
    assert!(GUIDES.contains(&name), "{name} is not in the list");
    let script = blocks::guide(name).script();
    assert!(!script.is_empty(), "{name} has no command: take it off the list");
    Shell::new().run(name, &script);
}

#[test]
fn readme() {
    execute("README.md");
}

#[test]
fn api() {
    execute("docs/api.md");
}

#[test]
fn backup() {
    execute("docs/backup.md");
}

#[test]
fn configuration() {
    execute("docs/configuration.md");
}

#[test]
fn deployment() {
    execute("docs/deployment.md");
}

#[test]
fn faq() {
    execute("docs/faq.md");
}

#[test]
fn integration() {
    execute("docs/integration.md");
}

#[test]
fn monitoring() {
    execute("docs/monitoring.md");
}

#[test]
fn remote() {
    let script = blocks::guide("docs/remote.md").script();
    Shell::new().run_beside_a_machine("docs/remote.md", &script);
}

#[test]
fn quickstart() {
    execute("docs/quickstart.md");
}

#[test]
fn the_state_file() {
    execute("docs/state-file.md");
}

#[test]
fn troubleshooting() {
    execute("docs/troubleshooting.md");
}

#[test]
fn tuning() {
    execute("docs/tuning.md");
}

#[test]
fn workflows() {
    execute("docs/workflows.md");
}

#[test]
fn every_guide_with_commands_is_executed() {
    let mut missing = vec![];
    let mut left_out = vec![];
    for guide in blocks::guides() {
        if !guide.script().is_empty() && !GUIDES.contains(&guide.name.as_str()) {
            missing.push(guide.name.clone());
        }
        // Commands hide in no block of another kind.
        let unknown = guide.blocks().into_iter().find(|block| ["bash", "shell", "console"].contains(&block.info.as_str()));
        assert!(unknown.is_none(), "{}: write `sh`, so that it is executed", guide.name);
        left_out.extend(guide.left_out());
    }
    assert_eq!(missing, [""; 0], "guides with commands that nobody executes");
    assert!(left_out.len() <= 12, "too many blocks are not run: {left_out:#?}");
    assert!(left_out.iter().all(|(_, reason)| !reason.is_empty()), "a block that is not run says why: {left_out:#?}");
}

#[test]
fn every_link_leads_somewhere() {
    for guide in blocks::guides() {
        let folder = blocks::root().join(&guide.name);
        let folder = folder.parent().expect("a file is in a folder");
        for link in guide.links() {
            let (path, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { blocks::root().join(&guide.name) } else { folder.join(path) };
            assert!(target.exists(), "{}: there is no {link}", guide.name);
            if !part.is_empty() {
                let text = std::fs::read_to_string(&target).expect("a guide");
                let found = text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == part);
                assert!(found, "{}: {link} leads to no heading", guide.name);
            }
        }
    }
}

#[test]
fn every_guide_is_in_the_index() {
    let index = blocks::guide("docs/README.md");
    for guide in blocks::guides().iter().filter(|guide| guide.name.starts_with("docs/") && guide.name != index.name) {
        let name = guide.name.trim_start_matches("docs/");
        assert!(index.links().contains(&name), "docs/README.md does not lead to {name}");
    }
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
