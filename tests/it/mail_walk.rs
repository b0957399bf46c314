//! One mail from the spool to rows, on both stores.

use crate::appliance::{each_site, fixture};
use headworks::delivery::ReceiptState;
use headworks::load;
use headworks::log::{self, Position, Topics};

const TO: &str = "bobs@ingest.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_report_becomes_rows_and_leaves_the_spool() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let receipt = appliance.deposit("4Q1", TO, &fixture("system_report/01_happy_path"));
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Completed);
        let grids = appliance.rows("hydrastor_grid_snapshot").await;
        assert_eq!(grids.len(), 1);
        assert_eq!(grids[0]["customer"], "bobs");
        assert_eq!(grids[0]["profile"], "hydrastor-assumed-1");
        assert_eq!(appliance.rows("hydrastor_node_snapshot").await.len(), 2);
        appliance.spool_is_empty().await;
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_no_rule_expects_is_held_and_sealed() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let receipt = appliance.deposit("4Q2", TO, b"Subject: lunch?\n\nAt noon.\n");
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Held);
        let stranger = appliance.deposit("4Q3", "nobody@ingest.example.com", b"Subject: x\n\ny\n");
        assert_eq!(appliance.settled(stranger).await, ReceiptState::Held);
        let endless = format!("Subject: x\n{}\ny\n", "X-More: 1\n".repeat(2_000));
        let endless = appliance.deposit("4Q4", TO, endless.as_bytes());
        assert_eq!(appliance.settled(endless).await, ReceiptState::Held);
        appliance.spool_is_empty().await;
        let held = site.state().join("inbox/_held/mail");
        let mut reasons: Vec<_> = std::fs::read_dir(held)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        reasons.sort();
        assert_eq!(reasons, ["malformed", "no_rule", "unknown_customer"]);
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_source_is_named_as_the_configuration_names_it() {
    each_site(|site| async move {
        site.edit("[source.mail]\n", "[source.mail]\nenabled = false\n[source.incoming]\nkind = \"mail\"\n");
        let appliance = site.start().await;
        let receipt = appliance.deposit("4Q2", TO, b"Subject: lunch?\n\nAt noon.\n");
        assert_eq!(appliance.settled(receipt).await, ReceiptState::Held);
        let delivery = appliance.delivery(receipt, |_| true).await;
        assert_eq!(delivery.source, "incoming");
        assert!(site.state().join("inbox/_held/incoming/no_rule").is_dir());
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_deposited_while_nothing_runs_is_taken_in_at_start() {
    each_site(|site| async move {
        let first = site.start().await;
        let spool = first.spool();
        first.stop().await;
        let receipts: Vec<_> = (0..20)
            .map(|n| crate::appliance::deposit(&spool, &format!("Q{n}"), TO, &fixture("alert/01_warning")))
            .collect();
        drop(spool);
        let second = site.start().await;
        for receipt in receipts {
            assert_eq!(second.settled(receipt).await, ReceiptState::Completed);
        }
        assert_eq!(second.rows("hydrastor_alert").await.len(), 1, "twenty copies are one alert");
        second.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_row_is_told_once_however_often_its_mail_comes() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let topic =
            Topics::new(appliance.app.core.db.clone()).id(&load::topic("hydrastor_alert")).await.unwrap();
        let alert = fixture("alert/01_warning");
        for queue_id in ["4P1", "4P2"] {
            let receipt = appliance.deposit(queue_id, TO, &alert);
            assert_eq!(appliance.settled(receipt).await, ReceiptState::Completed);
            let page =
                look!(appliance.app.core.db, tx => log::read(&mut tx, topic, Position::START, 10)).unwrap();
            let [entry] = page.entries.as_slice() else { panic!("not one entry: {:?}", page.entries) };
            let [row] = appliance.rows("hydrastor_alert").await.try_into().unwrap();
            assert_eq!(entry.key.as_deref(), row["correlation_key"].as_str().map(str::as_bytes));
            let told: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
            assert!(told.to_string().contains(row["event_id"].as_str().unwrap()), "{told}");
        }
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_say_what_they_would_make_of_a_mail_that_nobody_sent() {
    each_site(|site| async move {
        let appliance = site.start().await;
        let path = format!("/api/1.0/rules/test?sender=a@b.example&recipient={TO}");
        let mail = String::from_utf8(fixture("alert/01_warning")).unwrap();
        let (status, said) = appliance.ask("POST", &path, &mail).await;
        assert_eq!((status, &said["customer"]), (200, &"bobs".into()), "{said}");
        assert!(said.to_string().contains("hydrastor-alert"), "{said}");
        assert_eq!(appliance.ask("POST", "/api/1.0/rules/test", &mail).await.0, 400);
        appliance.stop().await;
    })
    .await;
}
