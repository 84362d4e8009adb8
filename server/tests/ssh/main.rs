//! Runs over SSH: a real OpenSSH server in front of a simulated ComfyUI.

mod faults;
mod support;
mod trusting;
