//! A real Postfix with our main.cf and master.cf as they stand, and the program behind it; no server.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headworks_spool::{Entry, EntryName, Envelope, Spool, State};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use test_postfix::{Delivers, Postfix};

use crate::harness::{is_available, is_installed, is_root, program};

/// Every Unix has this user; it is neither root nor Postfix's own.
const NOBODY: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Postfix, its spool, and the program it calls; all end with it.
struct Mailer {
    postfix: Postfix,
    dir: TempDir,
    spool: PathBuf,
}

#[test]
fn every_mail_sent_becomes_an_entry() {
    let Some(mailer) = Mailer::start("") else { return };
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let mailer = &mailer;
            scope.spawn(move || {
                for number in 0..5 {
                    mailer.send(
                        &["x@ingest.example.com"],
                        format!("Subject: {sender} {number}\n\nbody\n").as_bytes(),
                    );
                }
            });
        }
    });
    let mails = mailer.wait_for(20);
    assert_eq!(mailer.postfix.logged("status=deferred"), 0, "{}", mailer.postfix.log());
    for (sender, number) in (0..4).flat_map(|sender| (0..5).map(move |number| (sender, number))) {
        let subject = format!("\nSubject: {sender} {number}\n");
        assert_eq!(
            mails.iter().filter(|mail| contains(&mail.message, subject.as_bytes())).count(),
            1,
            "{subject}"
        );
    }
    let Mail { envelope, message } = &mails[0];
    assert!(message.ends_with(b"\n\nbody\n"));
    assert!(
        message.starts_with(b"Return-Path: <a@b.example>\nX-Original-To: x@ingest.example.com\nReceived: ")
    );
    assert!(!contains(message, b"Delivered-To:"));
    assert_eq!(
        (envelope.sender.as_slice(), envelope.recipient.as_slice()),
        (&b"a@b.example"[..], &b"x@ingest.example.com"[..])
    );
    assert_eq!(
        (envelope.client_address.as_slice(), envelope.client_helo.as_slice()),
        (&b"127.0.0.1"[..], &b"test"[..])
    );
    assert_eq!(
        (envelope.client_protocol.as_slice(), envelope.sasl_user.as_slice()),
        (&b"ESMTP"[..], &b""[..])
    );
    assert_eq!(envelope.nexthop, b"ingest.example.com");
    assert!(
        mailer.postfix.log().contains(&format!("2.0.0 queued {}", envelope.receipt_id)),
        "{}",
        mailer.postfix.log()
    );
}

#[test]
fn two_recipients_are_two_deliveries_of_one_queue_id() {
    let Some(mailer) = Mailer::start("") else { return };
    mailer.send(&["x@ingest.example.com", "Y+tag@INGEST.example.com"], b"Subject: two\n\n");
    let mut mails = mailer.wait_for(2);
    mails.sort_by(|a, b| a.envelope.recipient.cmp(&b.envelope.recipient));
    let recipients: Vec<_> =
        mails.iter().map(|mail| mail.envelope.recipient.escape_ascii().to_string()).collect();
    assert_eq!(recipients, ["x@ingest.example.com", "y+tag@ingest.example.com"]);
    assert_eq!(mails[0].envelope.queue_id, mails[1].envelope.queue_id);
    assert!(mails[0].envelope.queue_id.len() > 11, "a long queue id");
}

#[test]
fn mail_waits_while_the_spool_is_not_ours_and_arrives_after_repair() {
    let Some(mailer) = Mailer::start("") else { return };
    let new = mailer.spool.join("new");
    let id = fs::read(mailer.spool.join("id")).unwrap();
    let mount = mailer.dir.path().join("elsewhere");
    let set_mode = |mode| fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();

    mailer.waits_between(1, "4.3.1 cannot create a draft", || set_mode(0o500), || set_mode(0o700));
    let foreign = "0a000000-0000-4000-8000-000000000001\n";
    mailer.waits_between(
        2,
        "4.3.5 another spool",
        || fs::write(mailer.spool.join("id"), foreign).unwrap(),
        || fs::write(mailer.spool.join("id"), &id).unwrap(),
    );
    mailer.waits_between(
        3,
        "4.3.1 not a spool",
        || {
            fs::rename(&mailer.spool, &mount).unwrap();
            fs::create_dir(&mailer.spool).unwrap();
            chown(&mailer.spool, Some(NOBODY), None).unwrap();
        },
        || {
            fs::remove_dir(&mailer.spool).unwrap();
            fs::rename(&mount, &mailer.spool).unwrap();
        },
    );
    mailer.waits_between(
        4,
        "4.3.1 spool full",
        || mailer.postfix.reload_with("--min-free 1MiB", "--min-free 999999GiB"),
        || mailer.postfix.reload_with("--min-free 999999GiB", "--min-free 1MiB"),
    );
    assert_eq!(mailer.postfix.logged("status=bounced"), 0, "{}", mailer.postfix.log());
}

#[test]
fn odd_recipients_arrive_as_they_are() {
    let Some(mailer) = Mailer::start("allow_min_user = yes\nsmtputf8_enable = no") else { return };
    let odd: [(&[u8], &[u8]); 5] = [
        (b"-flag@ingest.example.com", b"-flag@ingest.example.com"),
        (b"\"odd name\"@ingest.example.com", b"odd name@ingest.example.com"),
        (b"\"a@b\"@ingest.example.com", b"a@b@ingest.example.com"),
        (b"\"a;rm $HOME\"@ingest.example.com", b"a;rm $home@ingest.example.com"),
        (b"\xff\xfe@ingest.example.com", b"\xff\xfe@ingest.example.com"),
    ];
    for (number, (sent, kept)) in odd.into_iter().enumerate() {
        mailer.send(&[sent], b"Subject: odd\n\n");
        let mails = mailer.wait_for(number + 1);
        let found = mails.iter().filter(|mail| mail.envelope.recipient == kept).count();
        assert_eq!(found, 1, "{}: {}", sent.escape_ascii(), mailer.postfix.log());
    }
}

