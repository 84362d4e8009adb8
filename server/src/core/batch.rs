//! What one turn of the core loop collects before it writes.

use std::collections::BTreeSet;

use comfyd_engine::journal::envelope::Body;
use comfyd_engine::{Addressed, Fact, RunEvent, RunId, Seq, Step, StreamId, SyncClass};
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
    /// Whether something in it is about an instance.
    pub(crate) of_instances: bool,
    bytes: usize,
}

/// A turn ends at this size, so that one write stays short.
const FULL_BYTES: usize = 8 << 20;

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
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
        let vital = matches!(fact, Fact::Run(_, recorded) if is_vital(&recorded.event));
        let (payload, class) = match fact {
            Fact::Run(run, recorded) => {
                if self.touched.last() != Some(run) {
                    self.touched.push(*run);
                }
                if let RunEvent::BlobStored(blob) = &recorded.event {
                    self.blobs.push((*run, blob.sha256.clone(), blob.bytes.clone()));
                }
                (recorded.event.encode(recorded.at), recorded.event.sync_class())
            }
            Fact::Instance(_, recorded) => {
                self.of_instances = true;
                (recorded.event.encode(recorded.at), recorded.event.sync_class())
            }
        };
        match class {
            SyncClass::Ack => self.needs_sync = true,
            SyncClass::Note => self.noteworthy = true,
            SyncClass::Tick => {}
        }
        self.bytes += payload.len();
        let stream = fact.stream();
        let known = self.appends.iter().rposition(|append| append.stream == stream);
        let place = known.unwrap_or_else(|| {
            self.appends.push(Append { stream, expected: Seq(fact.seq().0 - 1), payloads: vec![], class: Class::Ordinary });
            self.appends.len() - 1
        });
        let append = &mut self.appends[place];
        append.payloads.push(payload);
        // What comes with an acknowledgement or an ending must get through with it.
        append.class = append.class.max(if vital { Class::MayUseReserve } else { spendable(class) });
    }

    pub(crate) fn sync(&self) -> Sync {
        if self.needs_sync { Sync::Now } else { Sync::Lazy }
    }

    pub(crate) fn appends(&self) -> Vec<Append> {
        self.appends.clone()
    }

    /// The streams that it has facts for.
    pub(crate) fn streams(&self) -> BTreeSet<StreamId> {
        self.appends.iter().map(|append| append.stream.clone()).collect()
    }

    /// Takes out everything that rests on one stream: its log did not take the facts.
    pub(crate) fn without(&mut self, stream: &StreamId) -> Self {
        let is_run = |run: RunId| *stream == StreamId::Run(run);
        Self {
            appends: self.appends.extract_if(.., |append| append.stream == *stream).collect(),
            touched: self.touched.extract_if(.., |run| is_run(*run)).collect(),
            commands: self.commands.extract_if(.., |command| is_run(command.run)).collect(),
            replies: self.replies.extract_if(.., |(_, granted)| granted.run.is_some_and(is_run)).collect(),
            blobs: self.blobs.extract_if(.., |(run, ..)| is_run(*run)).collect(),
            ..Self::default()
        }
    }
}

/// What is acknowledged goes beyond a log's limit.
fn spendable(class: SyncClass) -> Class {
    match class {
        SyncClass::Ack => Class::Acknowledged,
        SyncClass::Note | SyncClass::Tick => Class::Ordinary,
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use comfyd_engine::{Completed, NodesProgressed, OutputSaved, Recorded, SavedFile, Timestamp};

    use super::*;
    use crate::store::{AppendError, FileStore, Options, SimDisk};

    fn run() -> RunId {
        "0193a1b2-0000-7000-8000-000000000001".parse().expect("a good id")
    }

    fn progressed() -> RunEvent {
        NodesProgressed { nodes: vec![] }.into()
    }

    fn saved() -> RunEvent {
        let sha256 = "0".repeat(64).parse().expect("a hash");
        let file = SavedFile { name: "1-a.png".into(), size: 1, sha256, media_type: None, copied_to: None, copy_problem: None };
        OutputSaved { n: 1, file }.into()
    }

    /// The one append that these events make, behind the record `after`.
    fn append(after: u64, events: Vec<RunEvent>) -> Append {
        let mut batch = Batch::new();
        for (seq, event) in (after + 1..).zip(events) {
            batch.add_fact(&Fact::Run(run(), Recorded { seq: Seq(seq), at: Timestamp(1), event }));
        }
        batch.appends().pop().expect("one stream, one append")
    }

    #[test]
    fn a_fact_may_spend_what_its_promise_is_worth() {
        let check = |events: Vec<RunEvent>, class| assert_eq!(append(0, events.clone()).class, class, "{events:?}");
        check(vec![progressed()], Class::Ordinary);
        check(vec![saved()], Class::Acknowledged);
        check(vec![Completed {}.into()], Class::MayUseReserve);
        check(vec![progressed(), saved(), progressed()], Class::Acknowledged);
        check(vec![saved(), Completed {}.into(), saved()], Class::MayUseReserve);
    }

    #[tokio::test]
    async fn a_log_at_its_limit_takes_outputs_and_the_ending_and_no_progress() {
        let options = Options { max_log: 60, ..Options::default() };
        let disk = Arc::new(SimDisk::new(1));
        let (store, _) = FileStore::inline(Path::new("/data"), disk, options).expect("opens");
        store.append_all(vec![append(0, vec![saved()])], Sync::Now).await.expect("stored");
        let full = store.append_all(vec![append(1, vec![progressed()])], Sync::Lazy).await;
        assert!(matches!(full, Err(AppendError::LogFull { .. })), "{full:?}");
        store.append_all(vec![append(1, vec![saved()])], Sync::Now).await.expect("an output is told");
        store.append_all(vec![append(2, vec![Completed {}.into()])], Sync::Now).await.expect("an ending is told");
        assert_eq!(store.read(&StreamId::Run(run()), Seq(0)).await.expect("readable").records.len(), 3);
    }
}
