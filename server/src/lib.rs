//! The comfyd server: the core loop around the engine, the log on disk, the HTTP API and the command line.

#[expect(unused_qualifications, reason = "the macros that describe the API qualify names")]
pub mod api;
pub mod app;
mod assembly;
pub mod batch;
mod beneath;
mod canonical;
mod chronicle;
pub mod cli;
pub mod config;
pub mod core;
mod dismissed;
mod dispatch;
mod history;
pub mod instances;
mod intake;
mod keeper;
mod known;
pub mod live;
mod logging;
mod offload;
mod outputs;
pub mod patch;
pub mod problem;
mod retention;
pub mod server;
mod setup;
mod showing;
mod spool;
mod state_copy;
pub mod stats;
pub mod store;
pub mod templates;
pub mod testing;
mod thumbs;
mod token;
mod vault;
