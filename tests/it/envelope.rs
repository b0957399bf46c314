//! What is known of a mail when it is taken in: still known after its spool entry is gone, and shown.

use crate::processes::{Installation, Server, each_store};
use crate::programs;
use crate::promises::mail;
use headworks::delivery::tree::MANIFEST;
use serde_json::{Value, json};
use std::fs;
use uuid::Uuid;

const TO: &str = "bobs@ingest.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mail_system_told_is_in_manifest_and_api_and_never_in_the_log() {
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let receipt = installation.deliver("4E1", TO, &mail(1)).unwrap();
        let shown = sealed(&installation, &server, receipt);
        let manifest = manifest(&installation, &shown);
        for envelope in [&shown["envelope"], &manifest["envelope"]] {
            let told = json!({
                "door": "pipe",
                "sender": { "text": "grid@dc1.example" },
                "recipient": { "text": TO },
                "queue_id": "4E1",
                "client": "192.0.2.9",
                "client_name": { "text": "mx.dc1.example" },
                "client_helo": { "text": "grid-7" },
                "client_protocol": "ESMTP",
                "sasl_user": { "text": "gridmaster" },
                "nexthop": { "text": "ingest.example.com" },
                "declared_bytes": mail(1).len(),
                "program": format!("mailhandler {}", env!("CARGO_PKG_VERSION")),
                "received_at": shown["received_at"],
            });
            assert_eq!(envelope, &told);
        }
        let log = installation.last_words();
        for personal in ["mx.dc1.example", "gridmaster", "grid@dc1.example", TO] {
            assert!(!log.contains(personal), "{personal} is in the log:\n{log}");
        }
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_id_that_comes_again_with_other_bytes_is_flagged_wherever_it_is_shown() {
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let [first, other] = [1, 2].map(|number| {
            let receipt = installation.deliver("4E2", TO, &mail(number)).unwrap();
            sealed(&installation, &server, receipt)
        });
        for (shown, flagged) in [(&first, false), (&other, true)] {
            assert_eq!(shown["key_reused"], flagged);
            let codes = if flagged { json!([{ "code": "key_reused", "detail": "" }]) } else { json!([]) };
            assert_eq!(manifest(&installation, shown)["problems"], codes);
            let traced = server.body(&format!("/api/1.0/deliveries/{}/trace", text(&shown["id"]))).unwrap();
            let traced: Value = serde_json::from_str(&traced).unwrap();
            assert_eq!(traced["delivery"]["key_reused"], flagged);
            let story = installation.says(&["trace", text(&shown["id"])]);
            let has =
                |words: &[&str]| story.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
            assert!(has(&["key_reused", if flagged { "true" } else { "false" }]), "{story}");
            assert_eq!(has(&["key_reused"]), flagged, "the problem:\n{story}");
        }
        server.stop();
    })
    .await;
}

/// The delivery of a receipt as the API shows it, once its tree is sealed.
fn sealed(installation: &Installation, server: &Server, receipt: Uuid) -> Value {
    installation.wait_for("the seal", || {
        let found = server.body(&format!("/api/1.0/deliveries?receipt={receipt}"))?;
        let mut found: Value = serde_json::from_str(&found).unwrap();
        let shown = found["items"].get_mut(0)?.take();
        (!shown["sealed_at"].is_null()).then_some(shown)
    })
}

fn manifest(installation: &Installation, shown: &Value) -> Value {
    let tree = installation.state().join("inbox").join(text(&shown["path"]));
    serde_json::from_slice(&fs::read(tree.join(MANIFEST)).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
