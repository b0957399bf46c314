//! The one query behind every read of jobs: live and finished rows under the same predicate, newest first.
//!
//! The text holds only the predicates that are asked for, so each combination finds its index, and is planned anew with its
//! values. For the same reason jobs of deliveries and jobs without one are two branches of a union wherever it matters whose
//! they are. Such a branch either walks the jobs from the newest on, looking each owner up, or begins at the owners: where they
//! are few. Postgres decides by its statistics. SQLite, which has none, joins in the order of the text, and [`Start`] decides.

use super::age;
use super::read::{Filter, JobView};
use crate::ids::Scope;
use crate::infra::db::{DbError, Tx, fewest};
use crate::job::state::{Ended, State};
use crate::on_either;
use sqlx::{QueryBuilder, Row};

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

/// Where SQLite begins to read a branch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At the newest job.
    Jobs,
    /// At the owners that have this column as asked.
    Owners(&'static str),
}

/// Where SQLite begins with deliveries and with receipts.
#[derive(Clone, Copy)]
struct Starts {
    deliveries: Start,
    receipts: Start,
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

    /// The joins of a table of jobs. SQLite does not reorder a CROSS JOIN.
    fn joins(self, jobs: &str, start: Start) -> String {
        let owners = match self {
            Self::Either => {
                return format!(
                    "{jobs} j CROSS JOIN queue q LEFT JOIN delivery d ON d.id = j.delivery_id
                     LEFT JOIN receipt r ON j.delivery_id IS NULL AND r.id = j.receipt_id WHERE q.id = j.queue"
                );
            }
            Self::ByDelivery => "delivery d",
            Self::ByReceipt => "receipt r",
        };
        let belongs = match self {
            Self::ByReceipt => "r.id = j.receipt_id AND j.delivery_id IS NULL",
            _ => "d.id = j.delivery_id",
        };
        let from = match start {
            Start::Jobs => format!("{jobs} j CROSS JOIN queue q CROSS JOIN {owners}"),
            Start::Owners(_) => format!("{owners} CROSS JOIN {jobs} j CROSS JOIN queue q"),
        };
        format!("{from} WHERE q.id = j.queue AND {belongs}")
    }
}

impl Starts {
    const JOBS: Self = Self { deliveries: Start::Jobs, receipts: Start::Jobs };

    /// Begins at the owners where they are few by a column that is asked for.
    async fn of(scope: &Scope, tx: &mut Tx<'_>, filter: &Filter) -> Result<Self, DbError> {
        let mut starts = Self::JOBS;
        if !matches!(tx, Tx::Lite(_)) {
            return Ok(starts);
        }
        for owned in Owned::branches(scope, filter) {
            let (table, start) = match owned {
                Owned::Either => continue,
                Owned::ByDelivery => ("delivery", &mut starts.deliveries),
                Owned::ByReceipt => ("receipt", &mut starts.receipts),
            };
            let has = |column: &str| *owned == Owned::ByDelivery || matches!(column, "customer" | "source");
            let asked: Vec<_> = owners(scope, filter)
                .into_iter()
                .filter(|(column, _)| has(column))
                .map(|(column, wanted)| (column, Some(wanted)))
                .collect();
            if let Some(column) = fewest(tx, table, &asked).await? {
                *start = Start::Owners(column);
            }
        }
        Ok(starts)
    }

    const fn of_branch(self, owned: Owned) -> Start {
        match owned {
            Owned::Either => Start::Jobs,
            Owned::ByDelivery => self.deliveries,
            Owned::ByReceipt => self.receipts,
        }
    }
}

/// The columns of owners that are asked for.
fn owners<'a>(scope: &'a Scope, filter: &'a Filter) -> Vec<(&'static str, &'a str)> {
    let asked = [
        ("customer", scope.customer()),
        ("source", filter.source.as_deref()),
        ("customer", filter.customer.as_deref()),
        ("category", filter.category.as_deref()),
        ("type", filter.type_.as_deref()),
        ("grp", filter.group.as_deref()),
    ];
    asked.into_iter().filter_map(|(column, wanted)| Some((column, wanted?))).collect()
}

/// One branch of the union.
struct Branch {
    owned: Owned,
    start: Start,
    /// Its text up to the predicates with values.
    text: String,
    /// In Postgres a subquery has a name.
    name: &'static str,
}

/// What the filter says in words of the store.
struct Asked {
    branches: Vec<Branch>,
    /// The predicate of the state.
    state: String,
    /// Ids of the jobs that were queued in the time asked for lie in here.
    ids: age::Bounds,
    /// Put before a column that begins no index search of SQLite.
    no_index: &'static str,
}

