//! Roles split over processes: each does its part, none needs another on its host, and whoever dies is replaced.

use crate::processes::{Installation, Server, Store};
use crate::promises::{Promised, are_kept, mail};
use crate::{programs, stores};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use uuid::Uuid;

const TO: &str = "bobs@ingest.example.com";
const HTTP: [&str; 2] = ["--roles", "http"];
const MAIL: [&str; 2] = ["--roles", "mail"];
const WORKER: [&str; 2] = ["--roles", "worker"];

/// Runs `body` with an installation on Postgres, where there is one.
async fn on_postgres(body: impl Fn(&Installation)) {
    let Some(server) = stores::postgres() else { return };
    let run = |url| async {
        let installation = Installation::new(Some(url), "", &programs::modules());
        tokio::task::block_in_place(|| body(&installation));
    };
    stores::with_database(&server, run).await;
}

fn ready(mut server: Server) -> Server {
    server.ready();
    server
}

/// What a client with a key gets over the network.
fn fetch(installation: &Installation, key: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(installation.address()).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).unwrap()
}

/// Lets nobody write a load until what is returned is dropped.
fn hold_loads(installation: &Installation) -> PgConnection {
    let Store::Postgres(url) = &installation.store else { panic!("loads are held in Postgres only") };
    tokio::runtime::Handle::current().block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute("BEGIN; LOCK TABLE load IN SHARE MODE").await.unwrap();
        connection
    })
}

fn receipt(server: &Server, id: Uuid) -> Option<Value> {
    let said: Value = serde_json::from_str(&server.body(&format!("/api/1.0/receipts/{id}"))?).unwrap();
    (said["status"] != 404).then_some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_passes_through_four_processes_and_a_worker_that_is_killed_costs_no_row_and_doubles_none() {
    const MAILS: usize = 48;
    on_postgres(|installation| {
        let http = ready(installation.launch_beside("http", &HTTP));
        let mail_server = ready(installation.launch_beside("mail", &MAIL));
        // As on a host of its own: no volume, no spool.
        let elsewhere = installation.directory.path().join("elsewhere");
        installation.make_directory(&elsewhere);
        let away = format!("server.state_dir={}", elsewhere.display());
        let keeper = ready(installation.launch_beside("keeper", &["--roles", "keeper", "--set", &away]));
        assert!(!elsewhere.join("inbox").exists() && !elsewhere.join("spool").exists());
        let mut worker = ready(installation.launch_beside("worker", &WORKER));

        let mut promised = Promised::default();
        let mut send = |numbers: Range<usize>| {
            for number in numbers {
                let receipt = installation.deliver(&format!("4Q{number}"), TO, &mail(number)).unwrap();
                promised.mails.insert(number);
                promised.receipts.insert(receipt);
            }
        };
        let count = |text: &str| installation.store.count(text);
        send(0..MAILS / 2);
        let half = MAILS as i64 / 2;
        installation
            .wait_for("half of the loads", || (count("SELECT count(*) FROM load") == half).then_some(()));
        let nobody_loads = hold_loads(installation);
        send(MAILS / 2..MAILS);
        installation.wait_for("a worker in the middle of its commit", || {
            (count("SELECT count(*) FROM pg_locks WHERE relation = 'load'::regclass AND NOT granted") > 0)
                .then_some(())
        });
        worker.kill();
        drop(nobody_loads);
        let another = ready(installation.launch_beside("another", &WORKER));
        are_kept(installation, &promised);

        let mut create = installation.command();
        let key = create.args(["keys", "create", "--name", "reader", "--grant", "read"]).output().unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        let rows = fetch(installation, key.trim(), "/api/1.0/rows/hydrastor_alert?limit=1000");
        assert_eq!(rows["items"].as_array().unwrap().len(), MAILS - MAILS / 4);
        let bytes = format!("/api/1.0/deliveries/{}/message", installation.store.deliveries()[0].id);
        assert_eq!(http.ask("GET", &bytes), Some(200));
        assert_eq!(keeper.ask("GET", &bytes), Some(503));
        let why = keeper.body(&bytes).unwrap();
        assert!(why.contains("volume inbox") && why.contains("elsewhere/inbox"), "{why}");
        for server in [http, mail_server, another, keeper] {
            server.stop();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_known_as_soon_as_its_mail_is_spooled_whoever_holds_the_spool() {
    on_postgres(|installation| {
        let first = ready(installation.launch_beside("mail", &MAIL));
        first.stop();
        let http = ready(installation.launch_beside("http", &HTTP));
        let nowhere = ["--roles", "http", "--set", "spool.path=/nowhere/spool"];
        let another_host = ready(installation.launch_beside("other", &nowhere));
        let id = installation.deliver("4Q1", TO, &mail(1)).unwrap();
        let said = receipt(&http, id).unwrap();
        assert_eq!((&said["state"], &said["accepted_at"]), (&"working".into(), &Value::Null));
        assert_eq!(receipt(&another_host, id), None, "its spool is on another host");
        assert_eq!(receipt(&http, Uuid::new_v4()), None);

        let _mail = installation.launch_beside("mail", &MAIL);
        let _worker = installation.launch_beside("worker", &WORKER);
        for server in [&http, &another_host] {
            installation.wait_for("the end", || receipt(server, id).filter(|it| it["state"] == "completed"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_has_a_control_socket_and_none_takes_that_of_another() {
    on_postgres(|installation| {
        let first = ready(installation.launch_beside("control", &["--roles", "keeper"]));
        let second = installation.launch_beside("control", &["--roles", "worker"]);
        assert_eq!(second.ended(), Some(1));
        let said = installation.last_words();
        assert!(
            said.contains("another server answers there") && said.contains("server.control_socket"),
            "{said}"
        );
        assert_eq!(first.ask("GET", "/api/1.0/jobs"), Some(200), "the first still has it");
        let third = ready(installation.launch_beside("worker", &["--roles", "worker"]));
        third.stop();
        first.stop();
        let left = std::fs::read_dir(installation.state()).unwrap().map(|entry| entry.unwrap().path());
        assert!(left.into_iter().all(|path| path.extension().is_none_or(|end| end != "sock")));
    })
    .await;
}
