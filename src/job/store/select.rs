//! The one query behind every read of jobs: live and finished rows under the same predicate, newest first.
//!
//! The text holds only the predicates that are asked for, so each combination finds its index. For the same reason jobs of
//! deliveries and jobs without one are two branches of a union wherever it matters whose they are.

use super::read::{Filter, JobView};
use crate::ids::Scope;
use crate::infra::db::{DbError, Tx};
use crate::job::state::{Ended, State};
use crate::on_either;
use sqlx::QueryBuilder;

/// Columns that both tables have.
const SHARED: &str = "j.id, j.kind, q.name AS queue, j.priority, j.delivery_id, j.receipt_id, j.parent_id, j.retry_of, j.attempt, \
     j.crashes, j.lost, j.max_attempts, j.created_at, j.first_started_at, j.last_error";

/// Which jobs a branch reads, by what says whose they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owned {
    /// All of them: few rows are read, or the owner does not matter.
    Either,
    /// Those of a delivery.
    ByDelivery,
    /// Those without one.
    ByReceipt,
}

impl Owned {
    fn branches(scope: &Scope, filter: &Filter) -> &'static [Self] {
        let few = filter.id.is_some() || filter.delivery_id.is_some() || filter.receipt_id.is_some();
        let asks = scope.customer().is_some() || filter.customer.is_some() || filter.source.is_some();
        let asks_more = filter.category.is_some() || filter.type_.is_some() || filter.group.is_some();
        match (few, asks, asks_more) {
            (true, ..) | (_, false, false) => &[Self::Either],
            (_, _, true) => &[Self::ByDelivery],
            (_, true, false) => &[Self::ByDelivery, Self::ByReceipt],
        }
    }

    /// A column that says whose a job is.
    fn column(self, name: &str) -> String {
        match self {
            Self::Either => format!("COALESCE(d.{name}, r.{name})"),
            Self::ByDelivery => format!("d.{name}"),
            Self::ByReceipt => format!("r.{name}"),
        }
    }

    fn columns(self) -> String {
        let [category, type_, group] = match self {
            Self::Either | Self::ByDelivery => ["d.category", "d.type", "d.grp"],
            Self::ByReceipt => ["CAST(NULL AS text)"; 3],
        };
        let (source, customer) = (self.column("source"), self.column("customer"));
        format!(
            "{SHARED}, {source} AS source, {customer} AS customer, {category} AS category, {type_} AS type, {group} AS grp"
        )
    }

    const fn joins(self) -> &'static str {
        match self {
            Self::Either => {
                " JOIN queue q ON q.id = j.queue LEFT JOIN delivery d ON d.id = j.delivery_id
                LEFT JOIN receipt r ON j.delivery_id IS NULL AND r.id = j.receipt_id WHERE true"
            }
            Self::ByDelivery => {
                " JOIN queue q ON q.id = j.queue JOIN delivery d ON d.id = j.delivery_id WHERE true"
            }
            Self::ByReceipt => {
                " JOIN queue q ON q.id = j.queue JOIN receipt r ON r.id = j.receipt_id WHERE j.delivery_id IS NULL"
            }
        }
    }
}

