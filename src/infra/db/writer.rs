//! The one writer of a SQLite file, with group commit.
//!
//! All waiting writes form one group: `BEGIN IMMEDIATE`, each member in a savepoint of its own, one `COMMIT`, and only
//! then are the callers answered. A member that fails is rolled back alone. So one fsync serves all writes that arrived
//! during the last one.

use super::{DbError, DbErrorKind, Fut, Tx};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use std::panic::AssertUnwindSafe;
use tokio::sync::{mpsc, oneshot};

/// Most members of a group; bounds how long the first one waits.
const GROUP: usize = 256;

/// Sends work to the writer task; cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Order>,
}

enum Order {
    Run { durable: bool, member: Box<dyn Member> },
    Close(oneshot::Sender<()>),
}

/// One caller's work and where its result goes, with the result type erased.
trait Member: Send {
    /// Runs the work; `false` rolls its savepoint back.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Answers the caller, after the commit or its failure.
    fn settle(self: Box<Self>, commit: &Result<(), DbError>);
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<Result<T, DbError>>,
    reply: oneshot::Sender<Result<T, DbError>>,
}

impl<T, F> Member for Call<T, F>
where
    F: for<'c> FnOnce(Tx<'c>) -> Fut<'c, T> + Send + 'static,
    T: Send + 'static,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                // A panic of one member must not end the writer, which serves all callers.
                let run = AssertUnwindSafe(async move { work(Tx::Lite(connection)).await }).catch_unwind();
                let panicked = |_| Err(DbError::corrupt("a write panicked"));
                self.result = Some(run.await.unwrap_or_else(panicked));
            }
            matches!(self.result, Some(Ok(_)))
        })
    }

    fn settle(self: Box<Self>, commit: &Result<(), DbError>) {
        let answer = match (self.result, commit) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) if error.kind() == DbErrorKind::Undecided => {
                Err(DbError::new(DbErrorKind::Undecided, error.to_string()))
            }
            (_, Err(error)) => Err(DbError::unavailable(error.to_string())),
            (None, Ok(())) => Err(DbError::unavailable("the group ended before this member ran")),
        };
        // Nobody receives this if the caller was dropped.
        drop(self.reply.send(answer));
    }
}

impl Writer {
    /// Starts the writer task on an open connection. At most `bound` writes may wait.
    #[must_use]
    pub fn start(connection: SqliteConnection, bound: usize) -> Self {
        let (queue, orders) = mpsc::channel(bound);
        tokio::spawn(serve(connection, orders));
        Self { queue }
    }

    /// Runs `work` in the next group and waits for its commit.
    ///
    /// # Errors
    /// What `work` returned; [`Unavailable`](DbErrorKind::Unavailable) when too many wait or the commit was rolled back;
    /// [`Undecided`](DbErrorKind::Undecided) when it may have happened.
    pub async fn run<T, F>(&self, durable: bool, work: F) -> Result<T, DbError>
    where
        F: for<'c> FnOnce(Tx<'c>) -> Fut<'c, T> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let member = Box::new(Call { work: Some(work), result: None, reply });
        self.queue.try_send(Order::Run { durable, member }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => DbError::unavailable("too many writes are waiting"),
            mpsc::error::TrySendError::Closed(_) => DbError::unavailable("the store is closed"),
        })?;
        answer.await.unwrap_or_else(|_| Err(DbError::new(DbErrorKind::Undecided, "the writer ended")))
    }

    /// Waits for everything sent so far, then closes the file.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Order::Close(done)).await.is_ok() {
            // An error means the task is gone, and the file with it.
            drop(closed.await);
        }
    }
}

async fn serve(mut connection: SqliteConnection, mut orders: mpsc::Receiver<Order>) {
    let mut waiting = Vec::with_capacity(GROUP);
    let mut fsyncs = None;
    while orders.recv_many(&mut waiting, GROUP).await > 0 {
        // Callers of the last commit may be about to write again: without this the first of them would get a commit of its
        // own while all others wait for it.
        tokio::task::yield_now().await;
        while waiting.len() < GROUP
            && let Ok(order) = orders.try_recv()
        {
            waiting.push(order);
        }
        let mut durable = false;
        let mut members = Vec::with_capacity(waiting.len());
        let mut closing = None;
        for order in waiting.drain(..) {
            match order {
                Order::Run { durable: wants, member } => {
                    durable |= wants;
                    members.push(member);
                }
                Order::Close(done) => closing = Some(done),
            }
        }
        let commit = group(&mut connection, &mut members, durable, &mut fsyncs).await;
        for member in members {
            member.settle(&commit);
        }
        if let Some(done) = closing {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing the store failed");
            }
            if done.send(()).is_err() {
                tracing::debug!("nobody waited for the store to close");
            }
            return;
        }
    }
}

