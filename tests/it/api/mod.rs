//! The REST API, through a real server on a free port, on every store.

mod bounds;
mod content;
mod customers;
mod deliveries;
mod document;
mod encodings;
mod held;
mod jobs;
mod parameters;
mod rows;
mod schemas;
mod strays;
mod waiting;
mod whole;

use crate::web::client::{self, LIMITS, json, key, register, slug};
use axum::Router;
use axum::body::Bytes;
use headworks::config::{Layers, Live, load};
use headworks::delivery::store::set_held;
use headworks::delivery::{
    Acceptor, BatchSettings, FirstJob, NewDelivery, NewReceipt, Pending, Reuse, RowWriters, Waiters,
};
use headworks::ids::{DeliveryId, Digest, Grant, JobId, Scope, SpoolId, Timestamp};
use headworks::infra::db::{Db, Lane, View};
use headworks::infra::volume::Volume;
use headworks::job::store::{Claim, End, PutBack, Want};
use headworks::job::{self, Ended, HoldReason, Leases, Priority, QueueName, Queues, Wake};
use headworks::jobs_api::{Api, BASE, routes};
use headworks::load::{Tables, ensure};
use headworks::web::listen::{self, Serving};
use headworks::web::{Keys, Kit, Limits, Pace, openapi};
use headworks_spool::Spool;
use http_body_util::Full;
use hyper::{Request, Response};
use module_api::{ColumnKind, Declaration, Table};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

/// Largest file that is taken.
const FILE_BYTES: usize = 4096;
/// Limits of a request.
const KIT_LIMITS: Limits = Limits {
    body_bytes: 64 << 10,
    pace: Pace { rate: 64, window: Duration::from_secs(1), time: Duration::from_secs(60) },
    decoder_bytes: 16 << 20,
    key_requests: 64,
    default_page: 100,
    max_page: 1000,
    wait: Duration::from_secs(60),
};
const SPOOL: SpoolId = SpoolId(Uuid::from_u128(1));

/// The configuration of [`Server`], and `more`.
fn layers(more: &[&str]) -> Layers {
    let limits =
        ["mail.message_bytes", "source.rest.delivery_bytes"].map(|limit| format!("{limit}={FILE_BYTES}B"));
    let flags = limits.into_iter().chain(more.iter().map(|flag| (*flag).to_owned())).collect();
    Layers { flags, ..Layers::default() }
}

/// A server with two customers, alpha and beta, and keys of all kinds.
struct Server {
    db: Db,
    address: SocketAddr,
    live: Live,
    inbox: Arc<Volume>,
    /// A spool on the host of the server.
    spool: Spool,
    acceptor: Acceptor,
    leases: Leases,
    wake: Wake,
    waiters: Waiters,
    /// For requests without a connection.
    router: Router,
    tables: Tables,
    document: serde_json::Value,
    /// Every permission, everything.
    admin: String,
    /// Every permission, each for one customer.
    alpha: String,
    beta: String,
    /// `read` alone, everything.
    reader: String,
    _serving: Serving,
    tmp: tempfile::TempDir,
}

fn declaration() -> Declaration {
    let node = Table::new("node", "a node")
        .key("name", ColumnKind::Text, "its name")
        .column("note", ColumnKind::Text, "a remark")
        .column("load", ColumnKind::Int, "how busy it is")
        .index("load");
    Declaration {
        id: "test/report".into(),
        version: "1.0.0".into(),
        summary: "for tests".into(),
        assumed: false,
        tables: vec![node],
        views: Vec::new(),
    }
}

/// A module without tables.
fn another() -> Declaration {
    Declaration { id: "test/other".into(), tables: Vec::new(), ..declaration() }
}

impl Server {
    async fn start(db: &Db) -> Self {
        Self::within(db, KIT_LIMITS, LIMITS).await
    }

