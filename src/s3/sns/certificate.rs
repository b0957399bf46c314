//! A signing certificate.

use super::der;
use crate::ids::Timestamp;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

use super::SignatureVersion;

/// Certificates in one file.
const CHAIN: usize = 8;

/// A certificate that was fetched from where the envelope says, with what leads to its issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    leaf: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    rsa_key: Vec<u8>,
    valid_from: Timestamp,
    valid_until: Timestamp,
}

/// Why bytes are no signing certificate, or one that must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No PEM, or more certificates than a chain has.
    #[error("no certificate in PEM form")]
    NotPem,
    /// Not a certificate of RFC 5280 with an RSA key.
    #[error("no certificate with an RSA key")]
    NotRsa,
    /// Its dates do not hold now.
    #[error("certificate is not valid at this time")]
    Dates,
    /// It has another name.
    #[error("certificate has another name")]
    Name,
    /// It does not lead to anybody who is trusted.
    #[error("certificate is not issued by anybody trusted")]
    Issuer,
}

impl Certificate {
    /// Reads a file: the certificate first, then those that lead to its issuer.
    ///
    /// Never panics, whatever the bytes are.
    ///
    /// # Errors
    /// When there is none, or its key is not RSA.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let read: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(pem).take(CHAIN + 1).collect();
        let mut chain = read.map_err(|_| CertificateError::NotPem)?;
        if chain.is_empty() || chain.len() > CHAIN {
            return Err(CertificateError::NotPem);
        }
        let leaf = chain.remove(0);
        let (valid_from, valid_until) = der::validity(&leaf).ok_or(CertificateError::NotRsa)?;
        let info =
            EndEntityCert::try_from(&leaf).map_err(|_| CertificateError::NotRsa)?.subject_public_key_info();
        let rsa_key = der::rsa_key(&info).ok_or(CertificateError::NotRsa)?.to_vec();
        Ok(Self { leaf, chain, rsa_key, valid_from, valid_until })
    }

    /// Whether it may be used at `now`: its dates hold, it has one of `names`, and it leads to one of `anchors`, if there
    /// are any.
    ///
    /// # Errors
    /// When one of these does not hold.
    pub fn check(
        &self,
        names: &[String],
        anchors: &[TrustAnchor<'_>],
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        if now < self.valid_from || self.valid_until < now {
            return Err(CertificateError::Dates);
        }
        let leaf = EndEntityCert::try_from(&self.leaf).map_err(|_| CertificateError::NotRsa)?;
        let has = |name: &String| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if !names.iter().any(has) {
            return Err(CertificateError::Name);
        }
        if anchors.is_empty() {
            return Ok(());
        }
        let time =
            UnixTime::since_unix_epoch(Duration::from_micros(u64::try_from(now.0).unwrap_or_default()));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let usage = KeyUsage::server_auth();
        let path = leaf.verify_for_usage(algorithms, anchors, &self.chain, time, usage, None, None);
        path.map(|_| ()).map_err(|_| CertificateError::Issuer)
    }

    /// Whether it signed `text` (PKCS #1 1.5).
    #[must_use]
    pub fn signed(&self, version: SignatureVersion, text: &[u8], signature: &[u8]) -> bool {
        let algorithm = match version {
            SignatureVersion::One => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            SignatureVersion::Two => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.rsa_key).verify(text, signature).is_ok()
    }
}
