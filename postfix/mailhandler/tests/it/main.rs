//! What the program promises, tried from outside.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod faults;
mod harness;
mod linking;
mod postfix;
mod program;
