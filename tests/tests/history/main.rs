//! A long past: it is listed from an index that may be lost, checked in the background, and removed by rules.

mod index;
mod support;
mod upkeep;
