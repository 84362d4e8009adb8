//! The pure core of comfyd: what runs are, what happened to them, and what is to be done.
//!
//! ```text
//! inputs ──▶ decide(&self) ──▶ events ──(log)──▶ apply(&mut self) ──▶ state + commands
//! ```
//!
//! [`Engine::handle`] is one turn of that. Nothing here reads a clock, a file or a socket: time, ids and answers come in as inputs, so that the
//! same log folds to the same state on every machine. A crash is harmless at any point if the caller keeps one rule: facts are on disk before
//! commands leave.
//!
//! Begin with [`Engine`]; [`RunEvent`] lists everything that can happen to a run; [`RunView`] is what readers see.

mod comfy;
mod command;
mod engine;
mod event;
mod id;
mod input;
mod instance;
pub mod journal;
mod port;
mod run;
mod setup;
pub mod testkit;
mod throttle;
mod time;
mod view;

pub use comfy::*;
pub use command::*;
pub use engine::*;
pub use event::*;
pub use id::*;
pub use input::*;
pub use instance::*;
pub use port::*;
pub use run::{
    Attention, MAX_OUTPUTS, Node, NodeState, Nodes, Outputs, Phase, Place, Run, Search, Staging, Status, Unexpected, Warning,
};
pub use setup::*;
pub use throttle::*;
pub use time::*;
pub use view::*;
