//! What the program promises, tried from outside.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

/// The fresh spool of a test, as the tests of the spool have it.
#[path = "../../../spool/tests/it/harness.rs"]
mod bench;
mod faults;
mod harness;
mod linking;
mod postfix;
mod program;
