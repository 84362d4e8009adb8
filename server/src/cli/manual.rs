//! `comfyd completions` and `comfyd man`: what a shell and `man` are told about the command line.
//!
//! Invariant: made from the same definition that reads the arguments, so they cannot disagree with it.

use std::path::Path;

use clap::CommandFactory;

use super::args::{Cli, Completions, Man};
use super::error::CliError;
use super::out::Out;

const NAME: &str = "comfyd";

/// `comfyd completions`
pub(crate) fn completions(args: &Completions, out: Out) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    out.raw(&String::from_utf8_lossy(&script))
}

/// `comfyd man`
pub(crate) fn man(args: &Man, out: Out) -> Result<(), CliError> {
    let Some(dir) = &args.to else {
        let mut page = Vec::new();
        let drawn = clap_mangen::Man::new(Cli::command()).render(&mut page);
        drawn.map_err(|error| CliError::internal(format!("failed to write the page: {error}")))?;
        return out.raw(&String::from_utf8_lossy(&page));
    };
    pages(dir).map_err(|error| CliError::unwritable(dir, &error))?;
    out.line(format!("written: one page per command in {}", dir.display()))
}

fn pages(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}
