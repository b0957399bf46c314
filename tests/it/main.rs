//! The integration tests, as one binary.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod sandbox;
mod sandboxed_modules;
