//! Looks into queue and history: what is asked, and what of the answers is news.
//!
//! Invariants: the queue is read before history, as a prompt moves from one to the other; an answer that changes nothing is told once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use comfyd_engine::{Ending, Input, PromptId, RemoteStatus, RunId, Timestamp};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::health::Sight;
use super::http::{Client, HttpError};
use super::version::Version;

/// How many history entries are asked for at a time.
const AT_ONCE: usize = 3;
/// From so many announced ends on one page of history is asked for instead of each entry: it costs the server and us one request.
const PAGE_FROM: usize = 3;
/// The largest page: entries hold whole workflows.
const MAX_PAGE: usize = 64;
/// An ending that the engine did not take is told again after this time.
const AGAIN_MS: u64 = 10_000;
/// How long after the announcement of an end its history entry may be missing (protocol.md 13).
const LAG_MS: u64 = 5_000;
/// How long the final frame is waited for before history is asked without it.
const FINAL_FRAME_MS: u64 = 1_000;
/// How long the frames of a run that is watched from now on may tell of it before it is looked for.
const NEW_MS: u64 = 100;
/// How many ends are remembered of prompts that nobody watches yet.
const MAX_EARLY: usize = 64;

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
            return Ok(Looked { found, remaining: None });
        }
        rest = unfinished;
    }
    let queue = http.queue().await?;
    let mut elsewhere = Vec::new();
    for mut wanted in rest {
        match queue.find(wanted.run, &wanted.remote) {
            Some(at) => {
                wanted.remote = at.prompt;
                found.push((wanted, at.status));
            }
            None => elsewhere.push(wanted),
        }
    }
    let old = plan.version.is_none_or(|version| !version.takes_prompt_id());
    let asked = futures_util::stream::iter(elsewhere).map(|wanted| past(&http, wanted, old)).buffered(AT_ONCE);
    found.extend(asked.try_collect::<Vec<_>>().await?);
    Ok(Looked { found, remaining: Some(queue.remaining()) })
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

/// What was told of a run last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Pending(u32),
    Running,
    Ended(Timestamp),
}

/// An end that a frame announced.
#[derive(Clone, Copy, Debug)]
struct Announced {
    since: Timestamp,
    ask_at: Timestamp,
    tries: u32,
}

/// The watched runs, and when to look for them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    runs: BTreeMap<RunId, PromptId>,
    /// The same by prompt: every frame names one.
    prompts: BTreeMap<PromptId, RunId>,
    told: BTreeMap<RunId, Told>,
    remotes: BTreeMap<RunId, PromptId>,
    announced: BTreeMap<PromptId, Announced>,
    /// Prompts that were over before they were watched: a short one ends before the answer to its request is recorded.
    early: VecDeque<PromptId>,
    next: Option<Timestamp>,
    /// A prompt that was in history: if it is gone from there, so is the process.
    finished: Option<PromptId>,
}

