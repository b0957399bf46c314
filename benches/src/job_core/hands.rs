//! The workers of a cell: the core through its public functions, or bare connections with its statements.
//!
//! All hands insert the same rows (a job with delivery, receipt and empty arguments, as a door makes it), claim above a
//! floor, and end what they claimed. A bare hand sends one statement per step to Postgres, framed by BEGIN and COMMIT or
//! not; with SQLite it puts `group` members into one transaction, as the writer does with callers that wait.

use super::{bare_lite::BareLite, statement};
use crate::stores;
use headworks::ids::{DeliveryId, JobId, LeaseToken, ReceiptId};
use headworks::infra::db::{Db, DbError, Lane};
use headworks::job::store::{self, Claim, End, NewJob, Want};
use headworks::job::{Ended, Kind, Priority, QueueRow};
use sqlx::{Executor, PgConnection, Row};
use std::time::Duration;

/// Length of every lease: nothing expires here.
pub const LEASE: Duration = Duration::from_secs(600);
const TRUNCATE: &str = "TRUNCATE job, job_done";
const DELETE: [&str; 2] = ["DELETE FROM job", "DELETE FROM job_done"];

/// Kind of worker.
pub enum Hands {
    /// The core: `job::store` in transactions of `infra::db`.
    Core(Core),
    /// A bare connection to Postgres.
    BarePg(BarePg),
    /// A bare connection to SQLite.
    BareLite(BareLite),
}

/// The core, as one caller of it.
pub struct Core {
    pub db: Db,
    pub queue: i16,
    pub worker: i32,
}

/// One bare connection.
pub struct BarePg {
    pub connection: PgConnection,
    /// Whether statements come between BEGIN and COMMIT instead of committing by themselves.
    pub framed: bool,
    pub queue: i16,
    pub worker: i32,
}

/// What a claim gave: leases, and the highest place among them.
#[derive(Debug, Default)]
pub struct Claimed {
    pub leases: Vec<(JobId, LeaseToken)>,
    pub highest: i64,
}

/// A job as a door makes it.
pub fn new_job(queue: i16) -> NewJob {
    NewJob {
        queue: QueueRow { id: queue, kind: Kind::Parse },
        priority: Priority::Normal,
        delivery_id: Some(DeliveryId::fresh()),
        receipt_id: Some(ReceiptId(uuid::Uuid::now_v7())),
        parent_id: None,
        retry_of: None,
        signals: None,
        max_attempts: 5,
        delay: Duration::ZERO,
        args: serde_json::json!({}),
    }
}

impl Hands {
    /// Jobs that one call handles for a batch of `batch`: bare SQLite does a whole group at once.
    pub const fn step(&self, batch: usize) -> usize {
        match self {
            Self::BareLite(bare) => batch * bare.group,
            Self::Core(_) | Self::BarePg(_) => batch,
        }
    }

    /// How a bare hand sends its statements to Postgres; without meaning to the others.
    pub const fn frame(&mut self, framed: bool) {
        if let Self::BarePg(bare) = self {
            bare.framed = framed;
        }
    }

    /// Empties the job table and its history, so that every turn begins with the same.
    pub async fn clear(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Core(core) if core.db.is_pg() => stores::execute(&core.db, TRUNCATE).await?,
            Self::Core(core) => {
                for statement in DELETE {
                    stores::execute(&core.db, statement).await?;
                }
            }
            Self::BarePg(bare) => {
                bare.connection.execute(TRUNCATE).await?;
            }
            Self::BareLite(bare) => {
                for statement in DELETE {
                    bare.connection.execute(statement).await?;
                }
            }
        }
        Ok(())
    }

    /// Inserts a batch.
    pub async fn insert(&mut self, batch: usize) -> anyhow::Result<()> {
        match self {
            Self::Core(core) => core.insert(batch).await,
            Self::BarePg(bare) => bare.insert(batch).await,
            Self::BareLite(bare) => bare.insert(batch).await,
        }
    }

    /// Claims at most a batch above `floor`.
    pub async fn claim(&mut self, floor: i64, batch: usize) -> anyhow::Result<Claimed> {
        match self {
            Self::Core(core) => core.claim(floor, batch).await,
            Self::BarePg(bare) => bare.claim(floor, batch).await,
            Self::BareLite(bare) => bare.claim(floor, batch).await,
        }
    }

    /// Ends what was claimed.
    pub async fn end(&mut self, leases: Vec<(JobId, LeaseToken)>, batch: usize) -> anyhow::Result<()> {
        let wanted = leases.len();
        let ended = match self {
            Self::Core(core) => end(&core.db, leases).await?,
            Self::BarePg(bare) => bare.end(leases).await?,
            Self::BareLite(bare) => bare.end(&leases, batch).await?,
        };
        anyhow::ensure!(ended == wanted, "{ended} of {wanted} jobs were ended");
        Ok(())
    }
}

