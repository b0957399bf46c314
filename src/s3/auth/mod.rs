//! Whether a request may speak for a source.
//!
//! ```text
//!   [source.NAME] auth = [ways] ─▶ check(ways, request) ─▶ Matched: this way, this secret
//!                                                       └▶ Refused: what each way missed
//! ```
//!
//! Any one way suffices. Of each secret two may be valid at once, so that it can be changed without a gap. Ways that look
//! at the connection (`mtls`) or at the message (`sns`) are only listed here; whoever has those decides them.
//!
//! Secrets are compared by their digests in constant time, and every secret of a way is compared, whichever matches.

mod redact;
mod secrets;
mod sigv4;

pub use redact::Redaction;
pub use secrets::Secrets;
pub use sigv4::AccessKey;

use crate::ids::{Timestamp, from_hex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A way to show that one may speak for a source.
#[derive(Debug, Clone)]
pub enum Way {
    /// `Authorization` holds the secret, with the word `Bearer` in front or without it: MinIO's token has neither form
    /// for sure.
    Bearer(Secrets),
    /// HTTP Basic (RFC 7617).
    Basic {
        /// Name in front of the colon.
        user: String,
        /// The password.
        secrets: Secrets,
    },
    /// A header holds the secret.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        secrets: Secrets,
    },
    /// The first segment of the path behind the source's own is the secret, as it is written.
    Path(Secrets),
    /// A header holds an HMAC-SHA256 of the body, in hexadecimal or base64.
    Hmac {
        /// Its name.
        name: String,
        /// What stands in front of the code, such as `v1=`.
        prefix: String,
        /// Keys of the code.
        secrets: Secrets,
    },
    /// AWS's signature, version 4.
    Sigv4 {
        /// Keys whose signatures count.
        keys: Vec<AccessKey>,
        /// Names of the services that may stand in the scope, such as `sns` and `es`.
        services: Vec<String>,
    },
    /// A certificate of the client; decided where the connection is.
    Mtls,
    /// A signature of SNS; decided by `sns::verify`.
    Sns,
    /// Nothing: anybody may.
    None,
}

/// A request as far as a way looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Method, in capitals.
    pub method: &'a str,
    /// The whole path, undecoded.
    pub path: &'a str,
    /// What stands in it behind the source's own path.
    pub below: &'a str,
    /// The query, undecoded, without `?`.
    pub query: &'a str,
    /// Names and values in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body, as it was sent.
    pub body: &'a [u8],
    /// Now, by our clock.
    pub now: Timestamp,
}

/// The way that let a request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// Place of the way in the source's list.
    pub way: usize,
    /// Which of its secrets, from 0; the last one that is still used tells when the other can go.
    pub secret: usize,
}

/// Nothing let a request in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// What each way of the list missed, by name.
    pub reasons: Vec<(&'static str, Missed)>,
}

/// What a way missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// The request does not try this way.
    Absent,
    /// It gives the same thing more than once.
    Repeated,
    /// It is not written as it must be.
    Malformed,
    /// No such user, key or service.
    Unknown,
    /// It does not match.
    Wrong,
    /// It was signed too long ago, or in the future.
    Stale,
    /// It does not sign what must be signed.
    Unsigned,
    /// Others decide this way.
    Elsewhere,
}

impl Way {
    /// Its name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "bearer",
            Self::Basic { .. } => "basic",
            Self::Header { .. } => "header",
            Self::Path(_) => "path",
            Self::Hmac { .. } => "hmac",
            Self::Sigv4 { .. } => "sigv4",
            Self::Mtls => "mtls",
            Self::Sns => "sns",
            Self::None => "none",
        }
    }

    /// Which of its secrets the request shows.
    fn ask(&self, request: &Presented<'_>) -> Result<usize, Missed> {
        match self {
            Self::Bearer(secrets) => bearer(secrets, request),
            Self::Basic { user, secrets } => basic(user, secrets, request),
            Self::Header { name, secrets } => secrets.find(header(request, name)?),
            Self::Path(secrets) => {
                secrets.find(first_segment(request.below).ok_or(Missed::Absent)?.as_bytes())
            }
            Self::Hmac { name, prefix, secrets } => {
                let sent = header(request, name)?.strip_prefix(prefix.as_bytes()).ok_or(Missed::Malformed)?;
                secrets.find_key(request.body, &code(sent).ok_or(Missed::Malformed)?)
            }
            Self::Sigv4 { keys, services } => sigv4::check(keys, services, request),
            Self::Mtls | Self::Sns => Err(Missed::Elsewhere),
            Self::None => Ok(0),
        }
    }
}

