//! The REST way in, and what can be asked of a delivery.

use super::{FILE_BYTES, Server, layers, new_mail};
use crate::stores::each_store;
use crate::web::client::{json, problem};
use headworks::delivery::tree::{Found, check, read_manifest};
use headworks::infra::volume::SubPath;
use headworks::job::Ended;

const PLACE: &str = "customer=alpha&category=test&type=report&group=Grid%207&name=nodes.csv";
const CSV: (&str, &str) = ("content-type", "text/csv; charset=utf-8");

#[tokio::test]
async fn a_posted_file_is_sealed_before_the_yes_and_can_be_fetched() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let answer = server.file(PLACE, &server.admin, &[CSV], b"a,b\n1,2\n").await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        let said = json(&answer);
        let (id, receipt) = (said["delivery_id"].as_str().unwrap(), said["receipt_id"].as_str().unwrap());
        assert_eq!(answer.headers()["location"], format!("/api/1.0/receipts/{receipt}"));
        assert_eq!(answer.headers()["retry-after"], "1");
        let state = server.ask(&format!("/receipts/{receipt}"), "").await;
        assert_eq!(state["state"], "working");

        let row = server.row(id.parse().unwrap()).await;
        assert!(row.sealed_at.is_some() && row.sorted_at.is_some());
        let path: SubPath = row.path.unwrap().parse().unwrap();
        assert!(path.as_str().starts_with("alpha/test/report/grid_7-"), "{path}");
        let Found::Manifest(manifest) = read_manifest(&server.inbox, &path).unwrap() else {
            panic!("no tree")
        };
        assert_eq!(manifest.message, None);
        assert_eq!(check(&server.inbox, &path, &manifest).unwrap(), []);
        assert!(server.inbox.stat(&path).unwrap().sealed);

        let shown = server.ask(&format!("/deliveries/{id}"), &server.reader).await;
        let part = &shown["contents"]["parts"][0];
        assert_eq!((&part["stored_name"], &part["name"]), (&"001-nodes.csv".into(), &"nodes.csv".into()));
        assert_eq!(shown["envelope"]["sender"]["text"], "admin");
        let content = server.get(&format!("/deliveries/{id}/parts/1"), &server.admin).await;
        assert_eq!(content.body(), &b"a,b\n1,2\n"[..]);
        let header = |name: &str| content.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(header("content-disposition"), "attachment; filename=\"001-nodes.csv\"");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert!(header("content-security-policy").starts_with("sandbox"));
        assert_eq!(header("content-length"), "8");
        problem(&server.get(&format!("/deliveries/{id}/parts/2"), &server.admin).await, 404, "not-found");
        problem(&server.get(&format!("/deliveries/{id}/message"), &server.admin).await, 404, "not-found");
        problem(&server.get(&format!("/deliveries/{id}/parts/1"), &server.reader).await, 403, "forbidden");
    })
    .await;
}

#[tokio::test]
async fn a_posted_file_names_its_source_and_without_one_nothing_can_be_posted() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let renamed =
            ["source.rest.enabled=false", "source.partners.kind=rest", "source.partners.delivery_bytes=8B"];
        server.live.reload(&layers(&renamed)).unwrap();
        let answer = server.file(PLACE, &server.admin, &[CSV], b"a,b\n1,2\n").await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        let id = json(&answer)["delivery_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(server.row(id).await.source, "partners");
        problem(&server.file(PLACE, &server.admin, &[CSV], b"a,b\n1,2\n3").await, 413, "too-large");

        server.live.reload(&layers(&["source.rest.enabled=false"])).unwrap();
        let refused = server.file(PLACE, &server.admin, &[CSV], b"a,b\n1,2\n").await;
        problem(&refused, 404, "not-found");
        assert!(json(&refused)["detail"].as_str().unwrap().contains("source of kind rest"), "{refused:?}");
        server.live.reload(&layers(&[])).unwrap();
        assert_eq!(server.file(PLACE, &server.admin, &[CSV], b"a,b\n1,2\n").await.status(), 202);
    })
    .await;
}

#[tokio::test]
async fn a_posted_mail_is_kept_as_it_is() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let mail = b"Subject: x\r\n\r\nbody\r\n";
        let answer = server.file(PLACE, &server.admin, &[("content-type", "message/rfc822")], mail).await;
        let id = json(&answer)["delivery_id"].as_str().unwrap().to_owned();
        let content = server.get(&format!("/deliveries/{id}/message"), &server.admin).await;
        assert_eq!(content.body(), &mail[..]);
    })
    .await;
}

