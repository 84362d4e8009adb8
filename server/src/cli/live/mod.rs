//! How a run looks while it goes on: drawn in place, as plain lines, or as JSON lines.

mod frame;
mod nodes;
mod plain;
mod player;
mod screen;
mod show;

pub(crate) use frame::{Moment, draw};
pub(crate) use player::Player;
pub(crate) use show::Show;

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
}

/// A line of styled pieces of clean text.
pub(crate) type Line = Vec<(super::out::Style, String)>;
