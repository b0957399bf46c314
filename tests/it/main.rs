//! The integration tests: one binary, one module per concern.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod floors;
mod stores;
mod web;
//! The integration tests, as one binary.

mod sandbox;
