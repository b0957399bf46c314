//! Deliveries: what came, what it holds, what became of it, and the REST way in.
//!
//! `body` decodes and stages what is posted, `post` keeps it and says yes, `content` sends bytes, `routes` answers
//! questions.

mod body;
mod content;
mod post;
mod routes;
mod staging;
mod tree;
pub mod wire;

pub use routes::routes;
pub use tree::manifests;
