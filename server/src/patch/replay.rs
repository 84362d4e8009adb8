//! A run's log folded event by event.

use comfyd_engine::journal::envelope;
use comfyd_engine::{Outbox, Recorded, Run, RunEvent, RunId, RunView, Seq, StreamId, Timestamp};

use crate::core::RecoverError;

/// A run on its way through its log.
pub(crate) struct Replay {
    id: RunId,
    run: Option<Run>,
    outbox: Outbox,
}

impl Clone for Replay {
    fn clone(&self) -> Self {
        // A muted outbox holds nothing.
        Self { id: self.id, run: self.run.clone(), outbox: Outbox::muted() }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When it was recorded.
    pub(crate) at: Timestamp,
    /// What happened; `unknown` for an optional kind of a newer version, which changes nothing.
    pub(crate) kind: &'static str,
}

impl Replay {
    /// Before the first event.
    pub(crate) fn new(id: RunId) -> Self {
        Self { id, run: None, outbox: Outbox::muted() }
    }

    /// Folds the next record.
    pub(crate) fn take(&mut self, seq: Seq, payload: &[u8]) -> Result<Step, RecoverError> {
        let stream = || StreamId::Run(self.id);
        let read = envelope::read::<RunEvent>(payload);
        let (at, event) = read.map_err(|source| RecoverError::Decode { stream: stream(), seq, source })?;
        let Some(event) = event else {
            if let Some(run) = &mut self.run {
                run.skip(seq);
            }
            return Ok(Step { at, kind: "unknown" });
        };
        let recorded = Recorded { seq, at, event };
        let done = match &mut self.run {
            Some(run) => run.apply(&recorded, &mut self.outbox),
            None => Run::created(self.id, &recorded).map(|created| self.run = Some(created)),
        };
        done.map_err(|source| RecoverError::Fold { stream: StreamId::Run(self.id), source })?;
        Ok(Step { at, kind: recorded.event.kind() })
    }

    /// The run as it is now; nothing before its first event.
    pub(crate) fn view(&self) -> Option<RunView> {
        self.run.as_ref().map(RunView::of)
    }
}
