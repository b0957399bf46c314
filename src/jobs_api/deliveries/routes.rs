//! `/deliveries`.

use super::tree::manifest;
use super::wire::{Contents, Delivery, DeliveryDetail, DeliveryTrace};
use super::{body, content};
use crate::delivery::store::{self, Filter};
use crate::delivery::{Again, Loaded, Trace};
use crate::ids::{DeliveryId, ReceiptId, Timestamp};
use crate::infra::db::View;
use crate::jobs_api::jobs::wire::Acted;
use crate::jobs_api::{BASE, Ctx, instant};
use crate::web::page::PageQuery;
use crate::web::permit::{Operate, Read};
use crate::web::refusal::{Conflicts, Refusals};
use crate::web::text::{Text, text};
use crate::web::{Json, Listing, May, Paged, Path, Problem, Query, Since};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Findings shown of each load.
const FINDINGS: u32 = 1000;

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeliveryFilter {
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
    /// Wait for an operator.
    held: Option<bool>,
    /// Of this receipt.
    #[param(inline)]
    receipt: Option<ReceiptId>,
    /// Arrived at or after this.
    #[param(inline)]
    since: Option<Since>,
    /// Arrived before this.
    #[param(inline)]
    until: Option<Since>,
}

/// How to replay.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Replay {
    /// Take the mail apart and ask the rules again, too.
    sort: Option<bool>,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new()
        .routes(routes!(list, body::take, body::put))
        // Where `curl -T FILE` sends to if the address ends in a slash.
        .route("/deliveries/", post(body::take).put(body::put))
        .routes(routes!(show, body::put_named))
        .routes(routes!(trace))
        .routes(routes!(replay))
        .routes(routes!(content::message))
        .routes(routes!(content::part))
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/deliveries", tag = "deliveries", params(DeliveryFilter, PageQuery),
    responses((status = 200, body = Paged<Delivery>), Refusals))]
async fn list(
    may: May<Read>,
    State(api): State<Ctx>,
    Listing { filter, page }: Listing<DeliveryFilter, (Timestamp, DeliveryId)>,
) -> Result<Paged<Delivery>, Problem> {
    let filter = Filter {
        source: text(filter.source),
        customer: text(filter.customer),
        category: text(filter.category),
        type_: text(filter.type_),
        group: text(filter.group),
        held: filter.held.unwrap_or(false),
        held_reason: None,
        receipt: filter.receipt,
        since: instant(filter.since),
        until: instant(filter.until),
        before: page.after().copied(),
    };
    let rows =
        store::list(may.scope(), &mut api.db.reader(View::State).await?.tx(), &filter, page.fetch()).await?;
    Ok(page.of(rows, |row| (row.received_at, row.id)).map(Delivery::from))
}

/// One delivery and what it holds.
#[utoipa::path(get, path = "/deliveries/{id}", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    responses((status = 200, body = DeliveryDetail), Refusals))]
async fn show(
    may: May<Read>,
    State(api): State<Ctx>,
    Path(id): Path<DeliveryId>,
) -> Result<Json<DeliveryDetail>, Problem> {
    let row = store::get(may.scope(), &mut api.db.reader(View::State).await?.tx(), id).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    let contents = manifest(&api, &row).await?.map(Contents::of);
    let loads = Loaded::all(&api.db, may.scope(), id, FINDINGS).await?;
    let findings = loads.into_iter().flat_map(|loaded| loaded.findings).collect();
    Ok(Json(DeliveryDetail { delivery: row.into(), contents, findings }))
}

/// Everything that is known of one delivery.
#[utoipa::path(get, path = "/deliveries/{id}/trace", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    responses((status = 200, body = DeliveryTrace), Refusals))]
async fn trace(
    may: May<Read>,
    State(api): State<Ctx>,
    Path(id): Path<DeliveryId>,
) -> Result<Json<DeliveryTrace>, Problem> {
    let trace = Trace::of(&api.db, may.scope(), id, FINDINGS).await?.ok_or_else(Problem::not_found)?;
    let manifest = manifest(&api, &trace.delivery).await?;
    Ok(Json(DeliveryTrace::of(trace, manifest)))
}

/// Reads a delivery once more: what that loads replaces what it loaded before.
#[utoipa::path(post, path = "/deliveries/{id}/replay", tag = "deliveries", params(("id" = inline(DeliveryId), Path), Replay),
    responses((status = 202, body = Acted, headers(("location" = String))), Refusals, Conflicts))]
async fn replay(
    may: May<Operate>,
    State(api): State<Ctx>,
    Path(id): Path<DeliveryId>,
    Query(replay): Query<Replay>,
) -> Result<impl IntoResponse, Problem> {
    let from = if replay.sort.unwrap_or(false) { Again::Sort } else { Again::Parse };
    let operator = api.operator(may.caller());
    let made = operator.replay(id, from, &api.module_ids, |queue| api.attempts(queue)).await?;
    let location = [(header::LOCATION, format!("{BASE}/jobs/{made}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Acted { id: made, came: "done" })))
}
