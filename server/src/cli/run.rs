//! `comfyd run` and `comfyd watch`: starts a run, follows it to its end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use comfyd_engine::Status;

use super::args;
use super::ask::unless_ended;
use super::error::{CliError, Exit};
use super::follow::{Follow, News};
use super::handle::Door;
use super::live::Show;
use super::out::{Form, Out};
use super::signals::Signals;
use super::submit::{self, Created};
use super::wire::RunDoc;
use super::{access, names, outputs, runs, trust};

/// How often the picture moves without news, so that estimates count down.
const TICK: Duration = Duration::from_millis(250);

/// How following ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The run is over.
    Over(Box<RunDoc>),
    /// The user has seen enough.
    Detached,
    /// The instance was never reached.
    Unreachable(Box<RunDoc>),
    /// The instance has it, which was all that was waited for.
    Taken,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The end of the run.
    Over,
    /// The instance has taken it.
    Taken,
}

/// `comfyd run`
pub(crate) async fn run(args: &args::Run, out: Out) -> Result<Exit, CliError> {
    let remote = args.door.server.is_some();
    if remote && args.detach && args.output_dir.is_some() {
        let hint = "Leave out --detach, or fetch them later: comfyd outputs RUN --to DIR.";
        return Err(CliError::usage(
            "output_dir_needs_following",
            "nobody is there to fetch the outputs of a detached run",
            hint,
        ));
    }
    let output_dir = args.output_dir.as_deref().map(access::absolute).transpose()?;
    let wish = submit::Wish::read(args, output_dir.clone().filter(|_| !remote))?;
    let roots: Vec<PathBuf> = output_dir.iter().filter(|_| !remote).cloned().collect();
    for dir in &roots {
        std::fs::create_dir_all(dir).map_err(|error| CliError::unwritable(dir, &error))?;
    }
    let door = Door::open_with(&args.door, &roots).await?;
    let (created, refused) = match send(&wish, &door, !args.detach).await {
        Ok(sent) => sent,
        Err(error) => {
            door.close(out).await;
            return Err(error);
        }
    };
    let patience = Duration::from_secs(args.patience.seconds);
    if let Some(connection) = &args.ssh {
        trust::tell_ignored(connection, out);
    }
    if args.ssh.is_some() {
        match unless_ended(trust::prepare(&door, &created.run_id, args.trust.as_deref(), out)).await {
            Ok(Some(())) => {}
            Ok(None) => {
                out.notice(format!("Detached. The run waits for its machine. Follow it again: comfyd watch {}", created.run_id));
                door.close(out).await;
                return Ok(Exit::Detached);
            }
            Err(error) => {
                door.close(out).await;
                return Err(error);
            }
        }
    }
    if args.detach {
        return detach(door, &created, patience, out).await;
    }
    let fetch_to = output_dir.filter(|_| remote || refused);
    let exit = follow_to_exit(&door, &created.run_id, patience, fetch_to, out).await;
    finish(door, exit, out).await
}

/// Sends the wish; the second is whether the server may not write to the output directory, so that this process must.
async fn send(wish: &submit::Wish, door: &Door, can_fetch: bool) -> Result<(Created, bool), CliError> {
    match wish.send(door.client()).await {
        // A refusal made nothing, so that the wish can be sent again.
        Err(error) if can_fetch && error.code == "output_dir_not_allowed" => {
            wish.without_output_dir().send(door.client()).await.map(|created| (created, true))
        }
        sent => sent.map(|created| (created, false)),
    }
}

/// `comfyd watch`
pub(crate) async fn watch(args: &args::Watch, out: Out) -> Result<Exit, CliError> {
    let door = Door::open(&args.door).await?;
    let exit = match names::resolve(door.client(), &args.run).await {
        Ok(run) => follow_to_exit(&door, &run, Duration::from_secs(args.patience.seconds), None, out).await,
        Err(error) => Err(error),
    };
    finish(door, exit, out).await
}

/// Lets go of the server; one of this process goes on for its other clients, unless the user wants to leave.
pub(crate) async fn finish(door: Door, exit: Result<Exit, CliError>, out: Out) -> Result<Exit, CliError> {
    match &exit {
        Err(error) if error.exit == Exit::OutputClosed => door.leave().await,
        Ok(_) | Err(_) => door.close(out).await,
    }
    exit
}

