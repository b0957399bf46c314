//! The one query behind every read of jobs: live and finished rows under the same predicate, newest first.
//!
//! Only predicates that are wanted stand in the text, so each combination finds its index. For the same reason jobs of
//! deliveries and jobs without one are two branches of a union wherever it matters whose they are.

use super::read::{Filter, JobView};
use crate::ids::{DeliveryId, JobId, ReceiptId, Scope, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::job::state::{Ended, State};
use sqlx::{Database, Encode, Postgres, QueryBuilder, Sqlite, Type};

/// Columns that both tables have.
const SHARED: &str = "j.id, j.kind, q.name AS queue, j.priority, j.delivery_id, j.receipt_id, j.parent_id, j.retry_of, j.attempt, \
     j.crashes, j.lost, j.max_attempts, j.created_at, j.first_started_at, j.last_error";

/// Which jobs a branch reads, by what says whose they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owned {
    /// All of them: few rows are looked at, or nobody asks whose they are.
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

    const fn source(self) -> &'static str {
        match self {
            Self::Either => "COALESCE(d.source, r.source)",
            Self::ByDelivery => "d.source",
            Self::ByReceipt => "r.source",
        }
    }

    const fn customer(self) -> &'static str {
        match self {
            Self::Either => "COALESCE(d.customer, r.customer)",
            Self::ByDelivery => "d.customer",
            Self::ByReceipt => "r.customer",
        }
    }

    fn columns(self, Dialect { text, .. }: &Dialect) -> String {
        let [category, type_, group] = match self {
            Self::Either | Self::ByDelivery => ["d.category", "d.type", "d.grp"],
            Self::ByReceipt => [*text; 3],
        };
        let (source, customer) = (self.source(), self.customer());
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

/// How a store writes a NULL of a type (only Postgres asks for one in a UNION) and the current time.
struct Dialect {
    smallint: &'static str,
    instant: &'static str,
    json: &'static str,
    text: &'static str,
    now: &'static str,
}

const PG: Dialect = Dialect {
    smallint: "NULL::smallint",
    instant: "NULL::timestamptz",
    json: "NULL::jsonb",
    text: "NULL::text",
    now: "now()",
};
const LITE: Dialect = Dialect {
    smallint: "NULL",
    instant: "NULL",
    json: "NULL",
    text: "NULL",
    now: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
};

pub async fn select(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<JobView>, DbError> {
    Ok(match tx {
        Tx::Pg(connection) => {
            build::<Postgres>(&PG, scope, filter, limit).build_query_as().fetch_all(&mut **connection).await?
        }
        Tx::Lite(connection) => {
            build::<Sqlite>(&LITE, scope, filter, limit).build_query_as().fetch_all(&mut **connection).await?
        }
    })
}

fn build<DB>(dialect: &Dialect, scope: &Scope, filter: &Filter, limit: u32) -> QueryBuilder<DB>
where
    DB: Database,
    String: for<'q> Encode<'q, DB> + Type<DB>,
    Timestamp: for<'q> Encode<'q, DB> + Type<DB>,
    JobId: for<'q> Encode<'q, DB> + Type<DB>,
    DeliveryId: for<'q> Encode<'q, DB> + Type<DB>,
    ReceiptId: for<'q> Encode<'q, DB> + Type<DB>,
    i16: for<'q> Encode<'q, DB> + Type<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
{
    let Dialect { smallint, instant, json, text, now } = dialect;
    let live = format!(
        "j.lane, j.lease_until, {smallint} AS outcome, j.run_at, {instant} AS finished_at, j.wait_reason, j.progress,
         {json} AS report, {now} AS now FROM job j"
    );
    let done = format!(
        "{smallint} AS lane, {instant} AS lease_until, j.outcome, {instant} AS run_at, j.finished_at, {text} AS wait_reason,
         {json} AS progress, j.report, {now} AS now FROM job_done j"
    );
    let tables = [
        (live, filter.state.is_none_or(|state| !state.is_final()), "live"),
        (done, filter.state.is_none_or(State::is_final), "done"),
    ];
    let mut query = QueryBuilder::<DB>::new("");
    let mut union = "";
    for (rest, _, name) in tables.iter().filter(|(_, wanted, _)| *wanted) {
        for &owned in Owned::branches(scope, filter) {
            query.push(format!(
                "{union}SELECT * FROM (SELECT {}, {rest}{}",
                owned.columns(dialect),
                owned.joins()
            ));
            predicates(&mut query, owned, scope, filter);
            if let Some(end) = filter.state.and_then(Ended::of_state) {
                query.push(" AND j.outcome = ").push_bind(end.code());
            } else if let Some(state) = filter.state {
                query.push(" AND ").push(live_state(state, now));
            }
            query.push(" ORDER BY j.id DESC LIMIT ").push_bind(i64::from(limit)).push(format!(") {name}"));
            union = " UNION ALL ";
        }
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

fn predicates<DB>(query: &mut QueryBuilder<DB>, owned: Owned, scope: &Scope, filter: &Filter)
where
    DB: Database,
    String: for<'q> Encode<'q, DB> + Type<DB>,
    Timestamp: for<'q> Encode<'q, DB> + Type<DB>,
    JobId: for<'q> Encode<'q, DB> + Type<DB>,
    DeliveryId: for<'q> Encode<'q, DB> + Type<DB>,
    ReceiptId: for<'q> Encode<'q, DB> + Type<DB>,
{
    let texts = [
        (owned.customer(), scope.customer()),
        ("q.name", filter.queue.as_deref()),
        (owned.source(), filter.source.as_deref()),
        (owned.customer(), filter.customer.as_deref()),
        ("d.category", filter.category.as_deref()),
        ("d.type", filter.type_.as_deref()),
        ("d.grp", filter.group.as_deref()),
    ];
    for (column, wanted) in texts {
        if let Some(wanted) = wanted {
            query.push(format!(" AND {column} = ")).push_bind(wanted.to_owned());
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
    if let Some(id) = filter.id {
        query.push(" AND j.id = ").push_bind(id);
    }
    if let Some(id) = filter.retry_of {
        query.push(" AND j.retry_of = ").push_bind(id);
    }
    if let Some(before) = filter.before {
        query.push(" AND j.id < ").push_bind(before);
    }
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
