//! The marker object, and the proof that the store never replaces one.

use super::super::error::{Fault, VolumeErrorKind};
use super::super::marker::{LIMIT_BYTES, Marker, NAME};
use super::Bucket;
use crate::infra::object_store::{Body, ObjectRef, Put, StoreError, StoreErrorKind};
use sha2::Digest as _;
use uuid::Uuid;

impl Bucket {
    /// The id of the volume: the one on its marker, or with `create` a new one where there is no marker and none is
    /// registered.
    pub(super) fn check_or_create_marker(
        &self,
        registered: Option<Uuid>,
        create: bool,
    ) -> Result<Uuid, Fault> {
        let key = format!("{}{NAME}", self.prefix);
        if let Some(marker) = self.marker(&key)? {
            return marker.check(&self.name, registered);
        }
        let place = format!("{}/{}", self.bucket, self.prefix);
        match registered {
            Some(id) => {
                let detail =
                    format!("no marker {NAME} in {place}, registered is {id}; is it the right bucket?");
                return Err(Fault::new(VolumeErrorKind::Foreign, detail));
            }
            None if !create => {
                let detail = format!("no marker {NAME} in {place}: no server has used it yet");
                return Err(Fault::new(VolumeErrorKind::Foreign, detail));
            }
            None => {}
        }
        let fresh = Marker::fresh(&self.name);
        match self.wait(self.create(&key, fresh.text().as_bytes()))? {
            Put::New => Ok(fresh.id),
            // Another process was first, or this is ours and the answer was lost.
            Put::Exists => match self.marker(&key)? {
                Some(marker) => marker.check(&self.name, None),
                None => Err(Fault::new(VolumeErrorKind::Foreign, "the marker vanished").at(NAME)),
            },
        }
    }

    fn marker(&self, key: &str) -> Result<Option<Marker>, Fault> {
        match self.wait(self.store.read_range(self.at(key), 0, LIMIT_BYTES)) {
            Ok(bytes) => Marker::read(&bytes).map(Some),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A store that replaces objects in spite of `If-None-Match` would lose what was accepted before.
    pub(super) fn refuse_if_it_overwrites(&self) -> Result<(), Fault> {
        let key = self.own("probe");
        if self.wait(self.store.creates_once(self.at(&key)))? {
            return Ok(());
        }
        let detail = format!(
            "the object store s3.{} overwrites objects in spite of `If-None-Match: *`; no volume can be kept there",
            self.store.name()
        );
        Err(Fault::new(VolumeErrorKind::Unsuitable, detail))
    }

    /// Writes a small new object.
    pub(super) async fn create(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let sha256 = sha2::Sha256::digest(bytes).into();
        let at = ObjectRef { bucket: &self.bucket, key };
        self.store.put_new(at, &Body::Bytes(bytes.to_vec().into()), sha256).await
    }
}
