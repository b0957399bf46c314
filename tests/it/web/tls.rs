//! An address that speaks TLS.

use super::client::{LIMITS, exchange, get};
use crate::certificates::{Ca, Certificate};
use axum::Router;
use axum::routing::get as on_get;
use headworks::web::edge::finish;
use headworks::web::listen::{Listen, Serving, start};
use headworks::web::tls::{Clients, Files, Tls};
use rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server with a certificate of `ca`.
struct Site {
    directory: TempDir,
    ca: Ca,
    address: SocketAddr,
    serving: Serving,
}

impl Site {
    async fn start(clients: impl FnOnce(&Path) -> Clients) -> Self {
        let (directory, ca) = (tempfile::tempdir().unwrap(), Ca::new("servers"));
        let Certificate { certificate, key } = ca.issue(directory.path(), "server");
        let clients = clients(directory.path());
        let tls = Some(Tls::load(Files { certificate, key, clients }).unwrap());
        let router = finish(Router::new().route("/", on_get(async || "over TLS")), Vec::new());
        let address = "127.0.0.1:0".parse().unwrap();
        let serving = start(vec![Listen { address, router, tls }], None, LIMITS).await.unwrap();
        let address = serving.addresses()[0];
        Self { directory, ca, address, serving }
    }

    /// A connection. In TLS 1.3 a client is done before it hears that its certificate is refused.
    async fn connect(&self, client: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(client).connect("localhost".try_into().unwrap(), stream).await
    }

    async fn is_served(&self, client: Arc<ClientConfig>) -> bool {
        let Ok(mut stream) = self.connect(client).await else { return false };
        if stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.is_err() {
            return false;
        }
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.is_ok() && answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("over TLS")
    }
}

#[tokio::test]
async fn who_trusts_the_ca_is_served_over_tls_and_nobody_without() {
    let site = Site::start(|_| Clients::All).await;
    assert!(site.is_served(site.ca.client(None)).await);
    let error = site.connect(Ca::new("others").client(None)).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(site.serving.drain(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn clients_show_a_certificate_where_they_must_and_a_right_one_where_they_may() {
    let (clients, others) = (Ca::new("clients"), Ca::new("others"));
    let own = tempfile::tempdir().unwrap();
    let (good, bad) = (clients.issue(own.path(), "good"), others.issue(own.path(), "bad"));
    let required = Site::start(|directory| Clients::OnlyWith(clients.write(directory, "clients.pem"))).await;
    let optional = Site::start(|directory| Clients::With(clients.write(directory, "clients.pem"))).await;
    for (site, shown, expected) in [
        (&required, None, false),
        (&required, Some(&good), true),
        (&required, Some(&bad), false),
        (&optional, None, true),
        (&optional, Some(&good), true),
        (&optional, Some(&bad), false),
    ] {
        let is_served = site.is_served(site.ca.client(shown)).await;
        let shown = shown.map(|shown| shown.certificate.display().to_string());
        assert_eq!(is_served, expected, "{shown:?}");
    }
}

#[tokio::test]
async fn renewed_certificates_are_for_new_connections_and_open_ones_go_on() {
    let site = Site::start(|_| Clients::All).await;
    let open = site.connect(site.ca.client(None)).await.unwrap();
    let renewed = Ca::new("servers of this year");
    renewed.issue(site.directory.path(), "server");
    assert!(!site.is_served(renewed.client(None)).await, "it was not asked to read them yet");
    site.serving.reload_certificates();
    assert!(site.is_served(renewed.client(None)).await);
    assert!(!site.is_served(site.ca.client(None)).await);
    assert_eq!(exchange(open, get("/", "")).await.body(), "over TLS");
    std::fs::write(site.directory.path().join("server.key"), "").unwrap();
    site.serving.reload_certificates();
    assert!(site.is_served(renewed.client(None)).await, "a bad key changes nothing");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_has_the_time_of_a_head() {
    let site = Site::start(|_| Clients::All).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    silent.write_all(&[0x16, 3, 1]).await.unwrap();
    silent.read_to_end(&mut Vec::new()).await.ok();
    let taken = began.elapsed();
    assert!((LIMITS.header_timeout..LIMITS.header_timeout * 10).contains(&taken), "{taken:?}");
}
