//! `POST /deliveries`: a file and its coordinates. The answer comes when both are durable.

use super::declared::Declared;
use super::form;
use super::post::Post;
use super::staging::{Staged, Staging, Written};
use super::wire::Posted;
use crate::ids::{Coordinates, Scope, Slug, Timestamp};
use crate::jobs_api::{Api, BASE, Ctx};
use crate::web::open_requests::Counted;
use crate::web::permit::Ingest;
use crate::web::refusal::{Bodies, Conflicts, Refusals};
use crate::web::text::{Text, text};
use crate::web::{Decoded, Json, Kind, May, Path, Problem, Query, Wait};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Where it belongs and what it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Place {
    /// Whose it is; not needed with a customer's key.
    #[param(inline)]
    customer: Option<Slug>,
    /// Family of formats.
    #[param(inline)]
    category: Slug,
    /// Format.
    #[serde(rename = "type")]
    #[param(inline)]
    type_: Slug,
    /// What it is about; any text, `none` where it is missing.
    #[param(inline)]
    group: Option<Text>,
    /// Its name; that of the form's file where it is missing.
    #[param(inline)]
    name: Option<Text>,
    /// Its media type, where `Content-Type` does not say it.
    #[param(inline)]
    media_type: Option<Text>,
    /// Answer only once it has ended or is held, at the latest after this time.
    #[param(inline)]
    wait: Option<Wait>,
}

/// A form with one file, whatever its field is called.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the form")]
pub struct Form {
    /// The file.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
}

/// Takes a file whose sender knows where it belongs.
///
/// A repeat is answered with the first receipt, and its `duplicate` is true. With `Idempotency-Key` that is the same key of the
/// same sender, for the same bytes and coordinates. Without it, equal bytes from the same sender are one delivery if their
/// coordinates, name and media type are equal too: who wants to deliver equal bytes twice sends two keys. Both hold for
/// `key_ttl` of the source of kind rest, which is 24 hours unless the configuration says otherwise.
///
/// What it is, its bytes say: text in any character set, an archive, a mail. The declared media type and the name are
/// hints.
///
/// A body with the `Content-Encoding` gzip, deflate, br or zstd is decoded first.
#[utoipa::path(post, path = "/deliveries", tag = "deliveries",
    params(Place, ("Idempotency-Key" = Option<String>, Header,
        description = "What the sender calls it: the same again is answered with the first receipt.")),
    request_body(content((Vec<u8> = "application/octet-stream"), (Form = "multipart/form-data"))),
    responses((status = 202, body = Posted, headers(("location" = String), ("retry-after" = u64))),
        Refusals, Conflicts, Bodies))]
pub async fn take(
    may: May<Ingest>,
    api: State<Ctx>,
    place: Query<Place>,
    counted: Counted,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    taken(may, api, place, counted, request, None).await
}

/// The same as POST: what `curl -T FILE` sends.
#[utoipa::path(put, path = "/deliveries", tag = "deliveries",
    params(Place, ("Idempotency-Key" = Option<String>, Header, description = "As of POST.")),
    request_body(content((Vec<u8> = "application/octet-stream"), (Form = "multipart/form-data"))),
    responses((status = 202, body = Posted, headers(("location" = String), ("retry-after" = u64))),
        Refusals, Conflicts, Bodies))]
pub async fn put(
    may: May<Ingest>,
    api: State<Ctx>,
    place: Query<Place>,
    counted: Counted,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    taken(may, api, place, counted, request, None).await
}

/// The same as POST, with the file's name in the path.
#[utoipa::path(put, path = "/deliveries/{id}", tag = "deliveries",
    params(("id" = inline(Text), Path, description = "The file's name."), Place,
        ("Idempotency-Key" = Option<String>, Header, description = "As of POST.")),
    request_body(content((Vec<u8> = "application/octet-stream"), (Form = "multipart/form-data"))),
    responses((status = 202, body = Posted, headers(("location" = String), ("retry-after" = u64))),
        Refusals, Conflicts, Bodies))]
