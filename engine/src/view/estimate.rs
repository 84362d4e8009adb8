//! When a run will end, by the rate of steps and what nodes took before.

use crate::run::{Node, NodeState, Run, Status};
use crate::time::Timestamp;

/// The estimate as of the newest fact; none before anything was measured.
pub(super) fn completion(run: &Run) -> Option<Timestamp> {
    if run.phase().status() != Status::Executing {
        return None;
    }
    let now = run.updated_at();
    let typical = typical_ms(run);
    let mut known = false;
    let mut remaining = 0u64;
    for node in run.nodes().iter().filter(|node| node.counts) {
        let (ms, measured) = match node.state {
            NodeState::Waiting => (node.expected_ms.map(u64::from).or(typical), node.expected_ms.is_some()),
            NodeState::Running => running_ms(node, now, typical),
            NodeState::Done
            | NodeState::Cached
            | NodeState::Failed
            | NodeState::Blocked
            | NodeState::Interrupted
            | NodeState::NotReached => continue,
        };
        known |= measured;
        remaining += ms.unwrap_or(0);
    }
    (known || typical.is_some()).then(|| now.plus_ms(remaining))
}

fn running_ms(node: &Node, now: Timestamp, typical: Option<u64>) -> (Option<u64>, bool) {
    if let (Some((first, began)), Some((last, at))) = (node.first_step, node.last_step)
        && last > first
    {
        let rate = at.since(began) / u64::from(last - first);
        let since = now.since(at);
        return (Some((u64::from(node.total.saturating_sub(last)) * rate).saturating_sub(since)), true);
    }
    let spent = node.started.map_or(0, |started| now.since(started));
    let expected = node.expected_ms.map(u64::from);
    (expected.or(typical).map(|ms| ms.saturating_sub(spent)), expected.is_some())
}

/// What the nodes of this run took on average that were measured.
fn typical_ms(run: &Run) -> Option<u64> {
    let done = run.nodes().iter().filter(|node| node.counts && node.state == NodeState::Done);
    let times: Vec<u64> = done.filter_map(|node| Some(node.ended?.since(node.started?))).collect();
    let count = u64::try_from(times.len()).ok().filter(|count| *count > 0)?;
    Some(times.iter().sum::<u64>() / count)
}
