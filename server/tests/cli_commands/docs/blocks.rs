//! The fenced blocks of a guide.
//!
//! `sh` blocks are executed; `sh no-run REASON` ones are not, and say why; all others are answers or files.

use std::path::Path;

/// A guide.
pub(crate) struct Guide {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A block with the words behind its fence.
pub(crate) struct Block {
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The text of a file of the workspace.
pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The guide at this place in the workspace.
pub(crate) fn guide(name: &str) -> Guide {
    Guide { name: name.to_owned(), text: text(name) }
}

/// All guides: the files in `docs/`, and those at the root.
pub(crate) fn guides() -> Vec<Guide> {
    let within = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
        let guides = names.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"));
        guides.map(|name| format!("{folder}{name}")).collect()
    };
    let mut names = [within("docs/"), within("")].concat();
    names.sort();
    names.iter().map(|name| guide(name)).collect()
}

impl Guide {
    /// Its fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![];
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => open = Some(Block { info: info.trim().to_owned(), text: String::new() }),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.name);
        blocks
    }

    /// Its commands, in order.
    pub(crate) fn script(&self) -> String {
        self.blocks().into_iter().filter(|block| block.info == "sh").map(|block| block.text).collect()
    }

    /// Where it leads to: the targets of its links, without those to other sites.
    pub(crate) fn links(&self) -> Vec<&str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
    }

    /// The blocks of commands that are not executed, with the reasons.
    pub(crate) fn left_out(&self) -> Vec<(String, String)> {
        let left_out = self.blocks().into_iter().filter_map(|block| {
            let reason = block.info.strip_prefix("sh no-run")?.trim().to_owned();
            Some((format!("{}: {}", self.name, block.text.lines().next().unwrap_or_default()), reason))
        });
        left_out.collect()
    }
}
