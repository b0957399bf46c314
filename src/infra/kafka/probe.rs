//! A TLS handshake of our own, to find out why librdkafka does not accept a broker's certificate.

use super::connection::Settings;
use super::trouble::Trouble;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The CAs of the system.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Shakes hands with `broker` under the same CA. `None` if there is nothing wrong with its certificate, or it does not
/// answer.
pub(super) fn handshake(broker: &str, settings: &Settings) -> Option<Trouble> {
    let tls = settings.tls.as_ref()?;
    let file = tls.ca.as_deref().unwrap_or(Path::new(SYSTEM));
    let mut roots = RootCertStore::empty();
    match CertificateDer::pem_file_iter(file) {
        Ok(found) => _ = roots.add_parsable_certificates(found.flatten()),
        Err(error) => return Some(Trouble::known("kafka.ca", format!("{}: {error}", file.display()))),
    }
    let (host, _) = broker.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let error = shake(broker, host, roots).err()?;
    let Error::InvalidCertificate(error) = error.get_ref()?.downcast_ref::<Error>()? else { return None };
    Some(blame(error, broker, host, file))
}

fn shake(broker: &str, host: &str, roots: RootCertStore) -> io::Result<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let address = broker.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(())
}

fn blame(error: &CertificateError, broker: &str, host: &str, ca: &Path) -> Trouble {
    let ca = ca.display();
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let reason = format!("no CA in {ca} signed the certificate of {broker}");
            Trouble::known("kafka.ca", reason)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let reason = format!("the certificate of {broker} is not for the name {host}");
            Trouble::known("kafka.bootstrap", reason)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Trouble::known(
            "kafka.bootstrap",
            format!("the certificate of {broker} has expired; it must be renewed there"),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Trouble::known(
            "kafka.bootstrap",
            format!("the certificate of {broker} is not valid yet; do the clocks agree?"),
        ),
        other => Trouble::known("kafka.ca", format!("the certificate of {broker} is not accepted: {other}")),
    }
}
