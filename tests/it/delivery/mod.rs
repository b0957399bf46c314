//! The two compound commits on both stores: what is accepted, what a finish writes, what a receipt says of it.

mod accepting;
mod finishing;
mod large;
mod lists;
mod pending;
mod receipts;

use crate::stores::jobs_of;
use headworks::delivery::envelope::{Envelope, RawText, RestEnvelope};
use headworks::delivery::{
    Acceptor, BatchSettings, FeatureRow, Finisher, FirstJob, NewDelivery, NewReceipt, Origin, Reuse,
    RowWriters, Sealer,
};
use headworks::ids::{BootId, DeliveryId, Digest, JobId, ReceiptId, Scope, Timestamp};
use headworks::infra::db::{Db, Fut, Tx};
use headworks::infra::volume::Volume;
use headworks::job::store::{self, Claim, JobView, Want};
use headworks::job::{Job, Priority, QueueName, Queues, Wake};
use headworks::load::{self, Tables};
use headworks::on_either;
use module_api::{ColumnKind, Declaration, Table};
use std::sync::Arc;
use std::time::Duration;

/// A feature of the tests: its table has a word and what the word was written with.
const NOTICE: &str = "
CREATE TABLE notice (receipt_id uuid, delivery_id uuid, job_id bigint, word text NOT NULL UNIQUE CHECK (word <> 'bad'))";

fn insert_notices<'t>(tx: &'t mut Tx<'_>, rows: &'t [(Origin, &'t serde_json::Value)]) -> Fut<'t, ()> {
    Box::pin(async move {
        let text = "INSERT INTO notice (receipt_id, delivery_id, job_id, word) VALUES ($1, $2, $3, $4)";
        for (origin, values) in rows {
            on_either!(&mut *tx, c => {
                sqlx::query(text)
                    .bind(origin.receipt_id)
                    .bind(origin.delivery_id)
                    .bind(origin.job_id)
                    .bind(values["word"].as_str())
                    .execute(c)
                    .await?;
            });
        }
        Ok(())
    })
}

fn writers() -> RowWriters {
    RowWriters::from_iter([("notice", insert_notices as headworks::delivery::InsertRows)])
}

fn notice(word: &str) -> FeatureRow {
    FeatureRow { writer: "notice".into(), values: serde_json::json!({ "word": word }) }
}

/// What the table of the feature holds, by word.
async fn notices(db: &Db) -> Vec<(String, Origin)> {
    type Row = (String, Option<ReceiptId>, Option<DeliveryId>, Option<JobId>);
    let text = "SELECT word, receipt_id, delivery_id, job_id FROM notice ORDER BY word";
    let rows: Vec<Row> = commit!(db, tx => async {
        Ok(on_either!(&mut tx, c => sqlx::query_as(text).fetch_all(c).await?))
    })
    .unwrap();
    let notice = |(word, receipt_id, delivery_id, job_id)| (word, Origin { receipt_id, delivery_id, job_id });
    rows.into_iter().map(notice).collect()
}

/// A store with the two commits in front of it. A batch waits until it weighs as much as it may.
struct Doors {
    db: Db,
    acceptor: Acceptor,
    finisher: Finisher,
    worker: i32,
    /// Files of large loads.
    blobs: Arc<Volume>,
    scratch: tempfile::TempDir,
}

fn queue() -> QueueName {
    QueueName::parse("test/report")
}

fn tables() -> Tables {
    let node = Table::new("node", "a node")
        .key("name", ColumnKind::Text, "its name")
        .column("load", ColumnKind::Int, "how busy it is")
        .publish("name");
    let declaration = Declaration {
        id: "test/report".into(),
        version: "1.0.0".into(),
        summary: "for tests".into(),
        assumed: false,
        tables: vec![node],
        views: Vec::new(),
    };
    Tables::new(&[declaration]).unwrap()
}

impl Doors {
    async fn open(db: &Db, items: usize) -> Self {
        crate::execute(db, NOTICE).await;
        Self::open_again(db, items).await
    }

    async fn open_again(db: &Db, items: usize) -> Self {
        commit!(db, tx => store::make_days(&mut tx)).unwrap();
        let worker = commit!(db, tx => store::register_worker(&mut tx, BootId::fresh(), "here")).unwrap();
        let (tables, wake) = (tables(), Wake::default());
        load::ensure(db, &tables, Duration::from_secs(5)).await.unwrap();
        let settings = BatchSettings { items, linger: Duration::from_secs(2), bound: 4096, parallel: 1 };
        let queues = Queues::new(db.clone());
        queues.row(&queue()).await.unwrap();
        let acceptor = Acceptor::start(db.clone(), queues, wake.clone(), writers(), settings);
        let scratch = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Volume::open("blobs", &scratch.path().join("blobs"), None).unwrap());
        let sealer = Sealer { volume: Arc::clone(&blobs), tmp: scratch.path().to_owned(), entries: 10_000 };
        let finisher = Finisher::start(db.clone(), tables, wake, writers(), settings, sealer).await.unwrap();
        Self { db: db.clone(), acceptor, finisher, worker, blobs, scratch }
    }

    async fn count(&self, table: &str) -> i64 {
        crate::number(&self.db, &format!("SELECT count(*) FROM {table}")).await
    }

    async fn jobs(&self, receipt: ReceiptId) -> Vec<JobView> {
        let mut jobs = jobs_of(&self.db, receipt).await;
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    /// Claims what is available, at most `count`, in order.
    async fn claim(&self, count: i32) -> Vec<Job> {
        let worker = self.worker;
        let mut jobs = commit!(self.db, tx => async {
            let queue = store::queue_row(&mut tx, &queue()).await?.id;
            let want = Want { queue, priority: Priority::Normal.code(), floor: 0, count };
            let lease = Duration::from_secs(600);
            store::claim(&mut tx, &Claim { wants: vec![want], worker, lease, take_expired: false }).await
        })
        .unwrap();
        jobs.sort_by_key(|job| job.id);
        jobs
    }
}

fn first_job() -> FirstJob {
    FirstJob {
        queue: queue(),
        priority: Priority::Normal,
        max_attempts: 3,
        delay: Duration::ZERO,
        args: serde_json::json!({}),
    }
}

/// Something without bytes under key number `key`, with one job.
fn new_receipt(key: u8, content: u8) -> NewReceipt {
    NewReceipt {
        key: [key; 32],
        fingerprint: Digest::of(&[content]),
        reuse: Reuse::Flag,
        ttl: Duration::from_secs(600),
        source: "test".into(),
        customer: None,
        received_at: Timestamp::now(),
        delivery: None,
        jobs: vec![first_job()],
        rows: Vec::new(),
    }
}

fn new_delivery() -> NewDelivery {
    let id = DeliveryId::fresh();
    NewDelivery {
        id,
        digest: Digest::of(id.0.as_bytes()),
        bytes: 1,
        envelope: Envelope::Rest(RestEnvelope {
            principal: RawText::of(b"test"),
            customer: RawText::of(b"alpha"),
            received_at: Timestamp::now(),
        }),
        home: None,
        coordinates: None,
        settings: serde_json::json!({}),
    }
}
