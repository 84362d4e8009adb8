//! Commands on the machine.
//!
//! Invariants: a command is a constant script, and what differs comes by its standard input, or it is what its user gave, quoted as a whole; its
//! output is passed on as it comes and never kept beyond a limit; it ends by itself, by its time limit, or when nobody waits for it any more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use russh::ChannelMsg;
use tokio::time::Instant;

use super::closing::Closing;
use super::error::SshError;
use super::session::Session;

/// How long a short command may take, and how much it may say (reliability.md 8).
pub const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// Runs its argument, in a session of its own where the machine can, and ends it when it reads `stop`.
const STOPPABLE: &str = r#"exec 3<&0
if command -v setsid >/dev/null 2>&1; then setsid /bin/sh -c "$1" </dev/null 3<&- &
else /bin/sh -c "$1" </dev/null 3<&- & fi
child=$!
{ read -r word <&3; [ "$word" = stop ] && { kill -TERM -"$child" || kill -TERM "$child"; }; } >/dev/null 2>&1 &
listener=$!
exec 3<&-
wait "$child"
status=$?
kill "$listener" 2>/dev/null
exit "$status""#;
/// How long a command that is told to end has for it.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
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
    pub async fn run(&self, command: &str, stdin: Bytes, said: impl FnMut(Said)) -> Result<Ended, SshError> {
        self.run_with(command, stdin, None, said).await
    }

    /// Runs a command that may take long and passes on what it says. `stop` has it told to end, by a signal to all that it has begun; it has a few
    /// seconds for that, then nothing is known of its end. A connection that is lost ends no command.
    ///
    /// # Errors
    /// If it could not be run, or the connection was lost before it ended.
    pub async fn run_until(
        &self,
        command: &str,
        stop: impl Future<Output = ()> + Send,
        said: impl FnMut(Said),
    ) -> Result<Ended, SshError> {
        let command = format!("exec /bin/sh -c {} sh {}", quoted(STOPPABLE), quoted(command));
        self.run_with(&command, Bytes::new(), Some(Box::pin(stop)), said).await
    }

    async fn run_with(
        &self,
        command: &str,
        stdin: Bytes,
        stop: Option<BoxFuture<'_, ()>>,
        mut said: impl FnMut(Said),
    ) -> Result<Ended, SshError> {
        let (channel, live) = self.session("a command").await?;
        let lost = |error: &russh::Error| SshError::Lost { why: format!("while a command was begun: {error}") };
        let (mut incoming, outgoing) = channel.split();
        // However this ends, also if nobody waits for it any more.
        let outgoing = Closing::new(outgoing);
        outgoing.exec(true, command).await.map_err(|error| lost(&error))?;
        let mut ended = None;
        let stoppable = stop.is_some();
        let telling = async {
            if !stdin.is_empty() {
                outgoing.data_bytes(stdin).await?;
            }
            // One that may be told to end listens until then.
            if stoppable { Ok(()) } else { outgoing.eof().await }
        };
        let mut stop = stop.unwrap_or_else(|| Box::pin(std::future::pending()));
        tokio::pin!(telling);
        let mut told = false;
        let mut ends_by: Option<Instant> = None;
        loop {
            let late = async {
                match ends_by {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
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
                () = &mut stop, if ends_by.is_none() => {
                    ends_by = Some(Instant::now() + ENDS_WITHIN);
                    // Signals of the protocol reach nobody where root logs in.
                    if let Err(error) = outgoing.data_bytes(Bytes::from_static(b"stop\n")).await {
                        tracing::debug!(%error, "a command was not told to end");
                    }
                    continue;
                }
                () = late => break,
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
