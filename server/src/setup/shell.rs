//! The steps that work on the machine itself, over SSH: commands and files.
//!
//! Invariants: a step has a connection of its own, so that it holds nobody up; a command is begun once in each beginning of its step: where it was cut
//! off, by a lost connection or the end of this program, it is not known whether it did its work, and nothing is claimed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use comfyd_adapters::ssh::{Ended, FileError, Said, Session, SshError, quoted};
use comfyd_engine::{SetupTask, StepEnding, StepError, TaskStatus};
use tokio_util::sync::CancellationToken;

use super::deeds::{Deed, deed_of};
use super::runner::{Reporter, StepCall, StepRunner, Working, ending_of};
use super::tail::Tail;
use crate::app::{App, Target};
use crate::dispatch::Connector;
use crate::problem::Problem;

/// Does what needs the machine itself.
pub(super) struct Shell {
    app: App,
    connector: Connector,
}

impl Shell {
    pub(super) fn new(app: App, connector: Connector) -> Self {
        Self { app, connector }
    }
}

impl StepRunner for Shell {
    fn run(&self, call: StepCall, reporter: Reporter, stop: CancellationToken) -> Working {
        let (app, connector) = (self.app.clone(), Arc::clone(&self.connector));
        Box::pin(async move {
            let session = tokio::select! {
                begun = begin(&app, &connector, &call) => begun,
                () = stop.cancelled() => return StepEnding::Interrupted,
            };
            match session {
                Ok((session, deed)) => {
                    let ending = work(&session, deed, &reporter, &stop).await;
                    session.hang_up();
                    ending
                }
                Err(ending) => ending,
            }
        })
    }
}

/// Connects; up to here nothing was done on the machine.
async fn begin(app: &App, connector: &Connector, call: &StepCall) -> Result<(Session, Deed), StepEnding> {
    let ending = |problem: Problem| ending_of(&problem);
    let Some(deed) = deed_of(&call.plan).map_err(ending)? else {
        return Err(StepEnding::Blocked(no_command(&call.plan.action)));
    };
    if call.again && !deed.is_repeatable() {
        return Err(StepEnding::Blocked(unknown("comfyd ended while it ran")));
    }
    let mut target = crate::api::target(&call.plan.fields).map_err(ending)?;
    if target.is_none() {
        target = crate::api::target(&super::execute::target_fields(&call.target)).map_err(ending)?;
    }
    // Known, so that its host key can be accepted.
    let instance = app.intake.instance(target.as_ref(), &app.core).await.map_err(ending)?;
    let (instance, connection) = app.intake.address(Some(&Target::Instance(instance))).map_err(ending)?;
    let transport = connector(&instance, &connection);
    let Some(ssh) = transport.as_ref().and_then(|transport| transport.ssh()) else {
        return Err(StepEnding::Blocked(StepError {
            code: "no_shell".to_owned(),
            message: format!(
                "the step `{}` works on the machine itself, and instance {instance} is not reached over SSH",
                call.plan.action
            ),
            hint: "Name the machine by `ssh_connection`, or do it by hand and leave the step out with `skip` when you resume."
                .to_owned(),
        }));
    };
    let session = ssh.way().control().beside();
    session.connect().await.map_err(|error| StepEnding::Blocked(of_ssh(&error)))?;
    Ok((session, deed))
}

async fn work(session: &Session, deed: Deed, reporter: &Reporter, stop: &CancellationToken) -> StepEnding {
    match deed {
        Deed::Run { command, stdin, repeatable: _ } => run(session, &command, stdin, reporter, stop).await,
        Deed::Upload { to, text } => tokio::select! {
            done = upload(session, &to, text) => done,
            () = stop.cancelled() => StepEnding::Interrupted,
        },
    }
}

