//! The configuration: one YAML file, the environment and flags.
//!
//! Invariants: the table in `keys` is the one place that knows the keys, so that reading, checking, showing, documenting and reloading cannot
//! disagree; a key that is not in it is refused; everything that is wrong is told at once. Absent: secrets; a file may name where one is kept.

mod check;
mod complaint;
mod keys;
mod load;
mod model;
mod options;
mod print;
mod slot;
#[cfg(test)]
mod tests;
mod tree;

pub use check::{host_name, origin, public_url};
pub use complaint::{Complaint, ConfigError};
pub use load::{Layers, Loaded, Origin, load};
pub use model::{
    ComfyuiWorkflow, Config, InstanceSetting, LimitSettings, LogFormat, OnUnknown, RetentionSettings, ServerSettings,
    StorageSettings,
};
pub use print::{effective, example};
