//! Facts over many things, in records of a bounded size.
//!
//! Invariants: nothing is lost and the order stays; a record is far below the 4 MiB that the log takes.

use crate::event::{NodeProgress, NodesCached, NodesProgressed, Output, OutputsFound, Produced, RunEvent};
use crate::id::NodeId;

/// How many bytes of one record the things may take; the rest of a MiB is for the envelope.
const MOST: usize = 768 * 1024;
/// What a thing takes beside its texts: the names of its fields and numbers.
const BESIDES: usize = 128;

/// New outputs, as facts.
pub(super) fn found(outputs: Vec<Output>) -> Vec<RunEvent> {
    split(outputs, output_bytes).map(|outputs| OutputsFound { outputs }.into()).collect()
}

/// New steps, as facts.
pub(super) fn progressed(nodes: Vec<NodeProgress>) -> Vec<RunEvent> {
    split(nodes, |report| report.node.0.len()).map(|nodes| NodesProgressed { nodes }.into()).collect()
}

/// Cached nodes, as facts.
pub(super) fn nodes_cached(nodes: Vec<NodeId>) -> Vec<RunEvent> {
    split(nodes, |node| node.0.len()).map(|nodes| NodesCached { nodes }.into()).collect()
}

fn output_bytes(output: &Output) -> usize {
    let made = match &output.produced {
        Produced::File(file) => file.key.len() + file.filename.len() + file.subfolder.len() + file.folder.len(),
        Produced::Text { key, text } => key.len() + text.len(),
    };
    output.node.0.len() + made
}

fn split<T>(things: Vec<T>, texts: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<T>> {
    let mut things = things.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut part = vec![things.next()?];
        let mut bytes = texts(&part[0]) + BESIDES;
        while let Some(thing) = things.next_if(|thing| bytes + texts(thing) + BESIDES <= MOST) {
            bytes += texts(&thing) + BESIDES;
            part.push(thing);
        }
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::envelope::Body;
    use crate::time::Timestamp;

    #[test]
    fn records_stay_below_a_mebibyte_and_lose_nothing() {
        let text = |n: u32| Produced::Text { key: "text".into(), text: "x".repeat(64 * 1024 - (n as usize % 3)) };
        let outputs: Vec<Output> = (1..=40).map(|n| Output { n, node: "1".into(), produced: text(n) }).collect();
        let facts = found(outputs.clone());
        assert!(facts.len() > 1);
        let mut seen = Vec::new();
        for fact in facts {
            assert!(fact.encode(Timestamp(0)).len() < 1 << 20);
            let RunEvent::OutputsFound(found) = fact else { panic!("{fact:?}") };
            seen.extend(found.outputs);
        }
        assert_eq!(seen, outputs);
        assert_eq!(found(vec![]), []);
    }
}
