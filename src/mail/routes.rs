//! `/rules/test`: what the current rules would decide about a mail. Nothing is stored.

use super::explain::{Explained, explain};
use crate::delivery::Core;
use crate::web::permit::Operate;
use crate::web::refusal::{Bodies, Refusals};
use crate::web::text::Text;
use crate::web::{Decoded, Json, Kit, MayAll, Problem, Query};
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the routes of mail are served from.
#[derive(Clone)]
pub struct Ctx {
    core: Arc<Core>,
    kit: Kit,
}

impl FromRef<Ctx> for Kit {
    fn from_ref(ctx: &Ctx) -> Self {
        ctx.kit.clone()
    }
}

/// The envelope of the mail.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Envelope {
    /// Envelope recipient.
    #[param(inline)]
    recipient: Text,
    /// Envelope sender; the null sender where it is missing.
    #[param(inline)]
    sender: Option<Text>,
}

/// The routes, to be nested at the base of the API.
pub fn routes(core: &Arc<Core>) -> OpenApiRouter<Kit> {
    let ctx = Ctx { core: Arc::clone(core), kit: core.kit() };
    OpenApiRouter::new().routes(routes!(test)).with_state(ctx)
}

/// Explains which customer, rule and coordinates a mail would get.
#[utoipa::path(post, path = "/rules/test", tag = "rules", params(Envelope),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The mail."),
    responses((status = 200, body = serde_json::Value), Refusals, Bodies))]
async fn test(
    _may: MayAll<Operate>,
    State(ctx): State<Ctx>,
    Query(envelope): Query<Envelope>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<serde_json::Value>, Problem> {
    let (core, config) = (&ctx.core, ctx.core.live.config());
    let cap = ctx.kit.limits.cap(config.mail.message_bytes.bytes());
    let message = Decoded::new(&headers, body, cap)?.bytes().await?;
    let (bytes, tmp) = (message.len() as u64, core.tmp.clone());
    let staged = tokio::task::spawn_blocking(move || read_only(&tmp, &message)).await;
    let input = staged.map_err(Problem::internal)?.map_err(Problem::internal)?;
    let sender = envelope.sender.map_or_else(String::new, |sender| sender.0);
    let addresses = (Some(envelope.recipient.0), Some(sender));
    let Explained { explanation, .. } =
        explain(&core.host, &config, input, bytes, addresses).await.map_err(Problem::internal)?;
    serde_json::to_value(explanation).map(Json).map_err(Problem::internal)
}

/// The bytes as a file that can only be read: the module processes take no other.
fn read_only(tmp: &Path, message: &[u8]) -> std::io::Result<File> {
    let mut file = tempfile::NamedTempFile::new_in(tmp)?;
    file.write_all(message)?;
    File::open(file.path())
}
