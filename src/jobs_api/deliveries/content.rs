//! The bytes of deliveries. They come from outside: a browser must never take them for anything but a download.

use super::tree::manifest;
use crate::delivery::manifest::{FileFacts, Manifest};
use crate::delivery::store::{self, DeliveryRow};
use crate::delivery::tree::MESSAGE;
use crate::ids::{DeliveryId, Scope};
use crate::infra::db::View;
use crate::infra::volume::SubPath;
use crate::jobs_api::Ctx;
use crate::web::permit::Content;
use crate::web::refusal::Refusals;
use crate::web::{Kind, May, Path, Problem};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio_util::io::ReaderStream;

/// The exact bytes of a mail.
#[utoipa::path(get, path = "/deliveries/{id}/message", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), Refusals))]
pub async fn message(
    may: May<Content>,
    State(api): State<Ctx>,
    Path(id): Path<DeliveryId>,
) -> Result<Response, Problem> {
    let (row, manifest) = tree_of(&api, may.scope(), id).await?;
    let facts = manifest.message.ok_or_else(|| Problem::new(Kind::NotFound, "the delivery is not a mail"))?;
    send(&api, &row, MESSAGE, facts).await
}

/// The bytes of a part after transfer-decoding.
#[utoipa::path(get, path = "/deliveries/{id}/parts/{n}", tag = "deliveries",
    params(("id" = inline(DeliveryId), Path), ("n" = u32, Path, description = "Number of the part, from 1.")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), Refusals))]
pub async fn part(
    may: May<Content>,
    State(api): State<Ctx>,
    Path((id, number)): Path<(DeliveryId, u32)>,
) -> Result<Response, Problem> {
    let (row, manifest) = tree_of(&api, may.scope(), id).await?;
    let part = manifest.parts.into_iter().find(|part| part.number == number);
    let part = part.ok_or_else(Problem::not_found)?;
    send(&api, &row, &part.stored_name, part.file).await
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

async fn send(api: &Ctx, row: &DeliveryRow, name: &str, facts: FileFacts) -> Result<Response, Problem> {
    let path: SubPath = row.path.clone().unwrap_or_default().parse().map_err(Problem::internal)?;
    let path = path.join(name).map_err(Problem::internal)?;
    let inbox = Arc::clone(&api.inbox);
    let file =
        tokio::task::spawn_blocking(move || inbox.open_file(&path)).await.map_err(Problem::internal)?;
    let stream = ReaderStream::new(tokio::fs::File::from_std(file?));
    let mut response = Body::from_stream(stream).into_response();
    // Stored names are plain ASCII without quotes.
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let fixed = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(facts.len_bytes)),
        (header::CONTENT_DISPOSITION, disposition.map_err(Problem::internal)?),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    response.headers_mut().extend(fixed);
    Ok(response)
}
