//! Postgres stopped, killed and frozen while mail and posts come in: the yes of a mail does not depend on it, a post is refused
//! in time, `/healthz` goes on answering, and afterwards everything is there once.

use crate::job::server::Server as Postgres;
use crate::processes::{Installation, Server, is_soak, post};
use crate::programs;
use crate::promises::{Promised, are_kept, mail};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TO: &str = "bobs@ingest.example.com";
/// Longest wait for the refusal of a post: it gives up waiting for a connection, or for an answer on one.
const REFUSAL: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
enum Way {
    /// It shuts connections and goes.
    Stopped,
    /// It goes without a word.
    Killed,
    /// Its connections stay, and nothing answers on them.
    Frozen,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_way_postgres_is_away_mail_is_taken_and_done_once_afterwards() {
    for way in [Way::Stopped, Way::Killed, Way::Frozen] {
        let Some(postgres) = Postgres::start_new() else { return };
        tokio::task::block_in_place(|| trial(&postgres, way));
    }
}

fn trial(postgres: &Postgres, way: Way) {
    let (mails, away) = if is_soak() { (120, Duration::from_secs(60)) } else { (24, Duration::from_secs(3)) };
    let installation = Installation::new(Some(postgres.url()), "", &programs::modules());
    let server = installation.start();
    let mut promised = Promised::default();
    let mut deliver = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let receipt = installation.deliver(&format!("4A{number}"), TO, &mail(number));
            promised.receipts.insert(receipt.expect("a mail is taken whatever Postgres does"));
            promised.mails.insert(number);
        }
    };
    deliver(0..mails / 3);
    let (over, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| ask_for_health(&server, &over, &answers));
        match way {
            Way::Stopped => postgres.stop_at_once(),
            Way::Killed => postgres.kill(),
            Way::Frozen => postgres.freeze(true),
        }
        deliver(mails / 3..2 * mails / 3);
        for number in 0..2 {
            let began = Instant::now();
            let (status, _) =
                post(server.control(), format!("refused {number}").as_bytes()).expect("an answer");
            assert!(
                status == 503 && began.elapsed() < REFUSAL,
                "{way:?}: {status} after {:?}",
                began.elapsed()
            );
        }
        installation
            .wait_for("readiness to end", || (server.ask("GET", "/readyz") == Some(503)).then_some(()));
        // How long it is away is what is tried.
        std::thread::sleep(away);
        match way {
            Way::Stopped | Way::Killed => postgres.start(),
            Way::Frozen => postgres.freeze(false),
        }
        deliver(2 * mails / 3..mails);
        installation.wait_for("readiness", || (server.ask("GET", "/readyz") == Some(200)).then_some(()));
        over.store(true, Ordering::Relaxed);
    });
    assert!(answers.load(Ordering::Relaxed) > 10);
    are_kept(&installation, &promised);
    eprintln!("{way:?}: {mails} mails once, {} answers of /healthz", answers.into_inner());
    server.stop();
}

/// Asks again and again; each answer is yes, and comes at once.
fn ask_for_health(server: &Server, over: &AtomicBool, answers: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        assert_eq!(server.ask("GET", "/healthz"), Some(200));
        assert!(began.elapsed() < Duration::from_secs(2), "/healthz after {:?}", began.elapsed());
        answers.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
    }
}
