//! Deliveries: their contents, their history, and the REST door.
//!
//! `body` and `form` decode and stage what is posted, `declared` says what it is, `post` stores and accepts it, `content` sends bytes, `routes` answers
//! questions.

mod body;
mod content;
mod declared;
mod form;
mod post;
mod routes;
mod staging;
mod tree;
pub mod wire;

pub use routes::routes;
pub use tree::manifests;
