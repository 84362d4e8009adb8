//! The way over SSH, with a real OpenSSH server at the other end.

mod files;
mod keys;
mod streams;
mod support;
