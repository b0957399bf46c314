//! Held work: what waits for an operator, a look into it, and the three ways on.

mod routes;
mod wire;

pub use routes::routes;
