//! What the REST API adds: its routes, in every process, since each serves its control socket.

use super::{Api, routes};
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
        module_ids: Arc::clone(&core.modules),
        inbox: core.volume(VolumeName::Inbox),
        pending: core.pending.clone(),
        acceptor: core.acceptor.clone(),
        tmp: core.tmp.clone(),
        wake: core.wake.clone(),
        leases: core.leases.clone(),
    };
    Feature { api: routes(Arc::new(api)), ..Feature::default() }
}
