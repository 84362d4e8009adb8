//! Tests of the pure engine: tables of what each input leads to, properties of any sequence of inputs, and the stored form of events.

mod arrows;
mod cancelling;
mod capacity;
mod doubt;
mod failures;
mod flood;
mod frames;
mod inputs;
mod instances;
mod kit;
mod lifecycle;
mod limits;
mod links;
mod obstacles;
mod outputs;
mod progress;
mod properties;
mod reports;
mod samples;
mod setups;
mod stored;
mod strategies;
mod twins;
