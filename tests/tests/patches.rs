//! Merge patches over every recorded session: each leads exactly from one state to the next, whatever the states.

use comfyd_engine::RunView;
use comfyd_fixtures::traces::{Trace, names};
use comfyd_server::patch::{diff, list_shape, live_shape, merge, patch_between};
use comfyd_tests::recorded::{Folding, told};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The views of every run of a trace, at each of its events.
fn histories(name: &str) -> Vec<Vec<RunView>> {
    let folding = Folding::of(&told(&Trace::read(name).expect("a trace can be read")));
    let seqs = |run| usize::try_from(folding.engine.run(run).expect("runs stay").seq().0).expect("few events");
    let views = |run| (1..=seqs(run)).map(|n| RunView::of(&folding.refolded(run, n).expect("it has events"))).collect();
    folding.runs.iter().map(|run| views(*run)).collect()
}

fn nulls(place: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Null => vec![place.to_owned()],
        Value::Object(members) => members.iter().flat_map(|(key, value)| nulls(&format!("{place}.{key}"), value)).collect(),
        // Lists are replaced as a whole, so null means null in them.
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    }
}

#[test]
fn the_patches_of_every_trace_lead_to_the_state_at_each_event() {
    let mut checked = 0;
    for name in names().expect("the traces are there") {
        for history in histories(&name) {
            let mut shown = live_shape(&history[0]);
            for pair in history.windows(2) {
                let [before, after] = pair else { unreachable!("windows of two") };
                let patch = patch_between(before, after);
                let slow = diff(&live_shape(before), &live_shape(after)).unwrap_or_else(|| json!({}));
                assert_eq!(patch, slow, "{name} at {}: the short way gives the same patch", after.seq);
                merge(&mut shown, patch);
                assert_eq!(shown, live_shape(after), "{name} at {}", after.seq);
                checked += 1;
            }
            assert_eq!(nulls("", &shown), Vec::<String>::new(), "{name}");
            let last = history.last().expect("one at least");
            assert_eq!(list_shape(&shown), serde_json::to_value(last).expect("a view is plain data"), "{name}: and back");
        }
    }
    assert!(checked > 500, "only {checked} events");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// A slow reader skips states, and a run may look like any other.
    #[test]
    fn any_sequence_of_states_is_followed(which in 0usize..6, steps in proptest::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let name = ["a_simple_success", "c_long_progress", "f_runtime_exception", "o_expansion_and_lists", "g_interrupt", "d_previews_with_metadata"][which];
        let states: Vec<RunView> = histories(name).into_iter().flatten().collect();
        let mut before = &states[0];
        let mut shown = live_shape(before);
        for step in steps {
            let after = step.get(&states);
            merge(&mut shown, patch_between(before, after));
            prop_assert_eq!(&shown, &live_shape(after));
            before = after;
        }
    }
}
