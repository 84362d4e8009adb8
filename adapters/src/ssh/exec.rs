//! Commands on the machine.
//!
//! Invariants: a command is a constant script, and what differs comes by its standard input; its output is passed on as it comes and never kept beyond
//! a limit; it ends by itself, by its time limit, or when nobody waits for it any more.

use std::time::Duration;

use bytes::Bytes;
use russh::ChannelMsg;

use super::closing::Closing;
use super::error::SshError;
use super::session::Session;

/// How long a short command may take, and how much it may say (reliability.md 8).
pub const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// How much a short command may say.
pub const MAX_OUTPUT: usize = 1024 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Status(u32),
    /// By a signal.
    Signal(String),
    /// The machine does not say how.
    Untold,
}

/// A piece of what a command says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// On its standard output.
    Out(Bytes),
    /// On its standard error.
    Err(Bytes),
}

/// What became of a short command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub ended: Ended,
    /// What it said; the beginning, where that was too much.
    pub out: Vec<u8>,
    /// What it said on its standard error.
    pub err: Vec<u8>,
}

impl Session {
    /// Runs a command and passes on what it says. `stdin` is all that it is told.
    ///
    /// # Errors
    /// If it could not be run, or the connection was lost before it ended.
    pub async fn run(&self, command: &str, stdin: Bytes, mut said: impl FnMut(Said)) -> Result<Ended, SshError> {
        let (channel, live) = self.session("a command").await?;
        let lost = |error: &russh::Error| SshError::Lost { why: format!("while a command was begun: {error}") };
        let (mut incoming, outgoing) = channel.split();
        // However this ends, also if nobody waits for it any more.
        let outgoing = Closing::new(outgoing);
        outgoing.exec(true, command).await.map_err(|error| lost(&error))?;
        let mut ended = None;
        let telling = async {
            if !stdin.is_empty() {
                outgoing.data_bytes(stdin).await?;
            }
            outgoing.eof().await
        };
        tokio::pin!(telling);
        let mut told = false;
        loop {
            let message = tokio::select! {
                biased;
                // A command that does not read what it is told may end all the same.
                done = &mut telling, if !told => {
                    told = true;
                    if let Err(error) = done {
                        tracing::debug!(%error, "a command was not told all");
                    }
                    continue;
                }
                message = incoming.wait() => message,
            };
            match message {
                Some(ChannelMsg::Data { data }) => said(Said::Out(data)),
                Some(ChannelMsg::ExtendedData { data, .. }) => said(Said::Err(data)),
                Some(ChannelMsg::ExitStatus { exit_status }) => ended = Some(Ended::Status(exit_status)),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => ended = Some(Ended::Signal(format!("{signal_name:?}"))),
                Some(ChannelMsg::Failure) => {
                    return Err(SshError::Forbidden { what: "a command".into(), why: "the request was refused".into() });
                }
                Some(ChannelMsg::Close) => break,
                Some(_) => {}
                None => {
                    return match ended {
                        Some(ended) => Ok(ended),
                        None => Err(SshError::Lost { why: "while a command ran".into() }),
                    };
                }
            }
        }
        // The machine gives the session free only when both sides have closed it.
        outgoing.close().await;
        drop(live);
        Ok(ended.unwrap_or(Ended::Untold))
    }

    /// Runs a short command.
    ///
    /// # Errors
    /// If it could not be run or takes too long.
    pub async fn ask(&self, command: &str, stdin: Bytes) -> Result<Answer, SshError> {
        let live = self.live().await?;
        // The machine may allow one at a time.
        let asked = async {
            let _turn = live.sessions.acquire().await;
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let add = |to: &mut Vec<u8>, bytes: &Bytes| {
                let room = MAX_OUTPUT.saturating_sub(to.len());
                to.extend_from_slice(&bytes[..bytes.len().min(room)]);
            };
            let ended = self.run(command, stdin, |said| match said {
                Said::Out(bytes) => add(&mut out, &bytes),
                Said::Err(bytes) => add(&mut err, &bytes),
            });
            let ended = ended.await?;
            Ok(Answer { ended, out, err })
        };
        let late = || SshError::Timeout { what: "a command".into(), seconds: COMMAND_LIMIT.as_secs() };
        tokio::time::timeout(COMMAND_LIMIT, asked).await.unwrap_or_else(|_| Err(late()))
    }
}

/// A text as one word of a shell, whatever is in it.
///
/// ```
/// assert_eq!(comfyd_adapters::ssh::quoted("it's; $HOME"), r"'it'\''s; $HOME'");
/// ```
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
