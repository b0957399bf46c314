//! Manifests of deliveries, read off the async threads.

use crate::delivery::manifest::Manifest;
use crate::delivery::store::DeliveryRow;
use crate::delivery::tree::{Found, read_manifest};
use crate::infra::volume::{SubPath, Volume, VolumeErrorKind};
use crate::jobs_api::Ctx;
use crate::web::Problem;
use std::sync::Arc;

/// The manifests of `rows`, in their order; `None` where a tree is not made yet, is damaged (`verify` says how), or is on a
/// volume that this process does not have.
pub async fn manifests(api: &Ctx, rows: &[DeliveryRow]) -> Result<Vec<Option<Manifest>>, Problem> {
    let inbox = Arc::clone(&api.inbox);
    let paths: Vec<Option<String>> =
        rows.iter().map(|row| row.sorted_at.and_then(|_| row.path.clone())).collect();
    let read = tokio::task::spawn_blocking(move || {
        paths.into_iter().map(|path| path.map_or(Ok(None), |path| read(&inbox, &path))).collect()
    });
    read.await.map_err(Problem::internal)?
}

/// The manifest of one delivery.
pub async fn manifest(api: &Ctx, row: &DeliveryRow) -> Result<Option<Manifest>, Problem> {
    Ok(manifests(api, std::slice::from_ref(row)).await?.pop().flatten())
}

/// `None` also where a tree was moved in this moment: the path in the caller's row is old then.
fn read(inbox: &Volume, path: &str) -> Result<Option<Manifest>, Problem> {
    let path: SubPath = path.parse().map_err(Problem::internal)?;
    match read_manifest(inbox, &path) {
        Ok(Found::Manifest(manifest)) => Ok(Some(*manifest)),
        Ok(Found::None) => Ok(None),
        Err(error) if error.kind == VolumeErrorKind::Away => Ok(None),
        Err(error) => Err(error.into()),
        Ok(Found::Unreadable(why)) => {
            tracing::warn!(%path, why, "a tree has a manifest that cannot be read");
            Ok(None)
        }
    }
}
