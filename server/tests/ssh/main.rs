//! Runs over SSH: a real OpenSSH server in front of a simulated ComfyUI.

mod faults;
mod inputs;
mod outputs;
mod states;
mod steps;
mod storm;
mod support;
mod trusting;
