//! Where the process begins and ends.

use std::process::ExitCode;

use clap::Parser;

use super::again::{self, Way};
use super::args::{Cli, Command, DataDir};
use super::error::{CliError, Exit};
use super::out::{Form, Out};
use super::{access, config, convert, demo, handle, instances, log, manual, outputs, replay, run, runs, serve, templates};
use crate::config::LogFormat;

/// Runs the command that was typed; the exit code says how it ended.
pub fn main() -> ExitCode {
    // Everything that this process creates is its user's alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let Cli { command } = Cli::parse();
    let out = Out::new(Form::of(command.json()));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.error(&CliError::internal(format!("failed to start the runtime: {error}")));
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(dispatch(command, out));
    // Whatever still blocks in the background has nothing left to promise.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            out.error(&error);
            error.exit.into()
        }
    }
}

async fn dispatch(command: Command, out: Out) -> Result<Exit, CliError> {
    let serves = matches!(command, Command::Serve(_));
    if !serves && std::env::var_os("RUST_LOG").is_some() {
        crate::logging::to_stderr(LogFormat::Human, "warn");
    }
    let done = |result: Result<(), CliError>| result.map(|()| Exit::Completed);
    match &command {
        Command::Demo(args) => demo::demo(args, out).await,
        Command::Serve(args) => done(serve::serve(args, out).await),
        Command::Run(args) => run::run(args, out).await,
        Command::Runs(args) => done(runs::runs(args, out).await),
        Command::Show(args) => done(runs::show(args, out).await),
        Command::Watch(args) => run::watch(args, out).await,
        Command::Convert(args) => convert::convert(args, out).await,
        Command::Templates(args) => done(templates::templates(args, out).await),
        Command::Cancel(args) => done(runs::cancel(args, out).await),
        Command::Retry(args) => again::again(Way::Retry, args, out).await,
        Command::Resubmit(args) => again::again(Way::Resubmit, args, out).await,
        Command::Rm(args) => done(again::remove(args, out).await),
        Command::Outputs(args) => done(outputs::outputs(args, out).await),
        Command::Replay(args) => done(replay::replay(args, out).await),
        Command::Instances(args) => instances::instances(args, out).await,
        Command::Log(log) => log::log(log, out).await,
        Command::Config(args) => done(config::config(args, out)),
        Command::Token(args) => done(token(args, out)),
        Command::Completions(args) => done(manual::completions(args, out)),
        Command::Man(args) => done(manual::man(args, out)),
    }
}

fn token(args: &DataDir, out: Out) -> Result<(), CliError> {
    if let Some(token) = access::given_token(None)? {
        return out.line(token);
    }
    let dir = access::directory(args)?;
    std::fs::create_dir_all(&dir).map_err(|error| CliError::unwritable(&dir, &error))?;
    let token = crate::server::stored_token(&dir).map_err(|error| handle::token_unusable(&error))?;
    out.line(token)
}
