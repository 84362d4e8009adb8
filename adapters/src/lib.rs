//! The way to ComfyUI servers: HTTP, WebSocket, file transfer.
//!
//! Invariants: adapters translate and carry; every rule about runs is the engine's. What a server says is never trusted: every body, frame, wait
//! and retry has a limit, and bad bytes are counted and skipped, never a panic.
//! Absent: files and the log; those stand behind the ports in [`comfy::ports`].

pub mod comfy;
pub mod digest;
pub mod env;
pub mod hot;
pub mod retry;
pub mod sniff;
pub mod ssh;
pub mod transport;
pub mod workflow;
