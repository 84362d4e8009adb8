//! The adapter against a simulated ComfyUI, over pipes in memory and in simulated time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod downloads;
mod faults;
mod posting;
mod runs;
mod stopping;
mod traces;
mod twins;
mod world;
