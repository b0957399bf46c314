use super::super::signer::{Signer, TOPIC, URL, envelope};
use super::*;
use std::sync::LazyLock;
use std::time::Duration;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new("sns.amazonaws.com", "rsa:2048"));

fn policy() -> Policy {
    Policy { topics: vec![TOPIC.to_owned()], ..Policy::default() }
}

fn certificate() -> Certificate {
    Certificate::from_pem(&SIGNER.pem).unwrap()
}

fn signed(kind: EnvelopeKind, version: SignatureVersion) -> Envelope {
    let mut envelope = envelope(kind, Timestamp::now());
    SIGNER.sign(&mut envelope, version);
    envelope
}

fn ask(envelope: &Envelope, policy: &Policy) -> Result<SignatureVersion, Refused> {
    verify(envelope, &certificate(), policy, Timestamp::now()).map(|verified| verified.version)
}

const KINDS: [EnvelopeKind; 3] = [
    EnvelopeKind::Notification,
    EnvelopeKind::SubscriptionConfirmation,
    EnvelopeKind::UnsubscribeConfirmation,
];

#[test]
fn both_versions_verify_for_every_kind_of_envelope() {
    for kind in KINDS {
        for version in [SignatureVersion::One, SignatureVersion::Two] {
            assert_eq!(ask(&signed(kind, version), &policy()), Ok(version), "{kind:?}");
        }
    }
}

#[test]
fn a_message_without_subject_verifies_and_one_that_gained_it_does_not() {
    let mut plain = envelope(EnvelopeKind::Notification, Timestamp::now());
    plain.subject = None;
    SIGNER.sign(&mut plain, SignatureVersion::Two);
    assert_eq!(ask(&plain, &policy()), Ok(SignatureVersion::Two));
    plain.subject = Some(String::new());
    assert_eq!(ask(&plain, &policy()), Err(Refused::Signature));
}

