//! The spool format and its directory, tried from outside.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod format;
mod harness;
mod spool;
