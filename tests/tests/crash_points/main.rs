//! The whole server on a disk that fails at every step: power cuts, failed writes and syncs, no room, damaged files.

mod support;

mod damage;
mod full;
mod power;
mod refusals;
