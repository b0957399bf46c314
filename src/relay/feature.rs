//! What the relay adds: one leader per group of topics, and the routes. Without `[kafka]` it adds nothing.

use super::api::{self, Api};
use super::group::{Group, exported, groups};
use super::leader::{Relay, TERM};
use super::settings::Settings;
use super::store;
use crate::config::Role;
use crate::delivery::{ApiRoutes, Core, Feature, FeatureError, FeatureSpec, Task};
use crate::infra::db::{DbError, View};
use crate::infra::kafka::Connection;
use crate::infra::telemetry::condition::Condition;
use crate::job::Leader;
use crate::sql;
use crate::web::health::Check;
use futures_util::FutureExt;
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;

/// The relay.
pub const FEATURE: FeatureSpec = FeatureSpec {
    name: "relay",
    roles: &[Role::Relay],
    volumes: &[],
    rows: &[],
    build: |core| async move { build(&core).await }.boxed(),
};

async fn build(core: &Arc<Core>) -> Result<Feature, FeatureError> {
    let config = core.live.config();
    let Some(connection) = &core.kafka else { return Ok(Feature::default()) };
    let groups = groups(&config.kafka, exported(&config.kafka, &core.tables)?);
    let keyed = api::routes(Api::new(core.db.clone(), core.kit(), &groups));
    let (mut tasks, mut checks) = (Vec::new(), Vec::new());
    if core.roles.contains(&Role::Relay) {
        let settings = Arc::new(Settings::of(&config.kafka, connection));
        let store = store_id(core).await?;
        tasks.extend(groups.into_iter().map(|group| task(core, store, group, &settings)));
        checks.push(check(core, connection));
    }
    Ok(Feature { api: ApiRoutes { keyed, ..ApiRoutes::default() }, tasks, checks, ..Feature::default() })
}

/// What is wrong with Kafka is a remark: the process takes everything in and works without it.
fn check(core: &Core, connection: &Connection) -> Check {
    let (db, connection) = (core.db.clone(), connection.clone());
    Check::new("kafka", move || {
        let (db, connection) = (db.clone(), connection.clone());
        async move {
            let mut reader = db.reader(View::State).await.map_err(|error| error.to_string())?;
            let exported = store::exported(&mut reader.tx()).await.map_err(|error| error.to_string())?;
            let stopped = exported.iter().filter(|topic| topic.trouble.is_some()).count();
            let topics =
                (stopped > 0).then(|| format!("{stopped} topics do not go on: headworks relay list"));
            let remarks: Vec<String> = connection.trouble().into_iter().chain(topics).collect();
            Ok((!remarks.is_empty()).then(|| remarks.join("; ")))
        }
    })
}

fn task(core: &Arc<Core>, store: Uuid, group: Group, settings: &Arc<Settings>) -> Task {
    let (core, settings) = (Arc::clone(core), Arc::clone(settings));
    Task::new(move |stop| {
        let relay = Relay {
            db: core.db.clone(),
            store,
            leader: Leader::new(core.db.clone(), core.boot, TERM),
            group: group.clone(),
            settings: Arc::clone(&settings),
            away: Condition::of(
                Cow::Owned(group.name.clone()),
                "the relay cannot copy the log to Kafka",
                "the relay copies the log to Kafka",
            ),
        };
        relay.run(stop)
    })
}

async fn store_id(core: &Core) -> Result<Uuid, DbError> {
    let mut reader = core.db.reader(View::State).await?;
    Ok(sql!(&mut reader.tx(), query_scalar("SELECT id FROM store").fetch_one)?)
}
