//! Which runs a list shows, and looking for them.
//!
//! Invariants: the newest first; a run that is there all the while is seen exactly once on the pages of one list; who writes waits for a
//! short piece of the search only.

use std::ops::Bound;

use comfyd_engine::{InstanceId, RunId, Status, Timestamp};

use super::entry::Row;
use super::{Live, Summary};

/// Which runs to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these statuses; empty for all.
    pub status: Vec<Status>,
    /// Only runs of this instance.
    pub instance: Option<InstanceId>,
    /// Only runs of exactly this name.
    pub name: Option<String>,
    /// Only runs whose name, ids, instance or error contain this, in capitals or not.
    pub text: Option<String>,
    /// Only runs of this batch.
    pub batch: Option<String>,
    /// Only runs that were created at this time or later.
    pub created_after: Option<Timestamp>,
    /// Only runs that were created before this time.
    pub created_before: Option<Timestamp>,
    /// Only runs older than this one: where the page before ended.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: usize,
}

/// A part of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The runs.
    pub runs: Vec<Summary>,
    /// What to give as [`Filter::before`] for the next page, if there is one.
    pub next: Option<RunId>,
    /// How many there are on all pages, where that is known without looking: when nothing is filtered.
    pub total: Option<usize>,
}

/// How many runs are looked at before writers get their turn: a fraction of a millisecond.
const STRETCH: usize = 2048;

impl Live {
    /// Runs, the newest first.
    pub fn list(&self, filter: &Filter) -> Page {
        let wanted = Wanted::of(filter);
        let mut page = Page::default();
        let mut upper = filter.before.map_or(Bound::Unbounded, Bound::Excluded);
        loop {
            let inner = self.read();
            page.total = (!filter.narrows()).then_some(inner.list.len());
            let mut last = None;
            for (run, listed) in inner.list.range((Bound::Unbounded, upper)).rev().take(STRETCH) {
                last = Some(*run);
                if wanted.fits(&listed.row(*run)) {
                    if page.runs.len() == filter.limit {
                        // One more than asked for tells that there is another page.
                        page.next = page.runs.last().map(|summary| summary.run_id);
                        return page;
                    }
                    page.runs.push(listed.summary(*run));
                }
            }
            match last {
                Some(run) => upper = Bound::Excluded(run),
                None => return page,
            }
        }
    }
}

impl Live {
    /// The runs older than this one that have not ended, the newest first.
    pub(crate) fn open_before(&self, before: RunId, limit: usize) -> Vec<Summary> {
        let inner = self.read();
        let listed = inner.open.range(..before).rev().filter_map(|(run, _)| Some((*run, inner.list.get(run)?)));
        listed.map(|(run, listed)| listed.summary(run)).filter(|summary| !summary.status.is_settled()).take(limit).collect()
    }

    /// Looks at all runs, the newest first; writers get their turn in between.
    pub(crate) fn each(&self, mut look: impl FnMut(&Summary)) {
        let mut upper = Bound::Unbounded;
        loop {
            let inner = self.read();
            let mut last = None;
            for (run, listed) in inner.list.range((Bound::Unbounded, upper)).rev().take(STRETCH) {
                last = Some(*run);
                look(&listed.summary(*run));
            }
            match last {
                Some(run) => upper = Bound::Excluded(run),
                None => return,
            }
        }
    }
}

impl Filter {
    /// Whether it leaves runs out, apart from those of other pages.
    fn narrows(&self) -> bool {
        let Self { status, instance, name, text, batch, created_after, created_before, before: _, limit: _ } = self;
        !status.is_empty()
            || instance.is_some()
            || name.is_some()
            || text.as_ref().is_some_and(|text| !text.is_empty())
            || batch.is_some()
            || created_after.is_some()
            || created_before.is_some()
    }
}

/// A filter, made ready for many runs.
struct Wanted<'a> {
    filter: &'a Filter,
    text: Option<Needle>,
}

impl<'a> Wanted<'a> {
    fn of(filter: &'a Filter) -> Self {
        Self { filter, text: filter.text.as_deref().filter(|text| !text.is_empty()).map(Needle::new) }
    }

    fn fits(&self, run: &Row<'_>) -> bool {
        let filter = self.filter;
        (filter.status.is_empty() || filter.status.contains(&run.status))
            && filter.instance.as_ref().is_none_or(|instance| run.instance == instance.as_str())
            && filter.name.as_ref().is_none_or(|name| run.name == name)
            && filter.batch.as_ref().is_none_or(|batch| run.batch == Some(batch.as_str()))
            && filter.created_after.is_none_or(|at| run.created >= at)
            && filter.created_before.is_none_or(|at| run.created < at)
            && self.text.as_ref().is_none_or(|text| text.is_in(run))
    }
}

/// A text that is looked for, capitals or not, without a copy of what is looked at where that is ASCII.
struct Needle {
    /// In small letters.
    text: String,
    /// Whether all of it may stand in the id of a run.
    in_id: bool,
    /// Whether it may stand in a `workflow_id` and not in the id, whose end that one has too.
    in_workflow_id: bool,
}

