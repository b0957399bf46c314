//! What a customer's key can reach: a walk over every route of the document.

use super::{Server, new_mail};
use crate::stores::each_store;
use crate::web::client::{json, problem, slug};
use headworks::delivery::NewReceipt;
use headworks::ids::JobId;
use headworks::job::Ended;

const COORDINATES: &str = r#"{"customer":"beta","category":"test","type":"report","group":"x"}"#;
const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// Every route of the document: method and path below the base.
fn routes(document: &serde_json::Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            found.push((method.to_uppercase(), path.strip_prefix("/api/1.0").unwrap().to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn a_customers_key_reaches_nothing_of_another_and_nothing_global() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, receipt) = server.taken("alpha", "secret of alpha").await;
        let job = server.end(delivery, Ended::Failed).await;
        server.load("alpha", delivery, job, &[("node of alpha", "", 1)]).await;
        let all = routes(&server.document);
        assert!(all.len() > 25, "{all:?}");
        let mut hidden = 0;
        for (method, route) in &all {
            let path = route
                .replace("/receipts/{id}", &format!("/receipts/{receipt}"))
                .replace("/deliveries/{id}", &format!("/deliveries/{delivery}"))
                .replace("{id}", &job.to_string())
                .replace("{job}", &job.to_string())
                .replace("{n}", "1")
                .replace("{name}", "parse%3Atest%2Freport")
                .replace("{topic}", "anything")
                .replace("{table}", "node");
            assert!(!path.contains('{'), "{path}: no value for a parameter");
            let body = if *method == "POST" { COORDINATES } else { "" };
            // Below PUT it is the name of a file.
            let takes_file = method == "PUT" || (route == "/deliveries" && method == "POST");
            let path =
                if takes_file { format!("{path}?customer=alpha&category=test&type=report") } else { path };
            let answer = server.send(method, &path, &server.beta, body).await;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            let (status, place) = (answer.status().as_u16(), format!("{method} {path}: {text}"));
            match (method.as_str(), route.as_str()) {
                ("GET", "/receipts/{id}") => assert_eq!(status, 200, "{place}"),
                // What is published is the same for everybody; here it is nothing.
                ("GET", "/jobs" | "/held" | "/deliveries" | "/rows/{table}" | "/schemas") => {
                    assert_eq!(status, 200, "{place}");
                    assert_eq!(json(&answer)["items"], serde_json::json!([]), "{place}");
                }
                _ => {
                    assert_eq!(status, 404, "{place}");
                    hidden += 1;
                }
            }
            assert!(!text.contains("alpha"), "{place}");
            let unknown = server.send(method, &path, "", body).await.status();
            assert_eq!(unknown == 401, route != "/receipts/{id}", "{method} {path} without a key: {unknown}");
            if method == "POST" {
                assert_eq!(server.send(method, &path, &server.reader, body).await.status(), 403, "{place}");
            }
        }
        assert!(hidden > 15, "{hidden}");
        assert_eq!(server.ask(&format!("/jobs/{job}"), &server.admin).await["state"], "failed");
    })
    .await;
}

#[tokio::test]
async fn a_customers_key_reaches_what_is_its_own() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, _) = server.taken("alpha", "a").await;
        let job = server.end(delivery, Ended::Failed).await;
        server.load("alpha", delivery, job, &[("node of alpha", "", 1)]).await;
        for path in ["/jobs", "/deliveries", "/rows/node"] {
            assert_eq!(server.ask(path, &server.alpha).await["items"].as_array().unwrap().len(), 1, "{path}");
        }
        let trace = server.ask(&format!("/deliveries/{delivery}/trace"), &server.alpha).await;
        assert_eq!(trace["loads"][0]["rows"]["node"]["inserted"], 1);
        assert_eq!(trace["findings"][0]["rule"], "odd_value");
        let job_shown = server.ask(&format!("/jobs/{job}"), &server.alpha).await;
        assert_eq!(job_shown["findings"].as_array().unwrap().len(), 1);
        assert_eq!(server.get(&format!("/deliveries/{delivery}/parts/1"), &server.alpha).await.body(), "a");
        assert_eq!(server.post(&format!("/jobs/{job}/retry"), &server.alpha).await.status(), 202);
        let own = server.file("category=test&type=report", &server.alpha, &[], b"x").await;
        assert_eq!(own.status(), 202, "{own:?}");
    })
    .await;
}

#[tokio::test]
async fn a_job_without_a_delivery_is_its_customers_and_nobody_elses() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let mut jobs = Vec::new();
        for (key, customer) in [(1, Some("alpha")), (2, Some("beta")), (3, None)] {
            let customer = customer.map(slug);
            let new = NewReceipt { delivery: None, customer, source: "notices".into(), ..new_mail(key, 1) };
            jobs.extend(server.acceptor.accept(new).await.unwrap().jobs);
        }
        server.taken("alpha", "a").await;
        server.make_days().await;
        let listed = async |path: &str, key: &str| {
            let items = server.ask(path, key).await["items"].take();
            let ids = items.as_array().unwrap().iter().map(|job| JobId(job["id"].as_i64().unwrap()));
            ids.collect::<Vec<_>>()
        };
        let (alpha, beta, admin) = (&server.alpha, &server.beta, &server.admin);
        assert_eq!(listed("/jobs?source=notices", alpha).await, [jobs[0]]);
        assert_eq!(listed("/jobs", beta).await, [jobs[1]]);
        assert_eq!(listed("/jobs", alpha).await.len(), 2);
        assert_eq!(listed("/jobs?source=notices", admin).await, [jobs[2], jobs[1], jobs[0]]);
        assert_eq!(listed("/jobs?source=notices&customer=beta&state=available", admin).await, [jobs[1]]);
        assert_eq!(listed("/jobs?customer=alpha&category=test", admin).await.len(), 1);
        assert_eq!(listed("/jobs?source=notices&limit=2", admin).await, [jobs[2], jobs[1]]);

        let job = format!("/jobs/{}", jobs[0]);
        let shown = server.ask(&job, alpha).await;
        assert_eq!((&shown["source"], &shown["customer"]), (&"notices".into(), &"alpha".into()));
        assert_eq!(shown["delivery_id"], serde_json::Value::Null);
        for path in [&job, &format!("/jobs/{}", jobs[2])] {
            problem(&server.get(path, beta).await, 404, "not-found");
            problem(&server.post(&format!("{path}/cancel"), beta).await, 404, "not-found");
        }
        assert_eq!(server.post(&format!("{job}/cancel"), alpha).await.status(), 200);
        let story = server.ask(&job, alpha).await["timeline"].take();
        let story: Vec<_> = story.as_array().unwrap().iter().map(|event| &event["event"]).collect();
        assert_eq!(story, ["queued", "cancelled", "cancelled"], "its end, and who called it off");
        problem(&server.post(&format!("{job}/retry"), beta).await, 404, "not-found");
        assert_eq!(server.post(&format!("{job}/retry"), alpha).await.status(), 202);
        problem(&server.post(&format!("{job}/retry"), alpha).await, 409, "conflict");
        assert_eq!(listed("/jobs?source=notices", alpha).await.len(), 2);
    })
    .await;
}
