//! Whether an open socket still tells what happens (reliability.md 7).
//!
//! ComfyUI can forget a socket without closing it. A change that polling sees and the socket does not announce within 2 s shows that.
//! Invariants: pure; at most one verdict in 10 s; a socket that says anything at all is not silent.

use std::collections::BTreeSet;

use comfyd_engine::{ComfyEvent, PromptId, Timestamp};

/// How long the socket has to announce what polling saw.
const PATIENCE_MS: u64 = 2_000;
/// How often a socket may be given up.
const EVERY_MS: u64 = 10_000;

/// What one look into queue and history saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// How many prompts run and wait.
    pub remaining: u32,
    /// Those of ours that run.
    pub running: BTreeSet<PromptId>,
    /// Those of ours that ended.
    pub ended: BTreeSet<PromptId>,
}

/// Compares what the socket says with what polling sees.
///
/// ```
/// use comfyd_adapters::comfy::health::{Health, Sight};
/// use comfyd_engine::{ComfyEvent, Timestamp};
/// let mut health = Health::default();
/// health.opened(Timestamp(0));
/// health.heard(&ComfyEvent::QueueChanged { remaining: 0 });
/// health.saw(Timestamp(20_000), Sight { remaining: 1, ..Sight::default() });
/// assert_eq!(health.verdict(Timestamp(21_999)), None);
/// assert!(health.verdict(Timestamp(22_000)).is_some());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The newest figure that the socket told.
    told: Option<u32>,
    /// What the look before saw; none after the socket was opened.
    before: Option<Sight>,
    /// Prompts of which a frame came.
    announced: BTreeSet<PromptId>,
    /// Prompts whose end a frame told.
    ended: BTreeSet<PromptId>,
    doubt: Option<Doubt>,
    last: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Doubt {
    since: Timestamp,
    why: String,
    /// Only a difference of figures, which a later look can clear.
    figures: bool,
}

impl Health {
    /// A new socket is open: all that is known is from before.
    pub fn opened(&mut self, now: Timestamp) {
        *self = Self { last: Some(now), ..Self::default() };
    }

    /// The socket said something.
    pub fn heard(&mut self, event: &ComfyEvent) {
        self.alive();
        if let ComfyEvent::QueueChanged { remaining } = event {
            self.told = Some(*remaining);
        }
        let Some(prompt) = event.prompt() else { return };
        match event {
            ComfyEvent::Ending { .. } | ComfyEvent::WentIdle { .. } => drop(self.ended.insert(prompt.clone())),
            ComfyEvent::Started { .. }
            | ComfyEvent::Cached { .. }
            | ComfyEvent::NodeStarted { .. }
            | ComfyEvent::NodeProgressed { .. }
            | ComfyEvent::ProgressReported { .. }
            | ComfyEvent::NodeProduced { .. }
            | ComfyEvent::NodeTexted { .. }
            | ComfyEvent::NodeBlocked { .. }
            | ComfyEvent::QueueChanged { .. }
            | ComfyEvent::Unknown { .. } => {}
        }
        if !self.announced.contains(prompt) {
            self.announced.insert(prompt.clone());
        }
    }

    /// The socket carried something that is no event, such as a preview.
    pub fn alive(&mut self) {
        self.doubt = None;
    }

    /// Polling saw something.
    pub fn saw(&mut self, now: Timestamp, sight: Sight) {
        let missed = self.before.as_ref().and_then(|before| {
            let started = sight.running.difference(&before.running).find(|prompt| !self.announced.contains(*prompt));
            let ended = sight.ended.difference(&before.ended).find(|prompt| !self.ended.contains(*prompt));
            let start = started.map(|prompt| format!("prompt {prompt} runs and the socket did not say so"));
            start.or_else(|| ended.map(|prompt| format!("prompt {prompt} ended and the socket did not say so")))
        });
        let figures = self
            .told
            .filter(|told| *told != sight.remaining)
            .map(|told| format!("the queue holds {} prompts and the socket last told {told}", sight.remaining));
        // Old names are of no use once the prompt left the sight.
        self.announced.retain(|prompt| sight.running.contains(prompt));
        self.ended.retain(|prompt| sight.running.contains(prompt) || sight.ended.contains(prompt));
        self.before = Some(sight);
        match (missed, figures, &self.doubt) {
            (Some(why), _, None) => self.doubt = Some(Doubt { since: now, why, figures: false }),
            (None, Some(why), None) => self.doubt = Some(Doubt { since: now, why, figures: true }),
            (None, None, Some(doubt)) if doubt.figures => self.doubt = None,
            // A doubt that stands keeps its beginning.
            (_, _, Some(_)) | (None, None, None) => {}
        }
    }

