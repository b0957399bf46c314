//! What is wrong for a while is said once when it begins and once when it ends, however many suffer from it.

use crate::appliance::fixture;
use crate::job::server::Server as Postgres;
use crate::processes::{Installation, Server, post};
use crate::programs;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use uuid::Uuid;

const TO: &str = "bobs@ingest.example.com";
/// Mails that wait while the store is away.
const MAILS: usize = 40;

/// Lines about something that is wrong.
fn complaints(installation: &Installation) -> Vec<serde_json::Value> {
    let lines = installation.log_lines();
    lines.into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
}

/// How often a mail could not be accepted.
pub fn failed(server: &Server) -> f64 {
    let scrape = server.body("/metrics").unwrap_or_default();
    let line = |line: &&str| line.starts_with("headworks_ingest_items_total") && line.contains("\"failed\"");
    let sum = scrape.lines().filter(line).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    sum.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_reported_in_a_few_lines_however_many_mails_and_posts_wait() {
    let Some(postgres) = Postgres::start_new() else { return };
    let settings = "[queue.parse]\npaused = true\n";
    let installation = Installation::new(Some(postgres.url()), settings, &programs::modules());
    let server = installation.start();
    let before = complaints(&installation).len();
    postgres.stop_at_once();
    for number in 0..MAILS {
        installation.deliver(&format!("4W{number}"), TO, &fixture("alert/01_warning")).unwrap();
    }
    for number in 0..3 {
        assert_eq!(post(server.control(), format!("{number}").as_bytes()).unwrap().0, 503);
    }
    installation.wait_for("every mail to be tried three times", || {
        (failed(&server) >= 3.0 * MAILS as f64).then_some(())
    });
    assert_eq!(server.ask("GET", "/readyz"), Some(503));
    postgres.start();
    installation.wait_for("readiness", || (server.ask("GET", "/readyz") == Some(200)).then_some(()));
    installation.wait_for("the mails", || {
        let waiting = fs::read_dir(installation.spool().join("new")).unwrap().count();
        (waiting == 0).then_some(())
    });
    assert_eq!(post(server.control(), b"again").unwrap().0, 202);
    let complaints = complaints(&installation).split_off(before);
    assert!(complaints.len() <= 12, "{} lines: {complaints:#?}", complaints.len());
    let told = installation.log_lines();
    let of = |text: &str, what: &str| {
        told.iter().filter(|line| line["msg"] == text && (what.is_empty() || line["what"] == what)).count()
    };
    assert_eq!((of("not ready", "store"), of("ready again", "store")), (1, 1), "{complaints:#?}");
    let intake = ("mail cannot be accepted; it stays in the spool", "mail is accepted again");
    assert!((1..=2).contains(&of(intake.0, "")), "{complaints:#?}");
    assert_eq!(of(intake.1, ""), 1);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_among_the_entries_is_a_damaged_entry_reported_once() {
    let installation = Installation::new(None, "", &programs::modules());
    let server = installation.start();
    let new = installation.spool().join("new");
    let name = || new.join(Uuid::new_v4().to_string());
    symlink("/etc/passwd", name()).unwrap();
    symlink("nowhere", name()).unwrap();
    fs::create_dir(name()).unwrap();
    drop(UnixListener::bind(name()).unwrap());
    let made = std::process::Command::new("mkfifo").arg(name()).status().unwrap();
    assert!(made.success());
    installation.wait_for("five damaged entries", || {
        server.body("/readyz?verbose")?.contains("damaged entries: 5").then_some(())
    });
    // Mail that comes later is taken in; each is looked at again with it.
    for number in 0..5 {
        installation.deliver(&format!("4N{number}"), TO, &fixture("alert/01_warning")).unwrap();
        let taken = number + 1;
        installation.wait_for("a mail", || {
            (installation.store.count("SELECT count(*) FROM delivery") == taken).then_some(())
        });
    }
    let complaints = complaints(&installation);
    let of_entries = complaints.iter().filter(|line| line["msg"].as_str().unwrap().contains("spool entry"));
    let said: Vec<_> = of_entries.map(|line| line["msg"].as_str().unwrap()).collect();
    assert_eq!(said, ["a spool entry is damaged and stays"; 5], "{complaints:#?}");
    installation.wait_for("the mails to be sealed and none of the others to be removed", || {
        (fs::read_dir(&new).unwrap().count() == 5).then_some(())
    });
    server.stop();
}
