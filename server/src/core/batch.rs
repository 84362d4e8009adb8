//! What one turn of the core loop collects before it writes.

use comfyd_engine::journal::envelope::Body;
use comfyd_engine::{Addressed, Fact, RunEvent, RunId, Seq, Step, SyncClass};
use tokio::sync::oneshot;

use super::message::{AskError, Granted};
use crate::store::{Append, Class, Sync};

type Reply = (oneshot::Sender<Result<Granted, AskError>>, Granted);

/// Facts, commands and replies of one turn.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    appends: Vec<Append>,
    /// The runs that changed.
    pub(crate) touched: Vec<RunId>,
    pub(crate) commands: Vec<Addressed>,
    pub(crate) replies: Vec<Reply>,
    /// Bytes that travel in the log and that adapters will ask for.
    pub(crate) blobs: Vec<(RunId, comfyd_engine::Sha256, Vec<u8>)>,
    needs_sync: bool,
    /// Whether something in it must be synced within a second.
    pub(crate) noteworthy: bool,
    /// Whether everything in it is an ending or a cancel, which may use the reserve.
    only_vital: bool,
    bytes: usize,
}

/// A turn ends at this size, so that one write stays short.
const FULL_BYTES: usize = 8 << 20;

impl Batch {
    pub(crate) fn new() -> Self {
        Self { only_vital: true, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.replies.is_empty() && self.commands.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
    }

    pub(crate) fn add(&mut self, step: Step) {
        for fact in &step.facts {
            self.add_fact(fact);
        }
        // A command is an effect: its cause must be on disk.
        self.needs_sync |= !step.commands.is_empty();
        self.commands.extend(step.commands);
    }

    fn add_fact(&mut self, fact: &Fact) {
        let (payload, class) = match fact {
            Fact::Run(run, recorded) => {
                if self.touched.last() != Some(run) {
                    self.touched.push(*run);
                }
                self.only_vital &= is_vital(&recorded.event);
                if let RunEvent::BlobStored(blob) = &recorded.event {
                    self.blobs.push((*run, blob.sha256.clone(), blob.bytes.clone()));
                }
                (recorded.event.encode(recorded.at), recorded.event.sync_class())
            }
            Fact::Instance(_, recorded) => (recorded.event.encode(recorded.at), recorded.event.sync_class()),
        };
        match class {
            SyncClass::Ack => self.needs_sync = true,
            SyncClass::Note => self.noteworthy = true,
            SyncClass::Tick => {}
        }
        self.bytes += payload.len();
        let stream = fact.stream();
        match self.appends.iter_mut().rev().find(|append| append.stream == stream) {
            Some(append) => append.payloads.push(payload),
            None => self.appends.push(Append {
                stream,
                expected: Seq(fact.seq().0 - 1),
                payloads: vec![payload],
                class: Class::Ordinary,
            }),
        }
    }

    pub(crate) fn sync(&self) -> Sync {
        if self.needs_sync { Sync::Now } else { Sync::Lazy }
    }

    pub(crate) fn take_appends(&mut self) -> Vec<Append> {
        let class = if self.only_vital { Class::MayUseReserve } else { Class::Ordinary };
        let mut appends = std::mem::take(&mut self.appends);
        for append in &mut appends {
            append.class = class;
        }
        appends
    }
}

/// Endings and cancels get through on a full disk.
fn is_vital(event: &RunEvent) -> bool {
    matches!(
        event,
        RunEvent::CancelRequested(_)
            | RunEvent::StopSent(_)
            | RunEvent::Cancelled(_)
            | RunEvent::Failed(_)
            | RunEvent::Completed(_)
            | RunEvent::ExecutionSucceeded(_)
    )
}
