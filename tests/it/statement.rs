//! Statements and store functions of the tests' own, each in a transaction of its own.

use headworks::infra::db::{Db, Lane};
use headworks::on_either;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::Path;

/// Runs one store function in a transaction of its own: `commit!(db, tx => store::end(&mut tx, &ends))`.
#[macro_export]
macro_rules! commit {
    ($db:expr, $tx:ident => $call:expr) => {
        $db.write(headworks::infra::db::Lane::State, move |mut $tx| Box::pin(async move { $call.await }))
            .await
    };
}

/// Runs one store function on a connection for reading state.
#[macro_export]
macro_rules! look {
    ($db:expr, $tx:ident => $call:expr) => {
        async {
            let mut reader = $db.reader(headworks::infra::db::View::State).await?;
            let mut $tx = reader.tx();
            $call.await
        }
        .await
    };
}

/// Runs a statement of the test's own.
pub async fn execute(db: &Db, statement: &str) {
    let statement = statement.to_owned();
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            on_either!(&mut tx, c => { sqlx::query(AssertSqlSafe(statement)).execute(c).await?; });
            Ok(())
        })
    })
    .await
    .unwrap();
}

/// The number a query of the test's own returns.
pub async fn number(db: &Db, query: &str) -> i64 {
    let query = query.to_owned();
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            Ok(on_either!(&mut tx, c => sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(c).await?))
        })
    })
    .await
    .unwrap()
}

/// Runs a statement on the `state.db` in `directory`, past the store that has it open and outside of any transaction.
pub async fn execute_outside(directory: &Path, statement: &str) {
    let options = SqliteConnectOptions::new().filename(directory.join("state.db"));
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
