//! Deliveries: their contents, their history, and the REST door.
//!
//! `body` decodes and stages what is posted, `post` stores and accepts it, `content` sends bytes, `routes` answers
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
