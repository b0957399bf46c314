//! Keys and certificates that the tests make, with the program `openssl`.

use super::{Envelope, EnvelopeKind, SignatureVersion};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Somebody who signs.
pub(super) struct Signer {
    folder: TempDir,
    /// The certificate, followed by its issuer's.
    pub pem: Vec<u8>,
    /// The issuer's certificate, PEM.
    pub issuer: Vec<u8>,
}

pub(super) const TOPIC: &str = "arn:aws:sns:eu-central-1:111122223333:intake-objects";
pub(super) const URL: &str =
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";

/// Runs `openssl` with `input`; gives what it writes.
fn openssl(folder: &TempDir, arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("openssl is installed");
    running.stdin.take().unwrap().write_all(input).unwrap();
    let done = running.wait_with_output().unwrap();
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

impl Signer {
    /// With a certificate for `name`, valid for two days from now, of an issuer of its own. `key` as `openssl req -newkey`
    /// takes it.
    pub fn new(name: &str, key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=issuer -days 2";
        openssl(&folder, issuer, b"");
        openssl(
            &folder,
            &format!("req -newkey {key} -nodes -keyout key.pem -out csr.pem -subj /CN={name}"),
            b"",
        );
        let extensions = format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n");
        fs::write(folder.path().join("extensions"), extensions).unwrap();
        let issue =
            "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
        openssl(&folder, &format!("{issue} -out cert.pem"), b"");
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        let (leaf, issuer) = (read("cert.pem"), read("ca.pem"));
        Self { pem: [leaf, issuer.clone()].concat(), issuer, folder }
    }

    /// Signs the envelope as it stands.
    pub fn sign(&self, envelope: &mut Envelope, version: SignatureVersion) {
        let (number, digest) = match version {
            SignatureVersion::One => ("1", "sha1"),
            SignatureVersion::Two => ("2", "sha256"),
        };
        let text = envelope.signed_text().unwrap();
        let signature = openssl(&self.folder, &format!("dgst -{digest} -sign key.pem"), text.as_bytes());
        envelope.signature = Some(STANDARD.encode(signature));
        envelope.signature_version = Some(number.to_owned());
    }
}

/// An envelope of this moment, unsigned.
pub(super) fn envelope(kind: EnvelopeKind, timestamp: crate::ids::Timestamp) -> Envelope {
    let confirm = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription";
    Envelope {
        kind,
        message_id: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".into(),
        topic: TOPIC.into(),
        subject: Some("Amazon S3 Notification".into()),
        message: "{\"Records\":[]}\n ü".into(),
        timestamp: timestamp.to_string(),
        signature_version: None,
        signature: None,
        certificate_url: Some(URL.into()),
        token: Some("2336412f37fb".into()),
        subscribe_url: Some(format!("{confirm}&TopicArn={TOPIC}&Token=2336412f37fb")),
        unsubscribe_url: None,
    }
}
