//! Deliveries: what came, what it holds, what became of it, and the REST way in.
//!
//! `coming` decodes and stages what is posted, `content` sends bytes, `routes` answers questions.

mod coming;
mod content;
mod routes;
mod staging;
mod tree;
pub mod wire;

pub use routes::routes;
pub use tree::manifests;
