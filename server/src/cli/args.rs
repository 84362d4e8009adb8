//! What may be typed.
//!
//! Invariant: only what works is listed.
#![expect(clippy::doc_markdown, reason = "the comments are the help, which people read as plain text")]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use again::{Again, Completions, Man, Remove};
pub(crate) use instances::{
    AddInstance, EditInstance, InstanceAction, Instances, ListInstances, OverSsh, RemoveInstance, TestInstance, TrustInstance,
    UnlockInstance,
};
pub(crate) use listing::Runs;
pub(crate) use run::{Patience, Run};
pub(crate) use serve::{CheckConfig, Config, ConfigFile, Serve};

mod again;
mod instances;
mod listing;
mod run;
mod serve;

/// Runs ComfyUI workflows, records everything, shows live progress, survives crashes.
#[derive(Debug, Parser)]
#[command(name = "comfyd", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server with a built-in simulated ComfyUI and run a sample; needs no set-up
    Demo(Demo),
    /// Start the server: HTTP API and web page
    Serve(Serve),
    /// Run a workflow and follow it to its end
    ///
    /// Exit code: 0 completed, 1 failed, 2 bad usage or workflow, 3 cancelled, 4 ComfyUI or comfyd not reachable, 130 detached by Ctrl-C.
    Run(Box<Run>),
    /// List runs, the newest first
    Runs(Runs),
    /// Show a run
    Show(One),
    /// Follow a run to its end; exit codes as of `run`
    Watch(Watch),
    /// Make a graph in API format of what ComfyUI saves: a canvas, or a picture with its workflow
    Convert(Box<super::convert::Convert>),
    /// List the workflow templates, or show one with the inputs that can be set
    Templates(Templates),
    /// Stop a run
    Cancel(Cancel),
    /// Run the workflow of an ended run again, as a new run; exit codes as of `run`
    Retry(Again),
    /// Send the prompt of a run again whose submission is in doubt; exit codes as of `run`
    ///
    /// Only for a run that says so (attention `submit_unknown`): if ComfyUI has the prompt after all, it runs twice.
    Resubmit(Again),
    /// Remove ended runs with their logs and outputs
    Rm(Remove),
    /// List the outputs of a run, or fetch them
    Outputs(Outputs),
    /// Travel in time: show a run as it was at an event or a time
    Replay(Replay),
    /// List, add, test, change or remove ComfyUI servers
    Instances(Box<Instances>),
    /// Look into an event log
    #[command(subcommand)]
    Log(Log),
    /// Check, show or print the configuration
    #[command(subcommand)]
    Config(Config),
    /// Print the token that the API and the page ask for
    Token(DataDir),
    /// Print the completion script for a shell
    ///
    /// For bash: comfyd completions bash > ~/.local/share/bash-completion/completions/comfyd
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

/// Where the data is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DataDir {
    /// Where runs and outputs are kept [default: $XDG_DATA_HOME/comfyd]
    #[arg(long, value_name = "DIR", env = "COMFYD_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Which server to talk to.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Door {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Talk to this comfyd instead of the one of the data directory
    #[arg(long, value_name = "URL", env = "COMFYD_SERVER")]
    pub(crate) server: Option<String>,
    /// Read the token from this file [default: $COMFYD_TOKEN, else the data directory's]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `comfyd demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the demo keeps its data [default: $XDG_DATA_HOME/comfyd-demo]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address of the page; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Exit when the sample has ended, with the exit code of `run`
    #[arg(long)]
    pub(crate) once: bool,
    /// How many times faster than life the simulated ComfyUI is
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, hide = true)]
    pub(crate) speed: f64,
    /// Print one JSON object per change
    #[arg(long)]
    pub(crate) json: bool,
}

/// A run.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The run: its id, its workflow id, a unique piece of at least 4 digits from either end of the id, or `last`
    pub(crate) run: String,
    /// Print the state as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The run: its id, its workflow id, a unique piece of at least 4 digits from either end of the id, or `last`
    pub(crate) run: String,
    /// Print one JSON object per change; the last one is the final state
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// `comfyd templates`
#[derive(Debug, Args)]
pub(crate) struct Templates {
    /// Show this one
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print one JSON object per template, or the one in full
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd cancel`
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run: its id, its workflow id, a unique piece of at least 4 digits from either end of the id, or `last`
    pub(crate) run: String,
    /// Also where an old ComfyUI may stop another prompt instead
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd outputs`
#[derive(Debug, Args)]
pub(crate) struct Outputs {
    /// The run: its id, its workflow id, a unique piece of at least 4 digits from either end of the id, or `last`
    pub(crate) run: String,
    /// Only the outputs with these numbers
    #[arg(value_name = "N")]
    pub(crate) numbers: Vec<u32>,
    /// Fetch them into this directory; files that are there already are never overwritten
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Print one JSON object per output
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd replay`
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A log file, or a run: its id, its workflow id, a unique piece of the id, or `last`
    #[arg(value_name = "LOG|RUN")]
    pub(crate) log: String,
    /// Stop after the event with this number
    #[arg(long, value_name = "SEQ", conflicts_with = "until")]
    pub(crate) at: Option<u64>,
    /// Stop after the last event at or before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Print the state as JSON
    #[arg(long, conflicts_with_all = ["view", "events"])]
    pub(crate) json: bool,
    /// Draw the state as `run` would have
    #[arg(long, conflicts_with = "events")]
    pub(crate) view: bool,
    /// Print one line per event
    #[arg(long)]
    pub(crate) events: bool,
    /// Play it, so many times as fast as it was: 10x, 0.5x
    #[arg(long, value_name = "10x", value_parser = super::play::speed, conflicts_with = "events")]
    pub(crate) speed: Option<f64>,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd log`
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Check a log: exit code 1 if it is damaged, or if the state beside it is not what it folds to
    Verify(LogOf),
    /// Copy everything before the first damage to a new file; the log itself is never changed
    Salvage(LogTo),
    /// Print one JSON object per event
    Cat(LogOf),
    /// Copy a log: the bytes as they are, or JSON lines if FILE ends in .jsonl
    Export(LogTo),
}

/// A log.
#[derive(Debug, Args)]
pub(crate) struct LogOf {
    /// A log file, or a run: its id, its workflow id, a unique piece of the id, or `last`
    #[arg(value_name = "LOG|RUN")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) door: Door,
    /// Print the verdict or the errors as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A log and a new file.
#[derive(Debug, Args)]
pub(crate) struct LogTo {
    /// A log file, or a run: its id, its workflow id, a unique piece of the id, or `last`
    #[arg(value_name = "LOG|RUN")]
    pub(crate) log: String,
    /// The new file
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) door: Door,
}

impl Command {
    /// Whether errors are to be printed as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Demo(demo) => demo.json,
            Self::Run(run) => run.json,
            Self::Runs(runs) => runs.json,
            Self::Show(one) => one.json,
            Self::Watch(watch) => watch.json,
            Self::Templates(templates) => templates.json,
            Self::Cancel(cancel) => cancel.json,
            Self::Outputs(outputs) => outputs.json,
            Self::Retry(again) | Self::Resubmit(again) => again.json,
            Self::Rm(remove) => remove.json,
            Self::Replay(replay) => replay.json,
            Self::Instances(instances) => instances.json(),
            Self::Log(Log::Verify(log) | Log::Cat(log)) => log.json,
            Self::Config(Config::Check(check)) => check.json,
            Self::Log(Log::Salvage(_) | Log::Export(_))
            | Self::Config(Config::Show(_) | Config::Default)
            | Self::Serve(_)
            | Self::Convert(_)
            | Self::Token(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}
