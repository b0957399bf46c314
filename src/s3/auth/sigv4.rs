//! AWS's signature, version 4, in the `Authorization` header ("Create a signed AWS API request", AWS documentation).
//!
//! StorageGRID signs with the access key of its endpoint: service `sns` for notifications, `es` for search. The body must
//! be signed, and with it host and time. A client encodes the path once more than it sends it, except for S3; both
//! forms are tried, because each binds the whole path.

use super::{Missed, Presented, header};
use crate::config::Secret;
use crate::ids::{Timestamp, from_hex, hex};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::hmac;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How far the clocks may differ.
const SKEW: Duration = Duration::from_secs(15 * 60);

/// RFC 3986, unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An access key and its secret.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// What the request names.
    pub id: String,
    /// What it was signed with.
    pub secret: Secret,
}

/// The header, taken apart.
struct Signature<'a> {
    key: &'a str,
    /// `date/region/service/aws4_request`.
    scope: &'a str,
    headers: Vec<&'a str>,
    code: Vec<u8>,
}

/// Which of `keys` signed the request.
pub(super) fn check(
    keys: &[AccessKey],
    services: &[String],
    request: &Presented<'_>,
) -> Result<usize, Missed> {
    let value = std::str::from_utf8(header(request, "authorization")?).map_err(|_| Missed::Malformed)?;
    let signature =
        Signature::read(value.strip_prefix(ALGORITHM).ok_or(Missed::Absent)?).ok_or(Missed::Malformed)?;
    let scope: Vec<&str> = signature.scope.split('/').collect();
    let [date, region, service, "aws4_request"] = scope[..] else { return Err(Missed::Malformed) };
    if !services.iter().any(|allowed| allowed == service) {
        return Err(Missed::Unknown);
    }
    let stamp = std::str::from_utf8(header(request, "x-amz-date")?).map_err(|_| Missed::Malformed)?;
    if !stamp.starts_with(date) || !is_near(stamp, request.now)? {
        return Err(Missed::Stale);
    }
    let needed = ["host", "x-amz-date"];
    if !needed.iter().all(|name| signature.headers.contains(name)) || !signs_body(request, &signature)? {
        return Err(Missed::Unsigned);
    }
    let place = keys.iter().position(|key| key.id == signature.key).ok_or(Missed::Unknown)?;
    let signing = signing_key(keys[place].secret.reveal(), [date, region, service]);
    let matches = |path: String| {
        let canonical = canonical(request, &signature, &path)?;
        let text = format!("{ALGORITHM}\n{stamp}\n{}\n{}", signature.scope, hex(&Sha256::digest(canonical)));
        Ok(hmac::verify(&signing, text.as_bytes(), &signature.code).is_ok())
    };
    let path = if request.path.is_empty() { "/" } else { request.path };
    let encoded = path.split('/').map(|part| encode(part.as_bytes())).collect::<Vec<_>>().join("/");
    if matches(path.to_owned())? || matches(encoded)? { Ok(place) } else { Err(Missed::Wrong) }
}

impl<'a> Signature<'a> {
    fn read(parameters: &'a str) -> Option<Self> {
        let (mut credential, mut headers, mut code) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=')?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut headers,
                "Signature" => &mut code,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let (key, scope) = credential?.split_once('/')?;
        Some(Self { key, scope, headers: headers?.split(';').collect(), code: from_hex(code?)? })
    }
}

/// Whether a time such as `20260314T092653Z` is near `now`.
fn is_near(stamp: &str, now: Timestamp) -> Result<bool, Missed> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).map_err(|_| Missed::Malformed)?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| Missed::Malformed)?;
    let time = Timestamp(time.timestamp().as_microsecond());
    Ok(now.before(SKEW) <= time && time <= now.after(SKEW))
}

/// The digest that the client says the body has must be the body's, where it is said at all.
fn signs_body(request: &Presented<'_>, signature: &Signature<'_>) -> Result<bool, Missed> {
    match header(request, "x-amz-content-sha256") {
        Err(Missed::Absent) => Ok(true),
        Err(missed) => Err(missed),
        Ok(told) => {
            let is_signed = signature.headers.contains(&"x-amz-content-sha256");
            Ok(is_signed && told == hex(&Sha256::digest(request.body)).as_bytes())
        }
    }
}

fn signing_key(secret: &str, scope: [&str; 3]) -> hmac::Key {
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    let first = key(format!("AWS4{secret}").as_bytes());
    let steps = scope.into_iter().chain(["aws4_request"]);
    steps.fold(first, |last, step| key(hmac::sign(&last, step.as_bytes()).as_ref()))
}

/// The request as it is signed.
fn canonical(request: &Presented<'_>, signature: &Signature<'_>, path: &str) -> Result<Vec<u8>, Missed> {
    let mut text = format!("{}\n{path}\n{}\n", request.method, query(request.query)).into_bytes();
    for name in &signature.headers {
        let values: Vec<Vec<u8>> = request
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| words(value).join(&b' '))
            .collect();
        if values.is_empty() {
            return Err(Missed::Unsigned);
        }
        text.extend([name.as_bytes(), b":", &values.join(&b','), b"\n"].concat());
    }
    text.extend(
        format!("\n{}\n{}", signature.headers.join(";"), hex(&Sha256::digest(request.body))).into_bytes(),
    );
    Ok(text)
}

fn words(value: &[u8]) -> Vec<&[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

/// Parameters in the order of their names and values, encoded again.
fn query(query: &str) -> String {
    let again = |text: &str| encode(&percent_decode_str(text).collect::<Vec<u8>>());
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut pairs: Vec<(String, String)> = parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (again(name), again(value)))
        .collect();
    pairs.sort();
    let joined: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    joined.join("&")
}

fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}
