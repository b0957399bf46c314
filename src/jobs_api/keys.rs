//! `/keys`: list, create, import, revoke. For admins of the installation.

use super::Ctx;
use crate::ids::{Grant, Scope, Slug, Timestamp};
use crate::web::key::{Key, NewKey};
use crate::web::page::PageQuery;
use crate::web::permit::Admin;
use crate::web::refusal::{Bodies, Conflicts, Refusals};
use crate::web::text::Text;
use crate::web::{Json, Listing, MayAll, Paged, Path, Problem, Unfiltered};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    /// One to 64 letters, digits and `-_.`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    name: String,
    /// What it permits.
    #[schema(min_items = 1)]
    grants: Vec<Grant>,
    /// Whose things it is for; everyone's where it is missing.
    customer: Option<Slug>,
    /// When it stops being valid.
    expires_at: Option<Timestamp>,
}

/// A key to be taken over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyImport {
    /// One to 64 letters, digits and `-_.`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    name: String,
    /// What it permits.
    #[schema(min_items = 1)]
    grants: Vec<Grant>,
    /// Whose things it is for; everyone's where it is missing.
    customer: Option<Slug>,
    /// When it stops being valid.
    expires_at: Option<Timestamp>,
    /// One to 512 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,512}$")]
    value: String,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
struct MadeKey {
    /// Its name.
    name: String,
    /// Its value: shown this once.
    value: String,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(import)).routes(routes!(revoke))
}

/// Keys by name, also those that have ended.
#[utoipa::path(get, path = "/keys", tag = "keys", params(PageQuery),
    responses((status = 200, body = Paged<Key>), Refusals))]
async fn list(
    _may: MayAll<Admin>,
    State(api): State<Ctx>,
    Listing { page, .. }: Listing<Unfiltered, String>,
) -> Result<Paged<Key>, Problem> {
    let keys = api.kit.keys.list(page.after().map(String::as_str), page.fetch().into()).await?;
    Ok(page.of(keys, |key| key.name.clone()))
}

/// Makes a key and shows its value, once.
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = KeyRequest,
    responses((status = 201, body = MadeKey), Refusals, Conflicts, Bodies))]
async fn create(
    _may: MayAll<Admin>,
    State(api): State<Ctx>,
    Json(wanted): Json<KeyRequest>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let name = wanted.name.clone();
    let value = api.kit.keys.create(wanted.into()).await?;
    Ok((StatusCode::CREATED, Json(MadeKey { name, value: value.reveal().to_owned() })))
}

/// Takes over a value that clients already use.
#[utoipa::path(post, path = "/keys/import", tag = "keys", request_body = KeyImport,
    responses((status = 204), Refusals, Conflicts, Bodies))]
async fn import(
    _may: MayAll<Admin>,
    State(api): State<Ctx>,
    Json(wanted): Json<KeyImport>,
) -> Result<StatusCode, Problem> {
    let KeyImport { name, grants, customer, expires_at, value } = wanted;
    let new = KeyRequest { name, grants, customer, expires_at };
    api.kit.keys.import(new.into(), &value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a key.
#[utoipa::path(post, path = "/keys/{name}/revoke", tag = "keys", params(("name" = String, Path)),
    responses((status = 204), Refusals))]
async fn revoke(
    _may: MayAll<Admin>,
    State(api): State<Ctx>,
    Path(Text(name)): Path<Text>,
) -> Result<StatusCode, Problem> {
    if api.kit.keys.revoke(&name).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}

impl From<KeyRequest> for NewKey {
    fn from(wanted: KeyRequest) -> Self {
        let scope = wanted.customer.map_or(Scope::All, Scope::Customer);
        Self { name: wanted.name, grants: wanted.grants, scope, expires_at: wanted.expires_at }
    }
}
