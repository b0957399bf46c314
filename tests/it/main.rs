//! The integration tests: one binary, one module per concern.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]
//! The integration tests, as one binary.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod appliance;
mod crash;
mod floors;
mod load;
mod mail_walk;
mod postfix_walk;
mod processes;
mod promises;
mod sandbox;
mod sandboxed_modules;
mod stores;
mod web;