    /// A server with these limits of requests and of connections.
    async fn within(db: &Db, limits: Limits, listening: listen::Limits) -> Self {
        register(db, "alpha").await;
        register(db, "beta").await;
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("spool");
        let spool = Spool::create(&path).unwrap();
        let spool_path = format!("spool.path={}", path.display());
        let live = Live::new(load(&layers(&[&spool_path])).unwrap());
        let kit = Kit { keys: Keys::new(db.clone()), limits };
        let tables = Tables::new(&[declaration()]).unwrap();
        ensure(db, &tables, Duration::from_secs(5)).await.unwrap();
        let (wake, leases) = (Wake::default(), Leases::default());
        let settings = BatchSettings { items: 16, linger: Duration::from_millis(1), bound: 64, parallel: 2 };
        let (queues, writers) = (Queues::new(db.clone()), RowWriters::default());
        let acceptor = Acceptor::start(db.clone(), queues, wake.clone(), writers, settings);
        let waiters = Waiters::new(db.clone(), wake.clone());
        tokio::spawn(waiters.clone().run(CancellationToken::new()));
        let inbox = Arc::new(Volume::memory("inbox", 1 << 20));
        let keys = &kit.keys;
        let every = &Grant::ALL;
        let admin = key(keys, "admin", every, Scope::All).await;
        let alpha = key(keys, "alpha", every, Scope::Customer(slug("alpha"))).await;
        let beta = key(keys, "beta", every, Scope::Customer(slug("beta"))).await;
        let reader = key(keys, "reader", &[Grant::Read], Scope::All).await;
        let api = Api {
            db: db.clone(),
            kit: kit.clone(),
            live: live.clone(),
            tables: tables.clone(),
            modules: Arc::new([declaration(), another()]),
            module_ids: Arc::new(BTreeSet::from(["test/report".to_owned()])),
            inbox: Arc::clone(&inbox),
            pending: Pending::below(tmp.path()),
            acceptor: acceptor.clone(),
            tmp: tmp.path().to_owned(),
            wake: wake.clone(),
            waiters: waiters.clone(),
            leases: leases.clone(),
        };
        let (router, document) = OpenApiRouter::new()
            .nest(BASE, headworks::router::api([&routes(Arc::new(api))], &kit))
            .split_for_parts();
        let router: Router = router.merge(openapi::routes(document).unwrap());
        let (serving, address) = client::serve(router.clone(), listening).await;
        let document = json(&client::send(address, client::get("/openapi.json", "")).await);
        Self {
            db: db.clone(),
            address,
            live,
            inbox,
            spool,
            acceptor,
            leases,
            wake,
            waiters,
            router,
            tables,
            document,
            admin,
            alpha,
            beta,
            reader,
            _serving: serving,
            tmp,
        }
    }

    /// Sends a request below [`BASE`]; a body is JSON.
    async fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Response<Bytes> {
        client::send(self.address, client::request(method, &format!("{BASE}{path}"), key, body)).await
    }

    async fn get(&self, path: &str, key: &str) -> Response<Bytes> {
        self.send("GET", path, key, "").await
    }

    async fn post(&self, path: &str, key: &str) -> Response<Bytes> {
        self.send("POST", path, key, "").await
    }

    /// The body of a request that must go well.
    async fn ask(&self, path: &str, key: &str) -> serde_json::Value {
        let answer = self.get(path, key).await;
        assert_eq!(answer.status(), 200, "{path}: {:?}", answer.body());
        json(&answer)
    }

