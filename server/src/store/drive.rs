//! Who runs the journal and the scribe: two threads, or the caller.
//!
//! Invariants: one order of jobs; who writes holds the journal's lock; the queues are bounded; the lock of the data directory is held until both have ended.
//! Absent: any difference in what is done.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use comfyd_engine::StreamId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::disk::LockGuard;
use super::health::{Health, Shared, Wanted};
use super::journal::{Ask, Carried, Job, Journal, Work};
use super::scribe::Scribe;
use super::types::{Append, AppendError, OpenError, Sync};

/// Pieces of work between journal and scribe: a few batches, so that the journal is slowed rather than memory filled.
const SCRIBE_QUEUE: usize = 64;

/// The store is shut down.
#[derive(Debug)]
pub(crate) struct Stopped;

/// The two writers and what runs them.
#[derive(Debug)]
pub(crate) enum Drive {
    /// Each on a thread of its own.
    Threads(Threads),
    /// Both on the caller's.
    Inline(Box<Mutex<(Journal, Scribe)>>),
}

/// How many bytes of records share a sync, about: beyond that a write takes longer than the sync that it saves.
const GATHER_BYTES: usize = 1 << 20;

/// How long the scribe holds work back: a snapshot is to be written within 100 ms of an ending.
const HOLD: Duration = Duration::from_millis(25);
/// How much it holds at most.
const HOLD_BYTES: usize = 1 << 20;

type Ticket = (Job, Option<OwnedSemaphorePermit>);

