//! What belongs to the installation: queues, modules, rules, keys.

use super::Server;
use crate::stores::each_store;
use crate::web::client::{json, problem};
use headworks::log::{self, Entry, Topics};
use std::collections::BTreeMap;

#[tokio::test]
async fn queues_say_how_full_they_are_and_can_be_paused() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.taken("alpha", "a").await;
        server.held_mail(1).await;
        let path = "/queues/parse%3Atest%2Freport";
        let paused = server.post(&format!("{path}/pause"), &server.admin).await;
        assert_eq!(json(&paused), serde_json::json!({ "name": "parse:test/report", "paused": true }));
        let queues = server.ask("/queues", &server.reader).await;
        let parse = &queues["items"][0];
        assert_eq!((&parse["name"], &parse["paused"]), (&"parse:test/report".into(), &true.into()));
        // Holding the mail claimed the other job with it.
        assert_eq!(parse["available"].as_i64().unwrap() + parse["running"].as_i64().unwrap(), 1);
        assert_eq!(queues["items"][1]["held"], 1);
        assert_eq!(json(&server.post(&format!("{path}/resume"), &server.admin).await)["paused"], false);
        problem(&server.post("/queues/parse%3Anone/pause", &server.admin).await, 404, "not-found");
        problem(&server.post(&format!("{path}/pause"), &server.reader).await, 403, "forbidden");
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_the_installation_is_listed_page_by_page() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.taken("alpha", "a").await;
        server.held_mail(1).await;
        for (list, name, all) in [
            ("keys", "name", &["admin", "alpha", "beta", "reader"][..]),
            ("queues", "name", &["parse:test/report", "sort@00000000-0000-0000-0000-000000000001"]),
            ("modules", "id", &["test/other", "test/report"]),
        ] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = server.ask(&format!("/{list}?limit=1{cursor}"), &server.admin).await;
                let items = page["items"].as_array().unwrap();
                assert_eq!(items.len(), 1, "{list}");
                found.push(items[0][name].as_str().unwrap().to_owned());
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(found, all, "{list}");
            let whole = server.ask(&format!("/{list}"), &server.admin).await;
            assert_eq!(
                (whole["items"].as_array().unwrap().len(), &whole["next"]),
                (all.len(), &serde_json::Value::Null)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_stranger_is_not_told_which_paths_there_are() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        for (method, path, known, slug) in [
            ("GET", "/nothing", 404, "not-found"),
            ("GET", "/jobs/1/nothing", 404, "not-found"),
            ("GET", "", 404, "not-found"),
            ("DELETE", "/jobs", 405, "method-not-allowed"),
        ] {
            problem(&server.send(method, path, "", "").await, 401, "unauthorized");
            problem(&server.send(method, path, "hw_wrong", "").await, 401, "unauthorized");
            problem(&server.send(method, path, &server.reader, "").await, known, slug);
        }
        let spooled =
            crate::appliance::deposit(&server.spool, "4S1", "alpha@ingest.example.com", b"Subject: x\n");
        let receipt = format!("/receipts/{spooled}");
        assert_eq!(server.get(&receipt, "").await.status(), 200, "whoever holds the id may ask");
        problem(&server.send("DELETE", &receipt, "", "").await, 405, "method-not-allowed");
    })
    .await;
}

#[tokio::test]
async fn modules_say_what_they_declare() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let modules = server.ask("/modules", &server.reader).await;
        let table = &modules["items"][1]["tables"][0];
        assert_eq!((&modules["items"][1]["id"], &table["name"]), (&"test/report".into(), &"node".into()));
        assert!(table["searchable"].as_array().unwrap().contains(&"load".into()));
        assert_eq!(table["schema"]["title"], "node");
    })
    .await;
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let wanted = r#"{"name":"new","grants":["read"],"customer":"alpha"}"#;
        let made = server.send("POST", "/keys", &server.admin, wanted).await;
        assert_eq!(made.status(), 201, "{made:?}");
        let value = json(&made)["value"].as_str().unwrap().to_owned();
        assert_eq!(server.get("/jobs", &value).await.status(), 200);
        let keys = server.get("/keys", &server.admin).await;
        assert!(!String::from_utf8_lossy(keys.body()).contains(&value));
        let listed = json(&keys);
        let new =
            listed["items"].as_array().unwrap().iter().find(|key| key["name"] == "new").unwrap().clone();
        assert_eq!((&new["customer"], &new["imported"]), (&"alpha".into(), &false.into()));

        let import = r#"{"name":"old","grants":["read"],"value":"s3cret"}"#;
        assert_eq!(server.send("POST", "/keys/import", &server.admin, import).await.status(), 204);
        assert_eq!(server.get("/jobs", "s3cret").await.status(), 200);
        assert_eq!(server.post("/keys/new/revoke", &server.admin).await.status(), 204);
        assert_eq!(server.get("/jobs", &value).await.status(), 401);

        problem(&server.post("/keys/new/revoke", &server.admin).await, 404, "not-found");
        problem(&server.send("POST", "/keys", &server.admin, wanted).await, 409, "conflict");
        let odd = r#"{"name":"a b","grants":["read"]}"#;
        problem(&server.send("POST", "/keys", &server.admin, odd).await, 422, "invalid");
        let unknown = r#"{"name":"x","grants":["read"],"customer":"gamma"}"#;
        problem(&server.send("POST", "/keys", &server.admin, unknown).await, 422, "invalid");
        problem(&server.get("/keys", &server.reader).await, 403, "forbidden");
    })
    .await;
}

#[tokio::test]
async fn a_topic_is_read_on_from_where_the_answer_ended() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let topic = Topics::new(db.clone()).id("rows.node").await.unwrap();
        let entry = |body: &[u8]| Entry {
            topic,
            key: Some(b"a".to_vec()),
            headers: BTreeMap::from([("type".to_owned(), "x".to_owned())]),
            body: body.to_vec(),
        };
        let entries = [entry(b"{\"load\":1}"), entry(b"\xff"), entry(b"3")];
        server.write(move |mut tx| Box::pin(async move { log::append(&mut tx, &entries).await })).await;
        let first = server.ask("/log/rows.node?limit=2", &server.admin).await;
        let items = first["items"].as_array().unwrap();
        assert_eq!((&items[0]["body"]["load"], &items[0]["key"]), (&1.into(), &"YQ==".into()));
        assert_eq!((&items[1]["body_base64"], &first["gap"]), (&"/w==".into(), &false.into()));
        let next = first["next"].as_str().unwrap();
        assert_eq!(items[1]["position"], next);
        let rest = server.ask(&format!("/log/rows.node?after={next}"), &server.admin).await;
        assert_eq!(rest["items"].as_array().unwrap().len(), 1);
        let end = rest["next"].as_str().unwrap();
        let nothing = server.ask(&format!("/log/rows.node?after={end}"), &server.admin).await;
        assert_eq!((&nothing["items"], &nothing["next"]), (&serde_json::json!([]), &rest["next"]));
        problem(&server.get("/log/nothing", &server.admin).await, 404, "not-found");
        problem(&server.get("/log/rows.node?after=1", &server.admin).await, 400, "malformed");
        problem(&server.get("/log/rows.node?limit=0", &server.admin).await, 400, "malformed");
        problem(&server.get("/log/rows.node", &server.reader).await, 403, "forbidden");
    })
    .await;
}
