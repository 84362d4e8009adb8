//! Routes an input to whom it concerns. Reads only.

use std::collections::BTreeSet;

use crate::comfy::ComfyEvent;
use crate::event::{
    AttentionCleared, AttentionKind, AttentionRaised, BlobStored, GapNoted, InstanceDown, InstanceLetGo, InstanceRestarted,
    InstanceUp, NewEvent, Obstacle, RunCreated, RunEvent, SubmitInDoubt,
};
use crate::id::{CommandId, InstanceId, RunId, StreamId};
use crate::input::{Input, LinkChange, NewRun, Outcome, Refusal, Request};
use crate::instance::{Instance, Reach};
use crate::run::{Attention, Ends, Phase, Run};
use crate::time::Timestamp;

use super::Engine;

impl Engine {
    /// The facts that an input means.
    ///
    /// # Errors
    /// If a request cannot be granted. Observations are never refused.
    pub fn decide(&self, now: Timestamp, input: &Input) -> Result<Vec<NewEvent>, Refusal> {
        Ok(match input {
            Input::Request(id, request) => on(*id, self.decide_request(*id, request)?),
            Input::AddInstance { instance, client, url } => self.decide_add(instance, client, url)?,
            Input::SetInstance { instance, client, setup, expect } => self.decide_set(instance, client, setup, *expect)?,
            Input::RemoveInstance { instance, by } => self.decide_remove(instance, *by)?,
            Input::TrustHostKey { instance, key, replace } => self.decide_trust(instance, key, *replace)?,
            Input::Observed(instance, event) => self.decide_observed(instance, event),
            Input::Outcome(id, outcome) => self.decide_outcome(now, id, outcome),
            Input::Link(instance, change) => self.decide_link(instance, change),
            Input::Reconciled(id, status) => {
                self.runs.get(id).map(|run| on(*id, run.decide_reconciled(self.around(now, run), status))).unwrap_or_default()
            }
            Input::TwinSeen(id) => {
                self.runs.get(id).map(|run| on(*id, run.decide_twin(self.around(now, run), false))).unwrap_or_default()
            }
            Input::Restarted => self.decide_lost(self.runs.values(), "comfyd was not running"),
            Input::CaughtUp(runs) => {
                let runs = runs.iter().filter_map(|id| self.runs.get(id));
                self.decide_lost(runs, "what was told could not be written")
            }
            Input::Repaired(id, repair) => {
                if self.runs.contains_key(id) {
                    on(*id, vec![repair.clone().into()])
                } else {
                    vec![]
                }
            }
            // What is due is asked for after every input.
            Input::Deadline => vec![],
        })
    }

    fn decide_request(&self, id: RunId, request: &Request) -> Result<Vec<RunEvent>, Refusal> {
        let run = self.runs.get(&id);
        match (request, run) {
            (Request::Create { .. }, Some(_)) => Err(Refusal::Exists(id)),
            (Request::Create { spec, blobs }, None) => {
                self.check_instance(&spec.instance)?;
                self.check_room(1)?;
                let carried = u32::try_from(blobs.len()).unwrap_or(u32::MAX);
                let blobs =
                    blobs.iter().map(|(sha256, bytes)| BlobStored { sha256: sha256.clone(), bytes: bytes.clone() }.into());
                let mut facts = vec![RunCreated { spec: (**spec).clone(), carried }.into()];
                facts.extend(blobs);
                let instance = self.instances.get(&spec.instance);
                if let Some((instance, Reach::Offline { why: Some(why) })) = instance.map(|it| (it, it.reach())) {
                    facts.push(blocked(why, instance.obstacle()).into());
                }
                Ok(facts)
            }
            (Request::Cancel { .. } | Request::Resubmit | Request::LetGo, None) => Err(Refusal::UnknownRun(id)),
            (Request::Cancel { force }, Some(run)) => run.decide_cancel(*force),
            (Request::Resubmit, Some(run)) => run.decide_resubmit(),
            (Request::LetGo, Some(run)) => Ok(run.decide_let_go()),
        }
    }

    fn check_instance(&self, instance: &InstanceId) -> Result<(), Refusal> {
        if self.usable(instance).is_some() { Ok(()) } else { Err(Refusal::UnknownInstance(instance.clone())) }
    }

    /// Whether so many more runs may be open.
    fn check_room(&self, more: usize) -> Result<(), Refusal> {
        let open = || self.runs.values().filter(|run| !run.phase().is_settled()).count();
        let fits = |count: usize| count.saturating_add(more) <= self.limits.max_open;
        let room = fits(self.runs.len()) || fits(open());
        if room { Ok(()) } else { Err(Refusal::TooManyRuns { limit: self.limits.max_open }) }
    }

    /// Whether all of these runs can be created beside each other.
    ///
    /// # Errors
    /// If one cannot.
    pub(super) fn check_new(&self, runs: &[NewRun]) -> Result<(), Refusal> {
        let mut ids = BTreeSet::new();
        for run in runs {
            if self.runs.contains_key(&run.id) || !ids.insert(run.id) {
                return Err(Refusal::Exists(run.id));
            }
            self.check_instance(&run.spec.instance)?;
        }
        self.check_room(runs.len())
    }

    fn decide_observed(&self, instance: &InstanceId, event: &ComfyEvent) -> Vec<NewEvent> {
        let told = self.instances.get(instance).is_some_and(Instance::tells_ends);
        let ends = if told { Ends::Told } else { Ends::Guessed };
        let named = event.prompt().map(|prompt| self.prompts.get(instance)?.get(prompt));
        let run = match named {
            Some(run) => run.and_then(|id| self.runs.get(id)),
            // A frame without a prompt belongs to the one that the instance runs, if that is ours.
            None => self.running.get(instance).and_then(|ours| self.runs.get(ours.first()?)),
        };
        run.map(|run| on(run.id(), run.decide_observed(event, ends))).unwrap_or_default()
    }

