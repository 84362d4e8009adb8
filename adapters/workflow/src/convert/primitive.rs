//! Primitive nodes: their value goes into the widgets that they are linked to.

use serde_json::Value;

use super::build::World;
use super::model::{At, Role};
use super::text::Texts;
use crate::canvas::SavedValues;
use crate::json::truthy;

/// Set on primitives whose text has `%...%` in it.
const REPLACES: &str = "Run widget replace on values";

impl World<'_> {
    /// What a primitive holds; none if it is linked to nothing that has a value.
    pub(super) fn primitive_value(&self, at: At) -> Option<Value> {
        let node = self.node(at);
        let graph = &self.graphs[at.graph];
        let link = graph.links_from(&node.id, 0).next()?;
        let target = At { graph: at.graph, node: graph.node(&link.to)? };
        let input = self.node(target).inputs.get(link.to_slot)?;
        let saved = match &node.file.values {
            SavedValues::InOrder(values) => values.first(),
            SavedValues::ByName(values) => values.get("value"),
            SavedValues::None => node.file.named_values.as_ref().and_then(|values| values.get("value")),
        };
        let same_type =
            node.file.outputs.first().is_none_or(|output| output.kind == input.kind || output.kind == "*" || input.kind == "*");
        match saved {
            Some(saved) if same_type => Some(saved.clone()),
            Some(_) | None => self.held(target, link.to_slot).and_then(|held| held.0),
        }
    }

    /// Lets all primitives set their widgets.
    pub(super) fn apply_primitives(&mut self, texts: &Texts<'_>) {
        for graph in 0..self.graphs.len() {
            for node in 0..self.graphs[graph].nodes.len() {
                let at = At { graph, node };
                if self.node(at).role == Role::Primitive {
                    self.apply_primitive(at, texts);
                }
            }
        }
    }

    fn apply_primitive(&mut self, at: At, texts: &Texts<'_>) {
        let Some(mut value) = self.primitive_value(at) else { return };
        if truthy(self.node(at).file.properties.get(REPLACES))
            && let Value::String(text) = &value
        {
            value = Value::String(self.replaced(text, texts));
        }
        let graph = &self.graphs[at.graph];
        let links = graph.links_from(&graph.nodes[at.node].id, 0);
        let targets: Vec<(usize, usize)> = links.filter_map(|link| Some((graph.node(&link.to)?, link.to_slot))).collect();
        for (node, slot) in targets {
            let node = self.node_mut(At { graph: at.graph, node });
            let Some(name) = node.inputs.get(slot).and_then(|slot| slot.widget.clone()) else { continue };
            if let Some(widget) = node.widget_mut(&name) {
                widget.value = Some(value.clone());
            }
        }
        self.node_mut(at).host_values.insert(String::new(), value);
    }

    /// What a primitive set its widgets to.
    pub(super) fn applied_value(&self, at: At) -> Option<Value> {
        self.node(at).host_values.get("").cloned()
    }
}
