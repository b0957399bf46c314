//! Runs one test body on every store: SQLite in a fresh directory, and Postgres where there is a server.
//!
//! `HEADWORKS_TEST_POSTGRES_URL` names a server and a role that may create databases. Each test gets a database of its
//! own, copied from one migrated template and dropped afterwards, whatever the outcome. Without the variable the
//! Postgres half is left out, unless `HEADWORKS_TEST_REQUIRE` names `postgres`: then that is a failure.

use futures_util::FutureExt;
use headworks::ids::{ReceiptId, Scope};
use headworks::infra::db::{Db, Lite, LiteSettings, Pg, PgSettings, View};
use headworks::job::store::{Filter, JobView, list};
use headworks::on_either;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Connections for reading of a SQLite store.
pub const READERS: u32 = 4;
const TEMPLATE: &str = "headworks_test_template";
/// Advisory lock: exclusive while the template is made, shared while it is copied.
const TEMPLATE_LOCK: i64 = 0x6865_6164;

/// Runs `body` once per store, with a store that nobody else uses and whose schema is up to date.
pub async fn each_store<F, B>(body: F)
where
    F: Fn(Db) -> B,
    B: Future<Output = ()>,
{
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    eprintln!("store: sqlite");
    body(db.clone()).await;
    db.close().await;
    if let Some(server) = postgres() {
        eprintln!("store: postgres");
        on_postgres(&server, body).await;
    }
}

/// All jobs of a receipt, newest first.
pub async fn jobs_of(db: &Db, receipt: ReceiptId) -> Vec<JobView> {
    let filter = Filter { receipt_id: Some(receipt), ..Filter::default() };
    look!(db, tx => list(&Scope::All, &mut tx, &filter, 1000)).unwrap()
}

/// A SQLite store in `directory`.
pub async fn open_lite(directory: &Path) -> Db {
    let settings = LiteSettings {
        directory: directory.to_owned(),
        readers: READERS,
        cache_bytes: 16 << 20,
        queue_bound: 1024,
    };
    Db::Lite(Lite::open(&settings).await.unwrap())
}

/// The server to test against, as a `postgres://` URL.
pub fn postgres() -> Option<String> {
    let url = std::env::var("HEADWORKS_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    let required = std::env::var("HEADWORKS_TEST_REQUIRE").unwrap_or_default();
    assert!(
        url.is_some() || !required.split([',', ' ']).any(|backend| backend == "postgres"),
        "postgres is required and HEADWORKS_TEST_POSTGRES_URL is not set"
    );
    url
}

async fn on_postgres<F, B>(server: &str, body: F)
where
    F: Fn(Db) -> B,
    B: Future<Output = ()>,
{
    with_database(server, |url| async {
        let db = open_pg(url);
        let outcome = AssertUnwindSafe(body(db.clone())).catch_unwind().await;
        db.close().await;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    })
    .await;
}

/// Runs `body` with the URL of a fresh, migrated database, and drops that afterwards, whatever the outcome.
pub async fn with_database<F, B>(server: &str, body: F)
where
    F: FnOnce(String) -> B,
    B: Future<Output = ()>,
{
    static READY: OnceCell<()> = OnceCell::const_new();
    READY.get_or_init(|| make_template(server)).await;
    with_copy_of(TEMPLATE, server, body).await;
}

/// As [`with_database`], with nothing in it.
pub async fn with_empty_database<F, B>(server: &str, body: F)
where
    F: FnOnce(String) -> B,
    B: Future<Output = ()>,
{
    with_copy_of("template0", server, body).await;
}

/// As [`with_database`], with what the database at `url` has, which nobody may use meanwhile.
pub async fn with_copy<F, B>(url: &str, server: &str, body: F)
where
    F: FnOnce(String) -> B,
    B: Future<Output = ()>,
{
    let original = PgConnectOptions::from_str(url).unwrap();
    with_copy_of(original.get_database().unwrap(), server, body).await;
}

async fn with_copy_of<F, B>(template: &str, server: &str, body: F)
where
    F: FnOnce(String) -> B,
    B: Future<Output = ()>,
{
    let name = format!("headworks_test_{}", uuid::Uuid::new_v4().simple());
    let mut admin = PgConnection::connect(server).await.unwrap();
    let copy = format!(
        "SELECT pg_advisory_lock_shared({TEMPLATE_LOCK}); CREATE DATABASE {name} TEMPLATE {template}; \
         SELECT pg_advisory_unlock_shared({TEMPLATE_LOCK})"
    );
    run(&mut admin, &copy).await;
    let outcome = AssertUnwindSafe(body(url_of(server, &name))).catch_unwind().await;
    run(&mut admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn url_of(server: &str, database: &str) -> String {
    use sqlx::ConnectOptions;
    PgConnectOptions::from_str(server).unwrap().database(database).to_url_lossy().to_string()
}

/// Makes the template, or brings the one of an earlier run up to date; one whose history differs is made anew.
async fn make_template(server: &str) {
    let mut admin = PgConnection::connect(server).await.unwrap();
    run(&mut admin, &format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await;
    for attempt in 0..2 {
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
            .bind(TEMPLATE)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        if !exists {
            run(&mut admin, &format!("CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'")).await;
        }
        let db = open_pg(url_of(server, TEMPLATE));
        let migrated = db.migrate().await;
        db.close().await;
        match migrated {
            Ok(_) => break,
            Err(_) if attempt == 0 => {
                run(&mut admin, &format!("DROP DATABASE {TEMPLATE} WITH (FORCE)")).await;
            }
            Err(error) => panic!("the template could not be migrated: {error}"),
        }
    }
    run(&mut admin, &format!("SELECT pg_advisory_unlock({TEMPLATE_LOCK})")).await;
    admin.close().await.unwrap();
}

fn open_pg(url: String) -> Db {
    let settings = PgSettings {
        url,
        queue_connections: 4,
        bulk_connections: 4,
        read_connections: 4,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
    };
    Db::Pg(Pg::open(&settings).unwrap())
}

/// Runs statements one by one: `CREATE DATABASE` refuses to be part of a transaction.
async fn run(connection: &mut PgConnection, statements: &str) {
    for statement in statements.split("; ") {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
}

#[tokio::test]
async fn every_store_is_empty_and_migrated() {
    each_store(|db| async move {
        let mut reader = db.reader(View::Results).await.unwrap();
        let count = "SELECT count(*) FROM load";
        let loads: i64 =
            on_either!(&mut reader.tx(), c => sqlx::query_scalar(count).fetch_one(c).await).unwrap();
        assert_eq!(loads, 0);
    })
    .await;
}
