//! What a source takes from SNS.

use super::Hosts;
use rustls::pki_types::TrustAnchor;
use std::time::Duration;

/// What a source takes from SNS.
#[derive(Debug, Clone)]
pub struct Policy {
    /// ARNs of the topics that may speak, account and region included. None: nobody may.
    pub topics: Vec<String>,
    /// The oldest kind of signature that is taken.
    pub least_signature: SignatureVersion,
    /// Who confirms a subscription.
    pub confirm: Confirm,
    /// Where SNS may be, beside the hosts of AWS.
    pub hosts: Hosts,
    /// Names that a signing certificate may have.
    pub names: Vec<String>,
    /// Whom the certificate must lead back to. Empty: the TLS of the host it was fetched from is trusted for that, because
    /// the file of AWS may hold the last certificate only.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// Whether messages without an envelope are taken: they have neither topic nor signature.
    pub takes_raw: bool,
    /// How far in the future a message may be from, by our clock.
    pub ahead: Duration,
    /// How old a message may be: SNS repeats it for an hour.
    pub behind: Duration,
}

/// A kind of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureVersion {
    /// SHA-1; what a topic has unless it was changed.
    One,
    /// SHA-256.
    Two,
}

/// Who confirms a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// An operator, who is shown topic and address.
    Manual,
    /// We, after the answer, if the message is signed and its topic on the list.
    Automatic,
}

/// Nobody may speak, and nothing is confirmed.
impl Default for Policy {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            least_signature: SignatureVersion::One,
            confirm: Confirm::Manual,
            hosts: Hosts::default(),
            names: vec!["sns.amazonaws.com".to_owned()],
            anchors: Vec::new(),
            takes_raw: false,
            ahead: Duration::from_secs(5 * 60),
            behind: Duration::from_secs(75 * 60),
        }
    }
}

impl SignatureVersion {
    /// Reads `1` or `2`; no other version is known.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "1" => Some(Self::One),
            "2" => Some(Self::Two),
            _ => None,
        }
    }
}
