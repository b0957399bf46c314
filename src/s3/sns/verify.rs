//! Whether an envelope is what it says.

use super::{
    Address, Certificate, CertificateError, Confirm, Envelope, EnvelopeKind, Policy, SignatureVersion,
};
use crate::ids::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why an envelope is not believed. Nothing of its message is kept then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its topic is not on the source's list.
    #[error("topic is not on the list")]
    Topic,
    /// It has no signature of a kind we know and take.
    #[error("signature is missing, or of a version that is not taken")]
    Version,
    /// It was published at another time than now.
    #[error("published too long ago, or in the future")]
    Time,
    /// Its certificate is said to be where none of SNS's is.
    #[error("address of the certificate is not one of SNS")]
    Address,
    /// The certificate must not be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Something that must be signed is missing, or was changed.
    #[error("signature does not match")]
    Signature,
}

/// Proof that an envelope was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// By this kind of signature.
    pub version: SignatureVersion,
    /// When it was published.
    pub published_at: Timestamp,
}

/// What can be said without the certificate. So a foreign message makes us fetch nothing.
///
/// # Errors
/// When the message would be refused whatever the certificate is.
pub fn admit(envelope: &Envelope, policy: &Policy, now: Timestamp) -> Result<Address, Refused> {
    shape(envelope, policy, now)?;
    let url = envelope.certificate_url.as_deref().ok_or(Refused::Address)?;
    policy.hosts.certificate(url, &envelope.topic).ok_or(Refused::Address)
}

/// Verifies `envelope` with the certificate of the address that [`admit`] gave.
///
/// Never panics, whatever the envelope holds.
///
/// # Errors
/// When it must not be believed.
pub fn verify(
    envelope: &Envelope,
    certificate: &Certificate,
    policy: &Policy,
    now: Timestamp,
) -> Result<Verified, Refused> {
    let verified = shape(envelope, policy, now)?;
    certificate.check(&policy.names, &policy.anchors, now)?;
    let text = envelope.signed_text().ok_or(Refused::Signature)?;
    let sent = envelope.signature.as_deref().and_then(|signature| STANDARD.decode(signature).ok());
    let signature = sent.ok_or(Refused::Signature)?;
    let is_signed = certificate.signed(verified.version, text.as_bytes(), &signature);
    is_signed.then_some(verified).ok_or(Refused::Signature)
}

/// What to call to confirm the subscription that a verified envelope asks for: after the answer, once, with GET. `None` if
/// an operator confirms, if the address is not allowed, or if the envelope asks for something else; that of an ended
/// subscription would begin it again.
#[must_use]
pub fn confirmation(envelope: &Envelope, _proof: &Verified, policy: &Policy) -> Option<Address> {
    let asks =
        envelope.kind == EnvelopeKind::SubscriptionConfirmation && policy.confirm == Confirm::Automatic;
    let (url, token) = (envelope.subscribe_url.as_deref()?, envelope.token.as_deref()?);
    policy.hosts.subscribe(url, &envelope.topic, token).filter(|_| asks)
}

fn shape(envelope: &Envelope, policy: &Policy, now: Timestamp) -> Result<Verified, Refused> {
    if !policy.topics.contains(&envelope.topic) {
        return Err(Refused::Topic);
    }
    let version = envelope.signature_version.as_deref().and_then(SignatureVersion::of);
    let version = version.filter(|version| *version >= policy.least_signature).ok_or(Refused::Version)?;
    let published_at: Timestamp = envelope.timestamp.parse().map_err(|_| Refused::Time)?;
    if published_at < now.before(policy.behind) || now.after(policy.ahead) < published_at {
        return Err(Refused::Time);
    }
    Ok(Verified { version, published_at })
}

#[cfg(test)]
mod tests;
