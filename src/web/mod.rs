//! The HTTP kit that all doors are built from; knows none of them.
//!
//! ```text
//!   listen      accept, TLS, places, limits of headers, drain           control   the same on a Unix socket
//!     └ edge    request id, span, one line per request, panics, unknown routes and methods
//!         └ a feature's routes: thin handlers that take
//!             May<Read>        the permission (caller, permit; keys in key/)
//!             Query, Listing   strict query, cursor paging
//!             Path, Json, Decoded  the rest of the request, capped
//!           and answer Result<_, Problem>
//! ```
//!
//! A handler's signature says what it needs; a request that lacks it never reaches the handler:
//!
//! ```text
//!   async fn list(may: May<Read>, page: Listing<JobFilter, JobKey>, State(ctx): State<Ctx>)
//!       -> Result<Paged<wire::Job>, Problem>
//! ```
//!
//! Extractors find keys and limits in [`Kit`], which a feature's state hands out (`impl FromRef<Ctx> for Kit`).

pub mod access;
pub mod body;
pub mod caller;
pub mod coding;
pub mod control;
pub mod cursor;
pub mod dialect;
pub mod edge;
pub mod health;
pub mod host;
pub mod json;
pub mod key;
pub mod listen;
pub mod open_requests;
pub mod openapi;
pub mod pace;
pub mod page;
mod parameter;
pub mod path;
pub mod permit;
pub mod places;
pub mod problem;
pub mod query;
pub mod range;
pub mod refusal;
pub mod request_id;
pub mod since;
pub mod text;
pub mod tls;
pub mod wait;

pub use body::{BodyError, Cap};
pub use caller::Caller;
pub use coding::Decoded;
pub use dialect::Dialect;
pub use edge::Streams;
pub use json::Json;
pub use key::Keys;
pub use pace::Pace;
pub use page::{Listing, Page, Paged, Unfiltered};
pub use path::Path;
pub use permit::{May, MayAll};
pub use problem::{Kind, Problem};
pub use query::Query;
pub use since::Since;
pub use wait::Wait;

use std::time::Duration;

/// What the extractors need: keys and limits.
#[derive(Debug, Clone)]
pub struct Kit {
    /// Verifies keys.
    pub keys: Keys,
    /// Limits of one request.
    pub limits: Limits,
}

/// Limits of every request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body, unless a door has its own limit.
    pub body_bytes: u64,
    /// How fast a body must arrive.
    pub pace: Pace,
    /// Most memory for what a decoder of a body looks back on.
    pub decoder_bytes: u64,
    /// Most open requests of one key; those that wait are not among them.
    pub key_requests: u32,
    /// Default number of entries of a page.
    pub default_page: u32,
    /// Most entries of a page.
    pub max_page: u32,
    /// Longest time that an answer may be put off on request.
    pub wait: Duration,
}

impl Limits {
    /// The limits of reading a body of at most so many bytes.
    #[must_use]
    pub const fn cap(&self, bytes: u64) -> Cap {
        Cap { bytes, pace: self.pace, decoder_bytes: self.decoder_bytes }
    }
}
