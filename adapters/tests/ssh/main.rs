//! The way over SSH, with a real OpenSSH server at the other end.

mod keys;
mod streams;
mod support;