/// Names a run that nobody follows; a server of this process first hands it over.
pub(crate) async fn detach(door: Door, created: &Created, patience: Duration, out: Out) -> Result<Exit, CliError> {
    let told = match out.form() {
        Form::Json => out.line(serde_json::json!({"run_id": created.run_id, "workflow_id": created.workflow_id})),
        Form::Human => out.line(&created.run_id),
    };
    if let Err(error) = told {
        door.leave().await;
        return Err(error);
    }
    if !door.is_own() {
        return Ok(Exit::Completed);
    }
    // Nobody else would hand the run over, so this process stays until the instance has it.
    out.notice("Handing the run over to ComfyUI; Ctrl-C leaves that to the next comfyd.");
    let mut silent = |_: Event<'_>| Ok(());
    let ended = follow(&door, &created.run_id, patience, Until::Taken, &mut silent).await;
    door.close(out).await;
    match ended? {
        Ended::Unreachable(run) => Err(unreachable(&run, patience)),
        Ended::Detached => Ok(Exit::Detached),
        Ended::Over(_) | Ended::Taken => {
            out.notice("The run goes on in ComfyUI. The next comfyd on this data directory picks it up.");
            Ok(Exit::Completed)
        }
    }
}

/// Shows a run until its end, then its outputs; gives the exit code.
pub(crate) async fn follow_to_exit(
    door: &Door,
    run: &str,
    patience: Duration,
    fetch_to: Option<PathBuf>,
    out: Out,
) -> Result<Exit, CliError> {
    let mut show = Show::new(out);
    let mut shown = |event: Event<'_>| match event {
        Event::State(json, run) => show.state(json, run),
        Event::Lost(why) => show.lost(why),
        Event::Tick => show.tick(),
    };
    let ended = follow(door, run, patience, Until::Over, &mut shown).await;
    show.finish()?;
    drop(show);
    match ended? {
        Ended::Over(run) => {
            let fetched = match &fetch_to {
                Some(to) => outputs::fetch_all(door.client(), &run, to).await?,
                None => vec![],
            };
            if out.form() == Form::Human {
                out.aside(|palette| runs::failure_lines(&run, palette));
                outputs::list(&run, door.client().directory(), &fetched, out)?;
            }
            Ok(exit_of(run.status))
        }
        Ended::Detached => {
            let goes_on = if door.is_own() {
                "Detached. This process was the server: what ComfyUI has runs on there, and the next comfyd goes on with the run."
            } else {
                "Detached. The run continues."
            };
            out.notice(format!("{goes_on} Follow it again: comfyd watch {run}"));
            Ok(Exit::Detached)
        }
        Ended::Unreachable(run) => Err(unreachable(&run, patience)),
        Ended::Taken => Ok(Exit::Completed),
    }
}

fn exit_of(status: Status) -> Exit {
    match status {
        Status::Completed => Exit::Completed,
        Status::Cancelled => Exit::Cancelled,
        // Following ends only with an ending, so the others cannot be.
        Status::Failed | Status::Queued | Status::Executing => Exit::Failed,
    }
}

fn unreachable(run: &RunDoc, patience: Duration) -> CliError {
    let why = run.attention.as_ref().map(|attention| attention.message.clone()).unwrap_or_default();
    let message = format!("ComfyUI ({}) was not reached for {} s: {why}", run.instance, patience.as_secs());
    let hint = format!("The run stays queued. Start ComfyUI, then: comfyd watch {0}. To drop it: comfyd cancel {0}", run.run_id);
    CliError::new(Exit::Unreachable, "instance_unreachable", message, hint)
}

/// Something to show.
pub(crate) enum Event<'a> {
    /// A state, as text and as read.
    State(&'a str, &'a RunDoc),
    /// The server does not answer.
    Lost(&'a str),
    /// Time went by.
    Tick,
}

/// Follows a run and tells `show` what happens.
pub(crate) async fn follow(
    door: &Door,
    run: &str,
    patience: Duration,
    until: Until,
    show: &mut (dyn FnMut(Event<'_>) -> Result<(), CliError> + Send),
) -> Result<Ended, CliError> {
    let mut signals = Signals::listen()?;
    let mut follow = Follow::start(door.client().clone(), run.to_owned(), patience);
    let mut tick = tokio::time::interval(TICK);
    let began = Instant::now();
    let mut newest: Option<Box<RunDoc>> = None;
    let mut reached = false;
    loop {
        // All three may be cancelled without loss.
        tokio::select! {
            news = follow.next() => match news {
                News::State { json, run } => {
                    show(Event::State(&json, &run))?;
                    reached |= run.has_left() || (run.attention.is_none() && run.phase == "staging");
                    let taken = until == Until::Taken && run.has_left();
                    newest = Some(run);
                    if taken {
                        return Ok(Ended::Taken);
                    }
                }
                News::Lost(why) => show(Event::Lost(&why))?,
                News::Broken(error) => return Err(error),
                News::End => {
                    let over = newest.ok_or_else(|| CliError::internal("the events of the run ended before its first state"))?;
                    return Ok(Ended::Over(over));
                }
            },
            () = signals.next() => return Ok(Ended::Detached),
            _ = tick.tick() => show(Event::Tick)?,
        }
        if let Some(run) = newest.take_if(|run| !reached && run.waits_for_instance() && began.elapsed() >= patience) {
            return Ok(Ended::Unreachable(run));
        }
    }
}
