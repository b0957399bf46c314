//! What the relay adds: one leader per group of topics, and the routes. Without `[kafka]` it adds nothing.

use super::api::{self, Api};
use super::group::{Group, exported, groups};
use super::leader::{Relay, TERM};
use super::settings::Settings;
use super::term::Copied;
use super::watch::Watch;
use super::{hold, job, store};
use crate::config::{Config, Role};
use crate::delivery::{ApiRoutes, By, Core, Duty, Feature, FeatureError, FeatureSpec, KindHandler, Task};
use crate::ids::{Kind, QueueName, VolumeName};
use crate::in_tx;
use crate::infra::db::{DbError, Lane, View};
use crate::infra::kafka::Connection;
use crate::infra::telemetry::condition::Condition;
use crate::job::Leader;
use crate::log;
use crate::sql;
use crate::web::health::Check;
use futures_util::FutureExt;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often the gauges of the backlog are set.
const LAG_EVERY: Duration = Duration::from_secs(10);

/// The relay.
pub const FEATURE: FeatureSpec = FeatureSpec {
    name: "relay",
    roles: &[Role::Relay],
    volumes: &[VolumeName::Blobs],
    rows: &[],
    build: |core| async move { build(&core).await }.boxed(),
};

async fn build(core: &Arc<Core>) -> Result<Feature, FeatureError> {
    let config = core.live.config();
    let Some(connection) = &core.kafka else { return Ok(Feature::default()) };
    let groups = groups(&config.kafka, exported(&config.kafka, &core.tables)?);
    let keyed = api::routes(Api::new(core, &groups));
    let (mut tasks, mut checks) = (Vec::new(), Vec::new());
    let has_role = core.roles.contains(&Role::Relay);
    let watch = Watch::new(core, &groups);
    if has_role {
        export(core, &groups).await?;
        let settings = Arc::new(Settings::of(
            &config.kafka,
            connection,
            config.queue_limits(&QueueName::relay()).max_attempts,
        ));
        let store = store_id(core).await?;
        let (db, blobs) = (core.db.clone(), core.volume(VolumeName::Blobs));
        let copied = groups.into_iter().map(|group| {
            let (db, blobs, settings) = (db.clone(), Arc::clone(&blobs), Arc::clone(&settings));
            Copied { db, store, group, settings, blobs }
        });
        tasks.extend(copied.map(|copied| task(core, copied)));
        checks.push(check(core, connection, &watch));
    }
    let held = Arc::clone(core);
    let handler = KindHandler::new(Kind::Relay, None, move |run| job::run(Arc::clone(&held), run));
    let every = |config: &Config| config.keeper.expire_every.get();
    let files = (core.db.clone(), core.volume(VolumeName::Blobs));
    let forget = Duty::new("relay_held", By::Each, every, &files, hold::forget);
    let lag = Duty::new("relay_lag", By::Each, |_| LAG_EVERY, &watch, Watch::show_lag);
    let limits = Duty::new(
        "relay_limits",
        By::Each,
        |config| config.keeper.partition_every.get(),
        &watch,
        Watch::compare,
    );
    Ok(Feature {
        api: ApiRoutes { keyed, ..ApiRoutes::default() },
        handlers: if has_role { vec![handler] } else { Vec::new() },
        duties: if has_role { vec![forget, lag, limits] } else { Vec::new() },
        tasks,
        checks,
        ..Feature::default()
    })
}

/// What is wrong with Kafka is a remark: the process takes everything in and works without it.
fn check(core: &Core, connection: &Connection, watch: &Arc<Watch>) -> Check {
    let (db, connection, watch) = (core.db.clone(), connection.clone(), Arc::clone(watch));
    Check::new("kafka", move || {
        let (db, connection, watch) = (db.clone(), connection.clone(), Arc::clone(&watch));
        async move {
            let mut reader = db.reader(View::State).await.map_err(|error| error.to_string())?;
            let exported = store::exported(&mut reader.tx()).await.map_err(|error| error.to_string())?;
            let stopped = exported.iter().filter(|topic| topic.trouble.is_some()).count();
            let topics =
                (stopped > 0).then(|| format!("{stopped} topics do not go on: headworks relay list"));
            let remarks: Vec<String> =
                connection.trouble().into_iter().chain(topics).chain(watch.remark()).collect();
            Ok((!remarks.is_empty()).then(|| remarks.join("; ")))
        }
    })
}

fn task(core: &Arc<Core>, copied: Copied) -> Task {
    let core = Arc::clone(core);
    Task::new(move |stop| {
        let away = Condition::of(
            Cow::Owned(copied.group.name.clone()),
            "the relay cannot copy the log to Kafka",
            "the relay copies the log to Kafka",
        );
        let leader = Leader::new(core.db.clone(), core.boot, TERM);
        Relay { copied: copied.clone(), leader, away }.run(stop)
    })
}

/// Registers the topics of `groups`. What is kept for others of an earlier configuration is kept no more.
async fn export(core: &Core, groups: &[Group]) -> Result<(), DbError> {
    let register = log::Topics::new(core.db.clone());
    let mut topics = Vec::new();
    for name in groups.iter().flat_map(|group| group.topics.keys()) {
        topics.push(register.id(name).await?);
    }
    in_tx!(core.db, Lane::State, tx => store::export(tx, &topics)).await
}

async fn store_id(core: &Core) -> Result<Uuid, DbError> {
    let mut reader = core.db.reader(View::State).await?;
    Ok(sql!(&mut reader.tx(), query_scalar("SELECT id FROM store").fetch_one)?)
}
