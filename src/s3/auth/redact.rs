//! What of a request is masked before it is stored. A stored request can be read by operators and decoded again; it must
//! not let its reader speak for the sender.

use super::{Way, first_segment};
use std::borrow::Cow;

/// What stands for a secret.
const MASK: &str = "***";

/// Headers that hold secrets whatever the source asks for.
const HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-amz-security-token", "x-auth-token"];

/// Parameters of a query that hold secrets, ignoring case.
const PARAMETERS: [&str; 11] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "key",
    "password",
    "secret",
    "sig",
    "token",
    "x-amz-security-token",
    "x-amz-signature",
];

/// Members of an SNS envelope that confirm, begin or end a subscription.
const MEMBERS: [&[u8]; 5] =
    [b"Token", b"SubscribeURL", b"SubscribeUrl", b"UnsubscribeURL", b"UnsubscribeUrl"];

/// Masks what the ways of one source make secret.
#[derive(Debug, Clone)]
pub struct Redaction {
    headers: Vec<String>,
    masks_path: bool,
}

impl Redaction {
    /// For a source with these ways.
    #[must_use]
    pub fn of(ways: &[Way]) -> Self {
        let named = ways.iter().filter_map(|way| match way {
            Way::Header { name, .. } | Way::Hmac { name, .. } => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let headers = HEADERS.map(str::to_owned).into_iter().chain(named).collect();
        Self { headers, masks_path: ways.iter().any(|way| matches!(way, Way::Path(_))) }
    }

    /// The value of a header as it may be stored.
    #[must_use]
    pub fn header<'v>(&self, name: &str, value: &'v [u8]) -> &'v [u8] {
        if self.headers.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
            MASK.as_bytes()
        } else {
            value
        }
    }

    /// A path below the source's own as it may be stored.
    #[must_use]
    pub fn path<'p>(&self, below: &'p str) -> Cow<'p, str> {
        match first_segment(below) {
            Some(secret) if self.masks_path => Cow::Owned(format!("/{MASK}{}", &below[1 + secret.len()..])),
            _ => Cow::Borrowed(below),
        }
    }

    /// A query, undecoded, as it may be stored. A name is compared after it is decoded.
    #[must_use]
    pub fn query(&self, query: &str) -> String {
        let parameters = query.split('&').map(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default();
            let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
            let is_secret = PARAMETERS.contains(&decoded.as_str());
            if is_secret { Cow::Owned(format!("{name}={MASK}")) } else { Cow::Borrowed(parameter) }
        });
        parameters.collect::<Vec<_>>().join("&")
    }

    /// A body as it may be stored: of SNS's envelope without what would subscribe or unsubscribe. Every other body stays
    /// as it is, byte by byte. `depth` is the limit the body was read with.
    #[must_use]
    pub fn body<'b>(&self, body: &'b [u8], depth: usize) -> Cow<'b, [u8]> {
        let members =
            super::super::json::Json::parse(body, depth).ok().and_then(super::super::json::Json::members);
        let members = members.unwrap_or_default();
        let has = |wanted: &[u8]| members.iter().any(|(name, _)| name.as_ref() == wanted);
        if !(has(b"TopicArn") && has(b"MessageId")) {
            return Cow::Borrowed(body);
        }
        let (mut masked, mut from) = (Vec::with_capacity(body.len()), 0);
        for (_, value) in members.iter().filter(|(name, _)| MEMBERS.contains(&name.as_ref())) {
            // A value is a stretch of the body itself.
            let at = value.written().as_ptr().addr() - body.as_ptr().addr();
            masked.extend_from_slice(&body[from..at]);
            masked.extend_from_slice(br#""***""#);
            from = at + value.written().len();
        }
        masked.extend_from_slice(&body[from..]);
        Cow::Owned(masked)
    }
}