async fn run(session: &Session, command: &str, stdin: Bytes, reporter: &Reporter, stop: &CancellationToken) -> StepEnding {
    let mut tail = Tail::default();
    let hear = |said: Said| {
        let (Said::Out(bytes) | Said::Err(bytes)) = said;
        tail.add(&bytes);
        reporter.report(vec![], Some(tail.text()));
    };
    let can_be_told = stdin.is_empty();
    let ended = if can_be_told {
        session.run_until(command, stop.cancelled(), hear).await
    } else {
        // What is told to end is told over the standard input, so one that reads from there is left to end by itself.
        let command = format!("exec /bin/sh -c {}", quoted(command));
        tokio::select! {
            ended = session.run(&command, stdin, hear) => ended,
            () = stop.cancelled() => Ok(Ended::Untold),
        }
    };
    let said = tail.text();
    if stop.is_cancelled() {
        let known = match &ended {
            Ok(Ended::Status(status)) => format!("it ended with status {status}"),
            Ok(Ended::Signal(signal)) => format!("it ended by {signal}"),
            Ok(Ended::Untold) | Err(_) => "it may still run on the machine".to_owned(),
        };
        // The note is going to say that the step was stopped; this says what is known of the command.
        let task = SetupTask {
            name: "Command".to_owned(),
            status: TaskStatus::Failed,
            note: Some(format!("{}: {known}", if can_be_told { "told to end" } else { "left alone" })),
            subtasks: vec![],
            fields: BTreeMap::new(),
        };
        reporter.report(vec![task], Some(said));
        return StepEnding::Interrupted;
    }
    match ended {
        Ok(Ended::Status(0)) => StepEnding::Completed { note: Some(said).filter(|said| !said.is_empty()) },
        Ok(Ended::Status(status)) => StepEnding::Failed(failed(&format!("status {status}"), &tail)),
        Ok(Ended::Signal(signal)) => StepEnding::Failed(failed(&format!("signal {signal}"), &tail)),
        Ok(Ended::Untold) => StepEnding::Blocked(unknown("the machine does not tell how it ended")),
        Err(error @ (SshError::Lost { .. } | SshError::Timeout { .. })) => StepEnding::Blocked(unknown(&error.to_string())),
        Err(error) => StepEnding::Blocked(of_ssh(&error)),
    }
}

/// The same content twice is harmless, so what was cut off is just not done.
async fn upload(session: &Session, to: &str, text: Bytes) -> StepEnding {
    let error = match session.put_file(to, &text).await {
        Ok(()) => return StepEnding::Completed { note: Some(format!("{to}: {} bytes", text.len())) },
        Err(FileError::Way(error)) => return StepEnding::Blocked(of_ssh(&error)),
        Err(error @ (FileError::Missing(_) | FileError::Denied(_) | FileError::Broken { .. })) => error,
    };
    StepEnding::Failed(StepError {
        code: "upload_failed".to_owned(),
        message: format!("failed to {error}"),
        hint: "Check that the folder is there and may be written, then resume.".to_owned(),
    })
}

fn of_ssh(error: &SshError) -> StepError {
    StepError { code: error.code().to_owned(), message: format!("failed to {error}"), hint: error.hint().to_owned() }
}

fn failed(how: &str, tail: &Tail) -> StepError {
    let last = tail.last_line().map(|line| format!(": {line}")).unwrap_or_default();
    StepError {
        code: "command_failed".to_owned(),
        message: format!("the command ended with {how}{last}"),
        hint: "Its last lines stand in the step's note. Put right what they say, then resume, which runs the step again."
            .to_owned(),
    }
}

fn unknown(why: &str) -> StepError {
    StepError {
        code: "step_unknown".to_owned(),
        message: format!("it is not known whether the command did its work: {why}"),
        hint: "Look on the machine: it may still run. Then resume, which runs the step again, or leave it out with `skip`."
            .to_owned(),
    }
}

fn no_command(action: &str) -> StepError {
    StepError {
        code: "command_missing".to_owned(),
        message: format!("the step `{action}` has no `command`, and comfyd does not know how it is done on this machine"),
        hint: "Start it with a `command` that does it, or do it by hand and leave the step out with `skip` when you resume."
            .to_owned(),
    }
}