/// Finds the first of `ways` that lets `request` in.
///
/// Never panics, whatever the request holds.
///
/// # Errors
/// When none does; the answer is then 401 or 403, and nothing of the request is kept.
pub fn check(ways: &[Way], request: &Presented<'_>) -> Result<Matched, Refused> {
    let mut reasons = Vec::new();
    for (place, way) in ways.iter().enumerate() {
        match way.ask(request) {
            Ok(secret) => return Ok(Matched { way: place, secret }),
            Err(missed) => reasons.push((way.name(), missed)),
        }
    }
    Err(Refused { reasons })
}

impl Refused {
    /// Whether the answer must be 401 with `WWW-Authenticate: Basic`: SNS sends the credentials of its URL only then.
    #[must_use]
    pub fn wants_challenge(&self) -> bool {
        self.reasons.iter().any(|(way, _)| *way == "basic")
    }

    /// Whether a way that others decide may still let the request in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.reasons.iter().any(|(_, missed)| *missed == Missed::Elsewhere)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (way, missed)) in self.reasons.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{way}: {missed}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "not tried",
            Self::Repeated => "given twice",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown user, key or service",
            Self::Wrong => "does not match",
            Self::Stale => "signed at another time",
            Self::Unsigned => "does not sign all it must",
            Self::Elsewhere => "decided elsewhere",
        })
    }
}

/// The path below a source without its secret segment, for what reads it next.
#[must_use]
pub fn without_secret(below: &str) -> &str {
    first_segment(below).map_or(below, |secret| &below[1 + secret.len()..])
}

fn first_segment(below: &str) -> Option<&str> {
    below.strip_prefix('/')?.split('/').next().filter(|segment| !segment.is_empty())
}

/// The only value of a header.
fn header<'a>(request: &Presented<'a>, name: &str) -> Result<&'a [u8], Missed> {
    let mut values = request.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
    let (_, value) = values.next().ok_or(Missed::Absent)?;
    if values.next().is_some() { Err(Missed::Repeated) } else { Ok(value.trim_ascii()) }
}

/// What follows the word of a scheme.
fn scheme<'a>(value: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let (first, rest) = value.split_at_checked(word.len())?;
    let is_word = first.eq_ignore_ascii_case(word.as_bytes()) && rest.first() == Some(&b' ');
    is_word.then(|| rest.trim_ascii())
}

fn bearer(secrets: &Secrets, request: &Presented<'_>) -> Result<usize, Missed> {
    let value = header(request, "authorization")?;
    // A secret may itself be two words, the first of them `Bearer`.
    scheme(value, "bearer")
        .map_or(Err(Missed::Wrong), |token| secrets.find(token))
        .or_else(|_| secrets.find(value))
}

fn basic(user: &str, secrets: &Secrets, request: &Presented<'_>) -> Result<usize, Missed> {
    let sent = scheme(header(request, "authorization")?, "basic").ok_or(Missed::Absent)?;
    let pair = STANDARD.decode(sent).map_err(|_| Missed::Malformed)?;
    let colon = pair.iter().position(|&b| b == b':').ok_or(Missed::Malformed)?;
    // Both are compared before either is told: how long it takes says nothing about the name.
    let password = secrets.find(&pair[colon + 1..]);
    let name = Secrets::of([user.to_owned()]).find(&pair[..colon]);
    name.map_err(|_| Missed::Unknown).and(password)
}

/// A code in hexadecimal or base64.
fn code(sent: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(sent).ok()?;
    if text.len() == 64 { from_hex(text) } else { STANDARD.decode(text).ok() }
}

#[cfg(test)]
mod tests;
