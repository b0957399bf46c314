//! The client of the SDK: TLS, time limits, repetitions.

use super::fault::{Faults, StoreErrorKind};
use super::{Checksums, Settings, StoreError, login};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the first byte of an answer, sending the request included. A transfer that stands still for 20 s is ended
/// by the SDK itself.
const ANSWER: Duration = Duration::from_secs(60);
/// The same where a body of up to 64 MiB is sent first.
pub(super) const ANSWER_TO_BODY: Duration = Duration::from_secs(600);
/// How often a request is sent; the pauses between are 1 s, then 2 s, with jitter.
const ATTEMPTS: u32 = 3;

pub(super) fn client(settings: &Settings, faults: &Faults) -> Result<aws_sdk_s3::Client, StoreError> {
    let (calculated, validated) = match settings.checksums {
        Checksums::Always => {
            (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
        }
        Checksums::WhenRequired => {
            (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
        }
    };
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .force_path_style(settings.path_style)
        .http_client(http(settings.ca.as_deref(), faults)?)
        .credentials_provider(login::provider(settings, &http(None, faults)?))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts(ANSWER))
        .request_checksum_calculation(calculated)
        .response_checksum_validation(validated);
    config.set_endpoint_url(settings.endpoint.clone());
    Ok(aws_sdk_s3::Client::from_conf(config.build()))
}

/// Time limits of one request.
pub(super) fn timeouts(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(answer).build()
}

/// Connections with rustls and ring, whose peers are proved by `ca` or by the system's certificates.
fn http(ca: Option<&Path>, faults: &Faults) -> Result<SharedHttpClient, StoreError> {
    let trusted = match ca {
        None => TrustStore::empty().with_native_roots(true),
        Some(file) => TrustStore::empty().with_pem_certificate(certificates(file, faults)?),
    };
    let bad = |error: &dyn std::fmt::Display| faults.setting(StoreErrorKind::Tls, "ca", error);
    let context = TlsContext::builder().with_trust_store(trusted).build().map_err(|error| bad(&error))?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}

/// The bytes of a file that holds certificates: the SDK would panic over anything else.
fn certificates(file: &Path, faults: &Faults) -> Result<Vec<u8>, StoreError> {
    let bad = |error: &dyn std::fmt::Display| {
        faults.setting(StoreErrorKind::Tls, "ca", &format_args!("{}: {error}", file.display()))
    };
    let pem = std::fs::read(file).map_err(|error| bad(&error))?;
    let mut count = 0;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
        count += 1;
    }
    if count == 0 { Err(bad(&"there is no certificate in it")) } else { Ok(pem) }
}
