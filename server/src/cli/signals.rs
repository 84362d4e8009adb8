//! Ctrl-C and SIGTERM.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CliError;

/// Waits for a wish to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    had_terminal: bool,
}

/// What a signal asks of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To stop.
    End,
    /// To read the configuration again.
    ReadAgain,
}

impl Signals {
    /// Takes the signals over from the system.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let take = |kind| signal(kind).map_err(|error| CliError::internal(format!("failed to listen for signals: {error}")));
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: take(SignalKind::hangup())?,
            had_terminal: std::io::stdin().is_terminal(),
        })
    }

    /// The next wish to end, not counting SIGHUP. May be cancelled without loss.
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The next signal of any kind: SIGHUP is the wish to read the configuration again, unless it says that the terminal is gone. May be
    /// cancelled without loss.
    pub(crate) async fn next_for_server(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::End,
            _ = self.terminate.recv() => Wish::End,
            _ = self.hang_up.recv() => if self.had_terminal && !std::io::stdin().is_terminal() { Wish::End } else { Wish::ReadAgain },
        }
    }

    /// The next wish to end. May be cancelled without loss.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
