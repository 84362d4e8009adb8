//! The HTTP API, asked as its users ask it, with a simulated ComfyUI behind it.

mod bad_input;
mod batches;
mod content;
mod conversion;
mod delete;
mod described;
mod examples;
mod guard;
mod instances;
mod matrix;
mod names;
mod pictures;
mod plan;
mod replay;
mod setups;
mod socket;
mod state;
mod streams;
mod support;
mod workflows;
