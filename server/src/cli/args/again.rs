//! What may be typed to do something with runs that are there, and about the program itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{Door, Patience};

/// `comfyd retry` and `comfyd resubmit`
#[derive(Debug, Args)]
pub(crate) struct Again {
    /// The run: its id, its workflow id, a unique piece of at least 4 digits from either end of the id, or `last`
    pub(crate) run: String,
    /// Do not follow it
    #[arg(long)]
    pub(crate) detach: bool,
    /// Print one JSON object per change; the last one is the final state
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// `comfyd rm`
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The runs: ids, workflow ids, unique pieces of at least 4 digits from either end of an id, or `last`
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON object per run
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that shall complete
    pub(crate) shell: Shell,
}

/// `comfyd man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory instead
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}