impl Watch {
    /// The runs are these from now on; a new one is looked for soon, one that is over already at once.
    pub(super) fn set(&mut self, now: Timestamp, runs: Vec<(RunId, PromptId)>) {
        let runs: BTreeMap<RunId, PromptId> = runs.into_iter().collect();
        for (_, prompt) in runs.iter().filter(|(run, prompt)| self.runs.get(run) != Some(prompt)) {
            if let Some(early) = self.early.iter().position(|early| early == prompt) {
                self.early.remove(early);
                self.announced.insert(prompt.clone(), Announced { since: now, ask_at: now, tries: 0 });
            } else {
                let soon = now.plus_ms(NEW_MS);
                self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
            }
        }
        self.prompts = runs.iter().map(|(run, prompt)| (prompt.clone(), *run)).collect();
        self.told.retain(|run, _| runs.contains_key(run));
        self.remotes.retain(|run, _| runs.contains_key(run));
        self.announced.retain(|prompt, _| self.prompts.contains_key(prompt));
        if runs.is_empty() {
            self.next = None;
        }
        self.runs = runs;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run of a prompt, if it is watched.
    pub(super) fn run_of(&self, prompt: &PromptId) -> Option<RunId> {
        self.prompts.get(prompt).copied()
    }

    /// Our id of a prompt that an old server names in its own way.
    pub(super) fn ours(&self, remote: &PromptId) -> Option<&PromptId> {
        let (run, _) = self.remotes.iter().find(|(_, id)| *id == remote)?;
        self.runs.get(run)
    }

    /// Everything is to be asked now; what is known already is not told again.
    pub(super) fn ask_soon(&mut self, now: Timestamp) {
        self.next = Some(now);
    }

    /// Everything is to be asked and told anew.
    pub(super) fn ask_all(&mut self, now: Timestamp) {
        self.told.clear();
        self.next = Some(now);
    }

    /// A frame said that a prompt is about to end.
    pub(super) fn ending(&mut self, now: Timestamp, prompt: &PromptId) {
        // One that was found to have ended needs no further look.
        let open = self.run_of(prompt).is_some_and(|run| !matches!(self.told.get(&run), Some(Told::Ended(_))));
        if open {
            let ask_at = now.plus_ms(FINAL_FRAME_MS);
            self.announced.entry(prompt.clone()).or_insert(Announced { since: now, ask_at, tries: 0 });
        }
    }

    /// A frame said that a prompt is over: its history entry is there.
    pub(super) fn over(&mut self, now: Timestamp, prompt: &PromptId) {
        if self.run_of(prompt).is_none() && !self.early.contains(prompt) {
            if self.early.len() == MAX_EARLY {
                self.early.pop_front();
            }
            self.early.push_back(prompt.clone());
        }
        self.ending(now, prompt);
        if let Some(announced) = self.announced.get_mut(prompt) {
            announced.ask_at = now;
        }
    }

    /// The queue moved: whatever was about to end has ended.
    pub(super) fn queue_moved(&mut self, now: Timestamp) {
        for announced in self.announced.values_mut().filter(|announced| announced.tries == 0) {
            announced.ask_at = now;
        }
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let asks = self.announced.values().map(|announced| announced.ask_at);
        asks.chain(self.next).min().filter(|_| !self.runs.is_empty())
    }

    /// What to ask now.
    pub(super) fn plan(&mut self, now: Timestamp, version: Option<Version>, poll_ms: u64) -> Plan {
        let all = self.next.is_some_and(|next| next <= now);
        if all {
            self.next = Some(now.plus_ms(poll_ms));
        }
        let fresh = |run: &RunId| match self.told.get(run) {
            // The engine has been told and will take it off the list.
            Some(Told::Ended(at)) => now.since(*at) >= AGAIN_MS,
            Some(Told::Pending(_) | Told::Running) | None => true,
        };
        let due = self.announced.iter().filter(|(_, announced)| announced.ask_at <= now);
        let direct: BTreeSet<PromptId> = due.map(|(prompt, _)| prompt.clone()).collect();
        let wanted = |(run, prompt): (&RunId, &PromptId)| Wanted {
            run: *run,
            prompt: prompt.clone(),
            remote: self.remotes.get(run).unwrap_or(prompt).clone(),
        };
        let asked = self.runs.iter().filter(|(_, prompt)| all || direct.contains(*prompt));
        let wanted = asked.filter(|(run, _)| fresh(run)).map(wanted).collect();
        Plan { wanted, direct, all, version }
    }

    /// What tells after a loss of the connection whether the process is another one.
    pub(super) fn memory(&self) -> Memory {
        let as_is = |(run, prompt): (&RunId, &PromptId)| (*run, self.remotes.get(run).unwrap_or(prompt).clone());
        Memory { finished: self.finished.clone(), watched: self.runs.iter().map(as_is).collect() }
    }

    /// Takes in what a look found: what is news for the engine, and what the socket should have told.
    pub(super) fn found(&mut self, now: Timestamp, looked: Looked) -> (Vec<Input>, Option<Sight>) {
        let mut news = Vec::new();
        let mut sight = looked.remaining.map(|remaining| Sight { remaining, ..Sight::default() });
        for (wanted, status) in looked.found {
            // It may have left the list meanwhile.
            if self.run_of(&wanted.prompt) != Some(wanted.run) {
                continue;
            }
            if wanted.remote != wanted.prompt {
                self.remotes.insert(wanted.run, wanted.remote.clone());
            }
            let told = match &status {
                RemoteStatus::Pending { position } => Some(Told::Pending(*position)),
                RemoteStatus::Running => {
                    if let Some(sight) = &mut sight {
                        sight.running.insert(wanted.prompt.clone());
                    }
                    Some(Told::Running)
                }
                RemoteStatus::Ended(_) => {
                    if let Some(sight) = &mut sight {
                        sight.ended.insert(wanted.prompt.clone());
                    }
                    self.announced.remove(&wanted.prompt);
                    self.finished = Some(wanted.remote.clone());
                    Some(Told::Ended(now))
                }
                // Each absence counts.
                RemoteStatus::Absent => None,
            };
            if let Some(announced) = self.announced.get_mut(&wanted.prompt) {
                announced.tries += 1;
                announced.ask_at = now.plus_ms(retry_ms(announced.tries));
                if now.since(announced.since) >= LAG_MS {
                    self.announced.remove(&wanted.prompt);
                }
            }
            let before = match told {
                Some(told) => self.told.insert(wanted.run, told),
                None => self.told.remove(&wanted.run),
            };
            if told.is_none() || before != told {
                news.push(Input::Reconciled(wanted.run, status));
            }
        }
        (news, sight)
    }

    /// A look did not work: those that were about to end are asked for again a little later.
    pub(super) fn failed(&mut self, now: Timestamp) {
        for announced in self.announced.values_mut().filter(|announced| announced.ask_at <= now) {
            announced.tries += 1;
            announced.ask_at = now.plus_ms(retry_ms(announced.tries));
        }
    }

    /// The process is another one: its history is empty.
    pub(super) fn restarted(&mut self) {
        self.finished = None;
        self.told.clear();
        self.announced.clear();
        self.early.clear();
    }
}

/// The waits while a history entry lags behind its announcement.
fn retry_ms(tries: u32) -> u64 {
    match tries {
        0 | 1 => 50,
        2 => 100,
        3 => 250,
        4 => 500,
        // From the fifth on.
        _ => 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use comfyd_engine::Verdict;

    const RUN: &str = "0193a1b2-0000-7000-8000-000000abc123";

    fn run() -> RunId {
        RUN.parse().expect("a run id")
    }

    fn prompt() -> PromptId {
        PromptId(RUN.into())
    }

    fn watching() -> Watch {
        let mut watch = Watch::default();
        watch.set(Timestamp(0), vec![(run(), prompt())]);
        watch.ask_soon(Timestamp(0));
        watch
    }

    fn answer(watch: &mut Watch, now: u64, status: &RemoteStatus) -> usize {
        let plan = watch.plan(Timestamp(now), None, 2_000);
        let found = plan.wanted.into_iter().map(|wanted| (wanted, status.clone())).collect();
        watch.found(Timestamp(now), Looked { found, remaining: Some(1) }).0.len()
    }

    fn ended() -> RemoteStatus {
        RemoteStatus::Ended(Box::new(Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] }))
    }

