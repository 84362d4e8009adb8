//! A node with the values that its file saved, put right where they are known to be off.
//!
//! Invariants: what the page would do is done, unless the file itself says that it is wrong; then it is said.

use super::layout::{Layout, lay_out};
use super::saved::{Repairs, Source};
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
    let saved: Vec<&str> = layout.widgets.iter().filter(|widget| widget.saved).map(|widget| widget.name.as_str()).collect();
    let of_file: Vec<&str> = named.keys().map(String::as_str).collect();
    // The page numbers widgets of the same name, which no class tells.
    !of_file.is_empty() && saved.len() != of_file.len() && saved != of_file
}
