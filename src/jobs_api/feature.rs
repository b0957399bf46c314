//! What the REST API adds: its routes, in every process, since each serves its control socket.

use super::{Api, Door, routes};
use crate::config::Role;
use crate::delivery::{Core, Feature, FeatureSpec};
use crate::ids::VolumeName;
use futures_util::FutureExt;
use std::sync::Arc;

/// The REST API.
pub const FEATURE: FeatureSpec = FeatureSpec {
    name: "jobs_api",
    roles: &[Role::Http],
    volumes: &[VolumeName::Inbox],
    rows: &[],
    build: |core| async move { Ok(build(&core)) }.boxed(),
};

fn build(core: &Arc<Core>) -> Feature {
    let api = Api {
        db: core.db.clone(),
        kit: core.kit(),
        live: core.live.clone(),
        tables: core.tables.clone(),
        modules: core.host.declarations().into(),
        door: Door {
            db: core.db.clone(),
            inbox: Arc::clone(core.volumes.get(VolumeName::Inbox)),
            acceptor: core.acceptor.clone(),
            modules: Arc::clone(&core.modules),
        },
        tmp: core.tmp.clone(),
        wake: core.wake.clone(),
        leases: core.leases.clone(),
    };
    Feature { api: routes(Arc::new(api)), ..Feature::default() }
}
