//! A whole headworks in this process, on a store and directories of its own.

use crate::stores;
use axum::body::Body;
use axum::http::Request;
use headworks::app::App;
use headworks::config::{self, Layers, Live};
use headworks::delivery::store::{self, DeliveryRow};
use headworks::delivery::{ReceiptState, ReceiptView};
use headworks::ids::Scope;
use headworks::ids::{ReceiptId, Timestamp};
use headworks::infra::db::Db;
use headworks::infra::telemetry::metrics::Metrics;
use headworks::load::query::{self, Question};
use headworks::web::Caller;
use headworks_spool::{Deposited, Door, Envelope, Sealed, Spool};
use http_body_util::BodyExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Customer `bobs`, and rules for both hydrastor formats.
pub const CUSTOMERS_AND_RULES: &str = r#"
[[customer]]
name = "bobs"
recipients = ["bobs@ingest.example.com"]

[[rule]]
name = "hydrastor-report"
when = { subject = 'System Report( grid=(?<grid>\S+))?' }
set = { category = "hydrastor", type = "system_report", group = "{grid}" }
settings = { zone = "Asia/Tokyo" }

[[rule]]
name = "hydrastor-alert"
when = { subject = '\[HYDRAstor\] ALERT .*node=(?<node>\S+)' }
set = { category = "hydrastor", type = "alert", group = "{node}" }
settings = { zone = "Asia/Tokyo" }
archive = true
"#;

/// Short intervals: a test should not wait for what an operator would not notice.
pub const QUICK: &str = r#"
[mail]
seal_after = "100ms"
[jobs]
lease = "5s"
poll_min = "50ms"
poll_max = "200ms"
backoff_base = "100ms"
[spool]
min_free_bytes = "1MiB"
min_free_inodes = 10
[source.mail]
domains = ["ingest.example.com"]
"#;

/// A directory and the configuration of an appliance in it.
pub struct Site {
    pub directory: tempfile::TempDir,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

/// An appliance at work.
pub struct Appliance {
    pub app: Arc<App>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

/// Runs `body` at a site per store.
pub async fn each_site<F, B>(body: F)
where
    F: Fn(Site) -> B,
    B: Future<Output = ()>,
{
    eprintln!("store: sqlite");
    body(Site::new(None, "")).await;
    if let Some(server) = stores::postgres() {
        eprintln!("store: postgres");
        stores::with_database(&server, |url| body(Site::new(Some(url), ""))).await;
    }
}

impl Site {
    pub fn new(postgres: Option<String>, extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kind = if postgres.is_some() { "postgres" } else { "sqlite" };
        let state = directory.path().join("state");
        let config = format!(
            "[server]\nstate_dir = {:?}\n[store]\nkind = {kind:?}\n[modules]\nprogram = {:?}\n{QUICK}\n{extra}\n{CUSTOMERS_AND_RULES}",
            state,
            crate::programs::modules(),
        );
        std::fs::write(directory.path().join("headworks.toml"), config).unwrap();
        let environment =
            postgres.map(|url| ("HEADWORKS__STORE__URL".into(), url.into())).into_iter().collect();
        Self { directory, environment }
    }

    pub fn layers(&self) -> Layers {
        Layers {
            file: Some(self.directory.path().join("headworks.toml")),
            environment: self.environment.clone(),
            ..Layers::default()
        }
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Replaces `old` in the configuration file, in effect after a reload or a start.
    pub fn edit(&self, old: &str, new: &str) {
        let file = self.directory.path().join("headworks.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        assert!(config.contains(old), "the configuration does not say {old}");
        std::fs::write(file, config.replace(old, new)).unwrap();
    }

    /// An appliance that does nothing of its own accord.
    pub async fn build(&self) -> Arc<App> {
        let live = Live::new(config::load(&self.layers()).unwrap());
        Arc::new(App::build(live, metrics()).await.unwrap())
    }

    pub async fn start(&self) -> Appliance {
        let app = self.build().await;
        let stop = CancellationToken::new();
        let (worker, stopping) = (app.clone(), stop.clone());
        let running = tokio::spawn(async move { worker.run(stopping).await });
        Appliance { app, stop, running }
    }
}

impl Appliance {
    /// Its spool, as writers see it.
    pub fn spool(&self) -> Spool {
        spool(&self.app)
    }

    /// Sends a request to the API, as somebody on this host; a JSON answer, or text.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        self.send(method, path, body.as_bytes()).await
    }

    /// As [`ask`](Self::ask), with a body of any bytes.
    pub async fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let router = self.app.router(&[config::Door::Api].into(), &self.app.health(&self.stop)).unwrap();
        let request = Request::builder().method(method).uri(path);
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Caller::control(0));
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = || serde_json::Value::String(String::from_utf8_lossy(&body).into_owned());
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    /// Puts a mail into the spool, as `mailhandler` does.
    pub fn deposit(&self, queue_id: &str, recipient: &str, message: &[u8]) -> ReceiptId {
        deposit(&self.spool(), queue_id, recipient, message)
    }

