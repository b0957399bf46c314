//! Certification authorities, and certificates of them in files.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certification authority.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Files of a certificate and its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Ca {
    /// One with this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Its certificate as file `name`.
    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A certificate for `localhost` as files `<name>.pem` and `<name>.key`.
    pub fn issue(&self, directory: &Path, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate, key_file) =
            (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
        fs::write(&certificate, made.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        Certificate { certificate, key: key_file }
    }

    /// A client that trusts it, with a certificate or without.
    pub fn client(&self, own: Option<&Certificate>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match own {
            None => config.with_no_client_auth(),
            Some(own) => config.with_client_auth_cert(own.chain(), own.key()).unwrap(),
        })
    }
}

impl Certificate {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(&self.certificate).unwrap().map(Result::unwrap).collect()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).unwrap()
    }
}
