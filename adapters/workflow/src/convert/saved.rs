//! The values that a file saved for the widgets of a node, dealt out one by one.
//!
//! Invariants: each value goes to one widget; a file by somebody who left out what the page saves beside a seed is put right and said.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::layout::{Entry, blank, entries};
use super::model::Widget;
use super::widgets::may_be_control;
use crate::canvas::{self, SavedValues};
use crate::classes::Class;
use crate::json::truthy;

/// Where the values come from.
pub(super) struct Source<'a> {
    from: From<'a>,
    /// The widgets beside seeds for which nothing was saved.
    pub(super) skipped: Vec<String>,
    repairs: Repairs,
}

/// Whether values that are one place off are put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repairs {
    /// As the page does it.
    None,
    /// Where nothing was saved for the widget beside a seed.
    Controls,
}

enum From<'a> {
    Nothing,
    InOrder { values: Cow<'a, [Value]>, next: usize },
    ByName(&'a Map<String, Value>),
}

impl<'a> Source<'a> {
    /// Nothing was saved.
    pub(super) fn nothing() -> Self {
        Self { from: From::Nothing, skipped: Vec::new(), repairs: Repairs::None }
    }

    /// Whether every value went to a widget.
    pub(super) fn is_used_up(&self) -> bool {
        match &self.from {
            From::InOrder { values, next } => *next == values.len(),
            From::Nothing | From::ByName(_) => true,
        }
    }

    /// What the file saved for a node of this class.
    pub(super) fn of(class: &Class<'_>, file: &'a canvas::Node, repairs: Repairs) -> Self {
        let from = match (&file.values, &file.named_values) {
            (SavedValues::InOrder(values), _) => From::InOrder { values: aligned(class, file, values), next: 0 },
            (SavedValues::ByName(values), _) | (SavedValues::None, Some(values)) => From::ByName(values),
            (SavedValues::None, None) => From::Nothing,
        };
        Self { from, skipped: Vec::new(), repairs }
    }

    /// What was saved for the next widget.
    pub(super) fn take(&mut self, widget: &Widget) -> Option<Value> {
        if !widget.saved {
            return None;
        }
        match &mut self.from {
            From::Nothing => None,
            From::ByName(values) => values.get(&widget.name).cloned(),
            From::InOrder { values, next } => {
                let value = values.get(*next)?;
                if self.repairs == Repairs::Controls && widget.is_control() && !may_be_control(value) {
                    self.skipped.push(widget.name.clone());
                    return None;
                }
                *next += 1;
                Some(value.clone())
            }
        }
    }
}

/// The saved values without those of inputs that are sockets now and were widgets when the file was saved.
fn aligned<'a>(class: &Class<'_>, file: &canvas::Node, values: &'a [Value]) -> Cow<'a, [Value]> {
    let widgets = blank(class, file);
    let stale = stale_places(class, &widgets.iter().map(|(name, saved)| (name.as_str(), *saved)).collect::<Vec<_>>());
    let savable = widgets.iter().filter(|(_, saved)| *saved).count();
    if !stale.contains(&true) && values.len() == savable {
        return Cow::Borrowed(values);
    }
    let is_saved = |place: usize| widgets.get(place).is_none_or(|(_, saved)| *saved);
    let compact: Vec<&Value> = values.iter().enumerate().filter(|(place, _)| is_saved(*place)).map(|(_, value)| value).collect();
    let fitting: Vec<&Value> = if compact.len() == stale.len() {
        compact
    } else if values.len() == stale.len() {
        values.iter().collect()
    } else {
        return Cow::Borrowed(values);
    };
    Cow::Owned(fitting.into_iter().zip(&stale).filter(|(_, stale)| !**stale).map(|(value, _)| value.clone()).collect())
}

/// For each value that a file of an older page has: whether its input is a socket now.
fn stale_places(class: &Class<'_>, widgets: &[(&str, bool)]) -> Vec<bool> {
    let mut places = Vec::new();
    for entry in entries(class) {
        let named = widgets.iter().find(|(name, _)| *name == entry.name());
        let forced = matches!(&entry, Entry::Input(input) if truthy(input.option("forceInput")));
        if (named.is_none() && !forced) || named.is_some_and(|(_, saved)| !saved) {
            continue;
        }
        places.push(forced);
        if matches!(&entry, Entry::Input(input) if truthy(input.option("control_after_generate"))) {
            places.push(false);
        }
    }
    places
}
