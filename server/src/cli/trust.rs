//! Host keys and secrets of machines that are reached over SSH: asked of whoever sits at the terminal.
//!
//! Invariants: a key is accepted by its fingerprint only; what is typed is neither shown nor kept here.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use comfyd_adapters::ssh::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::{TrustInstance, UnlockInstance};
use super::client::{Body, Client};
use super::error::{CliError, Exit};
use super::handle::Door;
use super::instances::{path_of, strange};
use super::out::{Form, Out};
use super::text::clean;
use super::wire::RunDoc;

/// How often a passphrase or a password is asked for.
const ASKS: usize = 3;

/// What of a test's verdict matters here.
#[derive(Deserialize)]
struct Verdict {
    host_key: Option<HostKeyDoc>,
    steps: Vec<StepDoc>,
}

#[derive(Deserialize)]
struct HostKeyDoc {
    machine: String,
    algorithm: String,
    fingerprint: String,
}

#[derive(Deserialize)]
struct StepDoc {
    problem: Option<ProblemDoc>,
}

#[derive(Deserialize)]
struct ProblemDoc {
    code: String,
    message: String,
    hint: String,
}

impl Verdict {
    fn problem(&self) -> Option<&ProblemDoc> {
        self.steps.iter().find_map(|step| step.problem.as_ref())
    }
}

async fn tested(client: &Client, path: &str) -> Result<Verdict, CliError> {
    let answer: Value = client.post(&format!("{path}/test"), Body::json("{}".to_owned())).await?;
    serde_json::from_value(answer).map_err(|error| strange(&error))
}

/// `comfyd instances trust`
pub(crate) async fn trust(args: &TrustInstance, out: Out) -> Result<Exit, CliError> {
    let path = path_of(&args.name)?;
    let door = Door::open(&args.door).await?;
    let done = trust_at(door.client(), &path, args, out).await;
    door.close(out).await;
    let Some((fingerprint, view)) = done? else { return Ok(Exit::Failed) };
    match out.form() {
        Form::Json => out.line(view)?,
        Form::Human => out.line(format!("Trusted {fingerprint}. Its runs go on by themselves."))?,
    }
    Ok(Exit::Completed)
}

async fn trust_at(client: &Client, path: &str, args: &TrustInstance, out: Out) -> Result<Option<(String, Value)>, CliError> {
    if let Some(fingerprint) = &args.fingerprint {
        return Ok(Some((fingerprint.clone(), send(client, path, fingerprint, args.replace).await?)));
    }
    let verdict = tested(client, path).await?;
    let Some(key) = &verdict.host_key else {
        return match verdict.problem() {
            Some(problem) if problem.code != "port_refused" => Err(of_problem(problem)),
            Some(_) | None => {
                Err(CliError::failed("no_key_presented", "its host key is trusted already", "Nothing is to be done."))
            }
        };
    };
    let changed = verdict.problem().is_some_and(|problem| problem.code == "host_key_changed");
    if let Some(problem) = verdict.problem().filter(|_| changed && !args.replace) {
        return Err(of_problem(problem));
    }
    if !asked(key, changed, out)? {
        return Ok(None);
    }
    Ok(Some((key.fingerprint.clone(), send(client, path, &key.fingerprint, args.replace).await?)))
}

async fn send(client: &Client, path: &str, fingerprint: &str, replace: bool) -> Result<Value, CliError> {
    let body = json!({ "fingerprint": fingerprint, "replace": replace });
    client.post(&format!("{path}/trust"), Body::json(body.to_string())).await
}

fn of_problem(problem: &ProblemDoc) -> CliError {
    CliError::failed(&problem.code, clean(&problem.message), clean(&problem.hint))
}

