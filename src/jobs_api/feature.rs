//! What the REST API adds: its routes, in every process, since each serves its control socket.

use super::{Api, routes};
use crate::config::Role;
use crate::delivery::{Core, Feature, FeatureSpec, Task, Waiters};
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
    let waiters = Waiters::new(core.db.clone(), core.wake.clone());
    let telling = waiters.clone();
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
        waiters,
        leases: core.leases.clone(),
    };
    let tell = Task::new(move |stop| telling.clone().run(stop));
    Feature { api: routes(Arc::new(api)), tasks: vec![tell], ..Feature::default() }
}
