//! The HTTP kit, through a real server on a free port.

pub mod client;
mod dialect;
mod keys;
mod lines;
mod places;
mod routes;
mod serving;
mod slow;
mod tls;