/// Asks the person at the terminal whether that is the machine.
fn asked(key: &HostKeyDoc, changed: bool, out: Out) -> Result<bool, CliError> {
    let HostKeyDoc { machine, algorithm, fingerprint } = key;
    let (machine, fingerprint) = (clean(machine), clean(fingerprint));
    out.notice(format!(
        "The machine {machine} presents a host key that is {} here:",
        if changed { "other than before" } else { "not known" }
    ));
    out.notice(format!("  {} {fingerprint}", clean(algorithm)));
    if !std::io::stdin().is_terminal() {
        let hint = format!("Compare it, and say --fingerprint {fingerprint} where nobody can be asked.");
        return Err(CliError::usage("not_confirmed", "accepting a host key needs its fingerprint", hint));
    }
    let mut stderr = std::io::stderr();
    // If it cannot be asked there is no answer either, which is a no.
    let _ = write!(stderr, "Is this the fingerprint of your machine? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// `comfyd instances unlock`
pub(crate) async fn unlock(args: &UnlockInstance, out: Out) -> Result<Exit, CliError> {
    let path = path_of(&args.name)?;
    let prompt = if args.password { "Password: " } else { "Passphrase of the private key: " };
    let secret = hidden(prompt)?;
    let door = Door::open(&args.door).await?;
    let sent = tell(door.client(), &path, &secret, args.password).await;
    let verdict = match &sent {
        Ok(_) => tested(door.client(), &path).await,
        Err(_) => Ok(Verdict { host_key: None, steps: vec![] }),
    };
    door.close(out).await;
    let view = sent?;
    if let Some(problem) = verdict?.problem().filter(|problem| matches!(problem.code.as_str(), "key_locked" | "auth_failed")) {
        return Err(of_problem(problem));
    }
    match out.form() {
        Form::Json => out.line(view)?,
        Form::Human => out.line("Unlocked until the server ends.")?,
    }
    Ok(Exit::Completed)
}

async fn tell(client: &Client, path: &str, secret: &Secret, password: bool) -> Result<Value, CliError> {
    let name = if password { "password" } else { "passphrase" };
    let body = json!({ name: secret.reveal() });
    client.post(&format!("{path}/unlock"), Body::json(body.to_string())).await
}

/// Reads a line that the terminal does not show.
fn hidden(prompt: &str) -> Result<Secret, CliError> {
    let stdin = std::io::stdin();
    let before = if stdin.is_terminal() { tcgetattr(&stdin).ok() } else { None };
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let failed =
            |_| CliError::failed("no_terminal", "the terminal cannot hide what is typed", "Give it on the standard input.");
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(failed)?;
        let mut stderr = std::io::stderr();
        // Who does not see the question can answer it all the same.
        let _ = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
    }
    let mut text = String::new();
    let read = stdin.lock().read_line(&mut text);
    if let Some(before) = &before {
        // What was so before; a terminal that is gone needs nothing.
        let _ = tcsetattr(&stdin, OptionalActions::Flush, before);
        let _ = writeln!(std::io::stderr());
    }
    match read {
        Ok(1..) => {
            let length = text.trim_end_matches(['\r', '\n']).len();
            text.truncate(length);
            Ok(Secret::new(text))
        }
        Ok(_) | Err(_) => Err(CliError::usage("no_secret", "nothing was typed", "Type it, or give it on the standard input.")),
    }
}

/// Asks what the machine of a new run needs, where somebody sits at the terminal. Without anybody the run waits and says for what.
pub(crate) async fn prepare(door: &Door, run: &str, trusted: Option<&str>, out: Out) -> Result<(), CliError> {
    let client = door.client();
    let run: RunDoc = client.get(&format!("/api/v1/runs/{run}")).await?;
    let path = path_of(&run.instance)?;
    let person = std::io::stdin().is_terminal() && out.form() == Form::Human;
    if !person && trusted.is_none() {
        return Ok(());
    }
    // A machine behind another has two keys.
    for _ in 0..2 + ASKS {
        let verdict = tested(client, &path).await?;
        let Some(problem) = verdict.problem() else { return Ok(()) };
        match (problem.code.as_str(), &verdict.host_key) {
            ("host_key_unknown", Some(key)) if trusted == Some(key.fingerprint.as_str()) => {
                send(client, &path, &key.fingerprint, false).await?;
            }
            ("host_key_unknown", Some(key)) if person => {
                if !asked(key, false, out)? {
                    out.notice(format!("The run waits. Accept the key later: comfyd instances trust {}", run.instance));
                    return Ok(());
                }
                send(client, &path, &key.fingerprint, false).await?;
            }
            ("key_locked", _) if person => {
                out.notice(clean(&problem.message));
                let secret = hidden("Passphrase of the private key: ")?;
                tell(client, &path, &secret, false).await?;
            }
            ("auth_failed", _) if person => {
                out.notice(clean(&problem.message));
                let secret = hidden("Password: ")?;
                tell(client, &path, &secret, true).await?;
            }
            // The run tells what it waits for.
            _ => return Ok(()),
        }
    }
    Ok(())
}
