//! What the spool and the program promise, tried from outside.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod faults;
mod format;
mod harness;
mod linking;
mod postfix;
mod program;
mod spool;
