//! `/jobs`.

use super::wire::{Acted, Job, JobDetail};
use crate::delivery::{Awaited, Cancelled, JobStory};
use crate::ids::{DeliveryId, JobId, ReceiptId};
use crate::infra::db::View;
use crate::job::store::{self, Filter};
use crate::job::{State as JobState, Stop};
use crate::jobs_api::receipts::Patience;
use crate::jobs_api::{BASE, Ctx, instant};
use crate::web::open_requests::Counted;
use crate::web::page::PageQuery;
use crate::web::permit::{Operate, Read};
use crate::web::refusal::{Conflicts, Refusals};
use crate::web::text::{Text, text};
use crate::web::{Json, Listing, May, Paged, Path, Problem, Query, Since};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Findings shown with a job.
const FINDINGS: u32 = 1000;

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct JobFilter {
    /// In this state.
    #[param(inline)]
    state: Option<JobState>,
    /// Of this queue.
    #[param(inline)]
    queue: Option<Text>,
    /// Came in this way.
    #[param(inline)]
    source: Option<Text>,
    /// Of this customer.
    #[param(inline)]
    customer: Option<Text>,
    /// Of this category.
    #[param(inline)]
    category: Option<Text>,
    /// Of this type.
    #[serde(rename = "type")]
    #[param(inline)]
    type_: Option<Text>,
    /// Of this group.
    #[param(inline)]
    group: Option<Text>,
    /// Of this delivery.
    #[param(inline)]
    delivery: Option<DeliveryId>,
    /// Of this receipt.
    #[param(inline)]
    receipt: Option<ReceiptId>,
    /// Queued at or after this.
    #[param(inline)]
    since: Option<Since>,
    /// Queued before this.
    #[param(inline)]
    until: Option<Since>,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(cancel))
        .routes(routes!(release))
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(JobFilter, PageQuery),
    responses((status = 200, body = Paged<Job>), Refusals))]
async fn list(
    may: May<Read>,
    State(api): State<Ctx>,
    Listing { filter, page }: Listing<JobFilter, JobId>,
) -> Result<Paged<Job>, Problem> {
    let filter = Filter {
        state: filter.state,
        queue: text(filter.queue),
        source: text(filter.source),
        customer: text(filter.customer),
        category: text(filter.category),
        type_: text(filter.type_),
        group: text(filter.group),
        delivery_id: filter.delivery,
        receipt_id: filter.receipt,
        since: instant(filter.since),
        until: instant(filter.until),
        before: page.after().copied(),
        ..Filter::default()
    };
    let jobs =
        store::list(may.scope(), &mut api.db.reader(View::State).await?.tx(), &filter, page.fetch()).await?;
    Ok(page.of(jobs, |job| job.id).map(Job::from))
}

/// One job with its timeline, findings, progress and links.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = inline(JobId), Path), Patience),
    responses((status = 200, body = JobDetail), Refusals))]
async fn show(
    may: May<Read>,
    State(api): State<Ctx>,
    Path(id): Path<JobId>,
    Query(patience): Query<Patience>,
    request: Counted,
) -> Result<Json<JobDetail>, Problem> {
    let most = api.kit.limits.wait(patience.wait)?.unwrap_or_default();
    let look = || async {
        let job = store::get(may.scope(), &mut api.db.reader(View::State).await?.tx(), id).await?;
        job.ok_or_else(Problem::not_found)
    };
    let is_settled = |job: &store::JobView| job.state.is_settled();
    let job = api.waiters.settled(Awaited::Job(id), most, &request, look, is_settled).await?;
    let story = JobStory::of(&api.db, may.scope(), &job, FINDINGS).await?;
    Ok(Json(JobDetail::of(job, story)))
}

/// Does a job once more that failed, was cancelled or was discarded.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = inline(JobId), Path)),
    responses((status = 202, body = Acted, headers(("location" = String))), Refusals, Conflicts))]
async fn retry(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(id): Path<JobId>,
) -> Result<impl IntoResponse, Problem> {
    let made = api.operator(may.caller()).retry(id).await?;
    let location = [(header::LOCATION, format!("{BASE}/jobs/{made}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Acted { id: made, came: "done" })))
}

/// Calls a job off: at once, or when its run has heard of it.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = inline(JobId), Path)),
    responses((status = 200, body = Acted), Refusals, Conflicts))]
async fn cancel(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(id): Path<JobId>,
) -> Result<Json<Acted>, Problem> {
    let came = match api.operator(may.caller()).cancel(id).await? {
        Cancelled::Ended => "done",
        Cancelled::Requested => {
            api.leases.stop(id, Stop::Cancelled);
            "requested"
        }
    };
    Ok(Json(Acted { id, came }))
}

/// Runs a held job again.
#[utoipa::path(post, path = "/jobs/{id}/release", tag = "jobs", params(("id" = inline(JobId), Path)),
    responses((status = 200, body = Acted), Refusals, Conflicts))]
async fn release(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(id): Path<JobId>,
) -> Result<Json<Acted>, Problem> {
    api.operator(may.caller()).release(id).await?;
    Ok(Json(Acted { id, came: "done" }))
}