/// One group. On error everything of it is rolled back.
async fn group(
    connection: &mut SqliteConnection,
    members: &mut [Box<dyn Member>],
    durable: bool,
    fsyncs: &mut Option<bool>,
) -> Result<(), DbError> {
    if members.is_empty() {
        return Ok(());
    }
    if *fsyncs != Some(durable) {
        let level = if durable { "FULL" } else { "NORMAL" };
        connection.execute(AssertSqlSafe(format!("PRAGMA synchronous = {level}"))).await?;
        *fsyncs = Some(durable);
    }
    connection.execute("BEGIN IMMEDIATE").await?;
    let run = async {
        if let [alone] = members {
            if alone.run(connection).await {
                return commit(connection).await;
            }
            connection.execute("ROLLBACK").await?;
            return Ok(());
        }
        // One call between two members: each is a trip to the connection's thread.
        let mut begin = "SAVEPOINT member";
        for member in members {
            connection.execute(begin).await?;
            if !member.run(connection).await {
                connection.execute("ROLLBACK TO member").await?;
            }
            begin = "RELEASE member; SAVEPOINT member";
        }
        commit(connection).await
    };
    let result: Result<(), DbError> = run.await;
    if result.is_err() {
        // The transaction may be gone already (SQLite rolls back by itself on a full disk); then this fails, rightly.
        if let Err(error) = connection.execute("ROLLBACK").await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }
    result
}

/// Primary result codes after which a COMMIT is rolled back for certain: busy, locked, read-only, full, constraint. After others
/// (a failed write or fsync) a restart may still find the commit in the log.
const REFUSALS: [i32; 5] = [5, 6, 8, 13, 19];

async fn commit(connection: &mut SqliteConnection) -> Result<(), DbError> {
    let Err(error) = connection.execute("COMMIT").await else { return Ok(()) };
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    let is_refused = code.is_some_and(|code| REFUSALS.contains(&(code & 0xFF)));
    let error = DbError::from(error);
    Err(if is_refused { error } else { error.while_committing() })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn writer() -> Writer {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        connection.execute("CREATE TABLE number (n INTEGER PRIMARY KEY)").await.unwrap();
        Writer::start(connection, 16)
    }

    /// Inserts a number, then fails if asked to.
    async fn insert(writer: &Writer, number: i64, fails: bool) -> bool {
        let done = writer.run(true, move |tx| {
            Box::pin(async move {
                let Tx::Lite(connection) = tx else { unreachable!("a writer is SQLite's") };
                sqlx::query("INSERT INTO number VALUES ($1)").bind(number).execute(connection).await?;
                if fails { Err(DbError::new(DbErrorKind::Content, "asked to fail")) } else { Ok(()) }
            })
        });
        done.await.is_ok()
    }

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let read = writer.run(true, |tx| {
            Box::pin(async move {
                let Tx::Lite(connection) = tx else { unreachable!("a writer is SQLite's") };
                Ok(sqlx::query_scalar("SELECT n FROM number ORDER BY n").fetch_all(connection).await?)
            })
        });
        read.await.unwrap()
    }

    #[tokio::test]
    async fn a_member_that_fails_takes_nobody_of_its_group_along() {
        let writer = writer().await;
        // One task sends all five before the writer's task runs: they are one group.
        let group = futures_util::join!(
            insert(&writer, 1, true),
            insert(&writer, 2, false),
            insert(&writer, 3, true),
            insert(&writer, 4, false),
            insert(&writer, 5, true),
        );
        assert_eq!(group, (false, true, false, true, false));
        assert_eq!(numbers(&writer).await, [2, 4]);
    }

    #[tokio::test]
    async fn a_member_that_is_alone_and_fails_leaves_nothing() {
        let writer = writer().await;
        assert!(!insert(&writer, 1, true).await);
        assert!(insert(&writer, 2, false).await);
        assert_eq!(numbers(&writer).await, [2]);
    }
}