impl Needle {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let in_id = text.bytes().all(|b| hex(b) || b == b'-');
        let plain = text.bytes().all(|b| hex(b) || b"comfyui_workflow_".contains(&b));
        // Of its beginning a text of such digits holds single letters alone, of its middle only decimal ones.
        let beyond_id = text.len() == 1 || text.bytes().all(|b| b.is_ascii_digit()) || !text.bytes().all(hex);
        let in_workflow_id = plain && beyond_id;
        Self { text, in_id, in_workflow_id }
    }

    fn is_in(&self, run: &Row<'_>) -> bool {
        self.stands_in(run.name)
            || self.stands_in(run.instance)
            || run.error.is_some_and(|error| self.stands_in(error))
            || (self.in_id && {
                let mut id = [0; 36];
                let id = run.run.uuid().hyphenated().encode_lower(&mut id);
                id.as_bytes().windows(self.text.len()).any(|part| part == self.text.as_bytes())
            })
            || (self.in_workflow_id && self.stands_in(&run.run.workflow_id(run.created)))
    }

    fn stands_in(&self, hay: &str) -> bool {
        if hay.is_ascii() {
            let needle = self.text.as_bytes();
            return hay.as_bytes().windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle));
        }
        hay.to_lowercase().contains(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u32) -> Summary {
        let id = format!("0193a1b2-0000-7000-8000-{n:012x}").parse().expect("a good id");
        let name = ["Portrait", "Größe", "upscale 4x"][n as usize % 3].to_owned();
        let status = [Status::Completed, Status::Failed][n as usize % 2];
        Summary {
            workflow_name: name,
            status,
            instance: ["gpu-a", "gpu-b"][n as usize % 2].parse().expect("a good name"),
            created: Timestamp(u64::from(n)),
            error: (status == Status::Failed).then(|| "CUDA out of memory".to_owned()),
            batch: (n < 4).then(|| "b1".to_owned()),
            ..Summary::of_nothing(id)
        }
    }

    fn live(runs: u32) -> Live {
        let live = Live::default();
        (0..runs).for_each(|n| live.list_over(run(n)));
        live
    }

    fn places(page: &Page) -> Vec<u64> {
        page.runs.iter().map(|run| run.created.0).collect()
    }

    #[test]
    fn every_part_of_a_filter_narrows() {
        let live = live(12);
        let check = |filter: Filter, expected: &[u64]| {
            let page = live.list(&Filter { limit: 100, ..filter.clone() });
            assert_eq!((places(&page).as_slice(), page.total), (expected, None), "{filter:?}");
        };
        let text = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
        check(Filter { status: vec![Status::Failed, Status::Queued], ..Filter::default() }, &[11, 9, 7, 5, 3, 1]);
        check(Filter { instance: "gpu-a".parse().ok(), ..Filter::default() }, &[10, 8, 6, 4, 2, 0]);
        check(Filter { name: Some("Portrait".to_owned()), ..Filter::default() }, &[9, 6, 3, 0]);
        check(Filter { name: Some("portrait".to_owned()), ..Filter::default() }, &[]);
        check(Filter { batch: Some("b1".to_owned()), ..Filter::default() }, &[3, 2, 1, 0]);
        check(Filter { created_after: Some(Timestamp(9)), ..Filter::default() }, &[11, 10, 9]);
        check(Filter { created_before: Some(Timestamp(2)), ..Filter::default() }, &[1, 0]);
        check(text("RTRA"), &[9, 6, 3, 0]);
        check(text("GRÖSSE"), &[]);
        check(text("GRÖẞE"), &[10, 7, 4, 1]);
        check(text("GPU-B"), &[11, 9, 7, 5, 3, 1]);
        check(text("cuda"), &[11, 9, 7, 5, 3, 1]);
        check(text("8000-00000000000A"), &[10]);
        check(text("_00000b"), &[11]);
        check(text("0000000a"), &[10]);
        check(text("ui_workflow_"), &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        check(text("no such thing"), &[]);
        check(Filter { status: vec![Status::Failed], ..text("portrait") }, &[9, 3]);
    }

    #[test]
    fn pages_show_each_run_once_while_others_come() {
        let live = live(10_000);
        let mut filter = Filter { status: vec![Status::Completed], limit: 700, ..Filter::default() };
        let mut seen = Vec::new();
        loop {
            let page = live.list(&filter);
            seen.extend(places(&page));
            live.list_over(run(10_000 + u32::try_from(seen.len()).expect("few")));
            filter.before = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..10_000).filter(|n| n % 2 == 0).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_page_that_is_just_full_is_the_last() {
        let live = live(4);
        let page = live.list(&Filter { limit: 4, ..Filter::default() });
        assert_eq!((places(&page), page.next, page.total), (vec![3, 2, 1, 0], None, Some(4)));
        let page = live.list(&Filter { limit: 3, ..Filter::default() });
        assert_eq!((places(&page), page.next), (vec![3, 2, 1], Some(run(1).run_id)));
    }
}
