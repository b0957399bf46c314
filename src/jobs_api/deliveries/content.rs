//! The bytes of deliveries. They come from outside: a browser must never take them for anything but a download. They never
//! change, so their digest is their entity tag, and who has a part of them can ask for the rest.

use super::tree::manifest;
use crate::delivery::manifest::{FileFacts, Manifest};
use crate::delivery::store::{self, DeliveryRow};
use crate::delivery::tree::MESSAGE;
use crate::ids::{DeliveryId, Scope};
use crate::infra::db::View;
use crate::infra::volume::SubPath;
use crate::jobs_api::Ctx;
use crate::web::permit::Content;
use crate::web::range::Wanted;
use crate::web::refusal::{Ranges, Refusals};
use crate::web::{Kind, May, Path, Problem};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

/// Which bytes, and under which condition (RFC 9110).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents the fields that are read from the header")]
struct RangeFields {
    /// One range, as `bytes=0-99`, `bytes=100-` or `bytes=-100`.
    #[param(rename = "Range")]
    range: Option<String>,
    /// The entity tag whose bytes the range is of; where it is another, everything is sent.
    #[param(rename = "If-Range")]
    if_range: Option<String>,
    /// Entity tags of what the client has.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Method and header of a request for bytes.
type Asked = (Method, HeaderMap);

/// The exact bytes of a mail.
#[utoipa::path(get, path = "/deliveries/{id}/message", tag = "deliveries", 
    params(("id" = inline(DeliveryId), Path), RangeFields),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", headers(("etag" = String))),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream", description = "The bytes of Range",
            headers(("etag" = String), ("content-range" = String))),
        (status = 304, description = "The client has these bytes", headers(("etag" = String))),
        Ranges, Refusals))]
pub async fn message(
    may: May<Content>,
    State(api): State<Ctx>,
    Path(id): Path<DeliveryId>,
    asked: Asked,
) -> Result<Response, Problem> {
    let (row, manifest) = tree_of(&api, may.scope(), id).await?;
    let facts = manifest.message.ok_or_else(|| Problem::new(Kind::NotFound, "the delivery is not a mail"))?;
    send(&api, &row, (MESSAGE, facts), asked).await
}

/// The bytes of a part after transfer-decoding.
#[utoipa::path(get, path = "/deliveries/{id}/parts/{n}", tag = "deliveries",
    params(("id" = inline(DeliveryId), Path), ("n" = u32, Path, description = "Number of the part, from 1."),
        RangeFields),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", headers(("etag" = String))),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream", description = "The bytes of Range",
            headers(("etag" = String), ("content-range" = String))),
        (status = 304, description = "The client has these bytes", headers(("etag" = String))),
        Ranges, Refusals))]
pub async fn part(
    may: May<Content>,
    State(api): State<Ctx>,
    Path((id, number)): Path<(DeliveryId, u32)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let (row, manifest) = tree_of(&api, may.scope(), id).await?;
    let part = manifest.parts.into_iter().find(|part| part.number == number);
    let part = part.ok_or_else(Problem::not_found)?;
    send(&api, &row, (&part.stored_name, part.file), asked).await
}

async fn tree_of(api: &Ctx, scope: &Scope, id: DeliveryId) -> Result<(DeliveryRow, Manifest), Problem> {
    let row = store::get(scope, &mut api.db.reader(View::State).await?.tx(), id).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    match manifest(api, &row).await? {
        Some(manifest) => Ok((row, manifest)),
        None => Err(missing(api, &row).await),
    }
}

/// Why there is no manifest: its volume cannot be read here, nobody has made the tree yet, or it was made and is damaged.
async fn missing(api: &Ctx, row: &DeliveryRow) -> Problem {
    let (inbox, is_made) = (Arc::clone(&api.inbox), row.sorted_at.is_some());
    match tokio::task::spawn_blocking(move || inbox.check()).await {
        Ok(Ok(())) if is_made => Problem::new(Kind::Unavailable, "its tree is damaged or missing"),
        Ok(Ok(())) => Problem::new(Kind::NotFound, "its tree has not been written yet"),
        Ok(Err(error)) => error.into(),
        Err(error) => Problem::internal(error),
    }
}

async fn send(
    api: &Ctx,
    row: &DeliveryRow,
    (name, facts): (&str, FileFacts),
    (method, headers): Asked,
) -> Result<Response, Problem> {
    let etag = format!("\"{}\"", facts.sha256);
    let wanted = Wanted::of(&method, &headers, &etag, facts.len_bytes)?;
    let body = match wanted {
        Wanted::NotModified => Body::empty(),
        Wanted::All => read(api, row, name, (0, facts.len_bytes)).await?,
        Wanted::Part { first, len } => read(api, row, name, (first, len)).await?,
    };
    let mut response = (wanted.status(), body).into_response();
    let fields = response.headers_mut();
    fields.insert(header::ETAG, HeaderValue::try_from(etag).map_err(Problem::internal)?);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let len = match wanted {
        Wanted::NotModified => return Ok(response),
        Wanted::All => facts.len_bytes,
        Wanted::Part { len, .. } => len,
    };
    // Stored names are plain ASCII without quotes.
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    fields.extend([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(len)),
        (header::CONTENT_DISPOSITION, disposition.map_err(Problem::internal)?),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ]);
    fields.extend(wanted.content_range(facts.len_bytes).map(|range| (header::CONTENT_RANGE, range)));
    Ok(response)
}

/// `len` bytes of a file of the tree, from byte `first` on.
async fn read(api: &Ctx, row: &DeliveryRow, name: &str, (first, len): (u64, u64)) -> Result<Body, Problem> {
    let path: SubPath = row.path.clone().unwrap_or_default().parse().map_err(Problem::internal)?;
    let path = path.join(name).map_err(Problem::internal)?;
    let inbox = Arc::clone(&api.inbox);
    let opened = tokio::task::spawn_blocking(move || inbox.open_range(&path, first, len)).await;
    let file = tokio::fs::File::from_std(opened.map_err(Problem::internal)??);
    Ok(Body::from_stream(ReaderStream::new(file.take(len))))
}
