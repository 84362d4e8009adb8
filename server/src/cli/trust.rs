//! Host keys and secrets of machines that are reached over SSH: asked of whoever sits at the terminal.
//!
//! Invariants: a key is accepted by its fingerprint only; what is typed is neither shown nor kept here.

use std::io::IsTerminal as _;

use comfyd_adapters::ssh::{Destination, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::{TrustInstance, UnlockInstance};
use super::ask::{confirmed, hidden, unless_ended};
use super::client::{Body, Client};
use super::error::{CliError, Exit};
use super::handle::Door;
use super::instances::{path_of, strange};
use super::out::{Form, Out};
use super::text::clean;
use super::wire::RunDoc;

/// How often a passphrase or a password is asked for.
const ASKS: usize = 3;

/// Says what of a connection is not needed, and so left out. What is wrong with it the server says.
pub(crate) fn tell_ignored(connection: &str, out: Out) {
    let parsed = Destination::parse(connection, Some("me"));
    parsed.iter().flat_map(|parsed| &parsed.notices).for_each(|notice| out.notice(clean(notice)));
}

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
    let done = unless_ended(trust_at(door.client(), &path, args, out)).await;
    door.close(out).await;
    let Some(done) = done? else { return Ok(Exit::Detached) };
    let Some((fingerprint, view)) = done else { return Ok(Exit::Failed) };
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
    if !asked(key, changed, out).await? {
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
async fn asked(key: &HostKeyDoc, changed: bool, out: Out) -> Result<bool, CliError> {
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
    Ok(confirmed("Is this the fingerprint of your machine?").await)
}

/// `comfyd instances unlock`
pub(crate) async fn unlock(args: &UnlockInstance, out: Out) -> Result<Exit, CliError> {
    let path = path_of(&args.name)?;
    let prompt = if args.password { "Password: " } else { "Passphrase of the private key: " };
    let asked = async {
        let secret = hidden(prompt).await?;
        Ok((secret, Door::open(&args.door).await?))
    };
    let Some((secret, door)) = unless_ended(Box::pin(asked)).await? else { return Ok(Exit::Detached) };
    let done = unless_ended(unlock_at(door.client(), &path, &secret, args.password)).await;
    door.close(out).await;
    let Some((view, verdict)) = done? else { return Ok(Exit::Detached) };
    if let Some(problem) = verdict.problem().filter(|problem| matches!(problem.code.as_str(), "key_locked" | "auth_failed")) {
        return Err(of_problem(problem));
    }
    match out.form() {
        Form::Json => out.line(view)?,
        Form::Human => out.line("Unlocked until the server ends.")?,
    }
    Ok(Exit::Completed)
}

async fn unlock_at(client: &Client, path: &str, secret: &Secret, password: bool) -> Result<(Value, Verdict), CliError> {
    let view = tell(client, path, secret, password).await?;
    Ok((view, tested(client, path).await?))
}

async fn tell(client: &Client, path: &str, secret: &Secret, password: bool) -> Result<Value, CliError> {
    let name = if password { "password" } else { "passphrase" };
    let body = json!({ name: secret.reveal() });
    client.post(&format!("{path}/unlock"), Body::json(body.to_string())).await
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
                if !asked(key, false, out).await? {
                    out.notice(format!("The run waits. Accept the key later: comfyd instances trust {}", run.instance));
                    return Ok(());
                }
                send(client, &path, &key.fingerprint, false).await?;
            }
            ("key_locked", _) if person => {
                out.notice(clean(&problem.message));
                let secret = hidden("Passphrase of the private key: ").await?;
                tell(client, &path, &secret, false).await?;
            }
            ("auth_failed", _) if person => {
                out.notice(clean(&problem.message));
                let secret = hidden("Password: ").await?;
                tell(client, &path, &secret, true).await?;
            }
            // The run tells what it waits for.
            _ => return Ok(()),
        }
    }
    Ok(())
}
