//! The volumes of a process: opened and registered where a feature uses them in its roles, looked for everywhere else.

use super::BuildError;
use crate::config::{Config, Role, Volume as VolumeSettings};
use crate::delivery::{self, FeatureSpec};
use crate::ids::VolumeName;
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, View};
use crate::infra::volume::{Volume, Volumes};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The volumes that the features use in these roles.
pub fn used(features: &[FeatureSpec], roles: &BTreeSet<Role>) -> BTreeSet<VolumeName> {
    let works = |spec: &&FeatureSpec| spec.roles.iter().any(|role| roles.contains(role));
    features.iter().filter(works).flat_map(|spec| spec.volumes).copied().collect()
}

/// Opens the volumes in use: the marker of each must be the one the store knows, which on first use is registered. Of the
/// others it opens those that are on this host; the rest is [away](Volume::away). Nothing is made or registered by looking.
///
/// # Errors
/// When one in use is not there, or another one, or the store fails.
pub async fn open(db: &Db, config: &Config, used: &BTreeSet<VolumeName>) -> Result<Volumes, BuildError> {
    Volumes::open(async |name| {
        let settings = config.volume.get(name);
        if used.contains(&name) {
            open_one(db, name, settings).await
        } else {
            Ok(look_for(db, name, settings).await?)
        }
    })
    .await
}

async fn open_one(db: &Db, name: VolumeName, settings: &VolumeSettings) -> Result<Volume, BuildError> {
    let name = name.word();
    let volume = Volume::open(name, &settings.path, registered(db, name).await?)?;
    let marker = volume.id();
    let agreed = in_tx!(db, Lane::State, tx => delivery::store::register_volume(tx, name, marker)).await?;
    if agreed != marker {
        let why = format!("volume {name} has marker {marker}, but another process registered {agreed}");
        return Err(DbError::new(DbErrorKind::Conflict, why).into());
    }
    Ok(volume)
}

async fn look_for(db: &Db, name: VolumeName, settings: &VolumeSettings) -> Result<Volume, DbError> {
    let name = name.word();
    let Some(marker) = registered(db, name).await? else {
        return Ok(Volume::away(name, "no server had used this volume when this process started"));
    };
    Ok(Volume::open(name, &settings.path, Some(marker))
        .unwrap_or_else(|error| Volume::away(name, format!("{}: {}", settings.path.display(), error.source))))
}

async fn registered(db: &Db, name: &'static str) -> Result<Option<Uuid>, DbError> {
    delivery::store::registered_volume(&mut db.reader(View::State).await?.tx(), name).await
}