/// A change of an envelope, and what it is called.
type Change = (&'static str, fn(&mut Envelope));

#[test]
fn whatever_is_changed_breaks_the_signature() {
    let changes: [Change; 7] = [
        ("message", |e| e.message.push(' ')),
        ("message id", |e| e.message_id.push('x')),
        ("subject", |e| e.subject = None),
        ("timestamp", |e| e.timestamp = e.timestamp.replace('Z', "+00:00")),
        ("kind", |e| e.kind = EnvelopeKind::UnsubscribeConfirmation),
        ("version", |e| e.signature_version = Some("1".into())),
        ("signature", |e| e.signature = Some("FAKE".into())),
    ];
    for (what, change) in changes {
        let mut envelope = signed(EnvelopeKind::Notification, SignatureVersion::Two);
        change(&mut envelope);
        assert_eq!(ask(&envelope, &policy()), Err(Refused::Signature), "{what}");
    }
    let changes: [fn(&mut Envelope); 4] = [
        |e| e.token = Some("other".into()),
        |e| e.token = None,
        |e| e.subscribe_url = Some("https://sns.eu-central-1.amazonaws.com/".into()),
        |e| e.signature = None,
    ];
    for change in changes {
        let mut envelope = signed(EnvelopeKind::SubscriptionConfirmation, SignatureVersion::Two);
        change(&mut envelope);
        assert_eq!(ask(&envelope, &policy()), Err(Refused::Signature));
    }
}

#[test]
fn a_valid_signature_of_another_topic_is_refused_before_anything_is_fetched() {
    for other in [
        "arn:aws:sns:eu-central-1:999999999999:intake-objects",
        "arn:aws:sns:us-east-1:111122223333:intake-objects",
    ] {
        let mut envelope = envelope(EnvelopeKind::Notification, Timestamp::now());
        envelope.topic = other.into();
        SIGNER.sign(&mut envelope, SignatureVersion::Two);
        assert_eq!(admit(&envelope, &policy(), Timestamp::now()), Err(Refused::Topic));
        assert_eq!(ask(&envelope, &policy()), Err(Refused::Topic));
    }
    let nobody = Policy::default();
    assert_eq!(ask(&signed(EnvelopeKind::Notification, SignatureVersion::Two), &nobody), Err(Refused::Topic));
}

#[test]
fn a_certificate_from_elsewhere_is_never_fetched() {
    let now = Timestamp::now();
    let good = signed(EnvelopeKind::Notification, SignatureVersion::Two);
    assert_eq!(admit(&good, &policy(), now).unwrap().as_str(), URL);
    for url in [
        None,
        Some(URL.replace("sns.eu-central-1.amazonaws.com", "sns.evil.example")),
        Some(URL.replace("https", "http")),
    ] {
        let envelope = Envelope { certificate_url: url, ..good.clone() };
        assert_eq!(admit(&envelope, &policy(), now), Err(Refused::Address));
    }
}

#[test]
fn sha_1_is_refused_where_the_policy_wants_more() {
    let strict = Policy { least_signature: SignatureVersion::Two, ..policy() };
    assert_eq!(
        ask(&signed(EnvelopeKind::Notification, SignatureVersion::One), &strict),
        Err(Refused::Version)
    );
    assert_eq!(
        ask(&signed(EnvelopeKind::Notification, SignatureVersion::Two), &strict),
        Ok(SignatureVersion::Two)
    );
    for version in [None, Some("3".to_owned()), Some("02".to_owned())] {
        let good = signed(EnvelopeKind::Notification, SignatureVersion::Two);
        assert_eq!(ask(&Envelope { signature_version: version, ..good }, &policy()), Err(Refused::Version));
    }
}

#[test]
fn a_replayed_message_ages() {
    let now = Timestamp::now();
    for (at, expected) in [
        (now.before(Duration::from_secs(74 * 60)), Ok(SignatureVersion::Two)),
        (now.before(Duration::from_secs(76 * 60)), Err(Refused::Time)),
        (now.after(Duration::from_secs(4 * 60)), Ok(SignatureVersion::Two)),
        (now.after(Duration::from_secs(6 * 60)), Err(Refused::Time)),
    ] {
        let mut envelope = envelope(EnvelopeKind::Notification, at);
        SIGNER.sign(&mut envelope, SignatureVersion::Two);
        assert_eq!(ask(&envelope, &policy()), expected, "{at}");
    }
    let mut envelope = signed(EnvelopeKind::Notification, SignatureVersion::Two);
    envelope.timestamp = "yesterday".into();
    assert_eq!(ask(&envelope, &policy()), Err(Refused::Time));
}

#[test]
fn another_key_of_the_same_name_does_not_verify() {
    let other = Signer::new("sns.amazonaws.com", "rsa:2048");
    let mut envelope = envelope(EnvelopeKind::Notification, Timestamp::now());
    other.sign(&mut envelope, SignatureVersion::Two);
    assert_eq!(ask(&envelope, &policy()), Err(Refused::Signature));
}

#[test]
fn a_certificate_must_have_the_name_and_its_dates() {
    let envelope = signed(EnvelopeKind::Notification, SignatureVersion::Two);
    let named = Policy { names: vec!["sns.example.org".into(), "not a name".into()], ..policy() };
    assert_eq!(ask(&envelope, &named), Err(Refused::Certificate(CertificateError::Name)));
    let checked = |now: Timestamp| certificate().check(&policy().names, &[], now);
    let day = Duration::from_secs(86_400);
    assert_eq!(checked(Timestamp::now()), Ok(()));
    assert_eq!(checked(Timestamp::now().before(day)), Err(CertificateError::Dates));
    assert_eq!(checked(Timestamp::now().after(day * 3)), Err(CertificateError::Dates));
}

#[test]
fn a_certificate_must_lead_to_an_anchor_where_there_are_some() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let anchor = |pem: &[u8]| {
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        webpki::anchor_from_trusted_cert(&der).unwrap().to_owned()
    };
    let envelope = signed(EnvelopeKind::Notification, SignatureVersion::Two);
    let trusted = Policy { anchors: vec![anchor(&SIGNER.issuer)], ..policy() };
    assert_eq!(ask(&envelope, &trusted), Ok(SignatureVersion::Two));
    let stranger = Signer::new("sns.amazonaws.com", "rsa:2048");
    let distrusted = Policy { anchors: vec![anchor(&stranger.issuer)], ..policy() };
    assert_eq!(ask(&envelope, &distrusted), Err(Refused::Certificate(CertificateError::Issuer)));
}

#[test]
fn what_is_no_rsa_certificate_is_refused() {
    let elliptic = Signer::new("sns.amazonaws.com", "ec -pkeyopt ec_paramgen_curve:P-256");
    assert_eq!(Certificate::from_pem(&elliptic.pem), Err(CertificateError::NotRsa));
    let pem = String::from_utf8(SIGNER.pem.clone()).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (text, error) in [
        ("", CertificateError::NotPem),
        ("<html>", CertificateError::NotPem),
        (broken, CertificateError::NotRsa),
        (&pem[..200], CertificateError::NotPem),
        (&pem.repeat(9), CertificateError::NotPem),
    ] {
        assert_eq!(Certificate::from_pem(text.as_bytes()), Err(error), "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn only_an_automatic_policy_confirms_and_never_an_ended_subscription() {
    let automatic = Policy { confirm: Confirm::Automatic, ..policy() };
    let proof = Verified { version: SignatureVersion::Two, published_at: Timestamp::now() };
    let asks = signed(EnvelopeKind::SubscriptionConfirmation, SignatureVersion::Two);
    assert_eq!(confirmation(&asks, &proof, &policy()), None, "manual is the default");
    let address = confirmation(&asks, &proof, &automatic).unwrap();
    assert_eq!(Some(address.as_str()), asks.subscribe_url.as_deref());
    let ended = Envelope { kind: EnvelopeKind::UnsubscribeConfirmation, ..asks.clone() };
    assert_eq!(confirmation(&ended, &proof, &automatic), None);
    let foreign = Envelope { subscribe_url: Some("https://evil.example/".into()), ..asks };
    assert_eq!(confirmation(&foreign, &proof, &automatic), None);
}

#[test]
fn nothing_raw_is_taken_by_default() {
    assert!(!Policy::default().takes_raw);
}
