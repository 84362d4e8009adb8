//! What one turn of the core loop collects before it writes.

use std::collections::BTreeSet;

use comfyd_engine::journal::envelope::Body;
use comfyd_engine::{Addressed, Fact, Recorded, RunEvent, RunId, Seq, Sha256, Step, StreamId, SyncClass};
use tokio::sync::oneshot;

use super::message::{AskError, Granted};
use crate::store::{Append, Class, Sync};

/// An answer that goes out once what it rests on is stored.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: oneshot::Sender<Result<Granted, AskError>>,
    pub(crate) granted: Granted,
    /// The logs without which it is not true.
    pub(crate) rests_on: BTreeSet<StreamId>,
    /// Whether it promises that they last: an instance that a run makes known may live in memory only.
    pub(crate) lasting: bool,
}

/// Facts, commands and replies of one turn.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    facts: Vec<Fact>,
    /// The facts as the store takes them.
    appends: Vec<Append>,
    /// The runs that changed.
    pub(crate) touched: Vec<RunId>,
    pub(crate) commands: Vec<Addressed>,
    pub(crate) replies: Vec<Reply>,
    /// Logs that take their facts together or not at all.
    together: Vec<BTreeSet<StreamId>>,
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
        self.facts.is_empty() && self.replies.is_empty() && self.commands.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
    }

    pub(crate) fn add(&mut self, step: Step) {
        for fact in step.facts {
            self.add_fact(fact);
        }
        // A command is an effect: its cause must be on disk.
        self.needs_sync |= !step.commands.is_empty();
        self.commands.extend(step.commands);
    }

    fn add_fact(&mut self, fact: Fact) {
        match sync_class(&fact) {
            SyncClass::Ack => self.needs_sync = true,
            SyncClass::Note => self.noteworthy = true,
            SyncClass::Tick => {}
        }
        match &fact {
            Fact::Run(run, _) if self.touched.last() != Some(run) => self.touched.push(*run),
            Fact::Run(..) => {}
            Fact::Instance(..) => self.of_instances = true,
        }
        self.bytes += put(&mut self.appends, &fact);
        self.facts.push(fact);
    }

    /// From here on these logs take their facts together or not at all.
    pub(crate) fn bind(&mut self, streams: BTreeSet<StreamId>) {
        self.together.push(streams);
    }

    /// What one wish changes of several instances is changed together or not at all, and its answer rests on all of it.
    pub(crate) fn bind_instances(&mut self, step: &Step, rests_on: BTreeSet<StreamId>) -> BTreeSet<StreamId> {
        let is_instance = |stream: &StreamId| matches!(stream, StreamId::Instance(_));
        if !rests_on.iter().any(is_instance) {
            return rests_on;
        }
        let changed = step.facts.iter().map(Fact::stream).filter(is_instance);
        let all: BTreeSet<StreamId> = rests_on.into_iter().chain(changed).collect();
        if all.len() > 1 {
            self.bind(all.clone());
        }
        all
    }

    pub(crate) fn sync(&self) -> Sync {
        if self.needs_sync { Sync::Now } else { Sync::Lazy }
    }

    /// Hands the facts to the store, once: [`without`](Self::without) makes them again.
    pub(crate) fn take_appends(&mut self) -> Vec<Append> {
        std::mem::take(&mut self.appends)
    }

    /// Bytes that travel in the log and that adapters will ask for.
    pub(crate) fn take_blobs(&mut self) -> Vec<(RunId, Sha256, Vec<u8>)> {
        let blob = |fact| match fact {
            Fact::Run(run, Recorded { event: RunEvent::BlobStored(blob), .. }) => Some((run, blob.sha256, blob.bytes)),
            Fact::Run(..) | Fact::Instance(..) => None,
        };
        std::mem::take(&mut self.facts).into_iter().filter_map(blob).collect()
    }

    /// The streams that it has facts for.
    pub(crate) fn streams(&self) -> BTreeSet<StreamId> {
        self.facts.iter().map(Fact::stream).collect()
    }

    /// Takes out everything that rests on one stream: its log did not take the facts. The others can be handed over again.
    pub(crate) fn without(&mut self, stream: &StreamId) -> Self {
        let mut gone = BTreeSet::from([stream.clone()]);
        for bound in &self.together {
            if !bound.is_disjoint(&gone) {
                gone.extend(bound.iter().cloned());
            }
        }
        let is_gone = |run: RunId| gone.contains(&StreamId::Run(run));
        let refused = Self {
            facts: self.facts.extract_if(.., |fact| gone.contains(&fact.stream())).collect(),
            touched: self.touched.extract_if(.., |run| is_gone(*run)).collect(),
            commands: self.commands.extract_if(.., |command| is_gone(command.run)).collect(),
            replies: self.replies.extract_if(.., |reply| !reply.rests_on.is_disjoint(&gone)).collect(),
            ..Self::default()
        };
        self.appends.clear();
        for fact in &self.facts {
            put(&mut self.appends, fact);
        }
        refused
    }
}

