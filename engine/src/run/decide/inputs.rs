//! Removing what a run uploaded: once it is over and its outputs are here, and never while another open run uses it.

use std::collections::BTreeSet;

use crate::event::{InputLeft, InputsRemovalDelayed, InputsRemovalIntended, InputsRemoved, RunEvent};
use crate::id::{ClientId, Sha256};
use crate::input::Outcome;
use crate::run::Run;
use crate::run::inputs::InputsStage;
use crate::time::Timestamp;

use super::due::GIVE_UP_MS;
use super::{Surroundings, backoff_ms};

/// The longest wait between two tries.
const CAP_MS: u64 = 3_600_000;

impl Run {
    /// The files that it uploads, by their hashes.
    pub(crate) fn uploads(&self) -> impl Iterator<Item = &Sha256> {
        self.ledger.prompt_spec().uploads.iter().map(|upload| &upload.blob)
    }

    /// Whether it relies on what it uploaded, or is about to rely on it.
    pub(crate) fn uses_uploads(&self) -> bool {
        self.ledger.inputs.stage == InputsStage::There && !self.is_done()
    }

    /// Whether it is still to upload what it needs.
    pub(crate) fn waits_to_upload(&self) -> bool {
        self.ledger.inputs.stage == InputsStage::None && self.needs_staging() && !self.phase.is_settled()
    }

    /// Whether what it uploaded is being removed now.
    pub(crate) fn is_removing(&self) -> bool {
        self.ledger.inputs.stage == InputsStage::Removing
    }

    /// Whether it may be time to remove what it uploaded.
    pub(crate) fn asks_for_removal(&self, around: Surroundings<'_>) -> bool {
        match self.ledger.inputs.stage {
            InputsStage::There => self.is_done(),
            InputsStage::Delayed(at) => (at <= around.now && around.online) || self.removal_ends() <= around.now,
            InputsStage::None | InputsStage::Removing | InputsStage::Settled => false,
        }
    }

    /// The next step of it. `client` is who we are on the instance, if files can be removed there at all; `used` are those that other open runs rely on:
    /// the last of them removes them; `awaited` are those that runs which wait are to upload: one that is stopped before that removes nothing, so this
    /// run stays until one has begun, or none waits.
    pub(crate) fn decide_removal(
        &self,
        now: Timestamp,
        client: Option<&ClientId>,
        used: &BTreeSet<&Sha256>,
        awaited: &BTreeSet<&Sha256>,
    ) -> Option<RunEvent> {
        let fresh = self.ledger.inputs.stage == InputsStage::There;
        let Some(client) = client else { return (!fresh).then(|| self.leaves_inputs("the instance is another one now")) };
        if !fresh && self.removal_ends() <= now {
            return Some(self.leaves_inputs("given up, as it could not be done for a day after the run had ended"));
        }
        let mut files = self.ledger.inputs.there(self.ledger.prompt_spec(), client);
        files.retain(|file| !used.contains(&file.blob));
        match (files.is_empty(), fresh) {
            (false, _) if files.iter().any(|file| awaited.contains(&file.blob)) => {
                let why = "another run that waits is to use it".to_owned();
                Some(InputsRemovalDelayed { why, retry_at: self.removal_again(now) }.into())
            }
            (false, _) => Some(InputsRemovalIntended { files }.into()),
            (true, true) => None,
            (true, false) => Some(self.leaves_inputs("another run uses it")),
        }
    }

    /// Nothing more is done about what it uploaded.
    pub(crate) fn leaves_inputs(&self, why: &str) -> RunEvent {
        let left = self.ledger.inputs.files.iter().map(|file| InputLeft { name: file.name.clone(), why: why.to_owned() });
        InputsRemoved { removed: vec![], left: left.collect() }.into()
    }

    /// When it is time again, at the latest.
    pub(super) fn removal_deadline(&self, around: Surroundings<'_>) -> Option<Timestamp> {
        match self.ledger.inputs.stage {
            InputsStage::Delayed(at) if around.online => Some(at.min(self.removal_ends())),
            InputsStage::Delayed(_) => Some(self.removal_ends()),
            InputsStage::None | InputsStage::There | InputsStage::Removing | InputsStage::Settled => None,
        }
    }

    /// Nobody waits for it: ever more seldom.
    fn removal_again(&self, now: Timestamp) -> Timestamp {
        let since_end = self.ended_at().map_or(0, |ended| now.since(ended));
        now.plus_ms(backoff_ms(4).max((since_end / 4).min(CAP_MS)))
    }

    fn removal_ends(&self) -> Timestamp {
        self.ended_at().unwrap_or(self.updated_at()).plus_ms(GIVE_UP_MS)
    }

    pub(super) fn removal_came_to(&self, around: Surroundings<'_>, outcome: &Outcome) -> Vec<RunEvent> {
        if !self.is_removing() {
            return vec![];
        }
        match outcome {
            Outcome::InputsRemoved { removed, left } => {
                vec![InputsRemoved { removed: removed.clone(), left: left.clone() }.into()]
            }
            Outcome::InputsDelayed { why } => {
                vec![InputsRemovalDelayed { why: why.clone(), retry_at: self.removal_again(around.now) }.into()]
            }
            _ => vec![], // Only the two above are handed here.
        }
    }
}
