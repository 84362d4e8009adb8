//! One ComfyUI server: what it says, what it is asked, what it keeps.

pub mod executor;
pub mod health;
pub mod history;
pub mod http;
pub mod lenient;
pub mod link;
mod look;
mod mailbox;
pub mod parse;
pub mod ports;
mod produced;
pub mod queue;
pub mod refusal;
pub mod socket;
pub mod stats;
pub mod survey;
mod terminal;
pub mod tuning;
pub mod version;
mod wire;
