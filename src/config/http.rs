//! HTTP: where it listens and what one request may cost.

use super::{ByteSize, Period};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;

/// One address to listen on. A list in a configuration file replaces this one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Doors served there: api.
    pub doors: BTreeSet<Door>,
}

/// A group of URLs served together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `/api/1.0`, health, metrics and documentation.
    Api,
}

/// Limits for every HTTP request.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Largest request body, unless a door has a limit of its own.
    pub body_bytes: ByteSize,
    /// Largest request header, all fields together.
    pub header_bytes: ByteSize,
    /// Most header fields in a request.
    pub header_fields: NonZeroU32,
    /// Time limit from the first byte of a request to its answer.
    pub request_timeout: Period,
    /// Most open connections per listening address.
    pub connections: NonZeroU32,
    /// Entries on a page when the caller gives no limit.
    pub default_page: NonZeroU32,
    /// Most entries on a page.
    pub max_page: NonZeroU32,
    /// Longest time that an answer may be put off, as `?wait=30s` asks, until what it is about has ended.
    pub wait: Period,
}
