//! What a node that stands for a subgraph saved for its inputs.

use serde_json::Value;

use crate::canvas::{self, SavedValues};

/// The values for the inputs of these names, in order; none where nothing was saved.
pub(super) fn values_of(file: &canvas::Node, names: &[&str]) -> Vec<Option<Value>> {
    match (&file.values, &file.named_values) {
        (SavedValues::InOrder(values), _) => (0..names.len()).map(|place| values.get(place).cloned()).collect(),
        (SavedValues::ByName(values), _) | (SavedValues::None, Some(values)) => {
            names.iter().map(|name| values.get(*name).cloned()).collect()
        }
        (SavedValues::None, None) => vec![None; names.len()],
    }
}
