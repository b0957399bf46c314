//! What is in a bucket: a folder, everything with a prefix, and uploads that nobody finished.

use super::fault::StoreErrorKind;
use super::{Object, ObjectRef, ObjectStore, StoreError};
use aws_sdk_s3::types::Object as Listed;

/// What a folder holds: the keys up to the next slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Objects in it, with their whole keys.
    pub objects: Vec<Object>,
    /// Folders in it: whole prefixes, each with its slash.
    pub folders: Vec<String>,
}

/// An upload in parts that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Key of the object.
    pub key: String,
    /// The store's id of it.
    pub id: String,
    /// When it began, seconds since 1970.
    pub begun_seconds: i64,
}

impl ObjectStore {
    /// Everything in one folder. `prefix` is empty or ends in a slash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn folder(&self, bucket: &str, prefix: &str) -> Result<Folder, StoreError> {
        let mut folder = Folder::default();
        self.pages(bucket, prefix, Some("/"), None, &mut |objects, folders| {
            folder.objects.extend(objects);
            folder.folders.extend(folders);
        })
        .await?;
        Ok(folder)
    }

    /// Every object whose key begins with `prefix`, in the order of keys; `most` of them, where it is given.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn objects(
        &self,
        bucket: &str,
        prefix: &str,
        most: Option<i32>,
    ) -> Result<Vec<Object>, StoreError> {
        let mut found = Vec::new();
        self.pages(bucket, prefix, None, most, &mut |objects, _| found.extend(objects)).await?;
        Ok(found)
    }

    /// Page by page; with `most` only the first one, of that length.
    async fn pages(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        most: Option<i32>,
        page: &mut (dyn FnMut(Vec<Object>, Vec<String>) + Send),
    ) -> Result<(), StoreError> {
        let at = ObjectRef { bucket, key: prefix };
        let mut next = None;
        loop {
            let request = self.0.client.list_objects_v2().bucket(bucket).prefix(prefix);
            let request = request.set_delimiter(delimiter.map(str::to_owned)).set_max_keys(most);
            let sent = request.set_continuation_token(next.take()).send().await;
            let found = sent.map_err(|error| self.0.faults.of("list", at, error))?;
            let folders = found.common_prefixes().iter().filter_map(|folder| folder.prefix());
            page(found.contents().iter().filter_map(object).collect(), folders.map(str::to_owned).collect());
            if most.is_some() || !found.is_truncated().unwrap_or(false) {
                return Ok(());
            }
            next = found.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                let why = "a page of a list does not say where the next one begins";
                return Err(self.0.faults.own(StoreErrorKind::Other, "list", at, &why));
            }
        }
    }

    /// Uploads in parts below `prefix` that have not ended. MinIO lists only those whose whole key is `prefix`, and drops old
    /// ones by itself.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        let at = ObjectRef { bucket, key: prefix };
        let mut found = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let request = self.0.client.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let sent = request.set_key_marker(key.take()).set_upload_id_marker(id.take()).send().await;
            let page = sent.map_err(|error| self.0.faults.of("list uploads of", at, error))?;
            found.extend(page.uploads().iter().filter_map(|upload| {
                Some(Upload {
                    key: upload.key()?.to_owned(),
                    id: upload.upload_id()?.to_owned(),
                    begun_seconds: upload.initiated().map_or(0, |at| at.secs()),
                })
            }));
            key = page.next_key_marker().map(str::to_owned);
            id = page.next_upload_id_marker().map(str::to_owned);
            if !page.is_truncated().unwrap_or(false) || key.is_none() {
                return Ok(found);
            }
        }
    }
}

fn object(listed: &Listed) -> Option<Object> {
    Some(Object {
        key: listed.key()?.to_owned(),
        len_bytes: listed.size().and_then(|len| u64::try_from(len).ok()).unwrap_or_default(),
        etag: listed.e_tag().map(str::to_owned),
        version: None,
        modified_seconds: listed.last_modified().map_or(0, |at| at.secs()),
    })
}
