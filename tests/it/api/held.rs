//! Held work: seen, released, assigned, discarded.

use super::Server;
use crate::stores::each_store;
use crate::web::client::{json, problem};

const ALERT: &str = r#"{"customer":"alpha","category":"test","type":"report","group":"grid"}"#;

#[tokio::test]
async fn held_mail_is_listed_and_previewed_with_its_reason() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, job) = server.held_mail(1).await;
        server.held_mail(2).await;
        let list = server.ask("/held?source=mail", &server.reader).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        let one = server.ask(&format!("/held/{job}"), &server.reader).await;
        assert_eq!((&one["reason"], &one["detail"]), (&"no_rule".into(), &"no rule has it".into()));
        assert_eq!(one["sender"], "a@b.example");
        assert_eq!(one["delivery_id"], delivery.to_string());
        assert_eq!(one["contents"], serde_json::Value::Null);
        assert_eq!(
            server.ask("/deliveries?held=true", &server.reader).await["items"].as_array().unwrap().len(),
            2
        );
        // Nobody's mail exists for no customer.
        assert_eq!(server.ask("/held", &server.alpha).await["items"].as_array().unwrap().len(), 0);
        problem(&server.get(&format!("/held/{job}"), &server.alpha).await, 404, "not-found");
        problem(&server.get("/held/999999", &server.admin).await, 404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn released_mail_meets_the_rules_again() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, job) = server.held_mail(1).await;
        assert_eq!(server.post(&format!("/held/{job}/release"), &server.admin).await.status(), 200);
        assert_eq!(server.ask(&format!("/jobs/{job}"), &server.admin).await["state"], "available");
        assert_eq!(server.row(delivery).await.held_reason, None);
        assert!(server.events(delivery).await.contains(&("released".into(), Some("admin".into()))));
        problem(&server.post(&format!("/held/{job}/release"), &server.admin).await, 409, "conflict");
        problem(&server.get(&format!("/held/{job}"), &server.admin).await, 404, "not-found");
        problem(&server.post(&format!("/jobs/{job}/release"), &server.admin).await, 409, "conflict");
    })
    .await;
}

#[tokio::test]
async fn assigned_mail_keeps_the_coordinates_it_was_given() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, job) = server.held_mail(1).await;
        let path = format!("/held/{job}/assign");
        let unknown = ALERT.replace("alpha", "gamma");
        problem(&server.send("POST", &path, &server.admin, &unknown).await, 422, "invalid");
        let answer = server.send("POST", &path, &server.admin, r#"{"customer":"A"}"#).await;
        problem(&answer, 422, "invalid");
        assert_eq!(server.row(delivery).await.held_reason.as_deref(), Some("no_rule"));
        assert_eq!(server.send("POST", &path, &server.admin, ALERT).await.status(), 200);
        let row = server.row(delivery).await;
        assert_eq!(
            (row.customer.as_deref(), row.group.as_deref(), row.rule),
            (Some("alpha"), Some("grid"), None)
        );
        assert_eq!(row.held_reason, None);
        assert_eq!(server.ask(&format!("/jobs/{job}"), &server.alpha).await["state"], "available");
        problem(&server.send("POST", &path, &server.admin, ALERT).await, 409, "conflict");
    })
    .await;
}

#[tokio::test]
async fn discarded_mail_is_done_with_and_can_be_taken_up_again() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, job) = server.held_mail(1).await;
        let answer = server.post(&format!("/held/{job}/discard"), &server.admin).await;
        assert_eq!(json(&answer)["came"], "done");
        assert_eq!(server.ask(&format!("/jobs/{job}"), &server.admin).await["state"], "discarded");
        assert_eq!(server.row(delivery).await.held_reason, None);
        problem(&server.post(&format!("/held/{job}/discard"), &server.admin).await, 409, "conflict");
        assert_eq!(server.post(&format!("/jobs/{job}/retry"), &server.admin).await.status(), 202);
    })
    .await;
}
