//! Whether a store is whom its certificate says.

use super::super::{ObjectRef, ObjectStore, Settings, StoreErrorKind as Kind};
use super::minio::{client, runtime, settings};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A store behind TLS that says 200 to everything; its endpoint, and its certificate as PEM.
async fn serve() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (endpoint, made.cert.pem())
}

fn head(store: &ObjectStore) -> Result<(), (Kind, String)> {
    let found = runtime().block_on(store.head(ObjectRef { bucket: "hw", key: "a" }, None));
    found.map(drop).map_err(|error| (error.kind, error.to_string()))
}

#[test]
fn a_private_ca_is_trusted_where_it_is_named_and_nowhere_else() {
    let (endpoint, pem) = runtime().block_on(serve());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, pem).unwrap();
    let right = Settings { ca: Some(file.path().into()), ..settings(&endpoint, "id", "secret") };
    head(&client(right.clone())).unwrap();
    let (kind, why) = head(&client(settings(&endpoint, "id", "secret"))).unwrap_err();
    assert_eq!(kind, Kind::Tls, "{why}");
    assert!(why.contains("see s3.main.ca"), "{why}");
    let other_name = Settings { endpoint: Some(endpoint.replace("localhost", "127.0.0.1")), ..right };
    let (kind, why) = head(&client(other_name)).unwrap_err();
    assert!(kind == Kind::Tls && why.contains("see s3.main.endpoint"), "{why}");
}
