//! The volumes of this process: opened and registered where its roles need them, looked for everywhere else.

use super::BuildError;
use crate::config::{Config, Volume as VolumeSettings};
use crate::delivery;
use crate::ids::VolumeName;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, View};
use crate::infra::volume::Volume;
use std::sync::Arc;
use uuid::Uuid;

/// Inbox and archive.
pub type Volumes = (Arc<Volume>, Arc<Volume>);

/// Opens both: the marker of each must be the one the store knows, which on first use is registered.
///
/// # Errors
/// When one is not there, or another one, or the store fails.
pub async fn open(db: &Db, config: &Config) -> Result<Volumes, BuildError> {
    let inbox = open_one(db, "inbox", config.volume.get(VolumeName::Inbox)).await?;
    let archive = open_one(db, "archive", config.volume.get(VolumeName::Archive)).await?;
    Ok((Arc::new(inbox), Arc::new(archive)))
}

/// Opens what is on this host; the others are [away](Volume::away). Nothing is made or registered by looking.
pub async fn look_for(db: &Db, config: &Config) -> Result<Volumes, BuildError> {
    let inbox = find_one(db, "inbox", config.volume.get(VolumeName::Inbox)).await?;
    let archive = find_one(db, "archive", config.volume.get(VolumeName::Archive)).await?;
    Ok((Arc::new(inbox), Arc::new(archive)))
}

async fn open_one(db: &Db, name: &'static str, settings: &VolumeSettings) -> Result<Volume, BuildError> {
    let volume = Volume::open(name, &settings.path, registered(db, name).await?)?;
    let marker = volume.id();
    let agreed = db
        .write(Lane::State, move |mut tx| {
            Box::pin(async move { delivery::store::register_volume(&mut tx, name, marker).await })
        })
        .await?;
    if agreed != marker {
        let why = format!("volume {name} shows marker {marker}, another process registered {agreed}");
        return Err(DbError::new(DbErrorKind::Conflict, why).into());
    }
    Ok(volume)
}

async fn find_one(db: &Db, name: &'static str, settings: &VolumeSettings) -> Result<Volume, DbError> {
    let Some(marker) = registered(db, name).await? else {
        return Ok(Volume::away(name, "no server had used it when this process started"));
    };
    Ok(Volume::open(name, &settings.path, Some(marker))
        .unwrap_or_else(|error| Volume::away(name, format!("{}: {}", settings.path.display(), error.source))))
}

async fn registered(db: &Db, name: &'static str) -> Result<Option<Uuid>, DbError> {
    delivery::store::registered_volume(&mut db.reader(View::State).await?.tx(), name).await
}
