//! HTTP: where it listens and what one request may cost.

use super::{ByteSize, Period, unless_empty};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// One address to listen on. A list in a configuration file replaces this one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Doors served there: api.
    pub doors: BTreeSet<Door>,
    /// TLS: file of the certificate and those between it and its CA, PEM. If empty, the address speaks plain HTTP. The files are read again on SIGHUP.
    #[serde(default, deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub certificate: Option<PathBuf>,
    /// TLS: file of the certificate's key, PEM. It may be the file of the certificate.
    #[serde(default, deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub key: Option<PathBuf>,
    /// TLS: file of the CA certificates of clients, PEM. Clients are asked for a certificate of one of these; none is asked for one if empty.
    #[serde(default, deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub client_ca: Option<PathBuf>,
    /// TLS: whether a client without a certificate of `client_ca` is refused: required or optional.
    #[serde(default)]
    pub client_certificate: ClientCertificate,
}

impl Listen {
    /// The files it names.
    pub(super) fn files(&mut self) -> [&mut Option<PathBuf>; 3] {
        [&mut self.certificate, &mut self.key, &mut self.client_ca]
    }
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// One without is refused.
    #[default]
    Required,
    /// One without may connect; one with a wrong certificate may not.
    Optional,
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
    /// Least bytes per second that a request body must bring, on average over any `body_window`.
    pub body_rate: ByteSize,
    /// Time over which `body_rate` is averaged, and so the longest silence of a sender.
    pub body_window: Period,
    /// A body must have arrived within this time and that of its length at `body_rate`.
    pub body_time: Period,
    /// Most memory that decoding the `Content-Encoding` of one body takes for what it looks back on.
    pub decoder_bytes: ByteSize,
    /// Most open connections per listening address. One peer can have half of them.
    pub connections: NonZeroU32,
    /// Further connections per listening address when those are taken, for `/healthz`, `/readyz` and operators' keys.
    pub reserved_connections: NonZeroU32,
    /// Addresses or networks of proxies: such a peer can have all `connections`.
    pub trusted_proxies: Vec<Network>,
    /// Most open requests of one key. Those that wait, as `?wait=30s` asks, are not counted.
    pub key_requests: NonZeroU32,
    /// Entries on a page when the caller gives no limit.
    pub default_page: NonZeroU32,
    /// Most entries on a page.
    pub max_page: NonZeroU32,
    /// Longest time that an answer may be put off, as `?wait=30s` asks, until what it is about has ended.
    pub wait: Period,
}

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network(IpNet);

impl Network {
    /// Its addresses.
    #[must_use]
    pub const fn get(&self) -> IpNet {
        self.0
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| single()).map(Self).map_err(|_| {
            format!("{text:?} is neither an address nor a network such as \"192.0.2.7\" or \"10.0.0.0/8\"")
        })
    }
}

super::text_setting!(Network, "an address or a network such as \"10.0.0.0/8\"", { "type": "string" });
