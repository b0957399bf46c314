//! Jobs: lists, pages, one of them, and what operators do with them.

use super::Server;
use crate::stores::each_store;
use crate::web::client::{json, problem};
use headworks::ids::JobId;
use headworks::job::{Ended, Stop};

#[tokio::test]
async fn jobs_are_listed_by_filter_and_page() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        for n in 0..5 {
            let (delivery, _) =
                server.taken(if n % 2 == 0 { "alpha" } else { "beta" }, &format!("{n}")).await;
            if n == 0 {
                server.end(delivery, Ended::Failed).await;
            }
        }
        let count =
            async |path: &str| server.ask(path, &server.admin).await["items"].as_array().unwrap().len();
        // The claim of the failed one took the others' leases too, had there been any.
        assert_eq!(count("/jobs").await, 5);
        assert_eq!(count("/jobs?state=failed").await, 1);
        assert_eq!(count("/jobs?state=available").await, 4);
        assert_eq!(count("/jobs?customer=beta").await, 2);
        assert_eq!(count("/jobs?queue=parse%3Atest%2Freport&source=rest&group=none").await, 5);
        assert_eq!(count("/jobs?category=test&type=report&since=24h").await, 5);
        assert_eq!(count("/jobs?category=other").await, 0);
        assert_eq!(count("/jobs?since=0s").await, 0);

        let mut seen = Vec::new();
        let mut path = "/jobs?limit=2".to_owned();
        loop {
            let answer = server.get(&path, &server.admin).await;
            let page = json(&answer);
            seen.extend(page["items"].as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()));
            let Some(next) = page["next"].as_str() else { break };
            let link = answer.headers()["link"].to_str().unwrap();
            assert!(link.starts_with(&format!("</api/1.0/jobs?limit=2&cursor={next}>")), "{link}");
            path = format!("/jobs?limit=2&cursor={next}");
        }
        assert_eq!(seen.len(), 5);
        assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "{seen:?}");
    })
    .await;
}

#[tokio::test]
async fn a_job_shows_its_timeline_and_links() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, receipt) = server.taken("alpha", "a").await;
        let id = server.end(delivery, Ended::Failed).await;
        let job = server.ask(&format!("/jobs/{id}"), &server.reader).await;
        assert_eq!((&job["state"], &job["last_error"]), (&"failed".into(), &"it broke".into()));
        assert_eq!((&job["kind"], &job["queue"]), (&"parse".into(), &"parse:test/report".into()));
        assert_eq!(job["links"]["delivery"], format!("/api/1.0/deliveries/{delivery}"));
        assert_eq!(job["links"]["receipt"], format!("/api/1.0/receipts/{receipt}"));
        let events: Vec<_> =
            job["timeline"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
        assert_eq!(events, ["queued", "started", "failed"]);
        problem(&server.get("/jobs/999999", &server.admin).await, 404, "not-found");
        problem(&server.get("/jobs/one", &server.admin).await, 400, "malformed");
        problem(&server.get("/jobs?state=lost", &server.admin).await, 400, "malformed");
        problem(&server.get("/jobs?source=%00", &server.admin).await, 400, "malformed");
    })
    .await;
}

#[tokio::test]
async fn a_job_of_an_unknown_kind_is_shown_by_its_number_and_cannot_be_retried() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (_, receipt) = server.taken("alpha", "a").await;
        commit!(db, tx => headworks::job::store::make_days(&mut tx)).unwrap();
        crate::execute(&db, "UPDATE queue SET name = 'judge:new/thing'").await;
        crate::execute(&db, "UPDATE job SET kind = 17").await;
        let jobs = server.ask("/jobs?queue=judge:new/thing", &server.reader).await;
        let job = &jobs["items"][0];
        assert_eq!((&job["kind"], &job["state"]), (&"17".into(), &"available".into()));
        assert_eq!(server.ask(&format!("/receipts/{receipt}"), "").await["state"], "working");
        let queues = server.ask("/queues", &server.reader).await;
        assert_eq!(queues["items"][0]["available"], 1);
        let path = format!("/jobs/{}", job["id"]);
        assert_eq!(server.post(&format!("{path}/cancel"), &server.admin).await.status(), 200);
        assert_eq!(server.ask(&path, &server.reader).await["kind"], "17");
        problem(&server.post(&format!("{path}/retry"), &server.admin).await, 409, "conflict");
    })
    .await;
}

#[tokio::test]
async fn a_failed_job_is_retried_once_as_a_new_one() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, receipt) = server.taken("alpha", "a").await;
        let failed = server.end(delivery, Ended::Failed).await;
        assert_eq!(server.ask(&format!("/receipts/{receipt}"), "").await["state"], "failed");
        let answer = server.post(&format!("/jobs/{failed}/retry"), &server.admin).await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        let made = json(&answer)["id"].as_i64().unwrap();
        assert_eq!(answer.headers()["location"], format!("/api/1.0/jobs/{made}"));
        let job = server.ask(&format!("/jobs/{made}"), &server.admin).await;
        assert_eq!((&job["state"], &job["retry_of"]), (&"available".into(), &failed.0.into()));
        assert_eq!((&job["priority"], &job["queue"]), (&0.into(), &"parse:test/report".into()));
        assert_eq!(server.ask(&format!("/receipts/{receipt}"), "").await["state"], "working");
        assert!(server.events(delivery).await.contains(&("retried".into(), Some("admin".into()))));

        problem(&server.post(&format!("/jobs/{failed}/retry"), &server.admin).await, 409, "conflict");
        problem(&server.post(&format!("/jobs/{made}/retry"), &server.admin).await, 409, "conflict");
        server.end(delivery, Ended::Completed).await;
        problem(&server.post(&format!("/jobs/{made}/retry"), &server.admin).await, 409, "conflict");
        problem(&server.post("/jobs/999999/retry", &server.admin).await, 404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_is_told() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (first, _) = server.taken("alpha", "a").await;
        let (second, _) = server.taken("alpha", "b").await;
        let running = server.claim(second).await;
        let run = server.leases.hold(running.id, running.lease_token);
        let answer = server.post(&format!("/jobs/{}/cancel", running.id), &server.admin).await;
        assert_eq!(json(&answer)["came"], "requested");
        assert_eq!(run.why(), Some(Stop::Cancelled));

        // The claim took both; the third is nobody's.
        let (third, _) = server.taken("alpha", "c").await;
        let jobs = server.ask("/jobs?state=available", &server.admin).await;
        let id = JobId(jobs["items"][0]["id"].as_i64().unwrap());
        let answer = server.post(&format!("/jobs/{id}/cancel"), &server.admin).await;
        assert_eq!(json(&answer)["came"], "done");
        assert_eq!(server.ask(&format!("/jobs/{id}"), &server.admin).await["state"], "cancelled");
        assert!(server.events(third).await.contains(&("cancelled".into(), Some("admin".into()))));
        assert!(!server.events(first).await.iter().any(|(event, _)| event == "cancelled"));
        problem(&server.post(&format!("/jobs/{id}/cancel"), &server.admin).await, 409, "conflict");
    })
    .await;
}