    /// When there may be a verdict.
    pub fn due(&self) -> Option<Timestamp> {
        let patient = self.doubt.as_ref()?.since.plus_ms(PATIENCE_MS);
        Some(self.last.map_or(patient, |last| patient.max(last.plus_ms(EVERY_MS))))
    }

    /// Why the socket is to be given up, if it is.
    pub fn verdict(&mut self, now: Timestamp) -> Option<String> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        self.last = Some(now);
        self.doubt.take().map(|doubt| doubt.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Opened(u64),
        Status(u32),
        Started(&'static str),
        Ending(&'static str),
        Alive,
        Saw(u64, u32, &'static [&'static str], &'static [&'static str]),
    }
    use Step::{Alive, Ending, Opened, Saw, Started, Status};

    fn ids(names: &[&str]) -> BTreeSet<PromptId> {
        names.iter().map(|name| PromptId((*name).into())).collect()
    }

    fn after(steps: &[Step]) -> Health {
        let mut health = Health::default();
        for step in steps {
            match step {
                Opened(at) => health.opened(Timestamp(*at)),
                Status(remaining) => health.heard(&ComfyEvent::QueueChanged { remaining: *remaining }),
                Started(name) => health.heard(&ComfyEvent::Started { prompt: PromptId((*name).into()) }),
                Ending(name) => health.heard(&ComfyEvent::Ending { prompt: PromptId((*name).into()) }),
                Alive => health.alive(),
                Saw(at, remaining, running, ended) => {
                    health.saw(Timestamp(*at), Sight { remaining: *remaining, running: ids(running), ended: ids(ended) });
                }
            }
        }
        health
    }

    #[test]
    fn when_a_socket_is_given_up() {
        let rows: &[(&str, &[Step], Option<u64>)] = &[
            ("nothing is known", &[Opened(0)], None),
            ("both agree", &[Opened(0), Status(1), Saw(20_000, 1, &["a"], &[])], None),
            ("the queue grew unannounced", &[Opened(0), Status(0), Saw(20_000, 1, &[], &[])], Some(22_000)),
            ("... soon after the last time", &[Opened(15_000), Status(0), Saw(20_000, 1, &[], &[])], Some(25_000)),
            ("... and was announced then", &[Opened(0), Status(0), Saw(20_000, 1, &[], &[]), Status(1)], None),
            ("... and something came", &[Opened(0), Status(0), Saw(20_000, 1, &[], &[]), Alive], None),
            ("... and shrank again", &[Opened(0), Status(0), Saw(20_000, 1, &[], &[]), Saw(21_000, 0, &[], &[])], None),
            ("... and stays", &[Opened(0), Status(0), Saw(20_000, 1, &[], &[]), Saw(21_000, 2, &[], &[])], Some(22_000)),
            ("the first look is the base", &[Opened(0), Status(1), Saw(20_000, 1, &["a"], &["b"])], None),
            ("a start was missed", &[Opened(0), Status(1), Saw(20_000, 1, &[], &[]), Saw(22_000, 1, &["a"], &[])], Some(24_000)),
            (
                "a start was told",
                &[Opened(0), Status(1), Saw(20_000, 1, &[], &[]), Started("a"), Saw(22_000, 1, &["a"], &[])],
                None,
            ),
            (
                "an end was missed",
                &[Opened(0), Status(1), Saw(20_000, 1, &["a"], &[]), Saw(22_000, 1, &[], &["a"])],
                Some(24_000),
            ),
            (
                "a missed end is not cleared by another look",
                &[Opened(0), Status(1), Saw(20_000, 1, &["a"], &[]), Saw(22_000, 1, &[], &["a"]), Saw(23_000, 1, &[], &["a"])],
                Some(24_000),
            ),
            (
                "an end was told",
                &[Opened(0), Status(1), Saw(20_000, 1, &["a"], &[]), Ending("a"), Saw(22_000, 1, &[], &["a"])],
                None,
            ),
            ("a long step says nothing", &[Opened(0), Status(1), Saw(20_000, 1, &["a"], &[]), Saw(80_000, 1, &["a"], &[])], None),
            ("a new socket begins anew", &[Opened(0), Status(0), Saw(20_000, 1, &[], &[]), Opened(21_000)], None),
        ];
        for (name, steps, due) in rows {
            let mut health = after(steps);
            assert_eq!(health.due(), due.map(Timestamp), "{name}");
            if let Some(due) = due {
                assert_eq!(health.verdict(Timestamp(due - 1)), None, "{name}");
                assert!(health.verdict(Timestamp(*due)).is_some(), "{name}");
                assert_eq!(health.verdict(Timestamp(due + 1)), None, "{name}: one doubt gives one verdict");
            }
        }
    }
}
