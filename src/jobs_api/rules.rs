//! `/rules/test`: what the rules in force would make of a mail. Nothing is stored.

use super::Ctx;
use super::refusal::{Bodies, Refusals};
use super::text::Text;
use crate::web::permit::Operate;
use crate::web::{Cap, Capped, Json, MayAll, Problem, Query};
use axum::body::Body;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(test))
}

/// Explains which customer, rule and coordinates a mail would get.
#[utoipa::path(post, path = "/rules/test", tag = "rules", params(Envelope),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The mail."),
    responses((status = 200, body = serde_json::Value), Refusals, Bodies))]
async fn test(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Query(envelope): Query<Envelope>,
    body: Body,
) -> Result<Json<serde_json::Value>, Problem> {
    let bytes = api.live.config().mail.message_bytes.bytes();
    let message = Capped::new(body, Cap { bytes, idle: api.kit.limits.body_idle }).bytes().await?;
    let sender = envelope.sender.map_or_else(String::new, |sender| sender.0);
    (api.explain)(message.into(), envelope.recipient.0, sender).await.map(Json)
}