#[tokio::test]
async fn a_form_with_one_file_is_taken_and_no_other_form() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let form = [("content-type", "multipart/form-data; boundary=b")];
        let field = |name: &str, body: &str| {
            let name = if name == "file" { "file\"; filename=\"x.csv" } else { name };
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\
                 Content-Type: text/csv\r\n\r\n{body}\r\n"
            )
        };
        let place = "customer=alpha&category=test&type=report";
        let body = format!("{}--b--\r\n", field("file", "a,b"));
        let answer = server.file(place, &server.admin, &form, body.as_bytes()).await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        let id = json(&answer)["delivery_id"].as_str().unwrap().to_owned();
        let shown = server.ask(&format!("/deliveries/{id}"), &server.admin).await;
        assert_eq!(shown["contents"]["parts"][0]["name"], "x.csv");
        assert_eq!(shown["contents"]["parts"][0]["media_type"], "text/csv");
        assert_eq!(shown["bytes"], 3);

        let big = "x".repeat(FILE_BYTES + 1);
        let refused = [
            (format!("{}--b--\r\n", field("other", "a")), 422, "invalid"),
            (format!("{}{}--b--\r\n", field("file", "a"), field("file", "b")), 422, "invalid"),
            (format!("{}--b--\r\n", field("file", &big)), 413, "too-large"),
            (field("file", "never ends"), 400, "malformed"),
        ];
        for (body, status, slug) in refused {
            problem(&server.file(place, &server.admin, &form, body.as_bytes()).await, status, slug);
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_taken_leaves_nothing_behind() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let big = vec![b'x'; FILE_BYTES + 1];
        let alpha = "customer=alpha&category=test&type=report";
        let cases: [(&str, &[u8], u16, &str); 8] = [
            (alpha, &big, 413, "too-large"),
            ("customer=gamma&category=test&type=report", b"x", 422, "invalid"),
            ("customer=alpha&category=test&type=other", b"x", 422, "invalid"),
            ("customer=alpha&category=test", b"x", 400, "malformed"),
            ("category=test&type=report", b"x", 400, "malformed"),
            ("customer=Alpha&category=test&type=report", b"x", 400, "malformed"),
            ("customer=alpha&category=test&type=report&media_type=odd", b"x", 400, "malformed"),
            ("customer=alpha&category=test&type=report&colour=red", b"x", 400, "malformed"),
        ];
        for (query, body, status, slug) in cases {
            problem(&server.file(query, &server.admin, &[], body).await, status, slug);
        }
        let known = server.file("customer=alpha&category=test&type=other", &server.admin, &[], b"x").await;
        assert!(json(&known)["detail"].as_str().unwrap().contains("test/report"));
        problem(&server.file(alpha, &server.admin, &[("idempotency-key", "")], b"x").await, 400, "malformed");
        problem(&server.file(alpha, &server.reader, &[], b"x").await, 403, "forbidden");
        assert_eq!(server.inbox.list(&SubPath::root()).unwrap(), []);
        assert_eq!(server.ask("/jobs", &server.admin).await["items"].as_array().unwrap().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_same_again_gets_the_first_receipt() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let key = [("idempotency-key", "night-1")];
        let post = async |place: &str, headers: &[(&str, &str)], body: &[u8]| {
            server.file(place, &server.admin, headers, body).await
        };
        let first = json(&post(PLACE, &key, b"a").await);
        let again = json(&post(PLACE, &key, b"a").await);
        assert_eq!(first["receipt_id"], again["receipt_id"]);
        assert_eq!(first["delivery_id"], again["delivery_id"]);
        assert_eq!((&first["duplicate"], &again["duplicate"]), (&false.into(), &true.into()));
        problem(&post(PLACE, &key, b"b").await, 422, "invalid");
        problem(&post(&PLACE.replace("Grid", "Farm"), &key, b"a").await, 422, "invalid");

        // Without a key it is the thing itself and its place.
        let bare = json(&post(PLACE, &[], b"a").await);
        assert_ne!(bare["receipt_id"], first["receipt_id"]);
        assert_eq!(json(&post(PLACE, &[], b"a").await)["duplicate"], true);
        assert_eq!(json(&post(&PLACE.replace("Grid", "Farm"), &[], b"a").await)["duplicate"], false);
        assert_eq!(json(&post(PLACE, &[], b"c").await)["duplicate"], false);
        let all = server.ask("/deliveries", &server.admin).await["items"].take();
        let all = all.as_array().unwrap();
        assert_eq!((all.len(), trees(&server)), (4, 4));
        assert!(all.iter().all(|delivery| delivery["key_reused"] == false), "{all:?}");
        // Another sender's key of the same name is another key.
        let other = server.file(&PLACE.replace("customer=alpha&", ""), &server.alpha, &key, b"b").await;
        assert_eq!(json(&other)["duplicate"], false);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_came_again_with_other_bytes_is_shown_on_the_later_delivery() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let mut ids = Vec::new();
        for content in [1, 2, 1] {
            ids.push(server.acceptor.accept(new_mail(7, content)).await.unwrap().delivery_id.unwrap());
        }
        assert_eq!(ids[0], ids[2]);
        for (id, reused) in [(ids[0], false), (ids[1], true)] {
            assert_eq!(server.row(id).await.key_reused, reused);
            assert_eq!(server.ask(&format!("/deliveries/{id}"), &server.reader).await["key_reused"], reused);
        }
        let list = server.ask("/deliveries", &server.reader).await;
        assert_eq!([&list["items"][0]["key_reused"], &list["items"][1]["key_reused"]], [true, false]);
        let schemas = &server.document["components"]["schemas"];
        assert_eq!(schemas["Delivery"]["properties"]["key_reused"]["type"], "boolean");
        assert!(schemas["MailEnvelope"]["properties"]["sasl_user"].is_object());
    })
    .await;
}