impl Asked {
    async fn of(scope: &Scope, tx: &mut Tx<'_>, filter: &Filter) -> Result<Self, DbError> {
        let (now, no_index) = match tx {
            Tx::Pg(_) => ("now()", ""),
            Tx::Lite(_) => ("CAST(unixepoch('subsec') * 1000000 AS INTEGER)", "+"),
        };
        let starts = Starts::of(scope, tx, filter).await?;
        let state = filter.state.map(|state| match Ended::of_state(state) {
            // Not as a value: the index of each end names it.
            Some(end) => format!(" AND j.outcome = {}", end.code()),
            None => format!(" AND {}", live_state(state, now)),
        });
        Ok(Self {
            branches: branches(now, scope, filter, starts),
            state: state.unwrap_or_default(),
            ids: age::bounds(tx, filter.since, filter.until).await?,
            no_index,
        })
    }
}

/// The query, after `$head`, for the store that the macro is used in.
macro_rules! query {
    ($head:expr, $asked:expr, $scope:expr, $filter:expr, $limit:expr) => {{
        let (asked, filter) = ($asked, $filter);
        let mut query = QueryBuilder::new($head);
        let mut union = "";
        for Branch { owned, start, text, name } in &asked.branches {
            // What begins at the owners finds its jobs by owner.
            let plain = if *start == Start::Jobs { "" } else { asked.no_index };
            query.push(union).push(text);
            for (column, wanted) in owners($scope, filter) {
                let hint = match start {
                    Start::Owners(first) if *first != column => asked.no_index,
                    _ => "",
                };
                query.push(format!(" AND {hint}{} = ", owned.column(column))).push_bind(wanted);
            }
            if let Some(queue) = &filter.queue {
                query.push(format!(" AND {plain}j.queue = (SELECT id FROM queue WHERE name = "));
                query.push_bind(queue.as_str()).push(")");
            }
            if let Some(id) = filter.delivery_id {
                query.push(" AND j.delivery_id = ").push_bind(id);
            }
            if let Some(id) = filter.receipt_id {
                query.push(" AND j.receipt_id = ").push_bind(id);
            }
            for (condition, at) in [("created_at >=", filter.since), ("created_at <", filter.until)] {
                if let Some(at) = at {
                    query.push(format!(" AND j.{condition} ")).push_bind(at);
                }
            }
            let ids = [
                ("id =", filter.id),
                ("retry_of =", filter.retry_of),
                ("id <", filter.before),
                ("id >=", asked.ids.from),
                ("id <", asked.ids.before),
            ];
            for (condition, id) in ids {
                if let Some(id) = id {
                    query.push(format!(" AND {plain}j.{condition} ")).push_bind(id);
                }
            }
            query.push(&asked.state);
            query.push(" ORDER BY j.id DESC LIMIT ").push_bind($limit).push(format!(") {name}"));
            union = " UNION ALL ";
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind($limit);
        query
    }};
}

/// Jobs that match, newest first, at most `limit`.
pub async fn select(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<JobView>, DbError> {
    let (asked, limit) = (Asked::of(scope, tx, filter).await?, i64::from(limit));
    Ok(on_either!(tx, c => {
        query!("", &asked, scope, filter, limit).build_query_as().persistent(false).fetch_all(c).await?
    }))
}

/// How the store would find these jobs, one line per step.
pub async fn plan(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<String>, DbError> {
    let (asked, limit) = (Asked::of(scope, tx, filter).await?, i64::from(limit));
    let head = tx.explain();
    Ok(on_either!(tx, c => {
        let lines = query!(head, &asked, scope, filter, limit).build().persistent(false).fetch_all(c).await?;
        lines.iter().map(|line| line.try_get(line.len() - 1)).collect::<Result<_, _>>()?
    }))
}

fn branches(now: &str, scope: &Scope, filter: &Filter, starts: Starts) -> Vec<Branch> {
    // In Postgres the NULLs of a union need a type.
    let live = format!(
        "j.lane, j.lease_until, CAST(NULL AS smallint) AS outcome, j.run_at, CAST(NULL AS timestamptz) AS finished_at, j.wait_reason,
         CASE WHEN j.lane <> 3 THEN j.progress END AS progress, CASE WHEN j.lane = 3 THEN j.progress END AS report,
         {now} AS now"
    );
    let done = format!(
        "CAST(NULL AS smallint) AS lane, CAST(NULL AS timestamptz) AS lease_until, j.outcome, CAST(NULL AS timestamptz) AS run_at, j.finished_at, CAST(NULL AS text) AS wait_reason,
         CAST(NULL AS jsonb) AS progress, j.report, {now} AS now"
    );
    let tables = [
        (live, filter.state.is_none_or(|state| !state.is_final()), "job", "live"),
        (done, filter.state.is_none_or(State::is_final), "job_done", "done"),
    ];
    let mut branches = Vec::new();
    for (rest, _, jobs, name) in tables.into_iter().filter(|(_, wanted, ..)| *wanted) {
        for &owned in Owned::branches(scope, filter) {
            let start = starts.of_branch(owned);
            let (columns, joins) = (owned.columns(), owned.joins(jobs, start));
            let text = format!("SELECT * FROM (SELECT {columns}, {rest} FROM {joins}");
            branches.push(Branch { owned, start, text, name });
        }
    }
    branches
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
