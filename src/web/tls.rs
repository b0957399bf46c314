//! TLS of an address: which certificate it shows, and which clients may connect.
//!
//! The files are read at start, and again when [`Tls::reload`] is asked for: connections that are open keep what they began
//! with. If a file is wrong then, the certificate before stays in use.

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// HTTP/1.1 as ALPN names it (RFC 7301): nothing else is spoken.
const PROTOCOL: &[u8] = b"http/1.1";

/// Files of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and its CA, in PEM form.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whose clients are let in.
    pub clients: Clients,
}

/// Which clients may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// All; none is asked for a certificate.
    All,
    /// Those with a certificate of a CA in this file, and those without any.
    With(PathBuf),
    /// Those with a certificate of a CA in this file.
    OnlyWith(PathBuf),
}

/// TLS of an address. Clones share the certificate.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Arc<Files>,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {}: {why}", file.display())]
pub struct TlsError {
    /// The field of `[[listen]]` that names it.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub why: String,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or used, or the key is not that of the certificate.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(Arc::new(files.read()?)));
        Ok(Self { files: Arc::new(files), current })
    }

    /// Reads the files again, for the connections from now on.
    ///
    /// # Errors
    /// As [`load`](Self::load); then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = Arc::new(self.files.read()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// What accepts a connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Files {
    fn read(&self) -> Result<ServerConfig, TlsError> {
        let wrong = |setting, file: &Path, why: String| TlsError { setting, file: file.to_owned(), why };
        let chain = certificates("certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| match error {
            pem::Error::NoItemsFound => wrong("key", &self.key, "contains no key in PEM form".to_owned()),
            error => wrong("key", &self.key, unreadable(&error)),
        })?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("certificate", &self.certificate, told(&error)))?;
        let config = match self.clients.verifier(provider)? {
            Some(verifier) => config.with_client_cert_verifier(verifier),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                wrong("key", &self.key, format!("is not the key of {}", self.certificate.display()))
            }
            error => wrong("certificate", &self.certificate, told(&error)),
        })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        const SETTING: &str = "client_ca";
        let (Self::With(file) | Self::OnlyWith(file)) = self else { return Ok(None) };
        let wrong = |why: String| TlsError { setting: SETTING, file: file.clone(), why };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(SETTING, file)? {
            roots.add(certificate).map_err(|error| wrong(told(&error)))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self {
            Self::With(_) => builder.allow_unauthenticated(),
            _ => builder,
        };
        Ok(Some(builder.build().map_err(|error| wrong(told(&error)))?))
    }
}

/// All certificates in a file.
fn certificates(setting: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError { setting, file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).map_err(|error| wrong(unreadable(&error)))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(unreadable(&error)))?;
    if found.is_empty() { Err(wrong("contains no certificate in PEM form".to_owned())) } else { Ok(found) }
}

/// The innermost reason: the others only say in which layer it happened.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Why a PEM file cannot be read.
fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        error => told(error),
    }
}

#[cfg(test)]
mod tests;
