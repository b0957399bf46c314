//! `/relay`: how far each exported topic is, why one stands still, and what operators do about it.

use super::group::{Group, duty};
use super::snapshot::{Snapshot, insert};
use super::store::{self, Exported};
use super::watch::COUNTED;
use crate::delivery::Core;
use crate::ids::{JobId, QueueName, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane, Tx, View};
use crate::load;
use crate::log::{self, Position};
use crate::web::page::PageQuery;
use crate::web::permit::{Operate, Read};
use crate::web::refusal::Refusals;
use crate::web::text::Text;
use crate::web::{Json, Kit, Listing, MayAll, Paged, Path, Problem, Query, Unfiltered};
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// What the routes need.
pub struct Api {
    /// The store.
    pub db: Db,
    /// Group and Kafka topic of each exported log topic.
    pub topics: BTreeMap<String, (String, String)>,
    core: Arc<Core>,
}

impl FromRef<Ctx> for Kit {
    fn from_ref(api: &Ctx) -> Self {
        api.core.kit()
    }
}

impl Api {
    /// The routes of `groups`.
    #[must_use]
    pub fn new(core: &Arc<Core>, groups: &[Group]) -> Self {
        let of = |group: &Group| {
            let name = group.name.clone();
            group.topics.clone().into_iter().map(move |(topic, plan)| (topic, (name.clone(), plan.name)))
        };
        let (db, core) = (core.db.clone(), Arc::clone(core));
        Self { db, topics: groups.iter().flat_map(of).collect(), core }
    }
}

type Ctx = Arc<Api>;

/// How far a topic is copied to Kafka.
#[derive(Debug, Serialize, ToSchema)]
struct RelayedTopic {
    /// The log topic.
    topic: String,
    /// Its Kafka topic.
    kafka: String,
    /// The group whose leader copies it.
    group: String,
    /// All entries up to here are in Kafka.
    position: String,
    /// The newest entry.
    newest: String,
    /// Entries behind the position, counted up to 100000.
    lag_entries: i64,
    /// Age of the oldest of them, in seconds.
    lag_seconds: f64,
    /// Rises when an operator resumes the topic from another position.
    epoch: u32,
    /// Records of it that Kafka refused and that are held.
    held: i64,
    /// The host whose process copies it; null while there is none, and on SQLite, where there is only one.
    leader: Option<String>,
    /// When it was last copied.
    moved_at: Option<Timestamp>,
    /// An operator paused it.
    paused: bool,
    /// Why it does not go on.
    trouble: Option<String>,
}

/// Work that a job does.
#[derive(Debug, Serialize, ToSchema)]
struct Begun {
    /// The job.
    job_id: JobId,
}

/// Where a topic goes on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Begin {
    /// `mirror`: behind what was copied last as our store knows it; `oldest`; `newest`; or a position. Where it is missing, a
    /// paused topic goes on where it is.
    #[param(inline)]
    from: Option<Text>,
}

/// The routes, behind a key.
pub fn routes(api: Api) -> OpenApiRouter<Kit> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(skip))
        .routes(routes!(snapshot))
        .with_state(Arc::new(api))
}

/// Topics that are copied to Kafka, by name.
#[utoipa::path(get, path = "/relay", tag = "relay", params(PageQuery),
    responses((status = 200, body = Paged<RelayedTopic>), Refusals))]
async fn list(
    _may: MayAll<Read>,
    State(api): State<Ctx>,
    Listing { page, .. }: Listing<Unfiltered, String>,
) -> Result<Paged<RelayedTopic>, Problem> {
    let mut reader = api.db.reader(View::State).await?;
    let exported = store::exported(&mut reader.tx()).await?;
    let behind = exported.into_iter().filter(|one| page.after().is_none_or(|after| one.name > *after));
    let mut topics = Vec::new();
    for one in behind.take(usize::try_from(page.fetch()).unwrap_or(usize::MAX)) {
        topics.extend(api.topic(&mut reader.tx(), one).await?);
    }
    Ok(page.of(topics, |topic| topic.topic.clone()))
}

/// One topic that is copied to Kafka.
#[utoipa::path(get, path = "/relay/{topic}", tag = "relay", params(("topic" = String, Path)),
    responses((status = 200, body = RelayedTopic), Refusals))]
async fn show(
    _may: MayAll<Read>,
    State(api): State<Ctx>,
    Path(Text(topic)): Path<Text>,
) -> Result<Json<RelayedTopic>, Problem> {
    api.one(&topic).await.map(Json)
}

/// Stops copying a topic.
#[utoipa::path(post, path = "/relay/{topic}/pause", tag = "relay", params(("topic" = String, Path)),
    responses((status = 200, body = RelayedTopic), Refusals))]
async fn pause(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path(Text(topic)): Path<Text>,
) -> Result<Json<RelayedTopic>, Problem> {
    let Exported { topic: id, .. } = api.exported(&topic).await?;
    in_tx!(api.db, Lane::State, tx => store::pause(tx, id, true)).await?;
    api.one(&topic).await.map(Json)
}

/// Lets a topic go on, where it is or from another place.
///
/// From another place it begins a new epoch: message ids of one epoch never mean two contents.
#[utoipa::path(post, path = "/relay/{topic}/resume", tag = "relay", params(("topic" = String, Path), Begin),
    responses((status = 200, body = RelayedTopic), Refusals))]
