//! Long polls: whoever waits is told by the commit, costs the store nothing meanwhile, and may go away.

use super::{KIT_LIMITS, Server};
use crate::stores::each_store;
use crate::web::client::{LIMITS, json, problem};
use axum::body::Body;
use headworks::ids::DeliveryId;
use headworks::job::{Ended, Wake};
use headworks::jobs_api::BASE;
use headworks::web::{Limits, Pace, listen};
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    /// The one job of a delivery.
    async fn job_of(&self, delivery: DeliveryId) -> i64 {
        let jobs = self.ask(&format!("/jobs?delivery={delivery}"), &self.admin).await;
        jobs["items"][0]["id"].as_i64().unwrap()
    }

    /// Ends the job of a delivery as a worker does, and tells that something has changed.
    async fn finish(&self, delivery: DeliveryId, wake: &Wake) {
        self.end(delivery, Ended::Completed).await;
        wake.wake();
    }

    /// Returns once exactly `count` wait.
    async fn until_waiting(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.waiters.count() != count {
            assert!(Instant::now() < deadline, "{} wait, not {count}", self.waiters.count());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A request that goes to the router itself.
fn request(path: &str, key: &str) -> Request<Body> {
    Request::get(format!("{BASE}{path}")).header("x-api-key", key).body(Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiters_cost_one_question_and_are_told_at_once() {
    const WAITERS: u64 = 1_000;
    const OTHERS: u64 = 20;
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, receipt) = server.taken("alpha", "a").await;
        let job = server.job_of(delivery).await;
        let mut answers = JoinSet::new();
        let began = db.reads();
        for n in 0..WAITERS {
            let path = if n % 2 == 0 { format!("/receipts/{receipt}") } else { format!("/jobs/{job}") };
            let request = request(&format!("{path}?wait=60s"), &server.admin);
            answers.spawn(server.router.clone().oneshot(request));
        }
        server.until_waiting(WAITERS as usize).await;
        // One look each, and whatever a connection that was lost made necessary.
        let looks = db.reads() - began;
        assert!((WAITERS..WAITERS + 50).contains(&looks), "{looks} reads of {WAITERS} waiters");

        // Other things happen: two questions each at most, one for receipts and one for jobs.
        let before = db.reads();
        for _ in 0..OTHERS {
            server.wake.wake();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let deadline = Instant::now() + PATIENCE;
        while db.reads() == before {
            assert!(Instant::now() < deadline, "nobody asked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = db.reads() - before;
        assert!(asked <= 2 * OTHERS, "{asked} reads for {OTHERS} wake-ups");
        assert_eq!(server.waiters.count(), WAITERS as usize);

        let before = db.reads();
        server.finish(delivery, &server.wake).await;
        while let Some(answer) = answers.join_next().await {
            let answer = answer.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["state"], "completed", "{body}");
            assert!(!body["finished_at"].is_null(), "{body}");
        }
        // A last look each; those at jobs read timeline, load and findings, too.
        let last = db.reads() - before;
        assert!(last < 5 * WAITERS, "{last} reads");
        assert_eq!(server.waiters.count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_as_many_waiters_as_there_are_connections_and_few_bodies() {
    const WAITERS: usize = 1_000;
    const KEY_REQUESTS: u32 = 4;
    // Both ends of a thousand connections are in this process.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    each_store(|db| async move {
        let pace = Pace { window: PATIENCE, ..KIT_LIMITS.pace };
        let wait = Duration::from_secs(600);
        let limits = Limits { key_requests: KEY_REQUESTS, pace, wait, ..KIT_LIMITS };
        let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        let listening = listen::Limits { connections: WAITERS + 64, trusted_proxies, ..LIMITS };
        let server = Arc::new(Server::within(&db, limits, listening).await);
        let (delivery, _) = server.taken("alpha", "a").await;
        let path = format!("/jobs/{}?wait=10m", server.job_of(delivery).await);
        let mut answers = JoinSet::new();
        for n in 0..WAITERS {
            let (asking, path) = (Arc::clone(&server), path.clone());
            answers.spawn(async move {
                if n % 10 > 0 {
                    return asking.get(&path, &asking.admin).await;
                }
                let query = "customer=alpha&category=test&type=report&name=nodes.csv&wait=10m";
                asking.file(query, &asking.admin, &[("content-type", "text/csv")], b"a").await
            });
            // Until it waits it counts.
            tokio::select! {
                () = server.until_waiting(n + 1) => {}
                answer = answers.join_next() => panic!("answered while {n} wait: {answer:?}"),
            }
        }
        for _ in 0..2 * KEY_REQUESTS {
            assert_eq!(server.get("/jobs", &server.admin).await.status(), 200);
        }

        // Who asks to wait counts as long as the body is read.
        let head = format!(
            "POST {BASE}/deliveries?customer=alpha&category=test&type=report&wait=60s HTTP/1.1\r\n\
             Host: a\r\nX-Api-Key: {}\r\nContent-Length: 9\r\n\r\nx",
            server.admin
        );
        let (mut bodies, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        // One more each time: a body that comes while an earlier request still counts is refused itself.
        while server.get("/jobs", &server.admin).await.status() != 429 {
            assert!(Instant::now() < deadline, "{} bodies do not count", bodies.len());
            let mut body = TcpStream::connect(server.address).await.unwrap();
            body.write_all(head.as_bytes()).await.unwrap();
            bodies.push(body);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(bodies.len() >= KEY_REQUESTS as usize);
        drop(bodies);
        while server.get("/jobs", &server.admin).await.status() != 200 {
            assert!(Instant::now() < deadline, "bodies that are gone count");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.waiters.count(), WAITERS);

        server.finish(delivery, &server.wake).await;
        while let Some(answer) = answers.join_next().await {
            let answer = answer.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
            assert_eq!(json(&answer)["state"], "completed", "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_post_that_waits_tells_the_end() {
    each_store(|db| async move {
        let server = Arc::new(Server::start(&db).await);
        let posting = Arc::clone(&server);
        let post = tokio::spawn(async move {
            let query = "customer=alpha&category=test&type=report&wait=60s";
            posting.file(query, &posting.admin, &[("content-type", "text/csv")], b"a").await
        });
        server.until_waiting(1).await;
        let jobs = server.ask("/jobs", &server.admin).await;
        let delivery: Uuid = jobs["items"][0]["delivery_id"].as_str().unwrap().parse().unwrap();
        server.finish(DeliveryId(delivery), &server.wake).await;
        let answer = post.await.unwrap();
        assert_eq!(answer.status(), 202);
        let said = json(&answer);
        assert_eq!((&said["state"], &said["duplicate"]), (&"completed".into(), &false.into()));
        assert!(said["receipt_id"].is_string() && said["finished_at"].is_string(), "{said}");
        // Without waiting the answer is what it was.
        let query = "customer=alpha&category=test&type=report";
        let said = json(&server.file(query, &server.admin, &[("content-type", "text/csv")], b"b").await);
        assert!(said.get("state").is_none() && said["receipt_id"].is_string(), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_wait_ends_with_what_is_known_then_and_a_held_thing_is_not_waited_for() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (delivery, receipt) = server.taken("alpha", "a").await;
        let path = format!("/receipts/{receipt}?wait=20ms");
        assert_eq!(server.ask(&path, "").await["state"], "working");
        let path = format!("/jobs/{}?wait=20ms", server.job_of(delivery).await);
        assert_eq!(server.ask(&path, &server.reader).await["state"], "available");
        assert_eq!(server.waiters.count(), 0);
        let (_, held) = server.held_mail(7).await;
        assert_eq!(server.ask(&format!("/jobs/{held}?wait=60s"), &server.reader).await["state"], "held");
        problem(&server.get("/jobs/999999?wait=60s", &server.reader).await, 404, "not-found");
        let none = Uuid::from_u128(1);
        problem(&server.get(&format!("/receipts/{none}?wait=60s"), "").await, 404, "not-found");
        for (wait, says) in [("61s", "longer than 60s"), ("soon", "such as 30s"), ("30", "such as 30s")] {
            let answer = server.get(&format!("/receipts/{receipt}?wait={wait}"), "").await;
            let said = problem(&answer, 400, "malformed");
            assert_eq!(said["errors"][0]["parameter"], "wait");
            assert!(said["errors"][0]["detail"].as_str().unwrap().contains(says), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_waiter_that_goes_away_leaves_nothing() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let (_, receipt) = server.taken("alpha", "a").await;
        let request = request(&format!("/receipts/{receipt}?wait=60s"), "");
        let waiting = tokio::spawn(server.router.clone().oneshot(request));
        server.until_waiting(1).await;
        waiting.abort();
        server.until_waiting(0).await;
    })
    .await;
}

#[tokio::test]
async fn a_commit_of_another_process_is_heard() {
    each_store(|db| async move {
        if !db.is_pg() {
            return;
        }
        let server = Server::start(&db).await;
        let (elsewhere, stop) = (Wake::default(), CancellationToken::new());
        for wake in [server.wake.clone(), elsewhere.clone()] {
            let (db, stop) = (db.clone(), stop.clone());
            tokio::spawn(async move { wake.relay(&db, &stop).await });
        }
        let (delivery, receipt) = server.taken("alpha", "a").await;
        let request = request(&format!("/receipts/{receipt}?wait=60s"), "");
        let waiting = tokio::spawn(server.router.clone().oneshot(request));
        server.until_waiting(1).await;
        server.finish(delivery, &elsewhere).await;
        let answer = waiting.await.unwrap().unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["state"], "completed");
        stop.cancel();
    })
    .await;
}
