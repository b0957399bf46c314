//! A whole headworks whose volumes are in a bucket: what comes is kept there, parsed from there, proved and replayed.

use crate::appliance::fixture;
use crate::minio::{Bucket, Own};
use crate::processes::{Installation, Server, each_store, post_of};
use crate::programs;
use serde_json::Value;
use std::process::Output;

const TO: &str = "bobs@ingest.example.com";

fn json(server: &Server, path: &str) -> Value {
    serde_json::from_str(&server.body(path).unwrap()).unwrap()
}

fn run(installation: &Installation, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = installation.command().args(arguments).output().unwrap();
    let [out, errors] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    (status.code(), format!("{out}{errors}"))
}

fn wait_for_state(installation: &Installation, server: &Server, receipt: &str, state: &str) {
    installation.wait_for(state, || {
        let receipt: Value =
            serde_json::from_str(&server.body(&format!("/api/1.0/receipts/{receipt}"))?).ok()?;
        (receipt["state"] == state).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_delivery_is_kept_parsed_proved_and_replayed_in_a_bucket() {
    let Some(bucket) = Bucket::fresh().await else { return };
    let installation = Installation::new(None, &bucket.settings(), &programs::modules());
    let server = installation.start();
    let alert = fixture("alert/01_warning");
    let (status, receipt) = post_of("alert", server.control(), &alert).unwrap();
    assert_eq!(status, 202);
    let receipt = receipt.unwrap().to_string();
    wait_for_state(&installation, &server, &receipt, "completed");
    let rows = installation.says(&["rows", "hydrastor_alert", "--json"]);
    assert_eq!(rows.lines().count(), 1, "{rows}");

    let keys = bucket.keys().await;
    let tree: Vec<&String> =
        keys.iter().filter(|key| key.starts_with("inbox/bobs/hydrastor/alert/")).collect();
    assert_eq!(tree.len(), 2, "manifest and message: {keys:?}");
    assert!(tree[0].ends_with("/manifest.json") && tree[1].ends_with("/message.eml"), "{keys:?}");
    assert_eq!(bucket.read(tree[1]).await, alert);
    for volume in ["archive", "blobs", "inbox"] {
        assert!(keys.contains(&format!("{volume}/.headworks-volume")), "{keys:?}");
        assert!(!installation.state().join(volume).exists(), "no directory is made for {volume}");
    }
    assert_eq!(keys.len(), 5, "nothing else: {keys:?}");

    let delivery = &json(&server, "/api/1.0/deliveries")["items"][0];
    let id = delivery["id"].as_str().unwrap();
    let message = server.body(&format!("/api/1.0/deliveries/{id}/message")).unwrap();
    assert_eq!(message.as_bytes(), alert);
    assert_eq!(run(&installation, &["verify"]), (Some(0), "0 defects found, 0 repaired\n".into()));
    let (code, said) = run(&installation, &["replay", id]);
    assert_eq!(code, Some(0), "{said}");
    installation.wait_for("the replay", || {
        let jobs = json(&server, &format!("/api/1.0/jobs?receipt={receipt}"));
        let done = jobs["items"].as_array()?.iter().filter(|job| job["state"] == "completed").count();
        (done == 2).then_some(())
    });
    assert_eq!(installation.says(&["rows", "hydrastor_alert", "--json"]).lines().count(), 1);

    bucket.replace(tree[1], b"damaged").await;
    let (code, said) = run(&installation, &["verify"]);
    assert!(code == Some(1) && said.contains("message.eml has other bytes"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_from_the_spool_through_the_bucket_into_rows_and_the_archive() {
    let Some(bucket) = Bucket::fresh().await else { return };
    let runtime = tokio::runtime::Handle::current();
    each_store(|postgres| {
        let Some(bucket) = runtime.block_on(Bucket::fresh()) else { return };
        let installation = Installation::new(postgres, &bucket.settings(), &programs::modules());
        let server = installation.start();
        for case in ["alert/01_warning", "system_report/20_a_label_never_seen_before"] {
            let receipt = installation.deliver(&case[..5], TO, &fixture(case)).unwrap();
            wait_for_state(&installation, &server, &receipt.to_string(), "completed");
        }
        installation.wait_for("the spool to be empty", || {
            let left = std::fs::read_dir(installation.spool().join("new")).unwrap().count();
            (left == 0).then_some(())
        });
        let keys = runtime.block_on(bucket.keys());
        let archived =
            |key: &&String| key.starts_with("archive/bobs/hydrastor/alert/") && key.ends_with(".eml");
        assert_eq!(keys.iter().filter(archived).count(), 1, "{keys:?}");
        assert_eq!(run(&installation, &["verify"]).0, Some(0));
        server.stop();

        // Nothing but the bucket and the store: another start finds it all.
        let again = installation.start();
        assert_eq!(run(&installation, &["verify"]).0, Some(0));
        again.stop();
    })
    .await;
    drop(bucket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_used_is_one_readable_line_wherever_it_is_asked_for() {
    let Some(bucket) = Bucket::fresh().await else { return };
    let right = Installation::new(None, &bucket.settings(), &programs::modules());
    let (code, said) = run(&right, &["config", "check", "--live"]);
    assert!(code == Some(0) && said.contains("empty; the first start will write its marker"), "{said}");
    let (code, said) = run(&right, &["doctor", "s3", "inbox"]);
    assert!(code == Some(0) && said.contains("0 of 7 steps failed"), "{said}");
    assert!(bucket.keys().await.is_empty(), "nothing of it stays");
    assert_eq!(run(&right, &["doctor", "s3", "inbx"]).0, Some(3));

    let secret = format!("secret_key = {:?}", bucket.password);
    let wrong = bucket.settings().replace(&secret, "secret_key = \"marker5e37-wrong\"");
    let wrong = Installation::new(None, &wrong, &programs::modules());
    let asked = [
        run(&wrong, &["doctor", "s3", "inbox"]),
        run(&wrong, &["config", "check", "--live"]),
        (wrong.launch().ended(), wrong.last_words()),
    ];
    for (code, said) in asked {
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("SignatureDoesNotMatch"), "{said}");
        assert!(said.contains("s3.main.access_key and secret_key"), "{said}");
        assert!(!said.contains("marker5e37"), "{said}");
    }
    let name = format!("bucket = {:?}", bucket.name);
    let missing = bucket.settings().replace(&name, "bucket = \"no-such-bucket\"");
    let missing = Installation::new(None, &missing, &programs::modules());
    let asked = [run(&missing, &["doctor", "s3", "inbox"]), (missing.launch().ended(), missing.last_words())];
    for (code, said) in asked {
        assert!(code == Some(1) && said.contains("there is no such bucket"), "{said}");
    }
    let disk = Installation::new(None, "", &programs::modules());
    let (code, said) = run(&disk, &["doctor", "s3", "inbox"]);
    assert!(code == Some(2) && said.contains("not in a bucket"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_permission_that_is_missing() {
    const ALL: [&str; 5] =
        ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"];
    let Some(bucket) = Bucket::fresh().await else { return };
    for lack in ALL {
        let allowed: Vec<&str> = ALL.into_iter().filter(|action| *action != lack).collect();
        let settings = bucket.settings_with(&bucket.login_for(&allowed));
        let installation = Installation::new(None, &settings, &programs::modules());
        let (code, said) = run(&installation, &["doctor", "s3", "inbox", "--json"]);
        assert_eq!(code, Some(1), "{said}");
        let failed: Vec<&str> = said.lines().filter(|line| line.contains("\"failed\"")).collect();
        let named = format!("the policy of this key must allow {lack}");
        assert!(!failed.is_empty() && failed.iter().all(|line| line.contains(&named)), "{said}");
    }
    let all = bucket.settings_with(&bucket.login_for(&ALL));
    let (code, said) = run(&Installation::new(None, &all, &programs::modules()), &["doctor", "s3", "inbox"]);
    assert!(code == Some(0) && said.contains("0 of 7 steps failed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_nothing_is_promised_and_nothing_is_lost() {
    let Some((minio, bucket)) = Own::start().await else { return };
    let settings = format!("{}[queue.parse]\npaused = true\n", bucket.settings());
    let installation = Installation::new(None, &settings, &programs::modules());
    let server = installation.start();
    let (status, waiting) = post_of("alert", server.control(), &fixture("alert/01_warning")).unwrap();
    assert_eq!(status, 202);
    minio.run("stop");
    assert_eq!(post_of("alert", server.control(), b"another").unwrap().0, 503);
    installation.wait_for("/readyz to name the store", || {
        let said = server.body("/readyz?verbose")?;
        (said.contains("see s3.main.endpoint") && server.ask("GET", "/readyz") == Some(503)).then_some(())
    });
    // What was accepted waits for the store; that costs it no attempt.
    let config = std::fs::read_to_string(installation.config()).unwrap();
    std::fs::write(installation.config(), config.replace("paused = true", "paused = false")).unwrap();
    server.reload();
    installation.wait_for("the job to be put off", || {
        let jobs = json(&server, &format!("/api/1.0/jobs?receipt={}", waiting.unwrap()));
        (jobs["items"][0]["state"] == "scheduled").then_some(())
    });
    minio.run("start");
    installation.wait_for("readiness", || (server.ask("GET", "/readyz") == Some(200)).then_some(()));
    wait_for_state(&installation, &server, &waiting.unwrap().to_string(), "completed");
    let (_, receipt) = post_of("alert", server.control(), &fixture("alert/01_warning")).unwrap();
    wait_for_state(&installation, &server, &receipt.unwrap().to_string(), "completed");
    assert_eq!(run(&installation, &["verify"]).0, Some(0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_before_its_object_store_waits_for_it() {
    let Some((minio, bucket)) = Own::start().await else { return };
    minio.run("stop");
    let installation = Installation::new(None, &bucket.settings(), &programs::modules());
    let mut server = installation.launch();
    let waits = |line: &Value| {
        line["msg"] == "the object store does not answer; waiting for it" && line["level"] == "WARN"
    };
    installation
        .wait_for("it to say that it waits", || installation.log_lines().iter().any(waits).then_some(()));
    minio.run("start");
    server.ready();
    let told = installation.log_lines().iter().filter(|line| waits(line)).count();
    assert_eq!(told, 1, "{}", installation.last_words());
    server.stop();
}
