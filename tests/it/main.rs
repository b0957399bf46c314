//! The integration tests: one binary, one module per concern.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod floors;
mod load;
mod sandbox;
mod stores;
mod web;
