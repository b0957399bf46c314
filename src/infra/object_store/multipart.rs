//! Large objects go in parts. An upload that fails is aborted, or its parts would be kept and paid for, and seen by nobody.

use super::client::{ANSWER_TO_BODY, timeouts};
use super::fault::StoreErrorKind;
use super::{Body, Checksums, ObjectRef, ObjectStore, StoreError};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

/// Smallest part.
const PART_BYTES: u64 = 16 << 20;
/// Most parts that S3 allows.
const MAX_PARTS: u64 = 10_000;

/// Length of each part but the last.
fn part_bytes(len_bytes: u64) -> u64 {
    PART_BYTES.max(len_bytes.div_ceil(MAX_PARTS))
}

/// Writes a new object in parts; the last request has `If-None-Match: *`.
pub(super) async fn put(store: &ObjectStore, at: ObjectRef<'_>, body: &Body) -> Result<(), StoreError> {
    let upload = begin(store, at).await?;
    let sent = match parts(store, at, &upload, body).await {
        Ok(parts) => complete(store, at, &upload, parts).await,
        Err(error) => Err(error),
    };
    if sent.is_err()
        && let Err(error) = store.abort(at, &upload).await
    {
        tracing::warn!(%error, "an upload that failed cannot be aborted; it is left to the next sweep");
    }
    sent
}

async fn begin(store: &ObjectStore, at: ObjectRef<'_>) -> Result<String, StoreError> {
    let (encryption, key) = store.encryption();
    let request = store.0.client.create_multipart_upload().bucket(at.bucket).key(at.key);
    let request = request.set_server_side_encryption(encryption).set_ssekms_key_id(key);
    let checked = store.0.checksums == Checksums::Always;
    let sent = request.set_checksum_algorithm(checked.then_some(ChecksumAlgorithm::Sha256)).send().await;
    let begun = sent.map_err(|error| store.0.faults.of("begin upload of", at, error))?;
    begun.upload_id().map(str::to_owned).ok_or_else(|| {
        store.0.faults.own(StoreErrorKind::Other, "begin upload of", at, &"the answer has no upload id")
    })
}

async fn parts(
    store: &ObjectStore,
    at: ObjectRef<'_>,
    upload: &str,
    body: &Body,
) -> Result<Vec<CompletedPart>, StoreError> {
    let step = part_bytes(body.len_bytes());
    let mut done = Vec::new();
    for (number, from) in
        (1..).zip((0..body.len_bytes()).step_by(usize::try_from(step).unwrap_or(usize::MAX)))
    {
        let part = body.part(from, step);
        let checksum = match store.0.checksums {
            Checksums::Always => store.checksum(digest(store, at, &part)?),
            Checksums::WhenRequired => None,
        };
        let request = store.0.client.upload_part().bucket(at.bucket).key(at.key).upload_id(upload);
        let request = request.part_number(number).set_checksum_sha256(checksum.clone()).body(part.stream());
        let patient = aws_sdk_s3::Config::builder().timeout_config(timeouts(ANSWER_TO_BODY));
        let sent = request.customize().config_override(patient).send().await;
        let sent = sent.map_err(|error| store.0.faults.of("upload part of", at, error))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned));
        done.push(part.set_checksum_sha256(checksum).build());
    }
    Ok(done)
}

fn digest(store: &ObjectStore, at: ObjectRef<'_>, part: &Body) -> Result<[u8; 32], StoreError> {
    part.sha256().map_err(|error| store.0.faults.own(StoreErrorKind::Local, "read for", at, &error))
}

async fn complete(
    store: &ObjectStore,
    at: ObjectRef<'_>,
    upload: &str,
    parts: Vec<CompletedPart>,
) -> Result<(), StoreError> {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = store.0.client.complete_multipart_upload().bucket(at.bucket).key(at.key);
    let request = request.upload_id(upload).multipart_upload(parts).if_none_match("*");
    // A store may copy all parts before it answers.
    let patient = aws_sdk_s3::Config::builder().timeout_config(timeouts(ANSWER_TO_BODY));
    let sent = request.customize().config_override(patient).send().await;
    sent.map(drop).map_err(|error| store.0.faults.of("complete upload of", at, error))
}

impl ObjectStore {
    /// Ends an upload and removes its parts; one that is gone is fine.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn abort(&self, at: ObjectRef<'_>, upload: &str) -> Result<(), StoreError> {
        let request = self.0.client.abort_multipart_upload().bucket(at.bucket).key(at.key);
        let sent = request.upload_id(upload).send().await;
        match sent.map_err(|error| self.0.faults.of("abort upload of", at, error)) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            sent => sent.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PARTS, PART_BYTES, part_bytes};

    #[test]
    fn an_object_of_any_length_has_no_more_parts_than_allowed() {
        assert_eq!(part_bytes(65 << 20), PART_BYTES);
        for len in [PART_BYTES * MAX_PARTS, PART_BYTES * MAX_PARTS + 1, 5 << 40] {
            assert!(len.div_ceil(part_bytes(len)) <= MAX_PARTS, "{len}");
        }
    }
}
