//! The two stores under one write: what fails fails alone, and whoever goes away cancels nothing.

use crate::number;
use crate::stores::{self, each_store, open_lite};
use headworks::infra::db::{Db, DbError, DbErrorKind, Lane, Lite, LiteSettings, Pg, PgSettings, Tx, View};
use headworks::on_either;
use std::time::Duration;

async fn add_queue(tx: &mut Tx<'_>, name: &str) -> Result<(), DbError> {
    on_either!(tx, c => { sqlx::query("INSERT INTO queue (name) VALUES ($1)").bind(name).execute(c).await?; });
    Ok(())
}

async fn queues(db: &Db) -> i64 {
    number(db, "SELECT count(*) FROM queue").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_fails_takes_nothing_of_the_others_with_it() {
    each_store(|db| async move {
        let writes: Vec<_> = (0..200)
            .map(|n| {
                let db = db.clone();
                tokio::spawn(async move {
                    commit!(db, tx => async {
                        add_queue(&mut tx, &format!("queue {n}")).await?;
                        match n % 2 {
                            0 => Ok(()),
                            _ => Err(DbError::new(DbErrorKind::Content, "no")),
                        }
                    })
                })
            })
            .collect();
        for (n, write) in writes.into_iter().enumerate() {
            assert_eq!(write.await.unwrap().is_ok(), n % 2 == 0);
        }
        assert_eq!(queues(&db).await, 100);
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_nothing() {
    each_store(|db| async move {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, may_end) = tokio::sync::oneshot::channel();
        let write = db.write(Lane::State, move |mut tx| {
            Box::pin(async move {
                begun.send(()).unwrap();
                may_end.await.unwrap();
                add_queue(&mut tx, "one").await
            })
        });
        tokio::select! {
            _ = write => panic!("it takes longer than it takes to begin"),
            () = async { has_begun.await.unwrap() } => {}
        }
        end.send(()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while queues(&db).await == 0 {
            assert!(std::time::Instant::now() < deadline, "the write was cancelled with its caller");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn readers_that_open_while_a_write_is_under_way_do_not_wait_for_it() {
    each_store(|db| async move {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, may_end) = tokio::sync::oneshot::channel::<()>();
        let write = db.write(Lane::State, move |mut tx| {
            Box::pin(async move {
                add_queue(&mut tx, "one").await?;
                begun.send(()).unwrap();
                // Whoever waits for it gives up.
                may_end.await.ok();
                Ok(())
            })
        });
        let reads = async {
            has_begun.await.unwrap();
            let mut readers = Vec::new();
            // More than were opened before.
            for _ in 0..3 {
                readers.push(db.reader(View::State).await.unwrap());
            }
            end.send(()).unwrap();
        };
        let (written, ()) = tokio::join!(write, reads);
        written.unwrap();
    })
    .await;
}

#[tokio::test]
async fn errors_say_what_a_caller_can_do() {
    each_store(|db| async move {
        add(&db, "one").await.unwrap();
        assert_eq!(add(&db, "one").await.unwrap_err().kind(), DbErrorKind::Conflict);
        let negative = "UPDATE job SET priority = 9";
        crate::execute(&db, "INSERT INTO job (pos, queue, kind, max_attempts) VALUES (1, 1, 2, 1)").await;
        let refused = commit!(db, tx => async {
            on_either!(&mut tx, c => { sqlx::query(negative).execute(c).await?; });
            Ok(())
        });
        let refused: DbError = refused.unwrap_err();
        assert!(refused.kind() == DbErrorKind::Content && !refused.is_temporary());
        if db.is_pg() {
            assert_eq!(add(&db, "a\0b").await.unwrap_err().kind(), DbErrorKind::Content);
        }
        db.close().await;
        let closed = add(&db, "two").await.unwrap_err();
        assert!(closed.kind() == DbErrorKind::Unavailable && closed.is_temporary());
    })
    .await;
}

async fn add(db: &Db, name: &'static str) -> Result<(), DbError> {
    commit!(db, tx => add_queue(&mut tx, name))
}

#[tokio::test]
async fn a_second_process_is_told_who_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let first = open_lite(directory.path()).await;
    let settings = LiteSettings {
        directory: directory.path().to_owned(),
        readers: 1,
        cache_bytes: 16 << 20,
        queue_bound: 1,
    };
    let refused = Lite::open(&settings).await.unwrap_err();
    assert_eq!(refused.kind(), DbErrorKind::Unavailable);
    assert!(refused.to_string().contains(&format!("held by process {}", std::process::id())), "{refused}");
    first.close().await;
    // A child that another test forked just now has the lock too, until it starts its program.
    let again = loop {
        match Lite::open(&settings).await {
            Err(error) if error.kind() == DbErrorKind::Unavailable => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    Db::Lite(again).close().await;
}

#[tokio::test]
async fn files_of_two_stores_are_not_one_store() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in [&one, &two] {
        open_lite(directory.path()).await.close().await;
    }
    std::fs::copy(two.path().join("results.db"), one.path().join("results.db")).unwrap();
    let settings =
        LiteSettings { directory: one.path().to_owned(), readers: 1, cache_bytes: 16 << 20, queue_bound: 1 };
    assert_eq!(Lite::open(&settings).await.unwrap_err().kind(), DbErrorKind::Corrupt);
}

/// `cache_size` of a connection: pages, or KiB if it is negative.
async fn cache_size(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    Ok(on_either!(tx, c => sqlx::query_scalar("PRAGMA cache_size").fetch_one(c).await?))
}

#[tokio::test]
async fn all_page_caches_of_sqlite_together_keep_to_their_budget() {
    const BUDGET: u64 = 8 << 20;
    let directory = tempfile::tempdir().unwrap();
    let settings = LiteSettings {
        directory: directory.path().to_owned(),
        readers: 3,
        cache_bytes: BUDGET,
        queue_bound: 8,
    };
    let db = Db::Lite(Lite::open(&settings).await.unwrap());
    // Every connection there can be, at one time.
    let (mut readers, mut kibibytes) = (Vec::new(), 0);
    for view in [View::State, View::Results] {
        for _ in 0..3 {
            let mut reader = db.reader(view).await.unwrap();
            kibibytes -= cache_size(&mut reader.tx()).await.unwrap();
            readers.push(reader);
        }
    }
    for lane in [Lane::State, Lane::Results] {
        kibibytes -=
            db.write(lane, move |mut tx| Box::pin(async move { cache_size(&mut tx).await })).await.unwrap();
    }
    let budget = i64::try_from(BUDGET >> 10).unwrap();
    assert!(kibibytes <= budget && kibibytes > budget * 9 / 10, "{kibibytes} KiB of {budget}");
    drop(readers);
    db.close().await;
}

#[tokio::test]
async fn sqlite_files_shrink_when_rows_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    let pages = async |db: &Db| crate::number(db, "SELECT freelist_count FROM pragma_freelist_count").await;
    let many = "INSERT INTO counter (name, value)
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                SELECT 'n' || i || hex(zeroblob(50)), i FROM n";
    crate::execute(&db, many).await;
    crate::execute(&db, "DELETE FROM counter WHERE name LIKE 'n%'").await;
    let free = pages(&db).await;
    assert!(free > 500, "{free}");
    db.give_back_space().await.unwrap();
    assert_eq!(pages(&db).await, (free - 1000).max(0));
    db.close().await;
}

#[tokio::test]
async fn a_full_queue_of_writes_is_busy_and_not_a_wait() {
    let directory = tempfile::tempdir().unwrap();
    let settings = LiteSettings {
        directory: directory.path().to_owned(),
        readers: 1,
        cache_bytes: 16 << 20,
        queue_bound: 2,
    };
    let db = Db::Lite(Lite::open(&settings).await.unwrap());
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go, may_go) = tokio::sync::oneshot::channel::<()>();
    let slow = db.clone();
    let slow = tokio::spawn(async move {
        slow.write(Lane::State, move |_| {
            Box::pin(async move {
                begun.send(()).unwrap();
                may_go.await.unwrap();
                Ok(())
            })
        })
        .await
    });
    has_begun.await.unwrap();
    let waiting: Vec<_> = ["one", "two"]
        .map(|name| {
            tokio::spawn({
                let db = db.clone();
                async move { add(&db, name).await }
            })
        })
        .into();
    tokio::task::yield_now().await;
    let refused = add(&db, "three").await.unwrap_err();
    assert_eq!(refused.kind(), DbErrorKind::Unavailable);
    go.send(()).unwrap();
    slow.await.unwrap().unwrap();
    for write in waiting {
        write.await.unwrap().unwrap();
    }
    assert_eq!(queues(&db).await, 2);
    db.close().await;
}

#[tokio::test]
async fn a_statement_of_postgres_is_cut_at_its_limit_unless_it_may_take_its_time() {
    let Some(server) = stores::postgres() else { return };
    stores::with_database(&server, |url| async {
        let settings = PgSettings {
            url,
            queue_connections: 1,
            bulk_connections: 1,
            read_connections: 1,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_millis(100),
        };
        let db = Db::Pg(Pg::open(&settings).unwrap());
        let sleep = async |lane, may| {
            db.write(lane, move |mut tx| {
                Box::pin(async move {
                    if may {
                        tx.take_time().await?;
                    }
                    on_either!(&mut tx, c => { sqlx::query("SELECT pg_sleep(0.3)").execute(c).await?; });
                    Ok(())
                })
            })
            .await
            .map_err(|error| error.kind())
        };
        for lane in [Lane::State, Lane::Relaxed] {
            assert_eq!(sleep(lane, false).await, Err(DbErrorKind::Contention), "{lane:?}");
        }
        assert_eq!(sleep(Lane::State, true).await, Ok(()));
        assert_eq!(
            sleep(Lane::State, false).await,
            Err(DbErrorKind::Contention),
            "it was for one transaction"
        );
        assert_eq!(sleep(Lane::Results, false).await, Ok(()), "large loads, migrations");
        db.close().await;
    })
    .await;
}
