//! The store against real and simulated disks.

mod behaviour;
mod crash;
mod damage;
mod faults;
mod many;
mod model;
mod reads;
mod refusals;
mod removal;
mod support;
mod unsynced;
