//! The form of a workflow: which of its values a person may want to change, derived from the graph.
//!
//! Invariants: a pure function of the graph and of what an instance says about its classes; an input that is linked is never a field; every field can be
//! set by its id, as `--set` and `inputs` do. Absent: lists and objects as values, which no simple control can show.

mod classes;
mod derive;
mod field;
mod kinds;
mod prompts;

pub use classes::Classes;
pub use derive::derive;
pub use field::{Field, Kind};
pub(crate) use kinds::model_folder;

#[cfg(test)]
mod tests;
