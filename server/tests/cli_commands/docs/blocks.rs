//! The fenced blocks of a guide.
//!
//! `sh` blocks are executed; `sh no-run REASON` ones are not, and say why; all others are answers or files.

use std::path::{Path, PathBuf};

/// A guide.
pub(crate) struct Guide {
    pub(crate) name: String,
    text: String,
}

/// A block with the words behind its fence.
struct Block {
    info: String,
    text: String,
}

/// The folder of the guides.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("docs")
}

/// The guide of this name.
pub(crate) fn guide(name: &str) -> Guide {
    let path = folder().join(format!("{name}.md"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Guide { name: name.to_owned(), text }
}

/// All guides.
pub(crate) fn guides() -> Vec<Guide> {
    let entries = std::fs::read_dir(folder()).expect("the guides");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let names = paths.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    names.map(|path| guide(path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name"))).collect()
}

impl Guide {
    fn blocks(&self) -> Vec<Block> {
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

    /// The blocks of commands that are not executed, with the reasons.
    pub(crate) fn left_out(&self) -> Vec<(String, String)> {
        let left_out = self.blocks().into_iter().filter_map(|block| {
            let reason = block.info.strip_prefix("sh no-run")?.trim().to_owned();
            Some((format!("{}: {}", self.name, block.text.lines().next().unwrap_or_default()), reason))
        });
        left_out.collect()
    }
}
