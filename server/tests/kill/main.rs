//! The real binary on a real disk, killed with `SIGKILL`: at its n-th durable step, and at any time.
//!
//! `COMFYD_KILLS` set: every step is tried, and that many random kills are made.

mod steps;
mod support;
mod times;
