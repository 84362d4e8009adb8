//! Workflow templates: the built-in ones and those in the user's folders.
//!
//! Invariants: a template that cannot be used is listed with the reason and hides no other; a folder is read without following links, within limits;
//! what is run or shown in full is read again, so the newest file counts.
//! Absent: HTTP, and how a run is made of one; see `intake`.

mod builtin;
mod describe;
pub mod form;
mod library;
mod scan;
mod template;
mod watch;

pub(crate) use library::Library;
pub use template::{Content, NeededModel, Origin, Template};
