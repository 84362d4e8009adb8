//! `comfyd retry`, `resubmit` and `rm`: what is done with runs that are there.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::args;
use super::client::Body;
use super::error::{CliError, Exit};
use super::handle::Door;
use super::out::{Form, Out};
use super::run::{detach, finish, follow_to_exit};
use super::submit::Created;
use super::{names, runs};

/// What is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The workflow of an ended run, as a new run.
    Retry,
    /// The prompt of a run whose submission is in doubt, as the same run.
    Resubmit,
}

/// `comfyd retry` and `comfyd resubmit`
pub(crate) async fn again(way: Way, args: &args::Again, out: Out) -> Result<Exit, CliError> {
    let door = Door::open(&args.door).await?;
    let begun = begin(way, &door, &args.run).await;
    let created = match begun {
        Ok(created) => created,
        Err(error) => {
            door.close(out).await;
            return Err(error);
        }
    };
    let patience = Duration::from_secs(args.patience.seconds);
    if args.detach {
        return detach(door, &created, patience, out).await;
    }
    let exit = follow_to_exit(&door, &created.run_id, patience, None, out).await;
    finish(door, exit, out).await
}

async fn begin(way: Way, door: &Door, typed: &str) -> Result<Created, CliError> {
    let run = names::resolve(door.client(), typed).await?;
    let path = runs::path_of(&run)?;
    let nothing = Body::json("{}".to_owned());
    match way {
        Way::Retry => door.client().post(&format!("{path}/retry"), nothing).await,
        Way::Resubmit => {
            let _: Value = door.client().post(&format!("{path}/resubmit"), nothing).await?;
            let (json, doc) = runs::read(door.client(), &run).await?;
            let told: Value = serde_json::from_str(&json).unwrap_or_default();
            let workflow_id = told.get("workflow_id").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok(Created { run_id: doc.run_id, workflow_id })
        }
    }
}

/// `comfyd rm`
pub(crate) async fn remove(args: &args::Remove, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let removed = remove_with(&door, args, out).await;
    door.close(out).await;
    removed
}

async fn remove_with(door: &Door, args: &args::Remove, out: Out) -> Result<(), CliError> {
    let mut ids = Vec::new();
    // All names first: nothing is removed if one of them is wrong.
    for typed in &args.runs {
        let id = runs::read(door.client(), &names::resolve(door.client(), typed).await?).await?.1.run_id;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if !args.yes && !agreed(&ids)? {
        return Err(CliError::failed("not_removed", "nothing was removed", ""));
    }
    for id in ids {
        let _: Value = door.client().delete(&runs::path_of(&id)?).await?;
        match out.form() {
            Form::Json => out.line(json!({ "deleted": id }))?,
            Form::Human => out.line(format!("removed {id}"))?,
        }
    }
    Ok(())
}

/// Asks the person at the terminal; a script must have said so before.
fn agreed(ids: &[String]) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        let hint = "Say --yes where nobody can be asked.";
        return Err(CliError::usage("not_confirmed", "removing a run removes its log and its outputs", hint));
    }
    let what = match ids {
        [one] => format!("run {one}"),
        more => format!("{} runs", more.len()),
    };
    let mut stderr = std::io::stderr();
    // If it cannot be asked there is no answer either, which is a no.
    let _ = write!(stderr, "Remove {what} with its log and outputs? Copies elsewhere stay. [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}
