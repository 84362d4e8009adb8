//! The store against real and simulated disks.

mod behaviour;
mod crash;
mod damage;
mod faults;
mod many;
mod model;
mod reads;
mod refusals;
mod support;
mod unsynced;
