//! A summary as the index keeps it.
//!
//! Invariants: what is read back is what was written; an entry of another version is not understood, and its run is opened instead.

use std::borrow::Cow;

use comfyd_engine::{Idempotency, RunId, Status, Timestamp};
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::store::Over;

/// The version of [`Kept`].
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    version: u32,
    name: Cow<'a, str>,
    instance: Cow<'a, str>,
    status: Status,
    phase: Cow<'a, str>,
    permille: u32,
    created: Timestamp,
    ended: Option<Timestamp>,
    outputs: usize,
    output_bytes: u64,
    error: Option<Cow<'a, str>>,
    batch: Option<Cow<'a, str>>,
    idempotency: Option<Idempotency>,
}

impl Summary {
    /// What the index keeps of a run that is over.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let kept = Kept {
            version: VERSION,
            name: Cow::Borrowed(&self.workflow_name),
            instance: Cow::Borrowed(self.instance.as_str()),
            status: self.status,
            phase: Cow::Borrowed(&self.phase),
            permille: self.permille,
            created: self.created,
            ended: self.ended,
            outputs: self.outputs,
            output_bytes: self.bytes,
            error: self.error.as_deref().map(Cow::Borrowed),
            batch: self.batch.as_deref().map(Cow::Borrowed),
            idempotency: self.idempotency.clone(),
        };
        rmp_serde::to_vec_named(&kept).expect("a summary is plain data")
    }

    /// What the index keeps, from the `state.json` of a run that is over.
    pub(crate) fn kept_of_state(run: RunId, text: &str) -> Option<Vec<u8>> {
        Self::of_settled_state(text).filter(|summary| summary.run_id == run).map(|summary| summary.kept())
    }

    /// The summary that the index keeps.
    pub(crate) fn of_kept(over: &Over) -> Option<Self> {
        let kept: Kept<'_> = rmp_serde::from_slice(&over.data).ok()?;
        if kept.version != VERSION || !kept.status.is_settled() {
            return None;
        }
        Some(Self {
            run_id: over.run,
            workflow_id: over.run.workflow_id(kept.created),
            workflow_name: kept.name.into_owned(),
            instance: kept.instance.parse().ok()?,
            status: kept.status,
            phase: kept.phase.into_owned(),
            permille: kept.permille,
            created: kept.created,
            ended: kept.ended,
            outputs: kept.outputs,
            error: kept.error.map(Cow::into_owned),
            attention: None,
            batch: kept.batch.map(Cow::into_owned),
            seq: over.seq,
            bytes: kept.output_bytes.saturating_add(over.log_len),
            idempotency: kept.idempotency,
            quarantined: None,
        })
    }
}
