//! `/held`.

use super::wire::{Assignment, HeldDetail, HeldJob};
use crate::delivery::manifest::Manifest;
use crate::delivery::store::DeliveryRow;
use crate::delivery::{JobStory, list_held};
use crate::ids::{JobId, Scope};
use crate::infra::db::View;
use crate::job::store::{Filter, JobView};
use crate::jobs_api::deliveries::manifests;
use crate::jobs_api::deliveries::wire::Contents;
use crate::jobs_api::jobs::wire::{Acted, Job};
use crate::jobs_api::{Ctx, instant};
use crate::web::page::PageQuery;
use crate::web::permit::{Operate, Read};
use crate::web::refusal::{Bodies, Conflicts, Refusals};
use crate::web::text::{Text, text};
use crate::web::{Json, Listing, May, Paged, Path, Problem, Since};
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Findings shown with held work.
const FINDINGS: u32 = 1000;

/// Which held work.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HeldFilter {
    /// Came in this way.
    #[param(inline)]
    source: Option<Text>,
    /// Of this customer.
    #[param(inline)]
    customer: Option<Text>,
    /// Queued at or after this.
    #[param(inline)]
    since: Option<Since>,
    /// Queued before this.
    #[param(inline)]
    until: Option<Since>,
}

type Waiting = (JobView, Option<DeliveryRow>, Option<Manifest>);

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(assign))
        .routes(routes!(release))
        .routes(routes!(discard))
}

/// What waits for an operator, newest first.
#[utoipa::path(get, path = "/held", tag = "held", params(HeldFilter, PageQuery),
    responses((status = 200, body = Paged<HeldJob>), Refusals))]
async fn list(
    may: May<Read>,
    State(api): State<Ctx>,
    Listing { filter, page }: Listing<HeldFilter, JobId>,
) -> Result<Paged<HeldJob>, Problem> {
    let filter = Filter {
        source: text(filter.source),
        customer: text(filter.customer),
        since: instant(filter.since),
        until: instant(filter.until),
        before: page.after().copied(),
        ..Filter::default()
    };
    let found = waiting(&api, may.scope(), filter, page.fetch()).await?;
    let page = page.of(found, |(job, _, _)| job.id);
    Ok(page.map(|(job, row, manifest)| HeldJob::of(&job, row.as_ref(), manifest.as_ref())))
}

/// One thing that waits, with what it holds.
#[utoipa::path(get, path = "/held/{job}", tag = "held", params(("job" = inline(JobId), Path)),
    responses((status = 200, body = HeldDetail), Refusals))]
async fn show(
    may: May<Read>,
    State(api): State<Ctx>,
    Path(job): Path<JobId>,
) -> Result<Json<HeldDetail>, Problem> {
    let filter = Filter { id: Some(job), ..Filter::default() };
    let found = waiting(&api, may.scope(), filter, 1).await?.pop();
    let (job, row, manifest) = found.ok_or_else(Problem::not_found)?;
    let held = HeldJob::of(&job, row.as_ref(), manifest.as_ref());
    let story = JobStory::of(&api.db, may.scope(), &job, FINDINGS).await?;
    let findings = story.load.map(|loaded| loaded.findings).unwrap_or_default();
    Ok(Json(HeldDetail { held, job: Job::from(job), contents: manifest.map(Contents::of), findings }))
}

/// Gives a held mail its coordinates and lets it go on.
#[utoipa::path(post, path = "/held/{job}/assign", tag = "held", params(("job" = inline(JobId), Path)),
    request_body = Assignment, responses((status = 200, body = Acted), Refusals, Conflicts, Bodies))]
async fn assign(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(job): Path<JobId>,
    Json(wanted): Json<Assignment>,
) -> Result<Json<Acted>, Problem> {
    api.operator(may.caller()).assign(job, wanted.into()).await?;
    Ok(Json(Acted { id: job, came: "done" }))
}

/// Runs it again; a mail goes through the rules again.
#[utoipa::path(post, path = "/held/{job}/release", tag = "held", params(("job" = inline(JobId), Path)),
    responses((status = 200, body = Acted), Refusals, Conflicts))]
async fn release(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(job): Path<JobId>,
) -> Result<Json<Acted>, Problem> {
    api.operator(may.caller()).release(job).await?;
    Ok(Json(Acted { id: job, came: "done" }))
}

/// Ends it: it need not be done.
#[utoipa::path(post, path = "/held/{job}/discard", tag = "held", params(("job" = inline(JobId), Path)),
    responses((status = 200, body = Acted), Refusals, Conflicts))]
async fn discard(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(job): Path<JobId>,
) -> Result<Json<Acted>, Problem> {
    api.operator(may.caller()).discard(job).await?;
    Ok(Json(Acted { id: job, came: "done" }))
}

async fn waiting(api: &Ctx, scope: &Scope, filter: Filter, limit: u32) -> Result<Vec<Waiting>, Problem> {
    let found = list_held(scope, &mut api.db.reader(View::State).await?.tx(), filter, limit).await?;
    let rows: Vec<DeliveryRow> = found.iter().filter_map(|(_, row)| row.clone()).collect();
    let mut manifests = manifests(api, &rows).await?.into_iter();
    let whole = |(job, row): (JobView, Option<DeliveryRow>)| {
        let manifest = row.as_ref().and_then(|_| manifests.next().flatten());
        (job, row, manifest)
    };
    Ok(found.into_iter().map(whole).collect())
}