/// Jobs that match, newest first, at most `limit`.
pub async fn select(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<JobView>, DbError> {
    let now = match tx {
        Tx::Pg(_) => "now()",
        Tx::Lite(_) => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    };
    let branches = branches(now, scope, filter);
    let live = filter.state.filter(|state| !state.is_final());
    let live = live.map(|state| format!(" AND {}", live_state(state, now))).unwrap_or_default();
    let (end, limit) = (filter.state.and_then(Ended::of_state), i64::from(limit));
    Ok(on_either!(tx, c => {
        let mut query = QueryBuilder::new("");
        let mut union = "";
        for (owned, text, name) in &branches {
            query.push(union).push(text);
            for (column, wanted) in texts(*owned, scope, filter) {
                if let Some(wanted) = wanted {
                    query.push(format!(" AND {column} = ")).push_bind(wanted);
                }
            }
            if let Some(since) = filter.since {
                query.push(" AND j.created_at >= ").push_bind(since);
            }
            if let Some(id) = filter.delivery_id {
                query.push(" AND j.delivery_id = ").push_bind(id);
            }
            if let Some(id) = filter.receipt_id {
                query.push(" AND j.receipt_id = ").push_bind(id);
            }
            let ids = [("id =", filter.id), ("retry_of =", filter.retry_of), ("id <", filter.before)];
            for (condition, id) in ids {
                if let Some(id) = id {
                    query.push(format!(" AND j.{condition} ")).push_bind(id);
                }
            }
            if let Some(end) = end {
                query.push(" AND j.outcome = ").push_bind(end.code());
            }
            query.push(&live);
            query.push(" ORDER BY j.id DESC LIMIT ").push_bind(limit).push(format!(") {name}"));
            union = " UNION ALL ";
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
        query.build_query_as().fetch_all(c).await?
    }))
}

/// The branches of the union (in Postgres its NULLs need a type): whose jobs each reads, its text up to the predicates with values, and its name.
fn branches(now: &str, scope: &Scope, filter: &Filter) -> Vec<(Owned, String, &'static str)> {
    let live = format!(
        "j.lane, j.lease_until, CAST(NULL AS smallint) AS outcome, j.run_at, CAST(NULL AS timestamptz) AS finished_at, j.wait_reason,
         CASE WHEN j.lane <> 3 THEN j.progress END AS progress, CASE WHEN j.lane = 3 THEN j.progress END AS report,
         {now} AS now FROM job j"
    );
    let done = format!(
        "CAST(NULL AS smallint) AS lane, CAST(NULL AS timestamptz) AS lease_until, j.outcome, CAST(NULL AS timestamptz) AS run_at, j.finished_at, CAST(NULL AS text) AS wait_reason,
         CAST(NULL AS jsonb) AS progress, j.report, {now} AS now FROM job_done j"
    );
    let tables = [
        (live, filter.state.is_none_or(|state| !state.is_final()), "live"),
        (done, filter.state.is_none_or(State::is_final), "done"),
    ];
    let mut branches = Vec::new();
    for (rest, _, name) in tables.into_iter().filter(|(_, wanted, _)| *wanted) {
        for &owned in Owned::branches(scope, filter) {
            let (columns, joins) = (owned.columns(), owned.joins());
            branches.push((owned, format!("SELECT * FROM (SELECT {columns}, {rest}{joins}"), name));
        }
    }
    branches
}

fn texts<'a>(owned: Owned, scope: &'a Scope, filter: &'a Filter) -> [(String, Option<&'a str>); 7] {
    [
        (owned.column("customer"), scope.customer()),
        ("q.name".into(), filter.queue.as_deref()),
        (owned.column("source"), filter.source.as_deref()),
        (owned.column("customer"), filter.customer.as_deref()),
        ("d.category".into(), filter.category.as_deref()),
        ("d.type".into(), filter.type_.as_deref()),
        ("d.grp".into(), filter.group.as_deref()),
    ]
}

/// The predicate of a live state: [`State::try_from`] in SQL. A test compares the two.
fn live_state(state: State, now: &str) -> String {
    match state {
        State::Available => "j.lane = 0 AND j.lease_until IS NULL".into(),
        State::Running => format!("j.lane = 0 AND j.lease_until >= {now}"),
        State::Orphaned => format!("j.lane = 0 AND j.lease_until < {now}"),
        State::Scheduled => "j.lane = 1 AND j.last_error IS NULL".into(),
        State::Retryable => "j.lane = 1 AND j.last_error IS NOT NULL".into(),
        State::Waiting => "j.lane = 2".into(),
        State::Held => "j.lane = 3".into(),
        State::Completed | State::Failed | State::Cancelled | State::Discarded => "false".into(),
    }
}
