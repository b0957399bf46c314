//! Trees of posts that were not accepted.

use super::Server;
use super::deliveries::trees;
use crate::stores::each_store;
use crate::web::client::problem;
use headworks::infra::db::Db;

const PLACE: &str = "customer=alpha&category=test&type=report";

/// Lets the store run out of space.
async fn fill(db: &Db) {
    if db.is_pg() {
        let full = "
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$";
        crate::execute(db, full).await;
        crate::execute(db, "CREATE TRIGGER full_disk BEFORE INSERT ON receipt EXECUTE FUNCTION full_disk()")
            .await;
    } else {
        // No page more than there are.
        crate::execute(db, "PRAGMA max_page_count = 1").await;
    }
}

#[tokio::test]
async fn what_a_full_store_refuses_leaves_neither_a_tree_nor_a_note() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        fill(&db).await;
        let mut kept = 0;
        let post = async |number: usize| {
            server.file(PLACE, &server.admin, &[], format!("{number}").as_bytes()).await
        };
        // SQLite fills the pages it has first.
        while post(kept).await.status() == 202 {
            kept += 1;
            assert!(kept < 5_000, "it never gets full");
        }
        for _ in 0..10 {
            problem(&post(kept).await, 503, "unavailable");
        }
        assert_eq!(trees(&server), kept, "ten retries of one file");
        let notes = std::fs::read_dir(server.tmp.path().join("pending")).map(Iterator::count);
        assert_eq!(notes.unwrap_or(0), 0);
    })
    .await;
}
