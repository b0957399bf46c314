//! What a door sees: 32 callers of `delivery::Acceptor`, each with one delivery after the other. Informs only.

use crate::cell::{Cell, Report};
use crate::rounds::Plan;
use headworks::delivery::envelope::{Envelope, RawText, RestEnvelope};
use headworks::delivery::{Acceptor, BatchSettings, FirstJob, NewDelivery, NewReceipt, Reuse, RowWriters};
use headworks::ids::{DeliveryId, Digest, Timestamp};
use headworks::infra::db::Db;
use headworks::job::{Priority, QueueName, Queues, Wake};
use std::time::{Duration, Instant};

const CALLERS: usize = 32;

/// One cell per store.
pub async fn callers(plan: &Plan, db: &Db, store: &'static str, report: &mut Report) -> anyhow::Result<()> {
    // As the defaults of `[store]` say.
    let settings = BatchSettings { items: 256, linger: Duration::from_millis(3), bound: 4096, parallel: 4 };
    let (queues, writers) = (Queues::new(db.clone()), RowWriters::default());
    let acceptor = Acceptor::start(db.clone(), queues, Wake::default(), writers, settings);
    let each = plan.size(250, 50);
    let rate = plan
        .repeat(async || {
            let begun = Instant::now();
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..CALLERS {
                let acceptor = acceptor.clone();
                tasks.spawn(async move {
                    for _ in 0..each {
                        acceptor.accept(new_receipt()).await?;
                    }
                    anyhow::Ok(())
                });
            }
            while let Some(joined) = tasks.join_next().await {
                joined??;
            }
            Ok((CALLERS * each) as f64 / begun.elapsed().as_secs_f64())
        })
        .await?;
    let cell = Cell::new(super::BENCH, format!("accept_callers_{CALLERS}")).store(store);
    report.tell(&cell.figure("accepted_s", rate))
}

fn new_receipt() -> NewReceipt {
    let id = DeliveryId::fresh();
    let digest = Digest::of(id.0.as_bytes());
    NewReceipt {
        key: digest.0,
        fingerprint: digest,
        reuse: Reuse::Flag,
        ttl: Duration::from_secs(86_400),
        source: "mail".into(),
        customer: None,
        received_at: Timestamp::now(),
        delivery: Some(NewDelivery {
            id,
            digest,
            bytes: 1_000,
            envelope: Envelope::Rest(RestEnvelope {
                principal: RawText::of(b"grid@example.net"),
                customer: RawText::of(b"bobs@ingest.example.com"),
                received_at: Timestamp::now(),
            }),
            home: None,
            coordinates: None,
            settings: serde_json::json!({}),
        }),
        jobs: vec![FirstJob {
            queue: QueueName::parse("bench"),
            priority: Priority::Normal,
            max_attempts: 5,
            delay: Duration::ZERO,
            args: serde_json::json!({}),
        }],
        rows: Vec::new(),
    }
}
