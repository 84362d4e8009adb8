//! Places in logs that were folded to before, so that another look at a long run need not begin at its first event.
//!
//! Invariants: a place is used only for a log that begins with exactly the records that led to it, so a log that was cut and written on is folded anew;
//! what is kept is bounded. Absent: what is made of a fold; see [`super::Replay`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use comfyd_engine::{RunId, RunView, Seq};

use super::replay::{Replay, Step};
use crate::core::RecoverError;

/// How many runs are remembered.
const RUNS: usize = 4;
/// How many parts a log has, each with a place at its end.
const PARTS: u64 = 32;
/// A part is not shorter than this.
const SHORTEST: u64 = 1000;
/// How many places of a run are remembered: those of its parts, and ends of answers.
const PLACES: usize = 48;
/// A place takes memory for each node and output; one with more of them is not remembered.
const MOST: usize = 3000;
/// How many nodes and outputs all places of a run have together, about 1 KB each: where there are more of them, there are fewer places.
const BUDGET: usize = 12_000;

/// See the module; clones share what is kept.
#[derive(Clone, Default)]
pub(crate) struct Checkpoints(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    looks: u64,
    runs: BTreeMap<RunId, OfRun>,
}

#[derive(Default)]
struct OfRun {
    /// When it was looked at last.
    look: u64,
    places: BTreeMap<Seq, Arc<Place>>,
}

struct Place {
    /// Tells the records up to here from others.
    digest: u64,
    replay: Replay,
}

impl Checkpoints {
    /// The fold of a log from the last known place before an event, and how many of its records that place has behind it.
    pub(crate) fn fold(&self, run: RunId, records: &[(Seq, Vec<u8>)], before: Seq) -> (Fold, usize) {
        let last = records.last().map_or(0, |(seq, _)| seq.0);
        let part = last.div_ceil(PARTS).next_multiple_of(SHORTEST).max(SHORTEST);
        let known = self.known(run);
        let mut begin = None;
        let mut digest = Digest::default();
        if let Some((furthest, _)) = known.range(..before).next_back() {
            for (index, (seq, payload)) in records.iter().enumerate().take_while(|(_, (seq, _))| seq <= furthest) {
                digest.add(payload);
                if let Some(place) = known.get(seq).filter(|place| place.digest == digest.value()) {
                    begin = Some((place, digest.clone(), index + 1));
                }
            }
        }
        let (replay, digest, at) = match begin {
            Some((place, digest, at)) => (place.replay.clone(), digest, at),
            None => (Replay::new(run), Digest::default(), 0),
        };
        (Fold { run, replay, digest, part, seq: Seq(0), kept: self.clone() }, at)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every statement leaves the maps whole, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, run: RunId) -> BTreeMap<Seq, Arc<Place>> {
        let mut kept = self.kept();
        kept.looks += 1;
        let look = kept.looks;
        let Some(of) = kept.runs.get_mut(&run) else { return BTreeMap::new() };
        of.look = look;
        of.places.clone()
    }

    /// Keeps a place of so many nodes and outputs.
    fn keep(&self, run: RunId, seq: Seq, part: u64, size: usize, place: Place) {
        let size = size.max(1);
        let sparse = part * (PARTS * size as u64).div_ceil(BUDGET as u64).max(1);
        let mut kept = self.kept();
        kept.looks += 1;
        let look = kept.looks;
        let of = kept.runs.entry(run).or_default();
        of.look = look;
        of.places.insert(seq, Arc::new(place));
        if of.places.len() > PLACES.min(BUDGET / size) {
            of.places.retain(|at, _| at.0.is_multiple_of(sparse) || *at == seq);
        }
        if kept.runs.len() > RUNS {
            let oldest = kept.runs.iter().min_by_key(|(_, of)| of.look).map(|(run, _)| *run);
            oldest.map(|oldest| kept.runs.remove(&oldest));
        }
    }
}

/// A log on its way through its events, remembered at the ends of its parts.
pub(crate) struct Fold {
    run: RunId,
    replay: Replay,
    digest: Digest,
    part: u64,
    seq: Seq,
    kept: Checkpoints,
}

impl Fold {
    /// Folds the next record.
    pub(crate) fn take(&mut self, seq: Seq, payload: &[u8]) -> Result<Step, RecoverError> {
        let step = self.replay.take(seq, payload)?;
        self.digest.add(payload);
        self.seq = seq;
        if seq.0.is_multiple_of(self.part) {
            self.keep();
        }
        Ok(step)
    }

    /// The run as it is now; nothing before its first event.
    pub(crate) fn view(&self) -> Option<RunView> {
        self.replay.view()
    }