    fn decide_outcome(&self, now: Timestamp, command: &CommandId, outcome: &Outcome) -> Vec<NewEvent> {
        let StreamId::Run(id) = &command.stream else { return vec![] };
        let Some(run) = self.runs.get(id) else { return vec![] };
        on(*id, run.decide_outcome(self.around(now, run), command, outcome))
    }

    fn decide_link(&self, id: &InstanceId, change: &LinkChange) -> Vec<NewEvent> {
        // What is still heard from an instance that was removed is of no use.
        let Some(instance) = self.usable(id) else { return vec![] };
        let ours = self.runs.values().filter(|run| run.instance() == id && !run.phase().is_settled());
        match change {
            LinkChange::Up { version, live, process } => {
                let up = InstanceUp { version: version.clone(), live: *live, process: process.clone() };
                let other = instance.process().zip(process.as_deref()).filter(|(before, now)| before != now);
                let restarted =
                    other.map(|(before, now)| InstanceRestarted { evidence: format!("it is the process {now}, not {before}") });
                let same = matches!(instance.reach(), Reach::Online { up: known, .. } if *known == up);
                let waits = |run: &Run| run.attention().map(|attention| attention.kind).filter(|kind| kind.is_of_the_way());
                let cleared = ours.filter_map(|run| Some((run.id(), waits(run)?)));
                let cleared = cleared.map(|(run, kind)| NewEvent::Run(run, AttentionCleared { kind }.into()));
                let restarted = restarted.map(|restarted| NewEvent::Instance(id.clone(), restarted.into()));
                let up = (!same).then(|| NewEvent::Instance(id.clone(), up.into()));
                restarted.into_iter().chain(up).chain(cleared).collect()
            }
            LinkChange::Down { why, obstacle } => {
                // That it is down is told once; what stands in the way may change meanwhile.
                let known =
                    matches!(instance.reach(), Reach::Offline { why: Some(_) }) && instance.obstacle() == obstacle.as_ref();
                let down = InstanceDown { why: why.clone(), obstacle: obstacle.clone() };
                let mut facts: Vec<NewEvent> =
                    (!known).then(|| NewEvent::Instance(id.clone(), down.into())).into_iter().collect();
                for run in ours {
                    facts.extend(gap(run, why));
                    let raised = blocked(why, obstacle.as_ref());
                    let same = |known: &Attention| known.kind == raised.kind && known.fingerprint == raised.fingerprint;
                    let person = obstacle.is_some();
                    let yields =
                        |known: &Attention| (known.kind.is_of_the_way() && !same(known)) || (known.kind.is_delay() && person);
                    let news = run.attention().is_none_or(yields);
                    facts.extend(news.then(|| NewEvent::Run(run.id(), raised.into())));
                }
                facts
            }
            LinkChange::Restarted { evidence } => {
                vec![NewEvent::Instance(id.clone(), InstanceRestarted { evidence: evidence.clone() }.into())]
            }
            LinkChange::LetGo => {
                let known = *instance.reach() != Reach::Offline { why: None };
                let needed = self.runs.values().any(|run| run.instance() == id && !run.is_over());
                (known && !needed).then(|| NewEvent::Instance(id.clone(), InstanceLetGo {}.into())).into_iter().collect()
            }
            LinkChange::Gap { why } => ours.filter_map(|run| gap(run, why)).collect(),
        }
    }

    /// Inputs of these runs were lost. Between intent and result, the prompt may be there.
    fn decide_lost<'a>(&self, runs: impl Iterator<Item = &'a Run>, why: &str) -> Vec<NewEvent> {
        let mut facts = Vec::new();
        for run in runs {
            if !self.instances.contains_key(run.instance()) && run.attention().is_none() && !run.phase().is_settled() {
                let unknown = format!("The log of instance {} cannot be read, so its address is not known.", run.instance());
                facts.push(NewEvent::Run(run.id(), unreachable(&unknown)));
            }
            if *run.phase() == Phase::Submitting {
                let doubt = SubmitInDoubt { why: format!("the answer was not recorded: {why}") };
                facts.push(NewEvent::Run(run.id(), doubt.into()));
            }
            facts.extend(gap(run, why));
        }
        facts
    }
}

fn on(run: RunId, facts: Vec<RunEvent>) -> Vec<NewEvent> {
    facts.into_iter().map(|fact| NewEvent::Run(run, fact)).collect()
}

fn gap(run: &Run, why: &str) -> Option<NewEvent> {
    let missed = *run.phase() == Phase::Running && !run.has_gap();
    missed.then(|| NewEvent::Run(run.id(), GapNoted { why: why.to_owned() }.into()))
}

fn unreachable(why: &str) -> RunEvent {
    blocked(why, None).into()
}

/// What a run waits for while its instance is not reached.
fn blocked(why: &str, obstacle: Option<&Obstacle>) -> AttentionRaised {
    let (kind, key) = match obstacle {
        None => (AttentionKind::Unreachable, None),
        Some(Obstacle::HostKeyUnknown(key)) => (AttentionKind::HostKeyUnknown, Some(key)),
        Some(Obstacle::HostKeyChanged(key)) => (AttentionKind::HostKeyChanged, Some(key)),
        Some(Obstacle::HostKeyRefused) => (AttentionKind::HostKeyRefused, None),
        Some(Obstacle::AuthFailed) => (AttentionKind::AuthFailed, None),
        Some(Obstacle::KeyLocked) => (AttentionKind::KeyLocked, None),
    };
    AttentionRaised { fingerprint: key.map(|key| key.fingerprint.clone()), ..AttentionRaised::new(kind, why) }
}
