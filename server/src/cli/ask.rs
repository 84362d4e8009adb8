//! Questions to whoever sits at the terminal.
//!
//! Invariant: a question ends with the future that asks it, and the terminal is then as it was. Absent: what is asked, and why.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use comfyd_adapters::ssh::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::error::CliError;
use super::signals::Signals;

/// Does this, unless a wish to end comes first: none then.
///
/// A signal that was listened to once ends nothing by itself any more, so all that may take long belongs into `work`.
pub(crate) async fn unless_ended<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<Option<T>, CliError> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        done = work => done.map(Some),
        () = signals.next() => Ok(None),
    }
}

/// Asks for a yes.
pub(crate) async fn confirmed(question: &str) -> bool {
    say(&format!("{question} [y/N] "));
    // What cannot be read is no answer, which is a no.
    typed().await.is_ok_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Reads a line that the terminal does not show.
pub(crate) async fn hidden(prompt: &str) -> Result<Secret, CliError> {
    let nothing = || CliError::usage("no_secret", "nothing was typed", "Type it, or give it on the standard input.");
    let silent = Silent::now()?;
    if silent.is_some() {
        say(prompt);
    }
    let mut text = typed().await.ok().filter(|text| !text.is_empty()).ok_or_else(nothing)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(Secret::new(text))
}

fn say(question: &str) {
    let mut stderr = io::stderr();
    // Who does not see the question can answer it all the same.
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
}

/// A line of the standard input with its end; empty if there is none.
async fn typed() -> io::Result<String> {
    let (give, take) = oneshot::channel();
    // A thread that the end of the program does not wait for.
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = io::stdin().lock().read_line(&mut text);
        // Nobody may wait for it any more.
        let _ = give.send(read.map(|_| text));
    });
    take.await.map_err(io::Error::other)?
}

/// A terminal that shows nothing; dropped, it is as it was.
struct Silent(Termios);

impl Silent {
    /// None where there is no terminal.
    fn now() -> Result<Option<Self>, CliError> {
        let stdin = io::stdin();
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
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
        let _ = writeln!(io::stderr());
    }
}
