//! The instances that comfyd knows: listed, set up, looked at.
//!
//! Invariants: what is set up is on disk before it is answered; looking at an instance needs no link and starts none.

mod address;
mod board;
mod classes;
mod declared;
mod door;
mod look;
mod roads;
mod service;
mod ssh;
mod view;

pub(crate) use address::{check_url, parse_url};
pub(crate) use board::{Board, Known};
pub use classes::Classes;
pub use declared::{InstanceEntry, check_entries};
pub use look::{HostKeyView, StatsView, StepProblem, StepView, TestReport};
pub(crate) use roads::{Roads, surroundings};
pub(crate) use service::{Instances, InstancesParts};
pub use service::{NewInstance, Place, SetInstance};
pub use ssh::{COMFYUI_PORT, SshWish};
pub(crate) use ssh::{instance_of, understood};
pub(crate) use view::Load;
pub use view::{DeviceView, FeaturesView, InstanceView, LastError, ObstacleView};
