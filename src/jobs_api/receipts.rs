//! `/receipts/{id}`: open to anyone who has the id, and limited to state and times.

use super::Ctx;
use crate::delivery::{Awaited, ReceiptState, ReceiptView};
use crate::ids::{ReceiptId, Timestamp};
use crate::web::open_requests::Counted;
use crate::web::refusal::Refusals;
use crate::web::{self, Json, Problem, Query, Wait};
use axum::extract::State;
use headworks_spool::{EntryName, Spool};
use serde::{Deserialize, Serialize};
use std::path::Path;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A receipt.
#[derive(Debug, Serialize, ToSchema)]
struct Receipt {
    /// Which.
    id: ReceiptId,
    /// The worst state of its jobs.
    state: ReceiptState,
    /// When its record was made; null while it is in a spool only.
    accepted_at: Option<Timestamp>,
    /// When the last of its jobs ended.
    finished_at: Option<Timestamp>,
    #[serde(skip)]
    is_settled: bool,
}

/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Patience {
    /// Answer only once it has ended or is held, at the latest after this time.
    #[param(inline)]
    pub wait: Option<Wait>,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The state of a receipt. Needs no key.
#[utoipa::path(get, path = "/receipts/{id}", tag = "receipts", security(()),
    params(("id" = inline(ReceiptId), Path), Patience), responses((status = 200, body = Receipt), Refusals))]
async fn show(
    State(api): State<Ctx>,
    web::Path(id): web::Path<ReceiptId>,
    Query(patience): Query<Patience>,
    request: Counted,
) -> Result<Json<Receipt>, Problem> {
    let most = api.kit.limits.wait(patience.wait)?.unwrap_or_default();
    let look = || find(&api, id);
    let is_settled = |receipt: &Receipt| receipt.is_settled;
    Ok(Json(api.waiters.settled(Awaited::Receipt(id), most, &request, look, is_settled).await?))
}

/// The receipt, or that its mail lies in the spool and waits for its record.
async fn find(api: &Ctx, id: ReceiptId) -> Result<Receipt, Problem> {
    if let Some(found) = ReceiptView::find(&api.db, id).await? {
        let ReceiptView { id, state, accepted_at, finished_at, is_settled, .. } = found;
        return Ok(Receipt { id, state, accepted_at: Some(accepted_at), finished_at, is_settled });
    }
    let spool = api.live.config().spool.path.clone();
    let there =
        tokio::task::spawn_blocking(move || is_in_spool(&spool, id)).await.map_err(Problem::internal)?;
    if !there {
        return Err(Problem::not_found());
    }
    let state = ReceiptState::Working;
    Ok(Receipt { id, state, accepted_at: None, finished_at: None, is_settled: false })
}

/// Whether a whole mail of this receipt lies in the spool of this host. Looking needs no lock, so a process beside the one that
/// holds the spool can tell; on a host without a spool there is nothing.
fn is_in_spool(spool: &Path, id: ReceiptId) -> bool {
    Spool::open(spool, None).and_then(|spool| spool.read(EntryName::whole(id.0))).is_ok()
}
