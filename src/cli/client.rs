//! HTTP to a server: over its control socket, or to an address with or without TLS.

use super::{Exit, Failure};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use reqwest::{Certificate, Url, redirect};
use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a server, whose `http.request_timeout` normally ends a request much earlier.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// A body to send, with its media type.
pub type Upload = (String, reqwest::Body);

/// A server, and how to reach it.
pub struct Client {
    http: reqwest::Client,
    /// What the path of a request is appended to.
    base: String,
    /// What errors call this server.
    pub place: String,
}

impl Client {
    /// A client of the server that listens on a control socket.
    ///
    /// # Errors
    /// When TLS cannot be initialised, although a socket does not use it.
    pub fn at_socket(socket: &Path) -> Result<Self, Failure> {
        let http = builder().unix_socket(socket).tls_certs_only([]).build()?;
        Ok(Self { http, base: "http://localhost".into(), place: socket.display().to_string() })
    }

    /// A client of the server at an `http://` or `https://` address. TLS trusts the certificates in the file `ca`, and
    /// without one those of the system.
    ///
    /// # Errors
    /// When the address is malformed, the key contains control characters, or there is no certificate to trust.
    pub fn at_url(url: &str, key: Option<&str>, ca: Option<&Path>) -> Result<Self, Failure> {
        // Only the origin is ever printed: the rest may hold a password.
        let address: Url = url.parse().map_err(|_| Failure::new(Exit::Usage, "--url is not a URL"))?;
        let place = address.origin().ascii_serialization();
        let wrong = |why: &str| Failure::new(Exit::Usage, format!("--url {place}: {why}"));
        if !matches!(address.scheme(), "http" | "https") {
            return Err(wrong("must start with http:// or https://"));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let value = HeaderValue::from_str(key);
            let mut value =
                value.map_err(|_| Failure::new(Exit::Usage, "the key contains control characters"))?;
            value.set_sensitive(true);
            headers.insert("x-api-key", value);
        }
        let builder = builder().default_headers(headers);
        let builder = match ca {
            // Without TLS no certificate is needed, not even the system's.
            _ if address.scheme() == "http" => builder.tls_certs_only([]),
            Some(file) => builder.tls_certs_only(certificates(file)?),
            None => builder,
        };
        let http = builder.build().map_err(|error| wrong(&cause(&error)))?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), place })
    }

    /// Sends a request and returns the answer, whose body is still to be read.
    ///
    /// # Errors
    /// When the server cannot be reached or is not trusted.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        upload: Option<Upload>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some((media_type, body)) = upload {
            request = request.header(header::CONTENT_TYPE, media_type).body(body);
        }
        let answer = request.send().await.map_err(|error| {
            let advice = if is_unknown_issuer(&error) { "; name its CA with --ca" } else { "" };
            Failure::new(Exit::Unreachable, format!("{}: {}{advice}", self.place, cause(&error)))
        })?;
        Ok(Response::from(answer).map(Body::new))
    }
}

/// Redirects are not followed, because the key is meant for this server only.
fn builder() -> reqwest::ClientBuilder {
    // An error only says that a provider is already installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy()
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let wrong = |why: String| Failure::new(Exit::Usage, format!("--ca {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem).map_err(|error| wrong(cause(&error)))? {
        none if none.is_empty() => Err(wrong("contains no certificate in PEM form".into())),
        certificates => Ok(certificates),
    }
}

/// The error at the end of a chain: the others only say in which layer it happened.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn is_unknown_issuer(error: &(dyn Error + 'static)) -> bool {
    use rustls::{CertificateError::UnknownIssuer, Error::InvalidCertificate};
    chain(error).any(|error| matches!(error.downcast_ref(), Some(InvalidCertificate(UnknownIssuer))))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<io::Error>() {
        // The error inside is not the source, whose place it takes.
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => Error::source(*error),
    })
}

#[cfg(test)]
mod tests {
    use super::Client;
    use crate::cli::Exit;

    fn place(url: &str) -> Result<String, Exit> {
        Client::at_url(url, None, None).map(|client| client.place).map_err(|failure| failure.exit)
    }

    #[test]
    fn a_server_is_named_by_its_address() {
        assert_eq!(place("http://127.0.0.1:25025").unwrap(), "http://127.0.0.1:25025");
        assert_eq!(place("http://host/behind/").unwrap(), "http://host");
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for wrong in ["host", "host:25025", "ftp://host", "http://", ""] {
            assert_eq!(place(wrong), Err(Exit::Usage), "{wrong}");
        }
    }
}