#[tokio::test]
async fn the_same_at_the_same_time_is_taken_once() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let all = (0..8).map(|_| server.file(PLACE, &server.admin, &[("idempotency-key", "k")], b"a"));
        let answers = futures_util::future::join_all(all).await;
        let receipt = json(&answers[0])["receipt_id"].clone();
        for answer in &answers {
            assert_eq!(
                (answer.status().as_u16(), &json(answer)["receipt_id"]),
                (202, &receipt),
                "{answer:?}"
            );
        }
        let firsts = answers.iter().filter(|answer| json(answer)["duplicate"] == false).count();
        assert_eq!(firsts, 1);
        assert_eq!(server.ask("/deliveries", &server.admin).await["items"].as_array().unwrap().len(), 1);
        assert_eq!(trees(&server), 1);
    })
    .await;
}

#[tokio::test]
async fn of_different_things_at_the_same_time_one_has_the_key_and_the_others_leave_nothing() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let post = async |key: &str, content: u8| {
            server.file(PLACE, &server.admin, &[("idempotency-key", key)], &[content]).await
        };
        for key in ["k1", "k2", "k3", "k4"] {
            let answers = futures_util::future::join_all((0..8).map(|content| post(key, content))).await;
            let (yes, no): (Vec<u8>, Vec<u8>) =
                (0..8).partition(|content| answers[usize::from(*content)].status() == 202);
            assert_eq!((yes.len(), no.len()), (1, 7), "{answers:?}");
            for loser in no {
                problem(&answers[usize::from(loser)], 422, "invalid");
            }
            // In one commit, the one that has it and one that has not.
            let (again, other) = tokio::join!(post(key, yes[0]), post(key, yes[0] + 8));
            assert_eq!(json(&again)["receipt_id"], json(&answers[usize::from(yes[0])])["receipt_id"]);
            problem(&other, 422, "invalid");
        }
        assert_eq!(trees(&server), 4);
    })
    .await;
}

pub fn trees(server: &Server) -> usize {
    let mut found = 0;
    headworks::delivery::tree_path::each_tree(&server.inbox, &mut |_| {
        found += 1;
        Ok(())
    })
    .unwrap();
    found
}

#[tokio::test]
async fn a_delivery_is_replayed_when_nothing_of_it_is_under_way() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, receipt) = server.taken("alpha", "a").await;
        let path = format!("/deliveries/{delivery}/replay");
        problem(&server.post(&path, &server.admin).await, 409, "conflict");
        let done = server.end(delivery, Ended::Completed).await;
        problem(&server.post(&format!("{path}?sort=true"), &server.admin).await, 409, "conflict");
        let answer = server.post(&path, &server.admin).await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        let made = json(&answer)["id"].as_i64().unwrap();
        let job = server.ask(&format!("/jobs/{made}"), &server.admin).await;
        assert_eq!((&job["retry_of"], &job["priority"]), (&done.0.into(), &2.into()));
        assert_eq!(server.ask(&format!("/receipts/{receipt}"), "").await["state"], "working");
        assert!(server.events(delivery).await.contains(&("replayed".into(), Some("admin".into()))));
    })
    .await;
}

#[tokio::test]
async fn a_mail_is_replayed_through_the_rules() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, job) = server.held_mail(1).await;
        server.post(&format!("/held/{job}/discard"), &server.admin).await;
        let path = format!("/deliveries/{delivery}/replay");
        problem(&server.post(&path, &server.admin).await, 409, "conflict");
        let answer = server.post(&format!("{path}?sort=true"), &server.admin).await;
        let made = json(&answer)["id"].as_i64().unwrap();
        assert_eq!(server.ask(&format!("/jobs/{made}"), &server.admin).await["kind"], "sort");
    })
    .await;
}

#[tokio::test]
async fn a_receipt_is_open_and_also_found_in_the_spool() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let waiting =
            crate::appliance::deposit(&server.spool, "4S1", "alpha@ingest.example.com", b"Subject: x\n");
        let spooled = server.ask(&format!("/receipts/{waiting}"), "").await;
        assert_eq!(
            (&spooled["state"], &spooled["accepted_at"]),
            (&"working".into(), &serde_json::Value::Null)
        );
        problem(&server.get(&format!("/receipts/{}", uuid::Uuid::from_u128(43)), "").await, 404, "not-found");
        let (delivery, receipt) = server.taken("alpha", "a").await;
        server.end(delivery, Ended::Completed).await;
        let receipt = server.ask(&format!("/receipts/{receipt}"), "").await;
        assert_eq!(receipt["state"], "completed");
        let names: Vec<_> = receipt.as_object().unwrap().keys().collect();
        assert_eq!(names, ["accepted_at", "finished_at", "id", "state"]);
    })
    .await;
}
