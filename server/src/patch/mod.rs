//! A run's view in the form that changes travel in: the live shape, the merge patches between two views, and the fold that makes one for each event.
//!
//! Invariants: the patch between two views, merged into the live shape of the first, is exactly the live shape of the second; no member of a live
//! shape is null, because in a merge patch null means *remove* (RFC 7396). Absent: HTTP; see [`crate::api`].

mod between;
mod checkpoints;
mod merge;
mod replay;
mod shape;

pub use between::patch_between;
pub(crate) use checkpoints::{Checkpoints, Fold};
pub use merge::{diff, merge};
pub use shape::{list_shape, live_shape};