pub async fn put_named(
    may: May<Ingest>,
    api: State<Ctx>,
    Path(Text(name)): Path<Text>,
    place: Query<Place>,
    counted: Counted,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    taken(may, api, place, counted, request, Some(name)).await
}

async fn taken(
    may: May<Ingest>,
    State(api): State<Ctx>,
    Query(place): Query<Place>,
    counted: Counted,
    request: Request,
    in_path: Option<String>,
) -> Result<impl IntoResponse, Problem> {
    let config = api.live.config();
    let source = config.rest_source().ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "no source of kind rest is enabled: this installation takes no deliveries here",
        )
    })?;
    let coordinates = place.coordinates(may.scope())?;
    let idempotency_key = idempotency_key(request.headers())?;
    let wait = api.kit.limits.wait(place.wait)?;
    let staged = stage(&api, source.delivery_bytes, request).await?;
    if staged.stored.len_bytes == 0 {
        return Err(Problem::new(Kind::Malformed, "the delivery has no bytes"));
    }
    let post = Post {
        principal: may.caller().name.clone(),
        idempotency_key,
        coordinates,
        name: text(place.name).or(staged.name).or(in_path).filter(|name| !name.is_empty()),
        declared: Declared::of(text(place.media_type).as_deref(), staged.media_type.as_deref())?,
        front: staged.front,
        file: staged.file,
        stored: staged.stored,
        received_at: Timestamp::now(),
    };
    let accepted = api.take(post, &config, source).await?;
    let location = format!("{BASE}/receipts/{}", accepted.receipt_id);
    let headers = [(header::LOCATION, location), (header::RETRY_AFTER, "1".to_owned())];
    Ok((StatusCode::ACCEPTED, headers, Json(Posted::of(&api, accepted, wait, &counted).await)))
}

impl Place {
    /// The coordinates. A customer's key implies its customer and gives access to no other.
    fn coordinates(&self, scope: &Scope) -> Result<Coordinates, Problem> {
        let customer = match (scope, &self.customer) {
            (Scope::All, None) => return Err(Problem::parameter("customer", "is missing")),
            (Scope::All, Some(customer)) => customer,
            (Scope::Customer(own), None) => own,
            (Scope::Customer(own), Some(customer)) if own == customer => own,
            (Scope::Customer(_), Some(_)) => return Err(Problem::not_found()),
        };
        Ok(Coordinates {
            customer: customer.clone(),
            category: self.category.clone(),
            type_: self.type_.clone(),
            group: Slug::of(self.group.as_ref().map_or("none", |Text(group)| group)),
        })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(given) = headers.get("idempotency-key") else { return Ok(None) };
    let fits = given.to_str().ok().filter(|key| (1..=256).contains(&key.len()));
    fits.map(|key| Some(key.to_owned()))
        .ok_or_else(|| Problem::parameter("Idempotency-Key", "is not 1 to 256 visible ASCII characters"))
}

async fn stage(api: &Api, most: u64, request: Request) -> Result<Staged, Problem> {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let declared = declared.map(str::to_owned);
    let staging = Staging::begin(&api.tmp, most).await?;
    let cap = api.kit.limits.cap(most);
    let is_form = |declared: &str| declared.to_ascii_lowercase().starts_with("multipart/form-data");
    if declared.as_deref().is_some_and(is_form) {
        form::stage(staging, cap, request).await
    } else {
        let (parts, body) = request.into_parts();
        raw(staging, Decoded::new(&parts.headers, body, cap)?, declared).await
    }
}

async fn raw(mut staging: Staging, mut body: Decoded, media_type: Option<String>) -> Result<Staged, Problem> {
    while let Some(bytes) = body.next().await? {
        staging.add(&bytes).await?;
    }
    let Written { file, stored, front } = staging.end().await?;
    Ok(Staged { file, stored, front, name: None, media_type })
}