    #[test]
    fn only_news_is_told() {
        let mut watch = watching();
        let waiting = |position| RemoteStatus::Pending { position };
        let rows = [
            (0, waiting(2), 1),
            (2_000, waiting(2), 0),
            (4_000, waiting(1), 1),
            (6_000, RemoteStatus::Running, 1),
            (8_000, RemoteStatus::Running, 0),
            (10_000, RemoteStatus::Absent, 1),
            (12_000, RemoteStatus::Absent, 1),
            (14_000, RemoteStatus::Running, 1),
            (16_000, ended(), 1),
            (18_000, ended(), 0),
            (26_000, ended(), 1),
        ];
        for (now, status, told) in rows {
            assert!(watch.due().is_some_and(|due| due <= Timestamp(now)), "{now}");
            assert_eq!(answer(&mut watch, now, &status), told, "{now}");
        }
        watch.ask_all(Timestamp(27_000));
        assert_eq!(answer(&mut watch, 27_000, &RemoteStatus::Running), 1, "a poke is always answered");
    }

    #[test]
    fn an_announced_end_is_asked_for_soon() {
        let mut watch = watching();
        answer(&mut watch, 0, &RemoteStatus::Running);
        watch.ending(Timestamp(100), &prompt());
        assert_eq!(watch.due(), Some(Timestamp(1_100)), "the final frame may still come");
        watch.queue_moved(Timestamp(300));
        assert_eq!(watch.due(), Some(Timestamp(300)));
        let plan = watch.plan(Timestamp(300), None, 2_000);
        assert!(!plan.all && plan.direct.contains(&prompt()));
        assert_eq!(answer(&mut watch, 300, &RemoteStatus::Running), 0);
        assert_eq!(watch.due(), Some(Timestamp(350)), "history lags");
        assert_eq!(answer(&mut watch, 350, &ended()), 1);
        assert_eq!(watch.due(), Some(Timestamp(2_000)), "only the rhythm of polling is left");
        assert_eq!(watch.finished, Some(prompt()));
    }

