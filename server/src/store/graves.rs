//! Removed runs: what is left of them, and how long their marks are needed.
//!
//! A run is removed by one durable step, an empty file named for it in `removed/`. From then on nothing else of it counts: not its
//! directory, which goes in the background, and not the records that the journal still holds.
//!
//! Invariants: a mark goes only when neither is left, durably, so that no start can bring the run back. Absent: whether a run may be removed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use comfyd_engine::{RunId, StreamId};

use super::disk::Disk;
use super::health::Shared;
use super::layout::Layout;

/// How many directories go in one piece of work.
const PIECE: usize = 64;

/// The removed runs whose marks are still there.
#[derive(Debug, Default)]
pub(crate) struct Graves(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    graves: BTreeMap<RunId, Grave>,
    /// How many of the journal's files have gone since the start.
    collected: u64,
}

#[derive(Clone, Copy, Debug)]
struct Grave {
    /// How many of the journal's files must have gone, so that none holds a record of the run; none if that is not known.
    needs: Option<u64>,
    /// Whether its directory is gone durably.
    emptied: bool,
}

/// Why runs could not be removed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nothing of it is left: they stay.
    AsBefore(io::Error),
    /// Their marks could not be taken back either: the next start finds them or not.
    Unknown(io::Error),
}

impl Graves {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every statement leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows the marks that an opening found. Their runs may be in the journal until it has been renewed.
    pub(crate) fn found(&self, disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
        let names = disk.list(&layout.removed())?;
        let runs = names.iter().filter_map(|name| name.parse::<RunId>().ok());
        self.inner().graves.extend(runs.map(|run| (run, Grave { needs: None, emptied: false })));
        Ok(())
    }

    /// Notes that the journal which was there at the start is gone.
    pub(crate) fn journal_renewed(&self) {
        self.inner().graves.values_mut().for_each(|grave| grave.needs = Some(0));
    }

    /// Notes that so many of the journal's files have gone since the start.
    pub(crate) fn journal_collected(&self, files: u64) {
        self.inner().collected = files;
    }

    /// Marks runs as removed, durably, all of them or none.
    pub(crate) fn dig(&self, disk: &dyn Disk, layout: &Layout, runs: &[RunId], needs: u64) -> Result<(), Refused> {
        let mark = |run: &RunId| match disk.create_new(&layout.mark(*run)) {
            // Asked for twice.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map(drop),
        };
        let marked = runs.iter().try_for_each(mark).and_then(|()| disk.sync_dir(&layout.removed()));
        if let Err(error) = marked {
            let unmark = |run: &&RunId| match disk.remove(&layout.mark(**run)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            };
            let fresh = runs.iter().filter(|run| !self.holds(**run));
            // A mark that may still reach the disk takes its run with the next start.
            let unmarked =
                fresh.map(|run| unmark(&run)).fold(Ok(()), io::Result::and).and_then(|()| disk.sync_dir(&layout.removed()));
            return Err(match unmarked {
                Ok(()) => Refused::AsBefore(error),
                Err(_) => Refused::Unknown(error),
            });
        }
        self.inner().graves.extend(runs.iter().map(|run| (*run, Grave { needs: Some(needs), emptied: false })));
        Ok(())
    }

    /// Whether a run was removed.
    pub(crate) fn holds(&self, run: RunId) -> bool {
        self.inner().graves.contains_key(&run)
    }

    /// Whether a stream is that of a removed run.
    pub(crate) fn hold(&self, stream: &StreamId) -> bool {
        matches!(stream, StreamId::Run(run) if self.holds(*run))
    }

    /// How many marks wait for the journal to move on.
    pub(crate) fn waiting(&self) -> usize {
        let inner = self.inner();
        inner.graves.values().filter(|grave| grave.emptied && grave.needs.is_some_and(|needs| needs > inner.collected)).count()
    }

    fn first(&self, wanted: impl Fn(&Inner, &Grave) -> bool) -> Vec<RunId> {
        let inner = self.inner();
        inner.graves.iter().filter(|(_, grave)| wanted(&inner, grave)).map(|(run, _)| *run).take(PIECE).collect()
    }

    /// Removes a piece of what is left; tells whether there is more to do at once.
    pub(crate) fn clear(shared: &Shared) -> io::Result<bool> {
        let Shared { disk, layout, graves, .. } = shared;
        let full = graves.first(|_, grave| !grave.emptied);
        for run in &full {
            disk.remove_tree(&layout.stream_dir(&StreamId::Run(*run)))?;
        }
        if !full.is_empty() {
            disk.sync_dir(&layout.runs())?;
            let mut inner = graves.inner();
            full.iter().filter_map(|run| inner.graves.get_mut(run).map(|grave| grave.emptied = true)).for_each(drop);
        }
        let done = graves.first(|inner, grave| grave.emptied && grave.needs.is_some_and(|needs| needs <= inner.collected));
        for run in &done {
            match disk.remove(&layout.mark(*run)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            graves.inner().graves.remove(run);
        }
        Ok(full.len() == PIECE || done.len() == PIECE)
    }
}
