//! `GET /queue`: who runs, who waits, in which order.

use std::fmt;

use comfyd_engine::{PromptId, RemoteStatus, RunId};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::lenient::from_json;

/// A server's queue at one moment.
///
/// ```
/// use comfyd_adapters::comfy::queue::Queue;
/// let text = r#"{"queue_running": [], "queue_pending": [[8, "b", {}, {}, []], [7, "a", {}, {}, []]]}"#;
/// assert_eq!(Queue::parse(text)?.remaining(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Queue {
    #[serde(rename = "queue_running")]
    running: Vec<Item>,
    #[serde(rename = "queue_pending")]
    pending: Vec<Item>,
}

/// Where a prompt is in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The id under which the server has it; another than ours on an old server.
    pub prompt: PromptId,
    /// [`RemoteStatus::Running`] or [`RemoteStatus::Pending`].
    pub status: RemoteStatus,
}

/// `[number, prompt_id, prompt, extra_data, outputs_to_execute]`; the prompt itself is skipped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    number: f64,
    pub(super) prompt: String,
    pub(super) run: Option<String>,
}

#[derive(Deserialize)]
struct ExtraData {
    #[serde(default)]
    comfyd: Option<Ours>,
}

#[derive(Deserialize)]
struct Ours {
    #[serde(default)]
    run: Option<String>,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a queue item")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
                let missing = || serde::de::Error::custom("a queue item has a number and a prompt_id");
                let number = seq.next_element::<f64>()?.ok_or_else(missing)?;
                let prompt = seq.next_element::<String>()?.ok_or_else(missing)?;
                seq.next_element::<IgnoredAny>()?;
                let extra = seq.next_element::<Option<ExtraData>>()?.flatten();
                // Forks and newer versions may add elements.
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Item { number, prompt, run: extra.and_then(|extra| extra.comfyd).and_then(|ours| ours.run) })
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

impl Item {
    fn is(&self, run: RunId, prompt: &PromptId) -> bool {
        self.prompt == prompt.0 || self.run.as_deref().is_some_and(|marked| marked == run.to_string())
    }
}

impl Queue {
    /// Reads the answer of `GET /queue`.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut queue: Self = from_json(text)?;
        // It comes in the order of a heap; the server takes the smallest (number, prompt_id).
        queue.pending.sort_by(|a, b| a.number.total_cmp(&b.number).then_with(|| a.prompt.cmp(&b.prompt)));
        Ok(queue)
    }

    /// How many prompts run and wait.
    pub fn remaining(&self) -> u32 {
        u32::try_from(self.running.len() + self.pending.len()).unwrap_or(u32::MAX)
    }

    /// Whether a run's prompt is there more than once.
    pub fn is_doubled(&self, run: RunId, prompt: &PromptId) -> bool {
        self.running.iter().chain(&self.pending).filter(|item| item.is(run, prompt)).nth(1).is_some()
    }

    /// The id of an entry of a run's prompt that waits and is one too many; `ended` says that history has the prompt already.
    pub fn twin(&self, run: RunId, prompt: &PromptId, ended: bool) -> Option<PromptId> {
        let one_too_many = ended || self.is_doubled(run, prompt);
        let waiting = || self.pending.iter().filter(|item| item.is(run, prompt));
        // An old server gives each an id of its own: the one that we know stays.
        let other = waiting().find(|item| item.prompt != prompt.0);
        other.or_else(|| waiting().next()).filter(|_| one_too_many).map(|item| PromptId(item.prompt.clone()))
    }

    /// Where a run's prompt is: by its id, or by our mark where an old server made an id of its own.
    pub fn find(&self, run: RunId, prompt: &PromptId) -> Option<Found> {
        let found = |item: &Item, status| Found { prompt: PromptId(item.prompt.clone()), status };
        if let Some(item) = self.running.iter().find(|item| item.is(run, prompt)) {
            return Some(found(item, RemoteStatus::Running));
        }
        let (place, item) = self.pending.iter().enumerate().find(|(_, item)| item.is(run, prompt))?;
        let position = u32::try_from(place + 1).unwrap_or(u32::MAX);
        Some(found(item, RemoteStatus::Pending { position }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0193a1b2-0000-7000-8000-000000abc123";

    fn find(text: &str, prompt: &str) -> Option<(String, RemoteStatus)> {
        let queue = Queue::parse(text).expect("a queue");
        let run: RunId = RUN.parse().expect("a run id");
        queue.find(run, &PromptId(prompt.into())).map(|found| (found.prompt.0, found.status))
    }

    #[test]
    fn places() {
        let text = format!(
            r#"{{"queue_running": [[3, "r", {{"1": NaN}}, {{"client_id": "x"}}, []]],
                "queue_pending": [[9.5, "d", {{}}, {{}}, []], [5, "c", {{}}, null, [], {{"secret": 1}}], [5, "b", {{}}, {{}}, []],
                                  [-1, "front", {{}}, {{"comfyd": {{"run": "{RUN}", "attempt": 1}}}}, []]]}}"#
        );
        let waiting = |position| RemoteStatus::Pending { position };
        assert_eq!(find(&text, "r"), Some(("r".into(), RemoteStatus::Running)));
        assert_eq!(find(&text, "other"), Some(("front".into(), waiting(1))), "an old server's own id is found by our mark");
        let other = text.replace(RUN, "another");
        assert_eq!(find(&other, "b"), Some(("b".into(), waiting(2))));
        assert_eq!(find(&other, "c"), Some(("c".into(), waiting(3))));
        assert_eq!(find(&other, "d"), Some(("d".into(), waiting(4))));
        assert_eq!(find(&other, "gone"), None);
        assert_eq!(Queue::parse(&text).map(|queue| queue.remaining()).ok(), Some(5));
    }

    #[test]
    fn a_second_entry_that_waits_is_one_too_many() {
        let run: RunId = RUN.parse().expect("a run id");
        let ours = PromptId(RUN.into());
        let item =
            |number: u32, id: &str| format!(r#"[{number}, "{id}", {{}}, {{"comfyd": {{"run": "{RUN}", "attempt": 1}}}}, []]"#);
        let queue = |running: &[&str], pending: &[&str]| {
            let list = |ids: &[&str]| ids.iter().zip(1..).map(|(id, n)| item(n, id)).collect::<Vec<_>>().join(",");
            let text = format!(r#"{{"queue_running": [{}], "queue_pending": [{}]}}"#, list(running), list(pending));
            Queue::parse(&text).expect("a queue")
        };
        for (running, pending, ended, doubled, twin) in [
            (vec![], vec![], true, false, None),
            (vec![RUN], vec![], false, false, None),
            (vec![RUN], vec![], true, false, None),
            (vec![], vec![RUN], false, false, None),
            (vec![], vec![RUN], true, false, Some(RUN)),
            (vec![RUN], vec![RUN], false, true, Some(RUN)),
            (vec![], vec![RUN, RUN], false, true, Some(RUN)),
            (vec![], vec![RUN, "minted"], false, true, Some("minted")),
            (vec![], vec!["minted", RUN], false, true, Some("minted")),
        ] {
            let queue = queue(&running, &pending);
            let found = queue.twin(run, &ours, ended).map(|id| id.0);
            assert_eq!((queue.is_doubled(run, &ours), found.as_deref()), (doubled, twin), "{running:?} {pending:?} {ended}");
        }
    }

    #[test]
    fn other_shapes_are_errors() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"queue_running": [[]], "queue_pending": []}"#,
            r#"{"queue_running": [["x", 1]], "queue_pending": []}"#,
        ] {
            assert!(Queue::parse(text).is_err(), "{text}");
        }
    }
}
