//! A real Postfix in front of a real server: with our main.cf and master.cf as they stand, its own queue, and everything of
//! ours unprivileged. Whatever is down or broken, mail waits or is taken, arrives once, and none goes back to its sender.

use crate::conditions::failed;
use crate::processes::{Installation, each_store, is_available, is_soak, receipt_in, wait};
use crate::programs;
use crate::promises::{Kept, Promised, are_kept, mail};
use crate::stores;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use test_postfix::{Delivers, Postfix};

const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services");
const TO: &str = "bobs@ingest.example.com";
/// Mails that come in at once.
const SENDERS: usize = 4;

/// A second customer, for mail to two.
const ALICE: &str = "[[customer]]\nname = \"alice\"\nrecipients = [\"alice@ingest.example.com\"]\n";

/// A Postfix that delivers to an installation.
pub struct Mailer {
    postfix: Postfix,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mail_becomes_its_rows_also_what_came_while_headworks_was_down() {
    if !has_postfix() {
        return;
    }
    let mails = if is_soak() { 200 } else { 40 };
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "");
        mailer.send_all(0..mails / 2);
        mailer.wait_for_sent(mails / 2);
        server.stop();
        mailer.send_all(mails / 2..mails);
        mailer.wait_for_sent(mails);
        let server = installation.start();
        are_kept(&installation, &mailer.promised(mails));
        assert_eq!(mailer.postfix.logged("status=deferred"), 0, "{}", mailer.postfix.log());
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_comes_while_postgres_is_away_is_taken_and_processed_after() {
    if !has_postfix() || stores::postgres().is_none() || !has_postgres_programs() {
        return;
    }
    let (mails, away) = if is_soak() { (200, Duration::from_secs(60)) } else { (40, Duration::from_secs(5)) };
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let database = Database::start(directory.path().join("postgres"));
    tokio::task::block_in_place(|| {
        let installation = Installation::new(Some(database.url.clone()), "", &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "");
        mailer.send_all(0..mails / 4);
        // In the middle of it.
        database.stop();
        mailer.send_all(mails / 4..mails / 2);
        mailer.wait_for_sent(mails / 2);
        installation
            .wait_for("each of them to be tried", || (failed(&server) >= (mails / 4) as f64).then_some(()));
        // How long it is away is what is tried.
        std::thread::sleep(away);
        installation
            .wait_for("readiness to end", || (server.ask("GET", "/readyz") == Some(503)).then_some(()));
        database.start_again();
        mailer.send_all(mails / 2..mails);
        mailer.wait_for_sent(mails);
        are_kept(&installation, &mailer.promised(mails));
        server.stop();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_waits_while_the_spool_is_broken_and_arrives_after_repair() {
    if !has_postfix() {
        return;
    }
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "");
        let (spool, away) = (installation.spool(), installation.state().join("away"));
        let new = spool.join("new");
        let id = fs::read(spool.join("id")).unwrap();
        let set_mode = |mode| fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();

        mailer.waits_between(0, "4.3.1 cannot create a draft", || set_mode(0o500), || set_mode(0o700));
        let foreign = "0a000000-0000-4000-8000-000000000001\n";
        mailer.waits_between(
            1,
            "4.3.5 another spool",
            || fs::write(spool.join("id"), foreign).unwrap(),
            || fs::write(spool.join("id"), &id).unwrap(),
        );
        mailer.waits_between(
            2,
            "4.3.1 not a spool",
            || {
                fs::rename(&spool, &away).unwrap();
                installation.make_directory(&spool);
            },
            || {
                fs::remove_dir(&spool).unwrap();
                fs::rename(&away, &spool).unwrap();
            },
        );
        mailer.waits_between(
            3,
            "4.3.1 spool full",
            || mailer.postfix.reload_with("--min-free 1MiB", "--min-free 999999GiB"),
            || mailer.postfix.reload_with("--min-free 999999GiB", "--min-free 1MiB"),
        );
        are_kept(&installation, &mailer.promised(4));
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recipients_are_two_deliveries() {
    if !has_postfix() {
        return;
    }
    each_store(|postgres| {
        let installation = Installation::new(postgres, ALICE, &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "");
        mailer.send(&[TO, "alice@ingest.example.com"], &mail(1));
        mailer.wait_for_sent(2);
        let kept = completed(&installation, 2);
        assert_ne!(kept[0].receipt_id, kept[1].receipt_id);
        let found =
            format!("SELECT customer FROM {} ORDER BY customer", installation.store.table("hydrastor_alert"));
        let customers: Vec<(String,)> = installation.store.all(&found);
        assert_eq!(customers, [("alice".to_owned(),), ("bobs".to_owned(),)]);
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_id_that_comes_again_is_one_delivery_and_with_other_bytes_another() {
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let first = installation.deliver("4fXyz12345", TO, &mail(1));
        assert!(first.is_some());
        assert_eq!(installation.deliver("4fXyz12345", TO, &mail(1)), first, "at once");
        completed(&installation, 1);
        assert_eq!(installation.deliver("4fXyz12345", TO, &mail(1)), first, "after it was sealed");
        let other = installation.deliver("4fXyz12345", TO, &mail(2));
        let promised =
            Promised { mails: [1, 2].into(), receipts: [first, other].into_iter().flatten().collect() };
        are_kept(&installation, &promised);
        let reused = "SELECT count(*) FROM receipt WHERE key_reused";
        assert_eq!(installation.store.count(reused), 1);
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_cut_short_by_a_killed_pipe_daemon_is_not_taken_for_whole() {
    if !has_postfix() {
        return;
    }
    each_store(|postgres| {
        let installation =
            Installation::new(postgres, "[keeper]\nspool_every = \"1s\"\n", &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "");
        installation.stop_the_next_mailhandler();
        let long = [mail(1), b"sixteen bytes..\n".repeat(100_000)].concat();
        mailer.send(&[TO], &long);

        // The program sleeps, the pipe is full, the daemon hangs in mid-write.
        let (stopped, daemon) =
            installation.wait_for("mailhandler to stop", || stopped_child(installation.directory.path()));
        installation
            .wait_for("a part of the mail in the pipe", || (written(daemon) > 32 << 10).then_some(()));
        kill_process(daemon, Signal::KILL).unwrap();
        kill_process(stopped, Signal::CONT).unwrap();

        mailer.wait_for_sent(1);
        are_kept(&installation, &mailer.promised_alone(1));
        let bytes: Vec<(i64,)> = installation.store.all("SELECT bytes FROM delivery");
        assert!(bytes[0].0 > long.len() as i64, "the whole mail, and what Postfix puts before it: {bytes:?}");
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_recipients_are_kept_as_they_are() {
    if !has_postfix() {
        return;
    }
    let odd: [(&[u8], &[u8]); 5] = [
        (b"-flag@ingest.example.com", b"-flag@ingest.example.com"),
        (b"\"odd name\"@ingest.example.com", b"odd name@ingest.example.com"),
        (b"\"a@b\"@ingest.example.com", b"a@b@ingest.example.com"),
        (b"\"a;rm $HOME\"@ingest.example.com", b"a;rm $home@ingest.example.com"),
        (b"\xff\xfe@ingest.example.com", b"\xff\xfe@ingest.example.com"),
    ];
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "allow_min_user = yes\nsmtputf8_enable = no");
        for (number, (sent, _)) in odd.into_iter().enumerate() {
            mailer.send(&[sent], &mail(number));
        }
        mailer.wait_for_sent(odd.len());
        let kept = settled(&installation, odd.len(), "SELECT count(*) FROM job WHERE lane <> 3");
        assert!(
            kept.iter().all(|delivery| delivery.held_reason.as_deref() == Some("unknown_customer")),
            "{kept:?}"
        );
        let envelopes: Vec<(sqlx::types::Json<serde_json::Value>,)> =
            installation.store.all("SELECT envelope FROM delivery");
        let mut recipients: Vec<_> =
            envelopes.iter().map(|(envelope,)| exact(&envelope.0["recipient"])).collect();
        let mut expected: Vec<_> = odd.iter().map(|(_, kept)| kept.to_vec()).collect();
        recipients.sort();
        expected.sort();
        assert_eq!(recipients, expected);
        server.stop();
    })
    .await;
}

/// The bytes of a field of an envelope.
fn exact(field: &serde_json::Value) -> Vec<u8> {
    use base64::Engine;
    match field["raw_base64"].as_str() {
        Some(raw) => base64::engine::general_purpose::STANDARD.decode(raw).unwrap(),
        None => field["text"].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// Waits until there are so many deliveries and each is done.
fn completed(installation: &Installation, count: usize) -> Vec<Kept> {
    settled(installation, count, "SELECT count(*) FROM job")
}

/// Waits until there are so many deliveries, all sealed, and none of the `unsettled`.
fn settled(installation: &Installation, count: usize, unsettled: &str) -> Vec<Kept> {
    installation.wait_for("deliveries to settle", || {
        let kept = installation.store.deliveries();
        let done = kept.len() == count
            && kept.iter().all(|delivery| delivery.is_sealed)
            && installation.store.count(unsettled) == 0;
        done.then_some(kept)
    })
}

impl Mailer {
    pub fn start(installation: &Installation, main_cf: &str) -> Self {
        let (spool, mailhandler) = (installation.spool(), installation.program("mailhandler"));
        let id = fs::read_to_string(spool.join("id")).unwrap();
        let delivers = Delivers {
            spool: &spool,
            spool_id: id.trim_end(),
            mailhandler: &mailhandler,
            user: installation.user(),
            main_cf,
        };
        Self { postfix: Postfix::start(&installation.directory.path().join("postfix"), delivers) }
    }

    /// Sends these mails, several at once.
    pub fn send_all(&self, numbers: Range<usize>) {
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let mine = numbers.clone().skip(sender).step_by(SENDERS);
                scope.spawn(|| mine.for_each(|number| self.send(&[TO], &mail(number))));
            }
        });
    }

    fn send(&self, recipients: &[impl AsRef<[u8]>], mail: &[u8]) {
        self.postfix.send("grid@dc1.example", recipients, mail);
    }

    /// Waits until Postfix has heard so many yeses.
    pub fn wait_for_sent(&self, count: usize) {
        let heard = wait(|| (self.postfix.logged("status=sent") >= count).then_some(()));
        assert!(
            heard.is_some(),
            "{} of {count} were sent:\n{}",
            self.postfix.logged("status=sent"),
            self.postfix.log()
        );
    }

    /// Sends a mail into a broken spool, sees it deferred with this line, repairs, and sees it go.
    fn waits_between(&self, number: usize, line: &str, break_it: impl Fn(), repair: impl Fn()) {
        break_it();
        self.send(&[TO], &mail(number));
        let heard = wait(|| self.postfix.has_deferred(line).then_some(()));
        assert!(heard.is_some(), "not deferred with {line}:\n{}", self.postfix.log());
        repair();
        self.postfix.flush();
        self.wait_for_sent(number + 1);
    }

    /// What Postfix was told of the first so many mails; none of them went back.
    fn promised(&self, mails: usize) -> Promised {
        Promised { mails: (0..mails).collect(), receipts: self.receipts() }
    }

    /// The same of the one mail there was.
    fn promised_alone(&self, number: usize) -> Promised {
        Promised { mails: [number].into(), receipts: self.receipts() }
    }

    fn receipts(&self) -> std::collections::BTreeSet<uuid::Uuid> {
        let log = self.postfix.log();
        assert!(!log.contains("status=bounced") && !log.contains("postfix/bounce"), "{log}");
        log.lines()
            .filter(|line| line.contains("status=sent"))
            .map(|line| receipt_in(line).unwrap())
            .collect()
    }
}

/// A Postgres of this test's own, which it may stop.
struct Database {
    directory: PathBuf,
    url: String,
}

impl Database {
    fn start(directory: PathBuf) -> Self {
        let url = Self::run(&directory, None);
        Self { directory, url }
    }

    fn start_again(&self) {
        let port = self.url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next());
        assert_eq!(Self::run(&self.directory, port), self.url);
    }

    fn run(directory: &Path, port: Option<&str>) -> String {
        let mut command = Command::new(format!("{SERVICES}/postgres/start"));
        let output = command.arg(directory).envs(port.map(|port| ("PG_PORT", port))).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let url = said.trim_end().strip_prefix("export DATABASE_URL=");
        url.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    }

    fn stop(&self) {
        let mut command = Command::new(format!("{SERVICES}/postgres/stop"));
        assert!(command.arg(&self.directory).status().unwrap().success());
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn has_postfix() -> bool {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root");
    }
    if !Path::new("/usr/sbin/postfix").exists() {
        missing.push("postfix (tests/services/postfix/install)");
    }
    is_available("postfix", &missing)
}

fn has_postgres_programs() -> bool {
    let found = Command::new(format!("{SERVICES}/postgres/bindir")).output().unwrap().status.success();
    let missing: &[&str] = if found { &[] } else { &["initdb (tests/services/postgres/install)"] };
    is_available("postgres", missing)
}

/// How many bytes a process has written.
fn written(process: Pid) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", process.as_raw_nonzero())).unwrap();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.unwrap().parse().unwrap()
}

/// A stopped process whose command line mentions `directory`, and its parent.
fn stopped_child(directory: &Path) -> Option<(Pid, Pid)> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let is_stopped = fields.next() == Some("T");
        let parent = fields.next()?.parse().ok()?;
        let wanted = directory.as_os_str().as_encoded_bytes();
        let is_ours = command.windows(wanted.len()).any(|window| window == wanted);
        (is_stopped && is_ours).then_some((Pid::from_raw(pid)?, Pid::from_raw(parent)?))
    })
    .next()
}