    /// Remembers this place: who asked for events up to here asks for those after it, as a rule.
    pub(crate) fn keep(&self) {
        let size = self.view().map(|view| view.nodes.len() + view.outputs.len());
        if let Some(size) = size.filter(|size| *size <= MOST) {
            let place = Place { digest: self.digest.value(), replay: self.replay.clone() };
            self.kept.keep(self.run, self.seq, self.part, size, place);
        }
    }
}

/// A digest of records, one after the other.
#[derive(Clone, Default)]
struct Digest(DefaultHasher);

impl Digest {
    fn add(&mut self, payload: &[u8]) {
        // With its length, so that what ends one record cannot be taken for what begins the next.
        self.0.write_usize(payload.len());
        self.0.write(payload);
    }

    fn value(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use comfyd_engine::testkit::{progressing, run_id};

    use super::*;

    /// Folds up to an event as an answer does; the run then, and how many records were folded for it.
    fn reach(places: &Checkpoints, records: &[(Seq, Vec<u8>)], to: u64) -> (RunView, usize) {
        let (mut fold, at) = places.fold(run_id(1), records, Seq(to));
        let rest = records[at..].iter().take_while(|(seq, _)| seq.0 <= to);
        let folded = rest.map(|(seq, payload)| fold.take(*seq, payload).expect("it follows")).count();
        (fold.view().expect("a run"), folded)
    }

    #[test]
    fn a_second_look_folds_a_part_at_most_and_shows_the_same() {
        let records = progressing(run_id(1), 7000, 1);
        let places = Checkpoints::default();
        let (_, folded) = reach(&places, &records, 6500);
        assert_eq!(folded, 6500, "nothing was known");
        for to in [1, 2, 999, 1000, 1001, 3500, 6000, 6001, 6999, 7000] {
            let fresh = reach(&Checkpoints::default(), &records, to).0;
            let (view, folded) = reach(&places, &records, to);
            assert_eq!((view.seq.0, &view), (to, &fresh), "event {to}");
            assert!(folded <= 1000, "{folded} records for event {to}");
        }
    }

    #[test]
    fn the_end_of_an_answer_is_where_the_next_begins() {
        let records = progressing(run_id(1), 2500, 1);
        let places = Checkpoints::default();
        let (mut fold, at) = places.fold(run_id(1), &records, Seq(1));
        for (seq, payload) in &records[at..1700] {
            fold.take(*seq, payload).expect("it follows");
        }
        fold.keep();
        assert_eq!(reach(&places, &records, 1701).1, 1);
        assert_eq!(reach(&places, &records, 1700).1, 700, "the place itself is no place before it");
    }

    #[test]
    fn a_log_that_was_cut_and_written_on_is_folded_anew() {
        let (was, is) = (progressing(run_id(1), 3000, 1), progressing(run_id(1), 3000, 2));
        let places = Checkpoints::default();
        reach(&places, &was, 3000);
        let fresh = reach(&Checkpoints::default(), &is, 2500).0;
        let (view, folded) = reach(&places, &is, 2500);
        assert_eq!((view, folded), (fresh, 2500));
        assert_eq!(reach(&places, &is, 2500).1, 500, "now it is known");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let records = progressing(run_id(1), 200, 1);
        let places = Checkpoints::default();
        for run in 1..=9 {
            let mut fold = places.fold(run_id(run), &[], Seq(1)).0;
            for (seq, payload) in &records {
                fold.take(*seq, payload).expect("it follows");
                fold.keep();
            }
        }
        let kept = places.kept();
        let runs: Vec<_> = kept.runs.keys().copied().collect();
        assert_eq!(runs, [6, 7, 8, 9].map(run_id), "those that were looked at last");
        assert!(kept.runs.values().all(|of| of.places.len() <= PLACES && of.places.contains_key(&Seq(200))));
    }

    #[test]
    fn large_runs_have_fewer_places() {
        let records = progressing(run_id(1), 40, 1);
        let places = Checkpoints::default();
        let (mut fold, _) = places.fold(run_id(1), &[], Seq(1));
        for (seq, payload) in &records {
            fold.take(*seq, payload).expect("it follows");
        }
        for seq in 1..=400 {
            let place = Place { digest: fold.digest.value(), replay: fold.replay.clone() };
            places.keep(run_id(1), Seq(seq * 100), 1000, MOST, place);
        }
        let kept = places.kept();
        let at: Vec<u64> = kept.runs[&run_id(1)].places.keys().map(|seq| seq.0).collect();
        assert_eq!(at, [8000, 16_000, 24_000, 32_000, 40_000], "four of its parts, and the last");
    }
}