impl Core {
    async fn insert(&self, batch: usize) -> anyhow::Result<()> {
        let jobs: Vec<_> = (0..batch).map(|_| new_job(self.queue)).collect();
        self.db
            .write(Lane::State, move |mut tx| Box::pin(async move { store::insert(&mut tx, &jobs).await }))
            .await?;
        Ok(())
    }

    async fn claim(&self, floor: i64, batch: usize) -> anyhow::Result<Claimed> {
        let count = i32::try_from(batch)?;
        let want = Want { queue: self.queue, priority: Priority::Normal.code(), floor, count };
        let claim = Claim { wants: vec![want], worker: self.worker, lease: LEASE, take_expired: true };
        let jobs = self
            .db
            .write(Lane::Relaxed, move |mut tx| Box::pin(async move { store::claim(&mut tx, &claim).await }))
            .await?;
        Ok(Claimed {
            highest: jobs.iter().map(|job| job.pos).max().unwrap_or(0),
            leases: jobs.into_iter().map(|job| (job.id, job.lease_token)).collect(),
        })
    }
}

/// Ends jobs through the core.
pub async fn end(db: &Db, leases: Vec<(JobId, LeaseToken)>) -> Result<usize, DbError> {
    let ends: Vec<_> = leases
        .into_iter()
        .map(|(id, token)| End { id, token, end: Ended::Completed, error: None, report: None })
        .collect();
    let won = db
        .write(Lane::State, move |mut tx| Box::pin(async move { store::end(&mut tx, &ends).await }))
        .await?;
    Ok(won.len())
}

impl BarePg {
    async fn begin(&mut self) -> sqlx::Result<()> {
        if self.framed {
            self.connection.execute("BEGIN").await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> sqlx::Result<()> {
        if self.framed {
            self.connection.execute("COMMIT").await?;
        }
        Ok(())
    }

    async fn insert(&mut self, batch: usize) -> anyhow::Result<()> {
        self.begin().await?;
        let ids = || (0..batch).map(|_| Some(uuid::Uuid::now_v7())).collect::<Vec<_>>();
        sqlx::query(statement::postgres("INSERT")?)
            .bind(vec![self.queue; batch])
            .bind(vec![Kind::Parse.code(); batch])
            .bind(vec![Priority::Normal.code(); batch])
            .bind(ids())
            .bind(ids())
            .bind(vec![None::<i64>; batch])
            .bind(vec![None::<i64>; batch])
            .bind(vec![None::<i64>; batch])
            .bind(vec![5_i16; batch])
            .bind(vec![0_i64; batch])
            .bind(vec![serde_json::json!({}); batch])
            .fetch_all(&mut self.connection)
            .await?;
        Ok(self.commit().await?)
    }

    async fn claim(&mut self, floor: i64, batch: usize) -> anyhow::Result<Claimed> {
        self.begin().await?;
        let rows = sqlx::query(statement::postgres("CLAIM")?)
            .bind(vec![self.queue])
            .bind(vec![Priority::Normal.code()])
            .bind(vec![floor])
            .bind(vec![i32::try_from(batch)?])
            .bind(LeaseToken::fresh())
            .bind(self.worker)
            .bind(i64::try_from(LEASE.as_micros())?)
            .bind(true)
            .fetch_all(&mut self.connection)
            .await?;
        self.commit().await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            claimed.push((row.try_get("id")?, row.try_get("lease_token")?, row.try_get("pos")?));
        }
        Ok(Claimed::of(&claimed))
    }

    async fn end(&mut self, leases: Vec<(JobId, LeaseToken)>) -> anyhow::Result<usize> {
        let (ids, tokens): (Vec<_>, Vec<_>) = leases.into_iter().unzip();
        let count = ids.len();
        self.begin().await?;
        let ended = sqlx::query(statement::postgres("END")?)
            .bind(ids)
            .bind(tokens)
            .bind(vec![Ended::Completed.code(); count])
            .bind(vec![None::<String>; count])
            .bind(vec![None::<serde_json::Value>; count])
            .fetch_all(&mut self.connection)
            .await?;
        self.commit().await?;
        Ok(ended.len())
    }
}

impl Claimed {
    /// What rows of id, token and place say.
    pub fn of(rows: &[(JobId, LeaseToken, i64)]) -> Self {
        Self {
            leases: rows.iter().map(|&(id, token, _)| (id, token)).collect(),
            highest: rows.iter().map(|&(_, _, pos)| pos).max().unwrap_or(0),
        }
    }
}
