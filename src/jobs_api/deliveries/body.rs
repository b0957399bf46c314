//! `POST /deliveries`: a file and its coordinates. The answer comes when both are durable.

use super::post::Post;
use super::staging::Staging;
use super::wire::Posted;
use crate::ids::{Coordinates, Scope, Slug, Timestamp};
use crate::infra::volume::Stored;
use crate::jobs_api::{Api, BASE, Ctx};
use crate::web::permit::Ingest;
use crate::web::refusal::{Bodies, Conflicts, Refusals};
use crate::web::text::{Text, text};
use crate::web::{Cap, Capped, Json, Kind, May, Problem, Query, Wait};
use axum::body::Body;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use http_body_util::Limited;
use serde::Deserialize;
use std::fs::File;
use utoipa::{IntoParams, ToSchema};

/// What of a form may surround its file, in bytes.
const FORM_SLACK_BYTES: u64 = 64 << 10;
const OCTETS: &str = "application/octet-stream";

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

/// A form with one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the form")]
pub struct Form {
    /// The file.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
}

/// What was read of a body.
struct Staged {
    file: File,
    stored: Stored,
    name: Option<String>,
    media_type: Option<String>,
}

/// Takes a file whose sender knows where it belongs.
#[utoipa::path(post, path = "/deliveries", tag = "deliveries",
    params(Place, ("Idempotency-Key" = Option<String>, Header,
        description = "What the sender calls it: the same again is answered with the first receipt.")),
    request_body(content((Vec<u8> = "application/octet-stream"), (Form = "multipart/form-data"))),
    responses((status = 202, body = Posted, headers(("location" = String), ("retry-after" = u64))),
        Refusals, Conflicts, Bodies))]
pub async fn take(
    may: May<Ingest>,
    State(api): State<Ctx>,
    Query(place): Query<Place>,
    request: Request,
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
    let post = Post {
        principal: may.caller().name.clone(),
        idempotency_key,
        coordinates,
        name: text(place.name).or(staged.name).filter(|name| !name.is_empty()),
        media_type: media_type(text(place.media_type).or(staged.media_type))?,
        file: staged.file,
        stored: staged.stored,
        received_at: Timestamp::now(),
    };
    let accepted = api.take(post, &config, source).await?;
    let location = format!("{BASE}/receipts/{}", accepted.receipt_id);
    let headers = [(header::LOCATION, location), (header::RETRY_AFTER, "1".to_owned())];
    Ok((StatusCode::ACCEPTED, headers, Json(Posted::of(&api, accepted, wait).await)))
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

/// Lower case, without parameters.
fn media_type(given: Option<String>) -> Result<String, Problem> {
    let given = given.unwrap_or_else(|| OCTETS.to_owned());
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |word: &str| {
        (1..=127).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match essence.split_once('/') {
        Some((top, sub)) if token(top) && token(sub) => Ok(essence),
        _ => Err(Problem::parameter("media_type", "is not of the form type/subtype")),
    }
}

async fn stage(api: &Api, most: u64, request: Request) -> Result<Staged, Problem> {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let declared = declared.map(str::to_owned);
    let staging = Staging::begin(&api.tmp, most).await?;
    let cap = Cap { bytes: most, idle: api.kit.limits.body_idle };
    if declared
        .as_deref()
        .is_some_and(|declared| declared.to_ascii_lowercase().starts_with("multipart/form-data"))
    {
        form(staging, cap, request).await
    } else {
        raw(staging, cap, request.into_body(), declared).await
    }
}

async fn raw(
    mut staging: Staging,
    cap: Cap,
    body: Body,
    media_type: Option<String>,
) -> Result<Staged, Problem> {
    let mut body = Capped::new(body, cap);
    while let Some(bytes) = body.next().await? {
        staging.add(&bytes).await?;
    }
    let (file, stored) = staging.end().await?;
    Ok(Staged { file, stored, name: None, media_type })
}

/// Exactly one field, named `file`.
async fn form(mut staging: Staging, cap: Cap, request: Request) -> Result<Staged, Problem> {
    let most = usize::try_from(cap.bytes.saturating_add(FORM_SLACK_BYTES)).unwrap_or(usize::MAX);
    let mut request = request.map(|body| Body::new(Limited::new(body, most)));
    axum::extract::DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::new(Kind::Malformed, error.body_text()))?;
    let patience = || Problem::new(Kind::Timeout, "the body stopped arriving");
    let field = tokio::time::timeout(cap.idle, form.next_field()).await.map_err(|_| patience())?;
    let Some(mut field) = field.map_err(broken)?.filter(|field| field.name() == Some("file")) else {
        return Err(Problem::new(Kind::Invalid, "the form's first field is not named \"file\""));
    };
    let (name, media_type) = (field.file_name().map(str::to_owned), field.content_type().map(str::to_owned));
    while let Some(bytes) =
        tokio::time::timeout(cap.idle, field.chunk()).await.map_err(|_| patience())?.map_err(broken)?
    {
        staging.add(&bytes).await?;
    }
    drop(field);
    let more = tokio::time::timeout(cap.idle, form.next_field()).await.map_err(|_| patience())?;
    if more.map_err(broken)?.is_some() {
        return Err(Problem::new(Kind::Invalid, "the form has more than one field"));
    }
    let (file, stored) = staging.end().await?;
    let name = name.map(|name| name.replace('\0', "\u{FFFD}"));
    Ok(Staged { file, stored, name, media_type })
}

fn broken(error: MultipartError) -> Problem {
    let kind = if error.status() == StatusCode::PAYLOAD_TOO_LARGE { Kind::TooLarge } else { Kind::Malformed };
    Problem::new(kind, error.body_text())
}
