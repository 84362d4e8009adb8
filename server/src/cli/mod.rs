//! The command line: one binary, `comfyd`.
//!
//! Invariants: a command that needs the data directory talks HTTP to the server that holds it, and if none does, starts one in its own
//! process and talks to that in the same way; text from outside is never printed before `text::clean` saw it.
//! Absent: rules about runs; those are the server's.

mod access;
mod again;
mod args;
mod ask;
mod client;
mod config;
mod convert;
mod demo;
mod entry;
mod error;
mod follow;
mod handle;
mod instances;
mod live;
mod log;
mod manual;
mod names;
mod notify;
mod out;
mod outputs;
mod play;
mod reload;
mod replay;
mod run;
mod runs;
mod serve;
mod signals;
mod sse;
mod submit;
mod templates;
mod text;
mod time;
mod trust;
mod wire;

pub use entry::main;
