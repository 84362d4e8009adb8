//! The HTTP API and the page.
//!
//! Invariants: every request passes the guard first; GET changes nothing; every answer but files, logs and streams is JSON with `success`.
//! Absent: what the server does; handlers translate and call [`crate::app::App`].

mod archive;
mod batches;
mod board;
mod body;
mod canvas;
mod content;
mod conversion;
mod cors;
mod credentials;
mod disposition;
mod dto;
mod feed;
mod follow;
mod graph;
mod guard;
mod health;
mod hints;
mod host;
mod hub;
mod instances;
mod limits;
mod log;
mod login;
mod mux;
mod openapi;
mod outputs;
mod page;
mod patches;
mod pipe;
mod plan;
mod range;
mod recent;
mod reply;
mod request_id;
mod ring;
mod routes;
mod runs;
mod sealed;
mod secret;
mod serve;
mod session;
mod setup_shapes;
mod setup_view;
mod setups;
mod shapes;
mod sse;
mod stall;
mod state;
mod state_file;
mod stats;
mod steps;
mod strict;
mod thumbnail;
mod upload;
mod workflows;

pub use guard::Security;
pub use host::Names;
pub use limits::Bounds;
pub use openapi::document;
pub use routes::{Access, ROUTES, Route, Verb, router, router_within};
pub use secret::Secret;
pub use serve::{serve, serve_within};
pub(crate) use steps::{target, wait_ms, wish};
