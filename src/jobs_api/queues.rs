//! `/queues`: how full they are, pause, resume.

use super::Ctx;
use crate::ids::Timestamp;
use crate::infra::db::{Lane, View};
use crate::job::store;
use crate::web::page::PageQuery;
use crate::web::permit::{Operate, Read};
use crate::web::refusal::Refusals;
use crate::web::text::Text;
use crate::web::{Json, Listing, MayAll, Paged, Path, Problem, Unfiltered};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A queue.
#[derive(Debug, Serialize, ToSchema)]
struct Queue {
    /// `kind[:module][@home]`.
    name: String,
    /// Its jobs are not claimed.
    paused: bool,
    /// Jobs that can be claimed.
    available: i64,
    /// Jobs that run.
    running: i64,
    /// Jobs that wait for their time and have not failed.
    scheduled: i64,
    /// Jobs that wait for another attempt after an error.
    retryable: i64,
    /// Jobs that wait for a signal.
    waiting: i64,
    /// Jobs that wait for an operator.
    held: i64,
    /// When the oldest job that can be claimed was queued.
    oldest_at: Option<Timestamp>,
    /// Since when the first of the jobs has waited that wait for an operator.
    oldest_held_at: Option<Timestamp>,
}

/// A queue that was paused or resumed.
#[derive(Debug, Serialize, ToSchema)]
struct QueueState {
    /// Its name.
    name: String,
    /// Its jobs are not claimed.
    paused: bool,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pause)).routes(routes!(resume))
}

/// Queues by name, and how full they are.
#[utoipa::path(get, path = "/queues", tag = "queues", params(PageQuery),
    responses((status = 200, body = Paged<Queue>), Refusals))]
async fn list(
    _may: MayAll<Read>,
    State(api): State<Ctx>,
    Listing { page, .. }: Listing<Unfiltered, String>,
) -> Result<Paged<Queue>, Problem> {
    let (after, limit) = (page.after().cloned(), page.fetch());
    let depths =
        store::queue_depths(&mut api.db.reader(View::State).await?.tx(), after.as_deref(), limit).await?;
    Ok(page.of(depths, |depth| depth.name.clone()).map(Queue::from))
}

/// Stops claims from a queue. What runs goes on.
#[utoipa::path(post, path = "/queues/{name}/pause", tag = "queues", params(("name" = String, Path)),
    responses((status = 200, body = QueueState), Refusals))]
async fn pause(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path(name): Path<Text>,
) -> Result<Json<QueueState>, Problem> {
    set(&api, name.0, true).await
}

/// Lets a paused queue go on.
#[utoipa::path(post, path = "/queues/{name}/resume", tag = "queues", params(("name" = String, Path)),
    responses((status = 200, body = QueueState), Refusals))]
async fn resume(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path(name): Path<Text>,
) -> Result<Json<QueueState>, Problem> {
    set(&api, name.0, false).await
}

impl From<store::QueueDepth> for Queue {
    fn from(depth: store::QueueDepth) -> Self {
        Self {
            name: depth.name,
            paused: depth.paused,
            available: depth.available,
            running: depth.running,
            scheduled: depth.scheduled,
            retryable: depth.retryable,
            waiting: depth.waiting,
            held: depth.held,
            oldest_at: depth.oldest_at,
            oldest_held_at: depth.oldest_held_at,
        }
    }
}

async fn set(api: &Ctx, name: String, paused: bool) -> Result<Json<QueueState>, Problem> {
    let wanted = name.clone();
    let found = api.db.write(Lane::State, move |mut tx| {
        Box::pin(async move { store::set_paused(&mut tx, &wanted, paused).await })
    });
    if !found.await? {
        return Err(Problem::not_found());
    }
    api.wake.wake();
    Ok(Json(QueueState { name, paused }))
}
