//! The volumes of a process: opened and registered where a feature uses them in its roles, looked for everywhere else.

use super::BuildError;
use super::object_stores::{ObjectStores, Place};
use super::patience::until_there;
use crate::config::{Config, Role};
use crate::delivery::{self, FeatureSpec};
use crate::ids::VolumeName;
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, View};
use crate::infra::telemetry::condition::Condition;
use crate::infra::volume::{BucketSettings, Volume, VolumeError, VolumeErrorKind, Volumes};
use std::borrow::Cow;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The volumes that the features use in these roles.
pub fn used(features: &[FeatureSpec], roles: &BTreeSet<Role>) -> BTreeSet<VolumeName> {
    let works = |spec: &&FeatureSpec| spec.roles.iter().any(|role| roles.contains(role));
    features.iter().filter(works).flat_map(|spec| spec.volumes).copied().collect()
}

/// Opens the volumes in use: the marker of each must be the one the store knows, which on first use is registered. If `patient`,
/// waits until the object stores of these answer. Of the others it opens those that can be reached; the rest is
/// [away](Volume::away). Nothing is made or registered by looking.
///
/// # Errors
/// When one in use is not there, or another one, or the store fails.
pub async fn open(
    db: &Db,
    config: &Config,
    used: &BTreeSet<VolumeName>,
    patient: bool,
) -> Result<Volumes, BuildError> {
    let mut stores = ObjectStores::default();
    Volumes::open(async |name| {
        if used.contains(&name) {
            return open_one(db, name, stores.place(config, name)?, patient).await;
        }
        match stores.place(config, name) {
            Ok(place) => Ok(look_for(db, name, config, place).await?),
            Err(error) => Ok(Volume::away(name.word(), error.to_string())),
        }
    })
    .await
}

async fn open_one(db: &Db, name: VolumeName, place: Place<'_>, patient: bool) -> Result<Volume, BuildError> {
    let registered = registered(db, name.word()).await?;
    let volume = match place {
        Place::Bucket(bucket) => open_bucket(name, bucket, registered, patient).await?,
        Place::Directory(path) => Volume::open(name.word(), path, registered)?,
    };
    let (name, marker) = (name.word(), volume.id());
    let agreed = in_tx!(db, Lane::State, tx => delivery::store::register_volume(tx, name, marker)).await?;
    if agreed != marker {
        let why = format!("volume {name} has marker {marker}, but another process registered {agreed}");
        return Err(DbError::new(DbErrorKind::Conflict, why).into());
    }
    Ok(volume)
}

async fn open_bucket(
    name: VolumeName,
    bucket: BucketSettings,
    registered: Option<Uuid>,
    patient: bool,
) -> Result<Volume, VolumeError> {
    let condition = Condition::of(
        Cow::Owned(format!("volume {name}")),
        "the object store does not answer; waiting for it",
        "the object store answers",
    );
    let away = |error: &VolumeError| {
        (patient && error.kind == VolumeErrorKind::Unreachable).then(|| error.source.to_string())
    };
    let open = async || Volume::open_bucket(name.word(), bucket.clone(), registered);
    until_there(&condition, away, open).await
}

async fn look_for(db: &Db, name: VolumeName, config: &Config, place: Place<'_>) -> Result<Volume, DbError> {
    let Some(marker) = registered(db, name.word()).await? else {
        return Ok(Volume::away(name.word(), "no server had used this volume when this process started"));
    };
    let looked = match place {
        Place::Bucket(bucket) => Volume::look_into_bucket(name.word(), bucket, Some(marker)),
        Place::Directory(path) => Volume::open(name.word(), path, Some(marker)),
    };
    let place = config.volume.get(name).place();
    Ok(looked.unwrap_or_else(|error| Volume::away(name.word(), format!("{place}: {}", error.source))))
}

async fn registered(db: &Db, name: &'static str) -> Result<Option<Uuid>, DbError> {
    delivery::store::registered_volume(&mut db.reader(View::State).await?.tx(), name).await
}
