//! What is watched: when to look for it, and what of the answers is news.
//!
//! Invariant: an answer that changes nothing is told once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use comfyd_engine::{Input, PromptId, RemoteStatus, RunId, Timestamp};

use super::super::health::Sight;
use super::super::version::Version;
use super::{Looked, Memory, Plan, Wanted};

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
pub(in crate::comfy) struct Watch {
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
    pub(in crate::comfy) fn set(&mut self, now: Timestamp, runs: Vec<(RunId, PromptId)>) {
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

    pub(in crate::comfy) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run of a prompt, if it is watched.
    pub(in crate::comfy) fn run_of(&self, prompt: &PromptId) -> Option<RunId> {
        self.prompts.get(prompt).copied()
    }

    /// Our id of a prompt that an old server names in its own way.
    pub(in crate::comfy) fn ours(&self, remote: &PromptId) -> Option<&PromptId> {
        let (run, _) = self.remotes.iter().find(|(_, id)| *id == remote)?;
        self.runs.get(run)
    }

    /// Everything is to be asked now; what is known already is not told again.
    pub(in crate::comfy) fn ask_soon(&mut self, now: Timestamp) {
        self.next = Some(now);
    }

    /// Everything is to be asked and told anew.
    pub(in crate::comfy) fn ask_all(&mut self, now: Timestamp) {
        self.told.clear();
        self.next = Some(now);
    }

    /// A frame said that a prompt is about to end.
    pub(in crate::comfy) fn ending(&mut self, now: Timestamp, prompt: &PromptId) {
        // One that was found to have ended needs no further look.
        let open = self.run_of(prompt).is_some_and(|run| !matches!(self.told.get(&run), Some(Told::Ended(_))));
        if open {
            let ask_at = now.plus_ms(FINAL_FRAME_MS);
            self.announced.entry(prompt.clone()).or_insert(Announced { since: now, ask_at, tries: 0 });
        }
    }

    /// A frame said that a prompt is over: its history entry is there.
    pub(in crate::comfy) fn over(&mut self, now: Timestamp, prompt: &PromptId) {
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
    pub(in crate::comfy) fn queue_moved(&mut self, now: Timestamp) {
        for announced in self.announced.values_mut().filter(|announced| announced.tries == 0) {
            announced.ask_at = now;
        }
    }

    /// When to look next.
    pub(in crate::comfy) fn due(&self) -> Option<Timestamp> {
        let asks = self.announced.values().map(|announced| announced.ask_at);
        asks.chain(self.next).min().filter(|_| !self.runs.is_empty())
    }

    /// What to ask now.
    pub(in crate::comfy) fn plan(&mut self, now: Timestamp, version: Option<Version>, poll_ms: u64) -> Plan {
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
        let (asked, ended): (Vec<_>, Vec<_>) = asked.partition(|(run, _)| fresh(run));
        let ended = if all { ended.into_iter().map(wanted).collect() } else { vec![] };
        Plan { wanted: asked.into_iter().map(wanted).collect(), ended, direct, all, version }
    }

    /// What tells after a loss of the connection whether the process is another one.
    pub(in crate::comfy) fn memory(&self) -> Memory {
        let as_is = |(run, prompt): (&RunId, &PromptId)| (*run, self.remotes.get(run).unwrap_or(prompt).clone());
        Memory { finished: self.finished.clone(), watched: self.runs.iter().map(as_is).collect() }
    }

    /// Takes in what a look found: what is news for the engine, and what the socket should have told.
    pub(in crate::comfy) fn found(&mut self, now: Timestamp, looked: Looked) -> (Vec<Input>, Option<Sight>) {
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
        news.extend(looked.twins.into_iter().filter(|run| self.runs.contains_key(run)).map(Input::TwinSeen));
        (news, sight)
    }

    /// A look did not work: those that were about to end are asked for again a little later.
    pub(in crate::comfy) fn failed(&mut self, now: Timestamp) {
        for announced in self.announced.values_mut().filter(|announced| announced.ask_at <= now) {
            announced.tries += 1;
            announced.ask_at = now.plus_ms(retry_ms(announced.tries));
        }
    }

    /// The process is another one: its history is empty.
    pub(in crate::comfy) fn restarted(&mut self) {
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
mod tests;
