//! What the tests of the whole share: a simulated world of a disk, an instance and servers that come and go.

pub mod past;
pub mod recorded;
pub mod world;
