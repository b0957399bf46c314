//! Jobs: lists, one with all that is known of it, and what operators do with them.

mod routes;
pub mod wire;

pub use routes::routes;
