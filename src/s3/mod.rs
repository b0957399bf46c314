//! The object-store door: what a store announces becomes deliveries.
//!
//! ```text
//!   request, queue message ─▶ auth: which way of the source it satisfies
//!                          ─▶ dialects: whose words these are ─▶ Event, poison, probe, test
//!                          ─▶ sns: is the envelope signed, and may its topic speak here
//! ```
//!
//! Nothing here does I/O: no socket, no store, no clock of its own. All senders but SNS and B2 sign nothing, so an event
//! is a hint that makes us look at a configured store; nothing in a message is an address that we call. Contract:
//! s3-events.md.

pub mod auth;
pub mod dialects;
mod event;
mod json;
pub mod sns;

pub use event::{Encoding, Event, Flags, Key, Kind, Order, Vendor};
