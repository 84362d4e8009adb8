//! What was last told of all runs, kept once for all who watch the list.
//!
//! Invariants: changes are numbered; only the newest of each run is kept, and so many of them; who has seen a number that is not older than what was
//! dropped misses nothing by getting the changes after it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use comfyd_engine::RunId;
use serde_json::json;

use super::sse;
use crate::live::Summary;

/// How many changed runs are remembered.
const KEPT: usize = 4096;

/// A change of the list.
pub(super) enum Noted {
    /// A run is as told here.
    Run(Box<Summary>),
    /// A run is gone.
    Deleted(RunId),
}

/// See the module.
pub(super) struct Board {
    /// Tells the numbers of one server's life from those of another.
    boot: String,
    newest: u64,
    /// The newest change that is no longer known.
    forgotten: u64,
    changes: BTreeMap<u64, Kept>,
    of: BTreeMap<RunId, u64>,
    list: Option<(u64, Bytes)>,
}

struct Kept {
    run: RunId,
    change: Noted,
    event: Option<Bytes>,
}

/// What a reader at some number gets next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This event, and the number it is at then.
    Event(Bytes, u64),
    /// It has missed too much.
    Behind,
    /// Nothing yet.
    UpToDate,
}

impl Board {
    /// An empty one; `boot` is a word that no other life of the server uses.
    pub(super) fn new(boot: String) -> Self {
        Self { boot, newest: 0, forgotten: 0, changes: BTreeMap::new(), of: BTreeMap::new(), list: None }
    }

    /// The number of the newest change.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Notes a change; its number.
    pub(super) fn tell(&mut self, change: Noted) -> u64 {
        let run = match &change {
            Noted::Run(summary) => summary.run_id,
            Noted::Deleted(run) => *run,
        };
        self.newest += 1;
        if let Some(older) = self.of.insert(run, self.newest) {
            self.changes.remove(&older);
        }
        self.changes.insert(self.newest, Kept { run, change, event: None });
        if self.changes.len() > KEPT
            && let Some((number, noted)) = self.changes.pop_first()
        {
            self.of.remove(&noted.run);
            self.forgotten = number;
        }
        self.newest
    }

    /// Changes were missed: nobody can be told them.
    pub(super) fn forget(&mut self) -> u64 {
        self.newest += 1;
        self.forgotten = self.newest;
        self.changes.clear();
        self.of.clear();
        self.newest
    }

    /// What comes after a number.
    pub(super) fn after(&mut self, number: u64) -> Next {
        if number < self.forgotten {
            return Next::Behind;
        }
        let Some((number, noted)) = self.changes.range_mut((Bound::Excluded(number), Bound::Unbounded)).next() else {
            return Next::UpToDate;
        };
        let id = || format!("{}:{number}", self.boot);
        let event = noted.event.get_or_insert_with(|| match &noted.change {
            Noted::Run(summary) => sse::event("run", Some(&id()), &json!(summary).to_string()),
            Noted::Deleted(run) => sse::event("deleted", Some(&id()), &json!({ "run_id": run }).to_string()),
        });
        Next::Event(event.clone(), *number)
    }

    /// The list as an event; the text serves all who come before the next change.
    pub(super) fn list(&mut self, data: impl FnOnce() -> String) -> (Bytes, u64) {
        if let Some((number, list)) = self.list.as_ref().filter(|(number, _)| *number == self.newest) {
            return (list.clone(), *number);
        }
        let list = sse::first("list", &format!("{}:{}", self.boot, self.newest), &data());
        self.list = Some((self.newest, list.clone()));
        (list, self.newest)
    }

    /// The number in an id of ours, if all that came after it is known.
    pub(super) fn place_of(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&self.boot)?.strip_prefix(':')?.parse().ok()?;
        (self.forgotten..=self.newest).contains(&number).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: usize) -> RunId {
        format!("00000000-0000-7000-8000-{n:012}").parse().expect("a UUID")
    }

    fn rest(board: &mut Board, mut at: u64) -> Vec<String> {
        let mut told = Vec::new();
        while let Next::Event(event, number) = board.after(at) {
            told.push(String::from_utf8(event.to_vec()).expect("text"));
            at = number;
        }
        told
    }

    #[test]
    fn a_reader_gets_what_changed_since_and_of_each_run_the_newest() {
        let mut board = Board::new("b".to_owned());
        let numbers = [1, 2, 1, 3].map(|n| board.tell(Noted::Deleted(run(n))));
        assert_eq!(numbers, [1, 2, 3, 4]);
        let told = rest(&mut board, 0);
        assert_eq!(told.len(), 3, "run 1 once: {told:?}");
        assert!(told[0].starts_with("event: deleted\nid: b:2\n") && told[2].contains("id: b:4\n"));
        assert_eq!(board.place_of("b:3"), Some(3));
        assert_eq!(rest(&mut board, 3).len(), 1);
        for unknown in ["b:5", "c:3", "3", "b:", "b:x", ""] {
            assert_eq!(board.place_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn who_is_too_far_behind_is_told_so() {
        let mut board = Board::new("b".to_owned());
        for n in 0..=KEPT {
            board.tell(Noted::Deleted(run(n)));
        }
        assert_eq!((board.after(0), board.place_of("b:0")), (Next::Behind, None));
        assert_eq!(rest(&mut board, 1).len(), KEPT);
        let newest = board.forget();
        assert_eq!((board.after(newest - 1), board.after(newest)), (Next::Behind, Next::UpToDate));
        assert!(board.changes.is_empty() && board.of.is_empty());
    }

    #[test]
    fn the_list_is_written_once_for_all_until_something_changes() {
        let mut board = Board::new("b".to_owned());
        let first = board.list(|| "[]".to_owned());
        assert_eq!(board.list(|| unreachable!("nothing has changed")), first);
        board.tell(Noted::Deleted(run(1)));
        assert_eq!(board.list(|| "[1]".to_owned()).1, 1);
    }
}
