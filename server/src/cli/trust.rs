//! Host keys and secrets of machines that are reached over SSH: asked of whoever sits at the terminal.
//!
//! Invariants: a key is accepted by its fingerprint only; what is typed is neither shown nor kept here.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use comfyd_adapters::ssh::{Destination, Secret};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::args::{TrustInstance, UnlockInstance};
use super::client::{Body, Client};
use super::error::{CliError, Exit};
use super::handle::Door;
use super::instances::{path_of, strange};
use super::out::{Form, Out};
use super::signals::Signals;
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
    let secret = hidden(prompt).await?;
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

/// A terminal that shows nothing; dropped, it is as it was.
struct Silent(Termios);

impl Silent {
    /// None where there is no terminal.
    fn now() -> Result<Option<Self>, CliError> {
        let stdin = std::io::stdin();
        let Some(before) = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten() else { return Ok(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let failed =
            |_| CliError::failed("no_terminal", "the terminal cannot hide what is typed", "Give it on the standard input.");
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
        let _ = writeln!(std::io::stderr());
    }
}

/// Reads a line that the terminal does not show. Ctrl-C ends the question, and the terminal is as it was.
async fn hidden(prompt: &str) -> Result<Secret, CliError> {
    let nothing = || CliError::usage("no_secret", "nothing was typed", "Type it, or give it on the standard input.");
    let mut signals = Signals::listen()?;
    let silent = Silent::now()?;
    if silent.is_some() {
        let mut stderr = std::io::stderr();
        // Who does not see the question can answer it all the same.
        let _ = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
    }
    let (give, take) = oneshot::channel();
    // A thread that the end of the program does not wait for.
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_line(&mut text);
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        // Nobody may wait for it any more.
        let _ = give.send(read.map(|length| (length, Secret::new(text))));
    });
    let read = tokio::select! {
        read = take => read,
        () = signals.next() => return Err(nothing()),
    };
    match read {
        Ok(Ok((1.., secret))) => Ok(secret),
        Ok(Ok(_) | Err(_)) | Err(_) => Err(nothing()),
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