async fn resume(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path(Text(topic)): Path<Text>,
    Query(wanted): Query<Begin>,
) -> Result<Json<RelayedTopic>, Problem> {
    let Exported { topic: id, copy, trouble, paused, .. } = api.exported(&topic).await?;
    let (newest, pruned) = log::ends(&mut api.db.reader(View::State).await?.tx(), id).await?;
    let from = wanted.from.map(|Text(from)| from);
    let at = match from.as_deref() {
        None if trouble.is_some() && !paused => {
            return Err(Problem::parameter("from", "is missing: mirror, oldest, newest or a position"));
        }
        None => None,
        Some("mirror") => Some(copy.map_or(pruned, |mark| mark.position)),
        Some("oldest") => Some(pruned),
        Some("newest") => Some(newest.max(pruned)),
        Some(position) => {
            let position: Position =
                position.parse().map_err(|why: String| Problem::parameter("from", why))?;
            if position > newest.max(pruned) || position < pruned {
                return Err(Problem::parameter("from", format!("is not between {pruned} and {newest}")));
            }
            Some(position)
        }
    };
    if let Some(at) = at {
        in_tx!(api.db, Lane::State, tx => store::wish(tx, id, at, Uuid::new_v4())).await?;
    }
    in_tx!(api.db, Lane::State, tx => store::pause(tx, id, false)).await?;
    api.one(&topic).await.map(Json)
}

/// Goes on behind an entry that cannot be copied. It must be the next one, so that nothing else is left out.
#[utoipa::path(post, path = "/relay/{topic}/skip/{position}", tag = "relay",
    params(("topic" = String, Path), ("position" = String, Path)),
    responses((status = 200, body = RelayedTopic), Refusals))]
async fn skip(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path((topic, position)): Path<(Text, Text)>,
) -> Result<Json<RelayedTopic>, Problem> {
    let (Text(topic), Text(position)) = (topic, position);
    let Exported { topic: id, copy, .. } = api.exported(&topic).await?;
    let position: Position = position.parse().map_err(|why: String| Problem::parameter("position", why))?;
    let after = copy.map_or(Position::START, |mark| mark.position);
    let next = log::read(&mut api.db.reader(View::State).await?.tx(), id, after, 1).await?.next;
    if next != position {
        return Err(Problem::parameter(
            "position",
            format!("is not that of the next entry, which is {next}"),
        ));
    }
    in_tx!(api.db, Lane::State, tx => store::wish(tx, id, position, Uuid::new_v4())).await?;
    api.one(&topic).await.map(Json)
}

/// Sends the rows of a table again, as they are now, behind what is in its topic. A job does it.
#[utoipa::path(post, path = "/relay/{topic}/snapshot", tag = "relay", params(("topic" = String, Path)),
    responses((status = 202, body = Begun, headers(("location" = String))), Refusals))]
async fn snapshot(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path(Text(topic)): Path<Text>,
) -> Result<impl IntoResponse, Problem> {
    api.exported(&topic).await?;
    let tables = api.core.tables.tables();
    let table = tables.iter().map(|declared| &declared.table.name).find(|name| load::topic(name) == topic);
    let snapshot_of = table.ok_or_else(Problem::not_found)?.clone();
    let snapshot = Snapshot { snapshot_of, until: Timestamp::now(), after: None, rows: 0 };
    let attempts = api.core.live.config().queue_limits(&QueueName::relay()).max_attempts;
    let job_id = in_tx!(api.db, Lane::State, tx => insert(tx, snapshot, attempts)).await?;
    api.core.wake.wake();
    let location = [(LOCATION, format!("/api/1.0/jobs/{job_id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Begun { job_id })))
}

impl Api {
    async fn exported(&self, topic: &str) -> Result<Exported, Problem> {
        let all = store::exported(&mut self.db.reader(View::State).await?.tx()).await?;
        let known = all.into_iter().find(|one| one.name == topic && self.topics.contains_key(topic));
        known.ok_or_else(Problem::not_found)
    }

    async fn one(&self, topic: &str) -> Result<RelayedTopic, Problem> {
        let exported = self.exported(topic).await?;
        let shown = self.topic(&mut self.db.reader(View::State).await?.tx(), exported).await?;
        shown.ok_or_else(Problem::not_found)
    }

    /// `None` for a topic that is no longer exported.
    async fn topic(&self, tx: &mut Tx<'_>, exported: Exported) -> Result<Option<RelayedTopic>, DbError> {
        let Some((group, kafka)) = self.topics.get(&exported.name).cloned() else { return Ok(None) };
        let (newest, pruned) = log::ends(tx, exported.topic).await?;
        let position = exported.copy.as_ref().map_or(Position::START, |mark| mark.position);
        let lag = store::lag(tx, exported.topic, position, COUNTED).await?;
        let held = store::held_count(tx, exported.topic).await?;
        let leader = store::leader(tx, &duty(&group)).await?;
        Ok(Some(RelayedTopic {
            topic: exported.name,
            kafka,
            group,
            position: position.to_string(),
            newest: newest.max(pruned).to_string(),
            lag_entries: lag.entries,
            lag_seconds: lag.seconds(Timestamp::now()),
            held,
            leader,
            epoch: exported.copy.map_or(1, |mark| mark.epoch),
            moved_at: exported.moved_at,
            paused: exported.paused,
            trouble: exported.trouble,
        }))
    }
}
