//! The real binary, as scripts use it, against a simulated ComfyUI.

mod support;

mod again;
mod bad_input;
mod canaries;
mod config;
mod convert;
mod docs;
mod instances;
mod logs;
mod over_ssh;
mod quiet;
mod reload;
mod runs;
mod servers;
mod templates;
mod terminal;