    /// Waits until the receipt says something else than that work goes on.
    pub async fn settled(&self, receipt: ReceiptId) -> ReceiptState {
        for _ in 0..600 {
            if let Some(view) = ReceiptView::find(&self.app.core.db, receipt).await.unwrap()
                && view.state != ReceiptState::Working
            {
                return view.state;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("receipt {receipt} did not settle");
    }

    /// Waits until the delivery of a receipt is as `wanted`, and returns it.
    pub async fn delivery(&self, receipt: ReceiptId, wanted: impl Fn(&DeliveryRow) -> bool) -> DeliveryRow {
        for _ in 0..600 {
            let found = delivery(&self.app.core.db, receipt).await;
            if let Some(found) = found.filter(&wanted) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not as wanted: {:?}", delivery(&self.app.core.db, receipt).await);
    }

    /// All rows of a table as JSON objects.
    pub async fn rows(&self, table: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let question = Question { limit: 10_000, ..Question::default() };
        query::rows(&self.app.core.db, &Scope::All, &self.app.core.tables, table, &question)
            .await
            .unwrap()
            .objects()
            .collect()
    }

    /// Waits until nothing is in the spool.
    pub async fn spool_is_empty(&self) {
        self.spool_holds(&[]).await;
    }

    /// Waits until the mails of these receipts are in the spool and no others: an entry goes after its seal.
    pub async fn spool_holds(&self, receipts: &[ReceiptId]) {
        let spool = self.spool();
        for _ in 0..200 {
            let names = spool.list().unwrap();
            if names.iter().map(|name| ReceiptId(name.receipt_id)).eq(receipts.iter().copied()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the spool holds {:?}, not {receipts:?}", spool.list().unwrap());
    }

    /// Does every periodic duty, the leader's too, until `seen` is there: each has its first turn at once.
    pub async fn keep_until<T>(&self, seen: impl Future<Output = T>) -> T {
        let keeper = self.app.keeper();
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(keeper.run(true, stop.clone()));
        let seen = seen.await;
        stop.cancel();
        keeping.await.unwrap();
        seen
    }

    /// Stops as SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
        self.app.core.db.close().await;
    }
}

/// The spool of an appliance, as writers see it.
pub fn spool(app: &App) -> Spool {
    Spool::open(&app.core.live.config().spool.path, None).unwrap()
}

/// The recorder is one for the whole process, and so for all tests in it.
pub fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::install().unwrap()).clone()
}

/// The delivery of a receipt.
pub async fn delivery(db: &Db, receipt: ReceiptId) -> Option<DeliveryRow> {
    let filter = store::Filter { receipt: Some(receipt), ..store::Filter::default() };
    look!(db, tx => store::list(&Scope::All, &mut tx, &filter, 1)).unwrap().pop()
}

/// Deposits a mail into any spool.
pub fn deposit(spool: &Spool, queue_id: &str, recipient: &str, message: &[u8]) -> ReceiptId {
    let (receipt, mail) = seal(spool, queue_id, recipient, message, Timestamp::now());
    assert!(matches!(mail.deposit().unwrap(), Deposited::New | Deposited::Duplicate));
    spool.sync().unwrap();
    receipt
}

/// A mail on its way into a spool, and the receipt it will have there.
pub fn seal(
    spool: &Spool,
    queue_id: &str,
    recipient: &str,
    message: &[u8],
    received_at: Timestamp,
) -> (ReceiptId, Sealed) {
    let mut draft = spool.draft().unwrap();
    draft.write(message).unwrap();
    let key = headworks_spool::mail_key(spool.id(), queue_id.as_bytes(), recipient.as_bytes());
    let receipt_id = headworks_spool::receipt_id(&key, &draft.digest());
    let envelope = Envelope {
        spool_id: spool.id(),
        receipt_id,
        door: Door::Pipe,
        received_at: received_at.0,
        queue_id: queue_id.into(),
        sender: b"grid@example.net".to_vec(),
        recipient: recipient.into(),
        original_recipient: recipient.into(),
        client_address: b"192.0.2.9".to_vec(),
        client_name: b"mx.dc1.example".to_vec(),
        client_helo: b"grid-7".to_vec(),
        client_protocol: b"ESMTP".to_vec(),
        sasl_user: b"gridmaster".to_vec(),
        nexthop: b"ingest.example.com".to_vec(),
        declared_bytes: None,
        problems: Vec::new(),
        program: "test".into(),
    };
    (ReceiptId(receipt_id), draft.seal(&envelope).unwrap())
}

/// A mail of the hydrastor fixtures.
pub fn fixture(case: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("modules/hydrastor/fixtures").join(case).join("mail.eml");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