/// Two running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    desk: Arc<Mutex<Desk>>,
    jobs: Mutex<Option<Sender<Ticket>>>,
    room: Arc<Semaphore>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Drive {
    pub(crate) fn inline(journal: Journal, scribe: Scribe) -> Self {
        Self::Inline(Box::new(Mutex::new((journal, scribe))))
    }

    pub(crate) fn threads(
        shared: &Arc<Shared>,
        lock: &Arc<dyn LockGuard>,
        journal: Journal,
        scribe: Scribe,
    ) -> Result<Self, OpenError> {
        let (jobs, waiting) = channel();
        let (work, todo) = sync_channel(SCRIBE_QUEUE);
        let tick = shared.options.tick;
        let alarm = |who| Alarm { who, shared: shared.clone(), _lock: lock.clone() };
        let (journal_alarm, scribe_alarm) = (alarm("journal"), alarm("scribe"));
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let scribe = spawn("comfyd-scribe").spawn(move || {
            let _alarm = scribe_alarm;
            write(scribe, &todo, tick);
        });
        let scribe = scribe.map_err(OpenError::Thread)?;
        let pass = Some(Pass { work, scribe: scribe.thread().clone() });
        let desk = Arc::new(Mutex::new(Desk { journal, pass }));
        let front = Arc::clone(&desk);
        let journal = spawn("comfyd-journal").spawn(move || {
            let _alarm = journal_alarm;
            record(&front, &waiting, tick);
        });
        Ok(Self::Threads(Threads {
            desk,
            jobs: Mutex::new(Some(jobs)),
            room: Arc::new(Semaphore::new(shared.options.queue)),
            running: Mutex::new(vec![scribe, journal.map_err(OpenError::Thread)?]),
        }))
    }

    /// Hands a job over, waiting for room in the queue.
    pub(crate) async fn submit(&self, job: Job) -> Result<(), Stopped> {
        match self {
            Self::Threads(threads) => {
                let permit = threads.room.clone().acquire_owned().await.map_err(|_| Stopped)?;
                threads.send((job, Some(permit)))
            }
            Self::Inline(parts) => {
                step(parts, job);
                Ok(())
            }
        }
    }

    /// Appends on the caller's thread, which waits for the disk: a caller that does nothing else meanwhile is spared the
    /// way to another thread and back.
    pub(crate) fn append_here(&self, batch: Vec<Append>, sync: Sync) -> Result<(), AppendError> {
        match self {
            Self::Threads(threads) => {
                // A journal that panicked has no known end any more.
                let mut desk = threads.desk.lock().map_err(|_| AppendError::Stopped)?;
                let Desk { journal, pass } = &mut *desk;
                let pass = pass.as_ref().ok_or(AppendError::Stopped)?;
                journal.append(batch, sync, &mut |piece| pass.on(piece))
            }
            Self::Inline(parts) => {
                let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
                let (journal, scribe) = &mut *parts;
                journal.append(batch, sync, &mut |work| scribe.handle(work))
            }
        }
    }

    /// Hands a job over that needs no room: at most one of the kind is under way.
    pub(crate) fn nudge(&self, job: Job) -> Result<(), Stopped> {
        match self {
            Self::Threads(threads) => threads.send((job, None)),
            Self::Inline(parts) => {
                step(parts, job);
                Ok(())
            }
        }
    }

    /// Lets the threads end; what they still have to do they do.
    pub(crate) fn close(&self) -> Vec<JoinHandle<()>> {
        match self {
            Self::Threads(threads) => {
                threads.room.close();
                drop(threads.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
                std::mem::take(&mut *threads.running.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Self::Inline(_) => Vec::new(),
        }
    }
}

impl Threads {
    fn send(&self, ticket: Ticket) -> Result<(), Stopped> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().ok_or(Stopped)?.send(ticket).map_err(|_| Stopped)
    }
}

fn step(parts: &Mutex<(Journal, Scribe)>, job: Job) {
    let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
    let (journal, scribe) = &mut *parts;
    journal.handle(job, &mut |work| scribe.handle(work));
}

/// The journal and its way to the scribe: whoever holds the desk writes.
#[derive(Debug)]
struct Desk {
    journal: Journal,
    /// None after the end.
    pass: Option<Pass>,
}

impl Desk {
    fn handle(&mut self, job: Job) {
        let Self { journal, pass } = self;
        // After the end nothing is passed on: the next start completes the logs of the streams.
        journal.handle(job, &mut |piece| {
            if let Some(pass) = pass {
                pass.on(piece);
            }
        });
    }
}

/// The way to the scribe.
#[derive(Debug)]
struct Pass {
    work: SyncSender<Work>,
    scribe: Thread,
}

impl Pass {
    /// Work that somebody waits for wakes the scribe; the rest it gathers by itself.
    fn on(&self, piece: Work) {
        let urgent = match piece {
            Work::End { .. } | Work::Flush { .. } | Work::Remove { .. } => true,
            Work::Records(_) | Work::Snapshots(_) | Work::Rotated(_) | Work::Tick => false,
        };
        match self.work.try_send(piece) {
            Ok(()) if urgent => self.scribe.unpark(),
            // A scribe that is gone has set the store read-only; its share is written when the store opens again.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(piece)) => {
                self.scribe.unpark();
                // It ends only after its sender.
                drop(self.work.send(piece));
            }
        }
    }
}

/// The journal's thread: everything but what is appended by who waits for it.
fn record(desk: &Mutex<Desk>, jobs: &Receiver<Ticket>, tick: Duration) {
    let take = || desk.lock().expect("whoever panicked with the journal in hand left it without a known end");
    let mut last = Instant::now();
    loop {
        match jobs.recv_timeout(tick.saturating_sub(last.elapsed())) {
            Ok(first) => {
                let mut next = Some(first);
                while let Some(ticket) = next {
                    let (job, _permits, after) = gather(ticket, jobs.try_iter());
                    take().handle(job);
                    next = after;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let mut desk = take();
                desk.handle(Job::Tick);
                desk.pass = None;
                return;
            }
        }
        if last.elapsed() >= tick {
            last = Instant::now();
            take().handle(Job::Tick);
        }
    }
}

/// One job of all appends that wait; and the ticket after them, if it was taken.
fn gather(first: Ticket, waiting: impl Iterator<Item = Ticket>) -> (Job, Vec<Option<OwnedSemaphorePermit>>, Option<Ticket>) {
    let (job, permit) = first;
    let mut permits = vec![permit];
    let Job::Append(mut asks) = job else { return (job, permits, None) };
    let bytes = |asks: &[Ask]| {
        let appends = asks.iter().flat_map(|ask| &ask.wish.0);
        appends.flat_map(|append| &append.payloads).map(Vec::len).sum::<usize>()
    };
    let mut gathered = bytes(&asks);
    for (job, permit) in waiting {
        let Job::Append(more) = job else { return (Job::Append(asks), permits, Some((job, permit))) };
        gathered += bytes(&more);
        asks.extend(more);
        permits.push(permit);
        if gathered >= GATHER_BYTES {
            break;
        }
    }
    (Job::Append(asks), permits, None)
}

/// The scribe's thread.
fn write(mut scribe: Scribe, work: &Receiver<Work>, tick: Duration) {
    let mut last = Instant::now();
    let mut held = Held::default();
    loop {
        match work.recv_timeout(tick.saturating_sub(last.elapsed())) {
            Ok(piece) => held.take(piece, &mut scribe),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return scribe.handle(Work::Tick),
        }
        // While it gathers it does not wait at the queue, so that its sender has nobody to wake.
        while let Some(wait) = held.wait() {
            std::thread::park_timeout(wait);
            for piece in work.try_iter() {
                held.take(piece, &mut scribe);
            }
            held.release_when_due(&mut scribe);
        }
        if last.elapsed() >= tick {
            last = Instant::now();
            held.release(&mut scribe);
            scribe.handle(Work::Tick);
        }
    }
}

/// Work that is held back for a moment: a run of a few milliseconds then costs one write to its log and one snapshot.
#[derive(Default)]
struct Held {
    records: Vec<Carried>,
    bytes: usize,
    snapshots: BTreeMap<StreamId, Wanted>,
    since: Option<Instant>,
}

impl Held {
    /// How long it may still be held.
    fn wait(&self) -> Option<Duration> {
        self.since.map(|since| HOLD.saturating_sub(since.elapsed()))
    }

    fn take(&mut self, piece: Work, scribe: &mut Scribe) {
        match piece {
            Work::Records(records) => {
                self.bytes += records.iter().map(|record| record.payload.len()).sum::<usize>();
                self.records.extend(records);
                self.since.get_or_insert_with(Instant::now);
            }
            Work::Snapshots(snapshots) => {
                self.snapshots.extend(snapshots);
                self.since.get_or_insert_with(Instant::now);
            }
            // Everything else is about what came before it.
            other @ (Work::Rotated(_) | Work::End { .. } | Work::Flush { .. } | Work::Remove { .. } | Work::Tick) => {
                self.release(scribe);
                scribe.handle(other);
            }
        }
        if self.bytes > HOLD_BYTES {
            self.release(scribe);
        }
        self.release_when_due(scribe);
    }

    fn release_when_due(&mut self, scribe: &mut Scribe) {
        if self.wait().is_some_and(|wait| wait.is_zero()) {
            self.release(scribe);
        }
    }

    fn release(&mut self, scribe: &mut Scribe) {
        let Self { records, snapshots, .. } = std::mem::take(self);
        if !records.is_empty() {
            scribe.handle(Work::Records(records));
        }
        if !snapshots.is_empty() {
            scribe.handle(Work::Snapshots(snapshots));
        }
    }
}

/// Makes the store read-only if its thread panics.
struct Alarm {
    who: &'static str,
    shared: Arc<Shared>,
    _lock: Arc<dyn LockGuard>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.set_health(Health::ReadOnly { why: format!("the {} thread panicked", self.who) });
        }
    }
}
