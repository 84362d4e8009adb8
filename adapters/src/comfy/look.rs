//! Looks into queue and history: the requests. [`Watch`] says what to ask, and what of the answers is news.
//!
//! Invariant: the queue is read before history, as a prompt moves from one to the other.

use std::collections::{BTreeMap, BTreeSet};

use comfyd_engine::{Ending, PromptId, RemoteStatus, RunId};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::http::{Client, HttpError};
use super::version::Version;

mod watch;

pub(super) use watch::Watch;

/// How many history entries are asked for at a time.
const AT_ONCE: usize = 3;
/// From so many announced ends on one page of history is asked for instead of each entry: it costs the server and us one request.
const PAGE_FROM: usize = 3;
/// The largest page: entries hold whole workflows.
const MAX_PAGE: usize = 64;

/// One run to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    run: RunId,
    prompt: PromptId,
    /// The id under which the server has it, if it was seen under another one.
    remote: PromptId,
}

/// What to ask in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    wanted: Vec<Wanted>,
    /// Runs that were found to have ended and are watched still: they should not be in the queue again.
    ended: Vec<Wanted>,
    /// Those whose history is asked first: a frame told that they ended.
    direct: BTreeSet<PromptId>,
    /// Whether all are asked for, and the queue with them.
    all: bool,
    version: Option<Version>,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Looked {
    found: Vec<(Wanted, RemoteStatus)>,
    /// The runs whose prompt the queue has more than once.
    twins: Vec<RunId>,
    /// How many prompts run and wait, if the queue was read.
    remaining: Option<u32>,
}

/// Asks.
pub(super) async fn look(http: Client, plan: Plan) -> Result<Looked, HttpError> {
    let mut found: Vec<(Wanted, RemoteStatus)> = Vec::new();
    let mut rest = plan.wanted;
    if !plan.all {
        let mut unfinished = Vec::new();
        let direct: Vec<Wanted> = rest.into_iter().filter(|wanted| plan.direct.contains(&wanted.prompt)).collect();
        // Those that ended last are on the newest page, unless others ended many at the same time.
        let mut page = newest(&http, direct.len()).await?;
        for wanted in direct {
            let ending = match page.remove(&wanted.remote.0) {
                Some(ending) => Some(ending),
                None => http.history(&wanted.remote).await?,
            };
            match ending {
                Some(ending) => found.push((wanted, RemoteStatus::Ended(Box::new(ending)))),
                None => unfinished.push(wanted),
            }
        }
        if unfinished.is_empty() {
            return Ok(Looked { found, twins: vec![], remaining: None });
        }
        rest = unfinished;
    }
    let queue = http.queue().await?;
    let (mut elsewhere, mut twins) = (Vec::new(), Vec::new());
    for wanted in plan.ended {
        found.extend(queue.find(wanted.run, &wanted.remote).map(|at| (wanted, at.status)));
    }
    for mut wanted in rest {
        match queue.find(wanted.run, &wanted.remote) {
            Some(at) => {
                if queue.is_doubled(wanted.run, &wanted.remote) {
                    twins.push(wanted.run);
                }
                wanted.remote = at.prompt;
                found.push((wanted, at.status));
            }
            None => elsewhere.push(wanted),
        }
    }
    let old = plan.version.is_none_or(|version| !version.takes_prompt_id());
    let asked = futures_util::stream::iter(elsewhere).map(|wanted| past(&http, wanted, old)).buffered(AT_ONCE);
    found.extend(asked.try_collect::<Vec<_>>().await?);
    Ok(Looked { found, twins, remaining: Some(queue.remaining()) })
}

/// The endings on the newest page, if so many are wanted that it pays.
async fn newest(http: &Client, wanted: usize) -> Result<BTreeMap<String, Ending>, HttpError> {
    if wanted < PAGE_FROM {
        return Ok(BTreeMap::new());
    }
    match http.newest_endings(wanted.min(MAX_PAGE)).await {
        // The workflows on it are large: one by one then.
        Err(HttpError::TooLarge { .. }) => Ok(BTreeMap::new()),
        answer => answer,
    }
}

/// What history says of one that is not in the queue.
async fn past(http: &Client, mut wanted: Wanted, old: bool) -> Result<(Wanted, RemoteStatus), HttpError> {
    let mut ending = http.history(&wanted.remote).await?;
    // An old server keeps it under an id of its own, which was in the answer that got lost.
    if ending.is_none()
        && old
        && let Some(remote) = http.history_of_run(wanted.run).await?
    {
        ending = http.history(&remote).await?;
        wanted.remote = remote;
    }
    let status = ending.map_or(RemoteStatus::Absent, |ending| RemoteStatus::Ended(Box::new(ending)));
    Ok((wanted, status))
}

/// What the process must remember unless it is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    finished: Option<PromptId>,
    watched: Vec<(RunId, PromptId)>,
}

/// The prompt that the process should know and does not, if it is another one than before.
pub(super) async fn forgotten(http: &Client, memory: Memory) -> Result<Option<PromptId>, HttpError> {
    let Some(finished) = memory.finished else { return Ok(None) };
    if http.history(&finished).await?.is_some() {
        return Ok(None);
    }
    // Somebody may have cleared the history: a queue that still holds our prompts proves the same process.
    let queue = http.queue().await?;
    let known = memory.watched.iter().any(|(run, prompt)| queue.find(*run, prompt).is_some());
    Ok((!known).then_some(finished))
}
