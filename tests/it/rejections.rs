//! Mail of which nothing can be read: it is held with a reason of its own, can be looked at and acted on, and has an end.

use crate::appliance::{Appliance, fixture};
use crate::archive_cases::{Seen, case, each_case_site};
use headworks::delivery::ReceiptState::{Cancelled, Completed, Held};
use headworks::delivery::{Operator, discard_rejections};
use headworks::ids::{Coordinates, Scope, Timestamp};
use headworks::job::State;
use serde_json::Value;

const ALERTS: &str = "alerts@ingest.example.com";

const BOUNCE: &[u8] = b"From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n\
    Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n\
    --B\n\nYour message could not be delivered.\n\
    --B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nAction: failed\n\
    --B\nContent-Type: message/rfc822\n\nSubject: [HYDRAstor] ALERT\n\nEvent ID : 0x6B0BC853002030\n\
    Severity : CRITICAL\nState : Raised\nGrid : g\nNode : n\nOccurred : 2023/01/13 05:00:00 JST\n--B--\n";
const PARTIAL: &[u8] = b"From: a@b.example\nSubject: s\n\
    Content-Type: message/partial; id=x; number=1; total=2\n\nEvent ID : 0x6B0BC853002030\n";
const PGP: &[u8] = b"From: a@b.example\nSubject: s\nContent-Type: multipart/encrypted; boundary=B\n\n\
    --B\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\
    --B\nContent-Type: application/octet-stream\n\n-----BEGIN PGP MESSAGE-----\n--B--\n";

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_which_nothing_can_be_read_is_held_with_a_reason_of_its_own() {
    each_case_site("", |site| async move {
        let appliance = site.start().await;
        let cases: [(&str, Vec<u8>, &[&str]); 9] = [
            ("bounce", BOUNCE.to_vec(), &["bounce"]),
            ("partial", PARTIAL.to_vec(), &["partial_message"]),
            ("pgp", PGP.to_vec(), &["encrypted"]),
            ("smime", case("mail/29_s_mime_enveloped.eml"), &["encrypted"]),
            ("cms", case("mail/29_s_mime_opaque_signed.eml"), &["rejected"]),
            ("cms2", case("mail/smime_opaque_signed_p7m_with_the_alert_inside.eml"), &["rejected"]),
            ("empty", Vec::new(), &["empty"]),
            // Whether one line feed is nothing is for the mail reader to say.
            ("line", case("mail/19_one_line_feed.eml"), &["empty", "rejected"]),
            ("talk", b"From: a@b.example\nSubject: lunch?\n\nAt noon.\n".to_vec(), &["rejected"]),
        ];
        for (name, mail, reasons) in cases {
            let seen = Seen::of(&appliance, appliance.deposit(name, ALERTS, &mail)).await;
            let (reason, detail) = seen.held();
            assert_eq!(seen.state, Held, "{name}: {detail}");
            assert!(reasons.contains(&reason) && !detail.is_empty(), "{name}: {reason}: {detail}");
            // Its customer sees it: it lies where the rules say.
            assert_eq!(seen.delivery["held_reason"], reason, "{name}");
            assert_eq!(seen.delivery["customer"], "cases", "{name}");
            assert!(seen.delivery["path"].as_str().unwrap().starts_with("cases/hydrastor/alert/"));
        }
        assert_eq!(appliance.rows("hydrastor_alert").await.len(), 0);
        // Without a rule for it, too.
        let stray = appliance.deposit("4R9", "nobody@ingest.example.com", BOUNCE);
        let seen = Seen::of(&appliance, stray).await;
        assert_eq!((seen.state, seen.held().0), (Held, "bounce"));
        let good = appliance.deposit("4R8", ALERTS, &fixture("alert/01_warning"));
        assert_eq!(appliance.settled(good).await, Completed);
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_why_and_releases_assigns_or_discards_it() {
    each_case_site("", |site| async move {
        let appliance = site.start().await;
        let closed = appliance.deposit("4R1", ALERTS, &case("mail/77_encrypted_zip.eml"));
        let job = Seen::of(&appliance, closed).await.job.id;
        let (_, held) = appliance.ask("GET", &format!("/api/1.0/held/{job}"), "").await;
        assert_eq!(held["reason"], "encrypted");
        let detail = held["detail"].as_str().unwrap();
        assert!(detail.starts_with("no block with an event id; 3 parts: 1 text/plain, "), "{detail}");
        assert!(detail.ends_with(" (2!/r.txt: encrypted)"), "{detail}");
        assert_eq!(held["findings"][0]["rule"], "encrypted");
        assert_eq!(held["contents"]["parts"].as_array().unwrap().len(), 2);

        // Released, it is read again, and held again.
        let operator = operator(&appliance);
        operator.release(job).await.unwrap();
        let again = Seen::of(&appliance, closed).await;
        assert_eq!((again.job.id, again.held().0), (job, "encrypted"));
        operator.discard(job).await.unwrap();
        let gone = Seen::of(&appliance, closed).await;
        assert_eq!((gone.state, gone.job.state), (Cancelled, State::Discarded));
        assert_eq!(gone.job.report.unwrap()["problems"]["encrypted"], 1, "the report outlives the wait");
        assert_eq!(gone.delivery["held_reason"], Value::Null);

        // What its structure closes is for the module if an operator says so.
        let bounce = appliance.deposit("4R2", ALERTS, BOUNCE);
        let held = Seen::of(&appliance, bounce).await;
        assert_eq!((held.held().0, held.outcome()), ("bounce", ""));
        operator.assign(held.job.id, coordinates()).await.unwrap();
        let read = Seen::of(&appliance, bounce).await;
        assert_eq!((read.held().0, read.outcome()), ("rejected", "rejected"));
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_rejection_is_discarded_after_its_time_and_other_held_mail_is_not() {
    each_case_site("[held]\nkeep = \"1ms\"", |site| async move {
        let appliance = site.start().await;
        let rejected = appliance.deposit("4R3", ALERTS, b"Subject: lunch?\n\nAt noon.\n");
        let unruled = appliance.deposit("4R4", "bobs@ingest.example.com", b"Subject: lunch?\n\nAt noon.\n");
        for receipt in [rejected, unruled] {
            assert_eq!(appliance.settled(receipt).await, Held);
        }
        let db = &appliance.app.core.db;
        let young = commit!(db, tx => async {
            discard_rejections(&mut tx, Timestamp(0), "too early", 10).await
        });
        assert_eq!(young.unwrap(), 0, "nothing has been held for so long");

        let ended = appliance.keep_until(async {
            loop {
                let state = appliance.settled(rejected).await;
                if state != Held {
                    return state;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        assert_eq!(ended.await, Cancelled);
        let seen = Seen::of(&appliance, rejected).await;
        assert_eq!(
            (seen.job.state, seen.job.last_error.as_deref()),
            (State::Discarded, Some("held for 1ms"))
        );
        assert_eq!(seen.delivery["held_reason"], Value::Null);
        let timeline = seen.trace["timeline"].as_array().unwrap();
        assert!(timeline.iter().any(|e| e["event"] == "discarded" && e["detail"] == "held for 1ms"));
        let (_, receipt) = appliance.ask("GET", &format!("/api/1.0/receipts/{rejected}"), "").await;
        assert_eq!(receipt["state"], "cancelled");
        assert!(receipt["finished_at"].is_string(), "{receipt}");
        assert_eq!(appliance.settled(unruled).await, Held);
        appliance.stop().await;
    })
    .await;
}

fn coordinates() -> Coordinates {
    let slug = |word: &str| word.parse().unwrap();
    Coordinates {
        customer: slug("cases"),
        category: slug("hydrastor"),
        type_: slug("alert"),
        group: slug("by-hand"),
    }
}

fn operator(appliance: &Appliance) -> Operator {
    let core = &appliance.app.core;
    Operator { db: core.db.clone(), wake: core.wake.clone(), scope: Scope::All, actor: "test".into() }
}
