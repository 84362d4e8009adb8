//! A run that is over, kept small: there may be a hundred thousand.
//!
//! Invariants: nothing that can be derived is kept; words that many runs share are kept once.

use std::collections::BTreeSet;
use std::sync::Arc;

use comfyd_engine::{RunId, Seq, Status, Timestamp};

use super::Summary;

/// Words that many runs share.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeSet<Arc<str>>);

impl Words {
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }

    /// Lets go of words that no run uses any more.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|word| Arc::strong_count(word) > 1);
    }
}

/// What a list shows of a run that is over, but for its id.
#[derive(Debug)]
pub(super) struct Entry {
    name: Box<str>,
    instance: Arc<str>,
    phase: Arc<str>,
    batch: Option<Arc<str>>,
    error: Option<Box<str>>,
    attention: Option<Box<str>>,
    pub(super) quarantined: Option<Box<str>>,
    pub(super) created: Timestamp,
    pub(super) ended: Option<Timestamp>,
    pub(super) bytes: u64,
    pub(super) seq: Seq,
    outputs: u32,
    permille: u32,
    pub(super) status: Status,
}

impl Entry {
    pub(super) fn of(summary: Summary, words: &mut Words) -> Self {
        Self {
            instance: words.word(summary.instance.as_str()),
            phase: words.word(&summary.phase),
            batch: summary.batch.as_deref().map(|batch| words.word(batch)),
            name: summary.workflow_name.into(),
            error: summary.error.map(Into::into),
            attention: summary.attention.map(Into::into),
            quarantined: summary.quarantined.map(Into::into),
            created: summary.created,
            ended: summary.ended,
            bytes: summary.bytes,
            seq: summary.seq,
            outputs: u32::try_from(summary.outputs).unwrap_or(u32::MAX),
            permille: summary.permille,
            status: summary.status,
        }
    }

    pub(super) fn summary(&self, run: RunId) -> Summary {
        Summary {
            run_id: run,
            workflow_id: run.workflow_id(self.created),
            workflow_name: self.name.to_string(),
            instance: self.instance.parse().expect("it was the name of an instance"),
            status: self.status,
            phase: self.phase.to_string(),
            permille: self.permille,
            created: self.created,
            ended: self.ended,
            outputs: self.outputs as usize,
            error: self.error.as_deref().map(str::to_owned),
            attention: self.attention.as_deref().map(str::to_owned),
            batch: self.batch.as_deref().map(str::to_owned),
            seq: self.seq,
            bytes: self.bytes,
            idempotency: None,
            quarantined: self.quarantined.as_deref().map(str::to_owned),
        }
    }
}

/// A run of the list.
#[derive(Debug)]
pub(super) enum Listed {
    /// One that goes on.
    Open(Box<Summary>),
    /// One that is over.
    Over(Box<Entry>),
}

/// What a search looks at.
pub(super) struct Row<'a> {
    pub(super) run: RunId,
    pub(super) status: Status,
    pub(super) created: Timestamp,
    pub(super) name: &'a str,
    pub(super) instance: &'a str,
    pub(super) batch: Option<&'a str>,
    pub(super) error: Option<&'a str>,
}

impl Listed {
    pub(super) fn row(&self, run: RunId) -> Row<'_> {
        match self {
            Self::Open(open) => Row {
                run,
                status: open.status,
                created: open.created,
                name: &open.workflow_name,
                instance: open.instance.as_str(),
                batch: open.batch.as_deref(),
                error: open.error.as_deref(),
            },
            Self::Over(over) => Row {
                run,
                status: over.status,
                created: over.created,
                name: &over.name,
                instance: &over.instance,
                batch: over.batch.as_deref(),
                error: over.error.as_deref(),
            },
        }
    }

    pub(super) fn summary(&self, run: RunId) -> Summary {
        match self {
            Self::Open(open) => (**open).clone(),
            Self::Over(over) => over.summary(run),
        }
    }

    pub(super) fn status(&self) -> Status {
        match self {
            Self::Open(open) => open.status,
            Self::Over(over) => over.status,
        }
    }

    pub(super) fn created(&self) -> Timestamp {
        match self {
            Self::Open(open) => open.created,
            Self::Over(over) => over.created,
        }
    }

    pub(super) fn ended(&self) -> Option<Timestamp> {
        match self {
            Self::Open(open) => open.ended,
            Self::Over(over) => over.ended,
        }
    }

    pub(super) fn is_quarantined(&self) -> bool {
        match self {
            Self::Open(open) => open.quarantined.is_some(),
            Self::Over(over) => over.quarantined.is_some(),
        }
    }

    pub(super) fn quarantine(&mut self, why: &str) {
        match self {
            Self::Open(open) => drop(open.quarantined.get_or_insert_with(|| why.to_owned())),
            Self::Over(over) => drop(over.quarantined.get_or_insert_with(|| why.into())),
        }
    }
}

/// The number in a `workflow_id`: seconds, then the last six hex digits of the run.
pub(super) fn short(run: RunId, created: Timestamp) -> u64 {
    let tail = run.uuid().as_bytes()[13..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    created.unix_seconds() << 24 | tail
}

/// The same from its text; none if the text is no `workflow_id`.
pub(super) fn short_of(name: &str) -> Option<u64> {
    let (seconds, tail) = name.strip_prefix("comfyui_workflow_")?.split_once('_')?;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let number: u64 = seconds.parse().ok().filter(|number| *number < 1 << 40)?;
    // One run has one name: no zeros before it, no capitals in it.
    let same = number.to_string() == seconds && tail.len() == 6 && plain(tail);
    same.then(|| u64::from_str_radix(tail, 16).ok().map(|tail| number << 24 | tail))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_id_is_its_number() {
        let run: RunId = "0193a1b2-0000-7000-8000-000000abc123".parse().expect("an id");
        let created = Timestamp(1_732_234_567_890);
        assert_eq!(short_of(&run.workflow_id(created)), Some(short(run, created)));
        for bad in [
            "",
            "comfyui_workflow_1_abc",
            "comfyui_workflow_01_abc123",
            "comfyui_workflow_1_ABC123",
            "comfyui_workflow_1_+bc123",
            "workflow_1_abc123",
        ] {
            assert_eq!(short_of(bad), None, "{bad}");
        }
    }
}
