//! The `Host` field, which every HTTP/1.1 request must have once (RFC 9112 section 3.2).

use super::{Kind, Problem};
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version, header};

/// Marks a request that the listener found without a good `Host`; it gets 400.
#[derive(Debug, Clone, Copy)]
pub struct BadHost;

/// Marks the request if its `Host` is missing, twice there, or no host.
pub fn check<B>(request: &mut axum::http::Request<B>) {
    if !is_good(request.version(), request.headers()) {
        request.extensions_mut().insert(BadHost);
    }
}

/// The refusal of a marked request.
pub fn refusal(request: &Request) -> Option<Problem> {
    request.extensions().get::<BadHost>()?;
    Some(Problem::new(Kind::Malformed, "the request needs one Host field with a host and perhaps a port"))
}

fn is_good(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// Empty, or a host with or without a port.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let Ok(authority) = text.parse::<Authority>() else { return text.is_empty() };
    let port = text.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    !text.contains('@') && (text == authority.host() || port.is_some_and(is_number))
}

#[cfg(test)]
mod tests {
    use super::is_good;
    use axum::http::{HeaderMap, Version, header};

    fn with(hosts: &[&str], version: Version) -> bool {
        let hosts = hosts.iter().map(|host| (header::HOST, host.parse().unwrap()));
        is_good(
            version,
            &hosts.fold(HeaderMap::new(), |mut all, (name, host)| {
                all.append(name, host);
                all
            }),
        )
    }

    #[test]
    fn a_host_is_needed_once_and_must_be_one() {
        for host in ["", "a", "a.example:8080", "a.example:", "192.0.2.7", "[2001:db8::1]:80", "under_score"]
        {
            assert!(with(&[host], Version::HTTP_11), "{host:?}");
        }
        for host in ["a b", "user@a", "a:port", "a/b", "a:1:2", "[::1", "http://a"] {
            assert!(!with(&[host], Version::HTTP_11), "{host:?}");
        }
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(!with(&["a", "a"], version));
        }
        assert!(!with(&[], Version::HTTP_11) && with(&[], Version::HTTP_10));
    }
}