#[test]
fn a_mail_cut_by_a_killed_pipe_daemon_is_not_taken_for_whole() {
    let Some(mailer) = Mailer::start("") else { return };
    let body = b"sixteen bytes..\n".repeat(100_000);
    mailer.stop_the_next_run();
    mailer.send(&["x@ingest.example.com"], &[b"Subject: cut\n\n", &body[..]].concat());

    // The program sleeps, the pipe is full, the daemon hangs in mid-write.
    let (stopped, daemon) = mailer.wait_until("the program to stop", || stopped_child(mailer.dir.path()));
    std::thread::sleep(Duration::from_millis(200));
    kill_process(daemon, Signal::KILL).unwrap();
    kill_process(stopped, Signal::CONT).unwrap();

    let mails = mailer.wait_for(1);
    assert!(mails[0].message.ends_with(&body));
    assert_eq!(mails[0].envelope.problems, Vec::<String>::new());
    let short = mailer.mails(State::Short);
    assert_eq!(short.len(), 1);
    assert!(short[0].message.len() < body.len() && short[0].envelope.queue_id == mails[0].envelope.queue_id);
}

/// An entry of the spool, verified.
struct Mail {
    envelope: Envelope,
    message: Vec<u8>,
}

impl Mailer {
    /// `None`, and a line that says why, where this cannot be tried.
    fn start(main_cf: &str) -> Option<Self> {
        let mut missing = Vec::new();
        if !is_root() {
            missing.push("root");
        }
        if !is_installed("postfix") {
            missing.push("postfix (tests/services/postfix/install)");
        }
        if !is_available("postfix", &missing) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Behind a script that can stop the first run; the program stays what it is.
        let (script, real) = (dir.path().join("run-mailhandler"), dir.path().join("mailhandler"));
        fs::copy(program(), &real).unwrap();
        let stop = dir.path().join("stop");
        let text = format!(
            "#!/bin/sh\nif rmdir {} 2>/dev/null; then kill -STOP $$; fi\nexec {} \"$@\"\n",
            stop.display(),
            real.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

        let spool = dir.path().join("spool");
        let id = Spool::create(&spool).unwrap().id();
        for path in ["", "id", "lock", "new", "tmp"] {
            chown(spool.join(path), Some(NOBODY), None).unwrap();
        }
        let id = id.to_string();
        let delivers =
            Delivers { spool: &spool, spool_id: &id, mailhandler: &script, user: "nobody", main_cf };
        let postfix = Postfix::start(&dir.path().join("postfix"), delivers);
        Some(Self { postfix, dir, spool })
    }

    fn send(&self, recipients: &[impl AsRef<[u8]>], mail: &[u8]) {
        self.postfix.send("a@b.example", recipients, mail);
    }

    /// Sends a mail into a broken spool, sees it deferred with this line, repairs, and sees mail number `count` arrive.
    fn waits_between(&self, count: usize, line: &str, break_it: impl Fn(), repair: impl Fn()) {
        break_it();
        self.send(&["x@ingest.example.com"], format!("Subject: {line}\n\n").as_bytes());
        self.wait_until(line, || self.postfix.has_deferred(line).then_some(()));
        repair();
        // A queue manager that was just reloaded may have skipped the mail, and looks again only much later.
        self.postfix.flush();
        let mails = self.wait_for(count);
        assert!(mails.iter().any(|mail| contains(&mail.message, line.as_bytes())));
    }

    fn stop_the_next_run(&self) {
        // In a directory that the unprivileged script may change.
        let stop = self.dir.path().join("stop");
        fs::create_dir(&stop).unwrap();
        chown(&stop, Some(NOBODY), None).unwrap();
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    }

    fn mails(&self, state: State) -> Vec<Mail> {
        let Ok(files) = fs::read_dir(self.spool.join("new")) else { return Vec::new() };
        let files = files.map(|file| file.unwrap());
        let named = files
            .filter_map(|file| Some((EntryName::parse(file.file_name().as_encoded_bytes())?, file.path())));
        named.filter(|(name, _)| name.state == state).map(|(name, path)| Mail::read(name, &path)).collect()
    }

    /// The accepted mails, as soon as there are `count`; more are an error.
    fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mails = self.wait_until(&format!("mail {count}"), || {
            Some(self.mails(State::Whole)).filter(|mails| mails.len() >= count)
        });
        assert_eq!(mails.len(), count);
        mails
    }

    fn wait_until<T>(&self, what: &str, condition: impl Fn() -> Option<T>) -> T {
        let started_at = Instant::now();
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(started_at.elapsed() < PATIENCE, "waited in vain for {what}:\n{}", self.postfix.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Mail {
    fn read(name: EntryName, path: &Path) -> Self {
        let mut entry = Entry::read(fs::File::open(path).unwrap()).unwrap();
        entry.verify().unwrap();
        assert_eq!(entry.envelope().receipt_id, name.receipt_id);
        let mut message = Vec::new();
        entry.message().unwrap().read_to_end(&mut message).unwrap();
        Self { envelope: entry.envelope().clone(), message }
    }
}

/// A stopped process whose command line mentions `dir`, and its parent.
fn stopped_child(dir: &Path) -> Option<(Pid, Pid)> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    pids.into_iter().find_map(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let is_stopped = fields.next() == Some("T") && contains(&command, dir.as_os_str().as_encoded_bytes());
        let parent = fields.next()?.parse().ok()?;
        is_stopped.then_some((Pid::from_raw(pid)?, Pid::from_raw(parent)?))
    })
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