    /// Posts a file to `/deliveries?…`.
    async fn file(&self, query: &str, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Response<Bytes> {
        self.file_by("POST", query, key, headers, body).await
    }

    /// As [`file`](Self::file), by another method.
    async fn file_by(
        &self,
        method: &str,
        query: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}/deliveries?{query}"))
            .header("x-api-key", key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client::send(self.address, request.body(Full::from(body.to_vec())).unwrap()).await
    }

    /// A file of a customer that was taken; its delivery and receipt.
    async fn taken(&self, customer: &str, content: &str) -> (DeliveryId, Uuid) {
        let query = format!("customer={customer}&category=test&type=report&name=nodes.csv");
        let answer =
            self.file(&query, &self.admin, &[("content-type", "text/csv")], content.as_bytes()).await;
        assert_eq!(answer.status(), 202, "{:?}", answer.body());
        let said = json(&answer);
        let id = |name: &str| said[name].as_str().unwrap().parse::<Uuid>().unwrap();
        (DeliveryId(id("delivery_id")), id("receipt_id"))
    }

    /// A mail that waits for an operator.
    async fn held_mail(&self, number: u8) -> (DeliveryId, JobId) {
        let id = self.acceptor.accept(new_mail(number, number)).await.unwrap().delivery_id.unwrap();
        let job = self.claim(id).await;
        let hold = PutBack::Hold { reason: HoldReason::NoRule, detail: "no rule has it".into() };
        self.write(move |mut tx| {
            Box::pin(async move {
                set_held(&mut tx, id, Some("no_rule")).await?;
                job::store::put_back(&mut tx, job.id, job.lease_token, &hold).await
            })
        })
        .await;
        (id, job.id)
    }

    /// The one live job of a delivery, leased.
    async fn claim(&self, delivery: DeliveryId) -> job::Job {
        let jobs = self
            .write(|mut tx| {
                Box::pin(async move {
                    let wants = job::store::queues(&mut tx).await?.into_iter().flat_map(|(queue, _, _)| {
                        let all = Priority::ALL.into_iter();
                        all.map(move |p| Want { queue, priority: p.code(), floor: 0, count: 100 })
                    });
                    let wants = wants.collect();
                    let lease = Duration::from_secs(60);
                    job::store::claim(&mut tx, &Claim { wants, worker: 1, lease, take_expired: false }).await
                })
            })
            .await;
        jobs.into_iter().find(|job| job.delivery_id == Some(delivery)).unwrap()
    }

    /// Runs the one live job of a delivery to its end.
    async fn end(&self, delivery: DeliveryId, end: Ended) -> JobId {
        let job = self.claim(delivery).await;
        let error = (end != Ended::Completed).then(|| "it broke".to_owned());
        let ends = [End { id: job.id, token: job.lease_token, end, error, report: None }];
        let won =
            self.write(move |mut tx| Box::pin(async move { job::store::end(&mut tx, &ends).await })).await;
        assert_eq!(won.len(), 1);
        job.id
    }

    async fn write<T, F>(&self, f: F) -> T
    where
        T: Send + 'static,
        F: for<'c> FnOnce(headworks::infra::db::Tx<'c>) -> headworks::infra::db::Fut<'c, T> + Send + 'static,
    {
        self.make_days().await;
        self.db.write(Lane::State, f).await.unwrap()
    }

    /// Days of the history are made by the keeper, which does not run here.
    async fn make_days(&self) {
        commit!(self.db, tx => job::store::make_days(&mut tx)).unwrap();
    }

    /// The events of a delivery's timeline, with who did them.
    async fn events(&self, delivery: DeliveryId) -> Vec<(String, Option<String>)> {
        let trace = self.ask(&format!("/deliveries/{delivery}/trace"), &self.admin).await;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let events = trace["timeline"].as_array().unwrap().iter();
        events.map(|event| (text(&event["event"]).unwrap(), text(&event["actor"]))).collect()
    }

    async fn row(&self, delivery: DeliveryId) -> headworks::delivery::store::DeliveryRow {
        let found = headworks::delivery::store::get(
            &Scope::All,
            &mut self.db.reader(View::State).await.unwrap().tx(),
            delivery,
        )
        .await;
        found.unwrap().unwrap()
    }
}

/// A mail under key number `key`, of one byte.
fn new_mail(key: u8, content: u8) -> NewReceipt {
    let text = |text: &str| serde_json::json!({ "text": text });
    let envelope = serde_json::json!({
        "door": "pipe", "sender": text("a@b.example"), "recipient": text("x@ingest.example.com"),
        "received_at": "2026-01-13T12:00:00Z",
    });
    let digest = Digest::of(&[content]);
    NewReceipt {
        key: [key; 32],
        fingerprint: digest,
        reuse: Reuse::Flag,
        ttl: Duration::from_secs(60),
        source: "mail".into(),
        customer: None,
        received_at: Timestamp::now(),
        delivery: Some(NewDelivery {
            id: DeliveryId::fresh(),
            digest,
            bytes: 1,
            envelope: serde_json::from_value(envelope).unwrap(),
            home: Some(SPOOL),
            coordinates: None,
            settings: serde_json::json!({}),
        }),
        jobs: vec![FirstJob {
            queue: QueueName::sort(SPOOL),
            priority: Priority::Normal,
            max_attempts: 3,
            delay: Duration::ZERO,
            args: serde_json::json!({}),
        }],
        rows: Vec::new(),
    }
}
