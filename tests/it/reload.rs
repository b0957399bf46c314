//! SIGHUP: what is new takes effect, what is wrong changes nothing, and nobody's work is dropped.

use crate::appliance::{Appliance, Site, fixture};
use crate::certificates::Ca;
use crate::job::server::Server as Postgres;
use crate::processes::{Installation, each_store};
use crate::programs;
use crate::promises::{Promised, are_kept, mail};
use headworks::delivery::ReceiptState;
use std::sync::atomic::{AtomicBool, Ordering};

const TO: &str = "bobs@ingest.example.com";
const RULES: &str = "[[customer]]\nname = \"bobs\"";
const ALICE: &str = "[[customer]]\nname = \"alice\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn reloads_good_and_bad_drop_no_work_and_a_bad_one_says_what_is_wrong_and_changes_nothing() {
    const MAILS: usize = 32;
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let good = std::fs::read_to_string(installation.config()).unwrap();
        let told = |words: &str| {
            let log = std::fs::read_to_string(installation.directory.path().join("log")).unwrap();
            log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect::<Vec<_>>()
        };
        let write = |text: &str| std::fs::write(installation.config(), text).unwrap();
        let customers = || installation.store.count("SELECT count(*) FROM customer WHERE name = 'alice'");

        let sent = AtomicBool::new(false);
        let promised = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut promised = Promised::default();
                for number in 0..MAILS {
                    let receipt = installation.deliver(&format!("4Q{number}"), TO, &mail(number));
                    promised.receipts.insert(receipt.expect("a yes"));
                    promised.mails.insert(number);
                }
                sent.store(true, Ordering::SeqCst);
                promised
            });
            let mut bad = 0;
            while bad == 0 || !sent.load(Ordering::SeqCst) {
                bad += 1;
                write(&good.replacen(RULES, &format!("{ALICE}nmae = \"x\"\n{RULES}"), 1));
                server.reload();
                installation.wait_for("the refusal", || {
                    (told("the old one stays in force").len() == bad).then_some(())
                });
                assert_eq!(customers(), 0, "nothing of a bad configuration is taken over");
                write(&good.replacen("lease = \"5s\"", "lease = \"6s\"", 1));
                server.reload();
                installation.wait_for("the reload", || {
                    (told("the configuration was reloaded").len() == bad).then_some(())
                });
            }
            sender.join().unwrap()
        });
        let refused = &told("the old one stays in force")[0];
        assert!(refused.contains("headworks.toml:") && refused.contains("nmae: unknown key"), "{refused}");
        let waits = told("changed settings wait for a restart");
        assert!(waits[0].contains("\"WARN\"") && waits[0].contains("jobs.lease"), "{waits:?}");
        write(&good.replacen(RULES, &format!("{ALICE}{RULES}"), 1));
        server.reload();
        installation.wait_for("the new customer", || (customers() == 1).then_some(()));
        are_kept(&installation, &promised);
        server.stop();
    })
    .await;
}

fn reload(appliance: &Appliance, site: &Site) {
    let difference =
        appliance.app.core.live.reload(&site.layers()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(difference.restart, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_a_reload_pauses_waits_until_a_reload_lets_it_go_on() {
    let site = Site::new(None, "");
    let appliance = site.start().await;
    site.edit(RULES, &format!("[queue.parse]\npaused = true\n{RULES}"));
    reload(&appliance, &site);
    // The first mails may still be parsed, because nobody says when the runner has looked at its queues.
    let sealed = async |n: usize| {
        let receipt = appliance.deposit(&format!("4Q{n}"), TO, &fixture("alert/01_warning"));
        appliance.delivery(receipt, |delivery| delivery.sealed_at.is_some()).await;
        receipt
    };
    for n in 0..5 {
        sealed(n).await;
    }
    let waiting = "SELECT count(*) FROM job WHERE kind = 2 AND lane = 0 AND lease_token IS NULL";
    let before = crate::number(&appliance.app.core.db, waiting).await;
    for n in 5..9 {
        sealed(n).await;
    }
    let receipt = sealed(9).await;
    let waiting = crate::number(&appliance.app.core.db, waiting).await;
    assert_eq!(waiting, before + 5, "taken in, not run");
    site.edit("paused = true", "paused = false");
    reload(&appliance, &site);
    assert_eq!(appliance.settled(receipt).await, ReceiptState::Completed);
    appliance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_named_while_the_store_is_away_is_registered_when_it_is_back() {
    let Some(postgres) = Postgres::start_new() else { return };
    let installation = Installation::new(Some(postgres.url()), "", &programs::modules());
    let server = installation.start();
    let told = |words: &str| {
        let said = |line: &serde_json::Value| line["msg"] == words;
        installation.wait_for(words, || installation.log_lines().iter().any(said).then_some(()));
    };
    postgres.stop_at_once();
    let config = std::fs::read_to_string(installation.config()).unwrap();
    std::fs::write(installation.config(), config.replacen(RULES, &format!("{ALICE}{RULES}"), 1)).unwrap();
    server.reload();
    told("new customers are not registered yet; retrying");
    postgres.start();
    told("new customers are registered now");
    assert_eq!(installation.store.count("SELECT count(*) FROM customer WHERE name = 'alice'"), 1);
    server.stop();
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_the_command_line_goes_by_its_ca() {
    let settings = "[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"api\"]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n";
    let installation = Installation::new(None, settings, &programs::modules());
    let (first, second) = (Ca::new("first"), Ca::new("second"));
    first.issue(&installation.state(), "server");
    let server = installation.start();
    let url = format!("https://localhost:{}", installation.address().port());
    let key = installation.says(&["keys", "create", "--name", "reader", "--grant", "read"]);
    let key = key.split_whitespace().find(|word| word.starts_with("hw_")).unwrap();
    let ask = |ca: &Ca| {
        let ca = ca.write(installation.directory.path(), "ca.pem");
        let mut command = installation.command();
        command.args(["jobs", "list", "--json", "--url", &url, "--ca"]).arg(ca).env("HEADWORKS_KEY", key);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(ask(&first), (Some(0), String::new()));
    let live = installation.says(&["config", "check", "--live"]);
    assert!(live.contains("certificate"), "{live}");

    second.issue(&installation.state(), "server");
    server.reload();
    let is_shown = |ca: &Ca| (ask(ca).0 == Some(0)).then_some(());
    installation.wait_for("the new certificate", || is_shown(&second));
    assert!(ask(&first).1.contains("UnknownIssuer"));

    std::fs::write(installation.state().join("server.key"), "no key").unwrap();
    server.reload();
    let refused = |line: &serde_json::Value| line["msg"] == "the certificate before stays in use";
    installation.wait_for("the refusal", || installation.log_lines().iter().any(refused).then_some(()));
    assert_eq!(ask(&second), (Some(0), String::new()));
    let mut command = installation.command();
    let output = command.args(["config", "check", "--live"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("server.key: contains no key in PEM form"), "{said}");
    server.stop();
}
