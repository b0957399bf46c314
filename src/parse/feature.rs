//! What parsing adds to a process with role `worker`.

use super::Parser;
use crate::config::{Config, Role};
use crate::delivery::{By, Core, Duty, Feature, FeatureSpec, KindHandler, sweep_files};
use crate::ids::VolumeName;
use crate::job::Kind;
use futures_util::FutureExt;
use std::sync::Arc;

/// Parsing.
pub const FEATURE: FeatureSpec = FeatureSpec {
    name: "parse",
    roles: &[Role::Worker],
    volumes: &[VolumeName::Inbox, VolumeName::Blobs],
    rows: &[],
    build: |core| async move { Ok(build(&core)) }.boxed(),
};

fn build(core: &Arc<Core>) -> Feature {
    if !core.roles.contains(&Role::Worker) {
        return Feature::default();
    }
    let parser = Parser { core: Arc::clone(core) };
    let handler = KindHandler::new(Kind::Parse, None, move |run| parser.clone().run(run));
    let every = |config: &Config| config.keeper.partition_every.get();
    let files = (core.db.clone(), core.volume(VolumeName::Blobs));
    let sweep = Duty::new("log_files", By::Each, every, &files, sweep_files);
    Feature { handlers: vec![handler], duties: vec![sweep], ..Feature::default() }
}
