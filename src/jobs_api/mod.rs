//! Our own REST API, nested at [`BASE`]: deliveries, their jobs and rows, and the operators' acts.
//!
//! ```text
//!   POST or PUT /deliveries ─▶ deliveries::post ─▶ a receipt             ingest
//!   /receipts/{id}                                                  open: state and times
//!   /jobs  /deliveries  /rows/{table}                               read, in the caller's scope
//!   /schemas/{table}                                                read; the same for everybody
//!   /deliveries/{id}/message, /parts/{n}                            content
//!   /jobs/{id}/…  /held/{job}/…  /deliveries/{id}/replay            operate, in the caller's scope
//!   /queues  /modules  /log/{topic}  /keys                          the installation's: 404 for a customer's key
//! ```
//!
//! Handlers decode, call one function below, and encode. The `wire` types beside them, and the rows they wrap, define
//! the answers; every possible status is declared (`web::refusal`), and tests compare the document with the server.

mod deliveries;
mod feature;
mod held;
mod jobs;
mod keys;
mod links;
mod log;
mod modules;
mod queues;
mod receipts;
mod refusal;
mod rows;
mod schemas;

pub use feature::FEATURE;

use crate::config::Live;
use crate::delivery::{Acceptor, ApiRoutes, Operator, Pending, Waiters};
use crate::ids::Timestamp;
use crate::infra::db::Db;
use crate::infra::volume::Volume;
use crate::job::{Leases, QueueName, Wake};
use crate::load::Tables;
use crate::web::{Caller, Kit, Since};
use axum::extract::FromRef;
use axum::http::Method;
use module_api::Declaration;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Where the routes are nested; links in answers begin so.
pub const BASE: &str = "/api/1.0";

/// The parts of the API.
pub struct Api {
    /// The store.
    pub db: Db,
    /// Keys and limits.
    pub kit: Kit,
    /// The configuration in force.
    pub live: Live,
    /// The declared tables.
    pub tables: Tables,
    /// What the modules declare.
    pub modules: Arc<[Declaration]>,
    /// Ids of the modules there are.
    pub module_ids: Arc<BTreeSet<String>>,
    /// Where trees are.
    pub inbox: Arc<Volume>,
    /// Notes of trees whose deliveries are not accepted yet.
    pub pending: Pending,
    /// Where deliveries are accepted.
    pub acceptor: Acceptor,
    /// Where bodies are staged; on the file system of the inbox.
    pub tmp: PathBuf,
    /// Wakes workers after an act.
    pub wake: Wake,
    /// Everybody who waits for an end.
    pub waiters: Waiters,
    /// The runs of this process, which are notified of a cancellation at once.
    pub leases: Leases,
}

type Ctx = Arc<Api>;

impl FromRef<Ctx> for Kit {
    fn from_ref(api: &Ctx) -> Self {
        api.kit.clone()
    }
}

impl Api {
    /// The caller as one who may change what becomes of work in their scope.
    fn operator(&self, caller: &Caller) -> Operator {
        Operator {
            db: self.db.clone(),
            wake: self.wake.clone(),
            scope: caller.scope.clone(),
            actor: caller.name.clone(),
        }
    }

    /// Failed runs a job of a queue may have.
    fn attempts(&self, queue: &QueueName) -> u16 {
        self.live.config().queue_limits(queue).max_attempts
    }
}

/// Where a body of any length comes in.
#[must_use]
pub fn streams(method: &Method, path: &str) -> bool {
    let below = path.strip_prefix(BASE).and_then(|path| path.strip_prefix("/deliveries"));
    match below {
        Some("" | "/") => [Method::POST, Method::PUT].contains(method),
        // The name of a file.
        Some(name) => method == Method::PUT && name.starts_with('/') && !name[1..].contains('/'),
        None => false,
    }
}

/// The routes, to be nested at [`BASE`].
pub fn routes(api: Arc<Api>) -> ApiRoutes {
    let keyed = OpenApiRouter::new()
        .merge(jobs::routes())
        .merge(held::routes())
        .merge(deliveries::routes())
        .merge(rows::routes())
        .merge(queues::routes())
        .merge(log::routes())
        .merge(modules::routes())
        .merge(schemas::routes())
        .merge(keys::routes());
    ApiRoutes { keyed: keyed.with_state(Arc::clone(&api)), open: receipts::routes().with_state(api) }
}

/// An instant as a filter: nothing of ours is older than 1970, and the stores hold no year before.
fn instant(since: Option<Since>) -> Option<Timestamp> {
    since.map(|Since(at)| at.max(Timestamp(0)))
}
