//! Workflows as people have them: canvas files made into API graphs, and graphs checked before they are queued.
//!
//! Invariants: pure, so nothing is read, asked or drawn by chance here; the same input gives the same answer; no input makes it panic; what
//! cannot be known without ComfyUI's page is a [`Problem`] and never a guess.
//! Absent: servers, files, the event log.

mod arrange;
pub mod canvas;
pub mod classes;
pub mod convert;
pub mod embedded;
mod json;
mod nearest;
mod report;
pub mod validate;

pub use arrange::{Area, Arrangement, arrange};
pub use classes::Classes;
pub use convert::{Converted, Moment, Options, Place, convert, locate};
pub use report::{Problem, Reason, Warning};
pub use validate::{Finding, Verdict, validate};
