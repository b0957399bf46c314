//! What parsing adds to a process with role `worker`.

use super::Parser;
use crate::config::Role;
use crate::delivery::{Core, Feature, FeatureSpec, KindHandler};
use crate::ids::VolumeName;
use crate::job::Kind;
use futures_util::FutureExt;
use std::sync::Arc;

/// Parsing.
pub const FEATURE: FeatureSpec = FeatureSpec {
    name: "parse",
    roles: &[Role::Worker],
    volumes: &[VolumeName::Inbox],
    rows: &[],
    build: |core| async move { Ok(build(&core)) }.boxed(),
};

fn build(core: &Arc<Core>) -> Feature {
    if !core.roles.contains(&Role::Worker) {
        return Feature::default();
    }
    let parser = Parser { core: Arc::clone(core) };
    let handler = KindHandler::new(Kind::Parse, None, move |run| parser.clone().run(run));
    Feature { handlers: vec![handler], ..Feature::default() }
}