fn sync_class(fact: &Fact) -> SyncClass {
    match fact {
        Fact::Run(_, recorded) => recorded.event.sync_class(),
        Fact::Instance(_, recorded) => recorded.event.sync_class(),
    }
}

/// Adds a fact to the appends, and tells its length.
fn put(appends: &mut Vec<Append>, fact: &Fact) -> usize {
    let payload = match fact {
        Fact::Run(_, recorded) => recorded.event.encode(recorded.at),
        Fact::Instance(_, recorded) => recorded.event.encode(recorded.at),
    };
    let bytes = payload.len();
    let is_for = |append: &Append| match (&append.stream, fact) {
        (StreamId::Run(run), Fact::Run(id, _)) => run == id,
        (StreamId::Instance(instance), Fact::Instance(id, _)) => instance == id,
        (StreamId::Run(_), Fact::Instance(..)) | (StreamId::Instance(_), Fact::Run(..)) | (StreamId::Setup(_), _) => false,
    };
    let known = appends.iter().rposition(is_for);
    let place = known.unwrap_or_else(|| {
        let (stream, expected) = (fact.stream(), Seq(fact.seq().0 - 1));
        appends.push(Append { stream, expected, payloads: vec![], class: Class::Ordinary });
        appends.len() - 1
    });
    appends[place].payloads.push(payload);
    // What comes with an acknowledgement or an ending must get through with it.
    appends[place].class = appends[place].class.max(spendable(fact));
    bytes
}

/// What a fact may spend: what is acknowledged goes beyond a log's limit, and so does what a run has to show; endings may take the reserve.
fn spendable(fact: &Fact) -> Class {
    match (fact, sync_class(fact)) {
        (Fact::Run(_, recorded), _) if is_vital(&recorded.event) => Class::MayUseReserve,
        (Fact::Run(_, Recorded { event: RunEvent::OutputsFound(_), .. }), _) | (_, SyncClass::Ack) => Class::Acknowledged,
        (_, SyncClass::Note | SyncClass::Tick) => Class::Ordinary,
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

    use comfyd_engine::{
        Completed, InstanceId, InstanceRemoved, NodesProgressed, OutputSaved, OutputsFound, SavedFile, Timestamp,
    };

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
            batch.add_fact(Fact::Run(run(), Recorded { seq: Seq(seq), at: Timestamp(1), event }));
        }
        batch.take_appends().pop().expect("one stream, one append")
    }

    #[test]
    fn a_fact_may_spend_what_its_promise_is_worth() {
        let check = |events: Vec<RunEvent>, class| assert_eq!(append(0, events.clone()).class, class, "{events:?}");
        check(vec![progressed()], Class::Ordinary);
        check(vec![saved()], Class::Acknowledged);
        check(vec![OutputsFound { outputs: vec![] }.into()], Class::Acknowledged);
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
    #[test]
    fn what_a_wish_changes_of_two_instances_is_changed_together_or_not_at_all() {
        let [a, b, c] = ["a", "b", "c"].map(|name| name.parse::<InstanceId>().expect("a name"));
        let stream = |id: &InstanceId| StreamId::Instance(id.clone());
        let removed = |id: &InstanceId| {
            Fact::Instance(id.clone(), Recorded { seq: Seq(1), at: Timestamp(1), event: InstanceRemoved {}.into() })
        };
        let mut batch = Batch::new();
        for (asked, changed) in [(&a, vec![removed(&a), removed(&b)]), (&c, vec![removed(&c)])] {
            let step = Step { facts: changed, commands: vec![] };
            let rests_on = batch.bind_instances(&step, BTreeSet::from([stream(asked)]));
            batch.add(step);
            let granted = Granted { run: None, seq: Seq(0) };
            batch.replies.push(Reply { to: oneshot::channel().0, granted, rests_on, lasting: true });
        }
        let refused = batch.without(&stream(&b));
        assert_eq!((refused.facts.len(), refused.replies.len()), (2, 1), "who asked for `a` rests on `b`");
        assert_eq!((batch.streams(), batch.replies.len()), (BTreeSet::from([stream(&c)]), 1));
    }
}
