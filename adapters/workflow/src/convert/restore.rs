//! A node with the values that its file saved, put right where they are known to be off.
//!
//! Invariants: what the page would do is done, unless the file itself says that it is wrong; then it is said.

use super::layout::{Layout, lay_out};
use super::model::Widget;
use super::saved::{Repairs, Source};
use super::widgets::is_control;
use crate::canvas::{self, SavedValues};
use crate::classes::Class;

/// A laid out node, and what was put right.
pub(super) struct Restored {
    pub(super) layout: Layout,
    pub(super) notes: Vec<(&'static str, String)>,
}

/// Lays a node out with its saved values.
pub(super) fn restore(class: &Class<'_>, file: &canvas::Node) -> Restored {
    let mut notes = Vec::new();
    let layout = in_order(class, file, &mut notes);
    if names_differ(&layout, file) {
        let message = "the class has other widgets than when the file was saved; its values were set in order, as ComfyUI's page does it: check them";
        notes.push(("other_widgets", message.to_owned()));
    }
    for name in &layout.gone {
        notes
            .push(("input_gone", format!("its input `{name}` is linked, but the class has no such input; the link is left out")));
    }
    Restored { layout, notes }
}

fn in_order(class: &Class<'_>, file: &canvas::Node, notes: &mut Vec<(&'static str, String)>) -> Layout {
    let mut source = Source::of(class, file, Repairs::Controls);
    let layout = lay_out(class, file, &mut source);
    if source.skipped.is_empty() {
        return layout;
    }
    if !source.is_used_up() {
        // It is something else that is off: then nothing is better than what the page does.
        return lay_out(class, file, &mut Source::of(class, file, Repairs::None));
    }
    for name in source.skipped {
        let message =
            format!("no value was saved for `{name}`, so that the values after it were one place off; they were put right");
        notes.push(("control_not_saved", message));
    }
    layout
}

/// Whether the file names other widgets than the node has, so that values in order may have gone to the wrong ones.
fn names_differ(layout: &Layout, file: &canvas::Node) -> bool {
    let (SavedValues::InOrder(_), Some(named)) = (&file.values, &file.named_values) else { return false };
    let saved: Vec<&Widget> = layout.widgets.iter().filter(|widget| widget.saved).collect();
    let same = saved.len() == named.len() && saved.iter().zip(named.keys()).all(|(widget, name)| is_named(widget, name));
    !named.is_empty() && !same
}

/// Whether this is how the page calls a widget, or called it: what a dynamic combo brings had short names once, and what becomes of a seed had
/// all kinds of them.
fn is_named(widget: &Widget, name: &str) -> bool {
    let short = |name: &str| name.rsplit_once('.').map_or(name, |(_, last)| last).to_owned();
    let name = unnumbered(name);
    widget.name == name || short(&widget.name) == short(name) || (widget.is_control() && is_control(name))
}

/// The page numbers widgets of the same name from the end: `seed#2`, `seed#1`, `seed`.
fn unnumbered(name: &str) -> &str {
    let number = name.rsplit_once('#').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    number.map_or(name, |(name, _)| name)
}
