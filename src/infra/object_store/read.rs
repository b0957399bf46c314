//! Reading: what is known of an object, its bytes, and a URL by which others may read it.

use super::fault::StoreErrorKind;
use super::{Checksums, Object, ObjectRef, ObjectStore, StoreError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::ChecksumMode;
use std::fmt::Display;
use std::io;
use std::ops::Range;
use std::time::Duration;

/// How often in a row a body may break off without a byte in between.
const BREAKS: u32 = 4;
/// Pause before a body that broke off is asked for again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where the bytes go; blocks. An error ends the transfer.
pub type Sink<'s> = &'s mut (dyn FnMut(&[u8]) -> io::Result<()> + Send);

impl ObjectStore {
    /// What the store says of an object, or of one of its versions.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], also where the bucket is missing; see [`StoreError`].
    pub async fn head(&self, at: ObjectRef<'_>, version: Option<&str>) -> Result<Object, StoreError> {
        let request = self.0.client.head_object().bucket(at.bucket).key(at.key);
        let sent = request.set_version_id(version.map(str::to_owned)).send().await;
        let found = sent.map_err(|error| self.0.faults.of("head", at, error))?;
        Ok(Object {
            key: at.key.to_owned(),
            len_bytes: found.content_length().and_then(|len| u64::try_from(len).ok()).unwrap_or_default(),
            etag: found.e_tag().map(str::to_owned),
            version: found.version_id().map(str::to_owned),
            modified_seconds: found.last_modified().map_or(0, |at| at.secs()),
        })
    }

    /// Hands the bytes of an object to `sink`, and returns how many they were. A body that breaks off is gone on with from
    /// the byte it broke at, as long as the object stays the same.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`]; [`StoreErrorKind::Precondition`] when it was replaced meanwhile;
    /// [`StoreErrorKind::Local`] when `sink` fails; see [`StoreError`].
    pub async fn read(
        &self,
        at: ObjectRef<'_>,
        version: Option<&str>,
        sink: Sink<'_>,
    ) -> Result<u64, StoreError> {
        self.transfer(at, version, None, sink).await
    }

    /// As [`read`](Self::read), of the bytes in `window` only; fewer, or none, where the object ends before.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_window(
        &self,
        at: ObjectRef<'_>,
        window: Range<u64>,
        sink: Sink<'_>,
    ) -> Result<u64, StoreError> {
        if window.is_empty() {
            return self.head(at, None).await.map(|_| 0);
        }
        match self.transfer(at, None, Some(window), sink).await {
            Err(error) if error.kind == StoreErrorKind::Range => Ok(0),
            read => read,
        }
    }

    async fn transfer(
        &self,
        at: ObjectRef<'_>,
        version: Option<&str>,
        window: Option<Range<u64>>,
        sink: Sink<'_>,
    ) -> Result<u64, StoreError> {
        let fault = |kind, why: &dyn Display| self.0.faults.own(kind, "read", at, why);
        let (mut done, mut breaks) = (0, 0);
        let (mut etag, mut expected) = (None, None);
        loop {
            let range = match &window {
                Some(window) => Some(format!("bytes={}-{}", window.start + done, window.end - 1)),
                None => (done > 0).then(|| format!("bytes={done}-")),
            };
            let mut found = self.get(at, version, etag.clone(), range).await?;
            etag = etag.or_else(|| found.e_tag().map(str::to_owned));
            let len = found.content_length().and_then(|len| u64::try_from(len).ok());
            let expected = *expected.get_or_insert(len.unwrap_or(u64::MAX));
            let begun = done;
            let broken = loop {
                match found.body.next().await {
                    None => break None,
                    Some(Err(error)) => break Some(error.to_string()),
                    Some(Ok(bytes)) => {
                        sink(&bytes).map_err(|error| fault(StoreErrorKind::Local, &error))?;
                        done += bytes.len() as u64;
                    }
                }
            };
            let why = match broken {
                None if done >= expected || expected == u64::MAX => return Ok(done),
                // All came, and the SDK is not content: the checksum differs.
                Some(why) if done >= expected => return Err(fault(StoreErrorKind::Damaged, &why)),
                broken => broken.unwrap_or_else(|| "the body ended early".into()),
            };
            breaks = if done > begun { 1 } else { breaks + 1 };
            if breaks > BREAKS || etag.is_none() {
                return Err(fault(StoreErrorKind::Away, &why));
            }
            tracing::debug!(store = self.name(), done, %why, "a body broke off and is gone on with");
            tokio::time::sleep(PAUSE * breaks).await;
        }
    }

    /// One GET. A store that knows no ranges would send everything, so an answer without a range is refused.
    async fn get(
        &self,
        at: ObjectRef<'_>,
        version: Option<&str>,
        etag: Option<String>,
        range: Option<String>,
    ) -> Result<GetObjectOutput, StoreError> {
        let is_whole = range.is_none();
        let mut request = self.0.client.get_object().bucket(at.bucket).key(at.key);
        request = request.set_version_id(version.map(str::to_owned)).set_if_match(etag).set_range(range);
        if is_whole && self.0.checksums == Checksums::Always {
            request = request.checksum_mode(ChecksumMode::Enabled);
        }
        let found = request.send().await.map_err(|error| self.0.faults.of("read", at, error))?;
        if !is_whole && found.content_range().is_none() {
            let why = "the answer to a request with a range has none";
            return Err(self.0.faults.own(StoreErrorKind::Unsupported, "read", at, &why));
        }
        Ok(found)
    }

    /// At most `len_bytes` bytes from `offset`; fewer, or none, where the object ends before.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`]; see [`StoreError`].
    pub async fn read_range(
        &self,
        at: ObjectRef<'_>,
        offset: u64,
        len_bytes: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let mut keep = |more: &[u8]| {
            bytes.extend_from_slice(more);
            Ok(())
        };
        self.read_window(at, offset..offset.saturating_add(len_bytes), &mut keep).await?;
        Ok(bytes)
    }

    /// A URL by which anybody can read the object, or one of its versions, for as long as `valid`. Nothing is sent.
    ///
    /// # Errors
    /// When there is no key to sign with, or `valid` is longer than a week.
    pub async fn presigned_get(
        &self,
        at: ObjectRef<'_>,
        version: Option<&str>,
        valid: Duration,
    ) -> Result<String, StoreError> {
        let limits = PresigningConfig::expires_in(valid)
            .map_err(|error| self.0.faults.own(StoreErrorKind::Other, "presign", at, &error))?;
        let request = self.0.client.get_object().bucket(at.bucket).key(at.key);
        let signed = request.set_version_id(version.map(str::to_owned)).presigned(limits).await;
        Ok(signed.map_err(|error| self.0.faults.of("presign", at, error))?.uri().to_owned())
    }
}
