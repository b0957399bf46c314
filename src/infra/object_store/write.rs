//! Writing: objects that are new, never replaced; and removing them.

use super::client::{ANSWER_TO_BODY, timeouts};
use super::fault::StoreErrorKind;
use super::{Body, Checksums, Encryption, ObjectRef, ObjectStore, StoreError, multipart};
use aws_sdk_s3::types::ServerSideEncryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

/// Largest object that is sent in one request.
pub(super) const SINGLE_BYTES: u64 = 64 << 20;
/// How often a write is repeated because another request worked on the same key.
const CONFLICTS: u32 = 8;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    New,
    /// One with this key was there; it was left alone. It may be ours: an answer was lost, and the request came again.
    Exists,
}

impl ObjectStore {
    /// Writes a new object with `If-None-Match: *`. `sha256` is that of the body, by which the store can prove what it got.
    /// When this returns, the object is durable. Files are read where this is polled, so call it where a thread may block.
    ///
    /// # Errors
    /// [`StoreErrorKind::Conflict`] when others work on the key all the time; see [`StoreError`]. Nothing of the object is
    /// visible then, unless the answer was lost.
    pub async fn put_new(&self, at: ObjectRef<'_>, body: &Body, sha256: [u8; 32]) -> Result<Put, StoreError> {
        let mut conflicts = 0;
        loop {
            let sent = match body.len_bytes() > SINGLE_BYTES {
                true => multipart::put(self, at, body).await,
                false => self.put_once(at, body, Some(sha256)).await,
            };
            match sent {
                Ok(()) => return Ok(Put::New),
                Err(error) if error.kind == StoreErrorKind::Precondition => return Ok(Put::Exists),
                Err(error) if error.kind == StoreErrorKind::Conflict && conflicts < CONFLICTS => {
                    tokio::time::sleep(Duration::from_millis(25 << conflicts)).await;
                    conflicts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One request that writes an object unless one is there.
    pub(super) async fn put_once(
        &self,
        at: ObjectRef<'_>,
        body: &Body,
        sha256: Option<[u8; 32]>,
    ) -> Result<(), StoreError> {
        let (encryption, key) = self.encryption();
        let mut request = self.0.client.put_object().bucket(at.bucket).key(at.key).if_none_match("*");
        request = request.set_server_side_encryption(encryption).set_ssekms_key_id(key);
        request = request.set_checksum_sha256(sha256.and_then(|sha256| self.checksum(sha256)));
        let patient = aws_sdk_s3::Config::builder().timeout_config(timeouts(ANSWER_TO_BODY));
        let sent = request.body(body.stream()).customize().config_override(patient).send().await;
        sent.map(drop).map_err(|error| self.0.faults.of("put", at, error))
    }

    /// Removes an object, if it is there. In a bucket with versions it gets a delete marker.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete(&self, at: ObjectRef<'_>) -> Result<(), StoreError> {
        let sent = self.0.client.delete_object().bucket(at.bucket).key(at.key).send().await;
        match sent.map_err(|error| self.0.faults.of("delete", at, error)) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            sent => sent.map(drop),
        }
    }

    /// Whether the store honours `If-None-Match: *`, found by writing one small object twice. `at` must be a key that nobody
    /// else uses; the object is removed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn creates_once(&self, at: ObjectRef<'_>) -> Result<bool, StoreError> {
        let body = Body::Bytes(b"headworks probe\n".as_slice().into());
        let sha256 =
            body.sha256().map_err(|error| self.0.faults.own(StoreErrorKind::Local, "put", at, &error))?;
        self.put_new(at, &body, sha256).await?;
        let again = self.put_once(at, &body, Some(sha256)).await;
        self.delete(at).await?;
        match again {
            Ok(()) => Ok(false),
            Err(error) => match error.kind {
                StoreErrorKind::Precondition | StoreErrorKind::Conflict => Ok(true),
                _ => Err(error),
            },
        }
    }

    /// A digest as the headers of S3 have it; none where the store is to get no checksums.
    pub(super) fn checksum(&self, sha256: [u8; 32]) -> Option<String> {
        (self.0.checksums == Checksums::Always).then(|| STANDARD.encode(sha256))
    }

    /// The encryption to ask for, and the id of its key.
    pub(super) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.0.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms(key) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        }
    }
}
