//! Periodic duties that look after what mail leaves behind: keys, and entries that were cut short.

use crate::appliance::{deposit, each_site, fixture, seal};
use crate::promises::mail;
use headworks::delivery::ReceiptState;
use headworks::ids::{BootId, ReceiptId, Timestamp};
use headworks::job::QueueName;
use headworks::job::store::{queue_row, register_worker, set_paused};
use headworks_spool::{Deposited, EntryName};
use std::time::Duration;

const TO: &str = "bobs@ingest.example.com";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_forgotten_once_nothing_of_its_receipt_is_live() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let db = &appliance.app.core.db;
        let queue = QueueName::parse("hydrastor/system_report").to_string();
        let paused = commit!(db, tx => async {
            queue_row(&mut tx, &queue.parse().unwrap()).await?;
            set_paused(&mut tx, &queue, true).await
        });
        assert!(paused.unwrap());
        let done = appliance.deposit("4K1", TO, &fixture("alert/01_warning"));
        assert_eq!(appliance.settled(done).await, ReceiptState::Completed);
        let live = appliance.deposit("4K2", TO, &fixture("system_report/01_happy_path"));
        appliance.delivery(live, |row| row.sorted_at.is_some()).await;
        let past = if db.is_pg() { "now() - interval '1 second'" } else { "1" };
        crate::execute(db, &format!("UPDATE ingest_key SET expires_at = {past}")).await;
        let young = appliance.deposit("4K3", TO, &mail(1));
        assert_eq!(appliance.settled(young).await, ReceiptState::Completed);

        let keys = async |receipt: ReceiptId| {
            let id = receipt.0.simple();
            let id = if db.is_pg() { format!("'{id}'") } else { format!("x'{id}'") };
            crate::number(db, &format!("SELECT count(*) FROM ingest_key WHERE receipt_id = {id}")).await
        };
        let forgotten = async {
            while keys(done).await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), appliance.keep_until(forgotten)).await;
        waited.expect("the key is still there");
        assert_eq!((keys(live).await, keys(young).await), (1, 1));
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_mail_that_is_damaged_is_known_and_stays() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let spool = appliance.spool();
        let (receipt, mail) = seal(&spool, "4S1", TO, b"Subject: x\n", Timestamp::now().before(25 * HOUR));
        mail.deposit_short().unwrap();
        let directory = appliance.app.core.live.config().spool.path.clone();
        let entry = directory.join("new").join(EntryName::short(receipt.0).to_string());
        std::fs::write(&entry, "damaged").unwrap();
        let known = async {
            let is_known = |ready: &serde_json::Value| ready.to_string().contains("damaged entries: 1");
            while !is_known(&appliance.ask("GET", "/readyz?verbose", "").await.1) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), appliance.keep_until(known)).await;
        waited.expect("nobody saw it");
        assert_eq!(std::fs::read(&entry).unwrap(), b"damaged");
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_came_short_waits_a_day_for_the_whole_and_is_then_held() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let spool = appliance.spool();
        let alert = fixture("alert/01_warning");
        let short = |queue_id: &str, age: Duration| {
            let cut = &alert[..alert.len() / 2];
            let (receipt, mail) = seal(&spool, queue_id, TO, cut, Timestamp::now().before(age));
            assert_eq!(mail.deposit_short().unwrap(), Deposited::New);
            receipt
        };
        let (old, young) = (short("4S1", 25 * HOUR), short("4S2", 23 * HOUR));
        short("4S3", HOUR);
        let whole = deposit(&spool, "4S3", TO, &alert);
        assert_eq!(appliance.settled(whole).await, ReceiptState::Completed);

        assert_eq!(appliance.keep_until(appliance.settled(old)).await, ReceiptState::Held);
        let row = appliance.delivery(old, |row| row.sealed_at.is_some()).await;
        assert_eq!(row.held_reason.as_deref(), Some("cut_short"));
        assert!(row.path.unwrap().starts_with("_held/mail/cut_short/"));
        for _ in 0..200 {
            if spool.list().unwrap() == [EntryName::short(young.0)] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(spool.list().unwrap(), [EntryName::short(young.0)], "only this one may still come whole");
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_process_that_was_never_seen_again_goes_and_ours_stays() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let db = &appliance.app.core.db;
        let boot = BootId::fresh();
        commit!(db, tx => register_worker(&mut tx, boot, "elsewhere")).unwrap();
        let past = if db.is_pg() { "now() - interval '8 days'" } else { "1" };
        crate::execute(db, &format!("UPDATE worker SET seen_at = {past} WHERE host = 'elsewhere'")).await;
        let gone = async {
            while crate::number(db, "SELECT count(*) FROM worker WHERE host = 'elsewhere'").await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), appliance.keep_until(gone)).await;
        waited.expect("the row is still there");
        assert_eq!(crate::number(db, "SELECT count(*) FROM worker").await, 1);
        appliance.stop().await;
    })
    .await;
}
