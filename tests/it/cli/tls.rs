//! `--url https://…`: the command line and a server behind TLS.

use super::*;
use crate::certificates::{Ca, Certificate};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A TLS listener in front of a server, to which it forwards the decrypted bytes.
struct Front {
    address: SocketAddr,
    /// File with the certificate of its CA.
    ca: PathBuf,
    _directory: TempDir,
}

impl Front {
    /// Starts it with a certificate for `localhost`.
    async fn start(server: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // No two CAs of this test share a name.
        let ca = Ca::new(&format!("CA before {server}"));
        let Certificate { certificate, key } = ca.issue(directory.path(), "front");
        let file = ca.write(directory.path(), "ca.pem");

        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(mut client) = acceptor.accept(stream).await else { return };
                    let mut server = TcpStream::connect(server).await.unwrap();
                    copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        Self { address, ca: file, _directory: directory }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_answers_clients_that_trust_its_ca() {
    let shell = Shell::new(None);
    let served = tokio::task::block_in_place(|| shell.with_mails());
    let key = shell.says(&["keys", "create", "--name", "ops", "--grant", "read,content,operate"]);
    let front = Front::start(served.url()["http://".len()..].parse().unwrap()).await;
    let ask = |host: &str, ca: Option<&Path>, arguments: &[&str]| {
        let mut command = shell.command(arguments);
        command.env("HEADWORKS_URL", front.url(host)).env("HEADWORKS_KEY", key.trim());
        command.envs(ca.map(|ca| ("HEADWORKS_CA", ca)));
        tokio::task::block_in_place(|| command.output().unwrap())
    };
    let delivery = &shell.objects(&["deliveries", "list", "--type", "alert"])[0]["id"];
    for arguments in [&["jobs", "list", "--json"][..], &["trace", delivery.as_str().unwrap(), "--json"]] {
        let ended = ask("localhost", Some(&front.ca), arguments);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), shell.says(arguments));
    }

    let unreachable = |host: &str, ca: Option<&Path>, why: &str| {
        let ended = ask(host, ca, &["jobs", "list"]);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(6), "{said}");
        assert_eq!(said, format!("headworks: {}: {why}\n", front.url(host)));
    };
    let unknown = "invalid peer certificate: UnknownIssuer; name its CA with --ca";
    unreachable("localhost", None, unknown);
    let other = Front::start(front.address).await;
    unreachable("localhost", Some(&other.ca), unknown);
    let ended = ask("127.0.0.1", Some(&front.ca), &["jobs", "list"]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(6) && said.contains("certificate not valid for name"), "{said}");
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    let shell = Shell::new(None);
    let file = shell.site.directory.path().join("empty.pem");
    std::fs::write(&file, "no certificate\n").unwrap();
    for (file, why) in
        [(file.to_str().unwrap(), "no certificate"), ("/nowhere/ca.pem", "No such file or directory")]
    {
        let ended = shell.run(&["jobs", "list", "--url", "https://localhost:1", "--ca", file]);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(2) && said.contains(file) && said.contains(why), "{said}");
    }
}
