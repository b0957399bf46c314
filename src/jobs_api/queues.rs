//! `/queues`: how full they are, pause, resume.

use super::Ctx;
use crate::in_tx;
use crate::infra::db::{Lane, View};
use crate::job::store::{self, QueueDepth};
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
    responses((status = 200, body = Paged<QueueDepth>), Refusals))]
async fn list(
    _may: MayAll<Read>,
    State(api): State<Ctx>,
    Listing { page, .. }: Listing<Unfiltered, String>,
) -> Result<Paged<QueueDepth>, Problem> {
    let (after, limit) = (page.after().cloned(), page.fetch().into());
    let depths =
        store::queue_depths(&mut api.db.reader(View::State).await?.tx(), after.as_deref(), limit).await?;
    Ok(page.of(depths, |depth| depth.name.clone()))
}

/// Stops claims from a queue. Running jobs continue.
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

async fn set(api: &Ctx, name: String, paused: bool) -> Result<Json<QueueState>, Problem> {
    let wanted = name.clone();
    let found = in_tx!(api.db, Lane::State, tx => store::set_paused(tx, &wanted, paused));
    if !found.await? {
        return Err(Problem::not_found());
    }
    api.wake.wake();
    Ok(Json(QueueState { name, paused }))
}
