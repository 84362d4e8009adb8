//! Bad input and bad disks, as a user meets them: over HTTP and at the command line of the real binary.

#[path = "../cli_commands/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the commands, which use more of it")]
mod support;

mod harness;
mod http;
mod namespace;

mod files;
mod full_disk;
mod hostile;
mod lost_disk;
mod numbers;
mod peers;
mod requests;
mod told_by_comfyui;
mod wishes;