    #[test]
    fn an_end_that_does_not_show_is_left_to_polling() {
        let mut watch = watching();
        answer(&mut watch, 0, &RemoteStatus::Running);
        watch.over(Timestamp(10), &prompt());
        let mut now = 10;
        while watch.announced.contains_key(&prompt()) {
            now = watch.due().expect("it is watched").0;
            answer(&mut watch, now, &RemoteStatus::Running);
        }
        assert!((5_010..8_000).contains(&now), "{now}");
    }

    #[test]
    fn one_that_was_over_before_it_was_watched_is_asked_for_at_once() {
        let mut watch = Watch::default();
        watch.over(Timestamp(5), &prompt());
        watch.set(Timestamp(7), vec![(run(), prompt())]);
        assert_eq!(watch.due(), Some(Timestamp(7)));
        let plan = watch.plan(Timestamp(7), None, 2_000);
        assert!(!plan.all, "its history tells enough");
        assert_eq!(plan.direct, BTreeSet::from([prompt()]));
        assert_eq!(answer(&mut watch, 7, &ended()), 1);
        watch.set(Timestamp(8), vec![]);
        watch.set(Timestamp(9), vec![(run(), prompt())]);
        assert_eq!(watch.due(), Some(Timestamp(9 + NEW_MS)), "it is remembered once");
    }

    #[test]
    fn nobody_watched_nothing_asked() {
        let mut watch = watching();
        watch.over(Timestamp(5), &prompt());
        watch.set(Timestamp(10), vec![]);
        assert_eq!(watch.due(), None);
        watch.over(Timestamp(20), &prompt());
        assert_eq!(watch.due(), None, "a foreign prompt is nobody's business");
    }

    #[test]
    fn an_old_servers_id_is_remembered() {
        let mut watch = watching();
        let mut plan = watch.plan(Timestamp(0), None, 2_000);
        plan.wanted[0].remote = PromptId("minted".into());
        let found = plan.wanted.into_iter().map(|wanted| (wanted, RemoteStatus::Running)).collect();
        watch.found(Timestamp(0), Looked { found, remaining: Some(1) });
        assert_eq!(watch.ours(&PromptId("minted".into())), Some(&prompt()));
        assert_eq!(watch.plan(Timestamp(10_000), None, 2_000).wanted[0].remote, PromptId("minted".into()));
    }
}
