//! The program as Postfix runs it: exit codes, the one line, what lies in the spool afterwards.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headworks_spool::{Door, State, problem};
use uuid::Uuid;

use crate::harness::{Bench, feed, is_available, is_root, line, program};

#[test]
fn a_mail_is_queued_with_its_envelope_and_its_exact_bytes() {
    let bench = Bench::new();
    let mail = b"Return-Path: <>\nX-Original-To: acme+x@ingest.example.com\nSubject: \xff\0\n\n.\nFrom x\n";
    let call = bench.call().mail(mail).set("--sender", "").set("--original", "Acme@ingest.example.com");
    let call =
        call.set("--client", "192.0.2.1").set("--name", "unknown").set("--helo", "h").set("--proto", "ESMTP");
    let (code, line) = call.set("--sasl", "s").set("--nexthop", "n").end();
    assert_eq!(code, Some(0));

    let (envelope, message) = bench.mails().remove(0);
    assert_eq!(line, format!("2.0.0 queued {}", envelope.receipt_id));
    assert_eq!(message, mail);
    assert_eq!(envelope.spool_id, bench.spool.id());
    assert_eq!(envelope.door, Door::Pipe);
    assert_eq!((envelope.queue_id, envelope.sender), (b"4fXyz12345".to_vec(), Vec::new()));
    assert_eq!(envelope.recipient, b"acme@ingest.example.com");
    assert_eq!(envelope.original_recipient, b"Acme@ingest.example.com");
    assert_eq!((envelope.client_address, envelope.client_name), (b"192.0.2.1".to_vec(), b"unknown".to_vec()));
    assert_eq!((envelope.client_helo, envelope.client_protocol), (b"h".to_vec(), b"ESMTP".to_vec()));
    assert_eq!((envelope.sasl_user, envelope.nexthop), (b"s".to_vec(), b"n".to_vec()));
    assert_eq!(envelope.problems, Vec::<String>::new());
    assert!(envelope.received_at > 1_700_000_000_000_000);
}

#[test]
fn the_same_queue_id_twice_is_one_delivery() {
    let bench = Bench::new();
    let first = bench.call().end();
    let second = bench.call().end();
    assert_eq!((first.0, second.0), (Some(0), Some(0)));
    assert_eq!(second.1, first.1.replace("queued", "duplicate of"));
    assert_eq!(bench.mails().len(), 1);
}

#[test]
fn the_same_queue_id_with_other_bytes_or_another_recipient_is_another_delivery() {
    let bench = Bench::new();
    assert_eq!(bench.call().end().0, Some(0));
    assert_eq!(bench.call().mail(b"Return-Path: <>\n\nother\n").end().0, Some(0));
    assert_eq!(bench.call().recipient("b@ingest.example.com").end().0, Some(0));
    assert_eq!(bench.call().set("--queue-id", "4fXyz12346").end().0, Some(0));
    assert_eq!(bench.mails().len(), 4);
}

#[test]
fn a_mail_retried_by_many_processes_at_once_is_one_delivery() {
    let bench = Bench::new();
    let call = bench.call();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| call.end())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(ends.iter().all(|(code, _)| *code == Some(0)), "{ends:?}");
    assert_eq!(ends.iter().filter(|(_, line)| line.starts_with("2.0.0 queued")).count(), 1, "{ends:?}");
    assert_eq!(bench.mails().len(), 1);
}

#[test]
fn a_cut_mail_waits_and_the_whole_one_is_taken() {
    let bench = Bench::new();
    let mail = [b"Return-Path: <a@b.example>\n".as_slice(), &b"sixteen bytes..\n".repeat(1000)].concat();
    let call = bench.call().mail(&mail);
    for bytes in [0, 1, 4096, mail.len() - 1, mail.len() - 16] {
        let (code, line) = call.clone().cut_to(bytes).end();
        assert_eq!((code, line.starts_with("4.3.0 short read")), (Some(75), true), "{bytes} {line}");
    }
    assert_eq!(bench.mails().len(), 0);
    assert_eq!(call.end().0, Some(0));
    assert_eq!(bench.mails().remove(0).1, mail);
}

#[test]
fn a_mail_that_comes_equally_short_again_is_taken_and_flagged() {
    let bench = Bench::new();
    let mail = b"Return-Path: <a@b.example>\nSubject: x\n\nbody\n";
    let call = bench.call().mail(mail).set("--size", "9999");
    assert_eq!(call.end().0, Some(75));
    assert_eq!((bench.names(State::Short).len(), bench.names(State::Whole).len()), (1, 0));
    assert_eq!(call.end().0, Some(0));
    assert_eq!((bench.names(State::Short).len(), bench.names(State::Whole).len()), (0, 1));
    let (envelope, message) = bench.mails().remove(0);
    assert_eq!((envelope.problems, message), (vec![problem::SIZE_MISMATCH.to_owned()], mail.to_vec()));
    assert_eq!(envelope.declared_bytes, Some(9999));
}

#[test]
fn odd_recipients_are_kept_as_they_are() {
    let bench = Bench::new();
    let long = [&[b'x'; 65536][..], b"@ingest.example.com"].concat();
    let odd: [(&[u8], &[&str]); 9] = [
        (b"-flag@ingest.example.com", &[]),
        (b"--", &[problem::RECIPIENT_WITHOUT_DOMAIN]),
        (b"odd name@ingest.example.com", &[]),
        (b"a@b@ingest.example.com", &[]),
        (b"a;rm -rf $HOME@ingest.example.com", &[]),
        (b"\xff\xfe@ingest.example.com", &[problem::ADDRESS_NOT_UTF8]),
        ("ü@ingest.example.com".as_bytes(), &[]),
        (b"", &[problem::RECIPIENT_WITHOUT_DOMAIN]),
        (&long, &[]),
    ];
    for (recipient, problems) in odd {
        assert_eq!(bench.call().recipient(recipient).end().0, Some(0), "{}", recipient.escape_ascii());
        let mails = bench.mails();
        let kept = mails.iter().find(|(envelope, _)| envelope.recipient == recipient);
        assert_eq!(
            kept.expect("no mail for this recipient").0.problems,
            problems,
            "{}",
            recipient.escape_ascii()
        );
    }
}

#[test]
fn a_spool_that_cannot_be_trusted_makes_the_mail_wait() {
    let bench = Bench::new();
    let wait = |status: &str, (code, line): (Option<i32>, String)| {
        assert_eq!(code, Some(75), "{line}");
        assert!(line.starts_with(status), "{line}");
    };
    wait("4.3.1 not a spool", bench.call().set("--spool", "/nowhere").end());
    wait("4.3.1 not a spool", bench.call().set("--spool", bench.dir.path()).end());
    wait("4.3.5 another spool", bench.call().set("--spool-id", Uuid::nil().to_string()).end());
    wait("4.3.1 spool full", bench.call().set("--min-free", "999999GiB").end());
    wait("4.3.5 configuration", bench.call().set("--min-free", "lots").end());
    fs::rename(bench.path().join("new"), bench.path().join("gone")).unwrap();
    wait("4.3.1 not a spool", bench.call().end());
    fs::rename(bench.path().join("gone"), bench.path().join("new")).unwrap();
    assert_eq!(bench.call().end().0, Some(0));
}

#[test]
fn a_spool_of_another_user_is_refused_even_to_root() {
    if !is_available("root", if is_root() { &[] } else { &["the right to give a spool away"] }) {
        return;
    }
    let bench = Bench::new();
    std::os::unix::fs::chown(bench.path(), Some(65534), None).unwrap();
    let (code, line) = bench.call().end();
    assert_eq!((code, line.starts_with("4.3.5 wrong user")), (Some(75), true), "{line}");
}

#[test]
fn a_call_without_arguments_waits() {
    let bench = Bench::new();
    let mut call = bench.call();
    call.options.clear();
    assert_eq!(call.end(), (Some(75), "4.3.5 configuration: --spool is missing".to_owned()));
}

#[test]
fn a_mail_that_does_not_end_waits_when_the_deadline_is_over() {
    let bench = Bench::new();
    let call = bench.call().set("--deadline", "1s");
    let started_at = Instant::now();
    let mut child = call.command().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Return-Path: <>\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!((Duration::from_secs(1)..Duration::from_secs(20)).contains(&started_at.elapsed()));
    assert_eq!(bench.spool.list().unwrap(), []);
}

#[test]
fn nobody_listening_to_the_reply_does_not_change_the_end() {
    let bench = Bench::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = bench.call().command().stdin(Stdio::piped()).stdout(full).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bench.call().mail).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(bench.mails().len(), 1);
}

#[test]
fn a_mail_beyond_the_file_size_limit_waits() {
    let bench = Bench::new();
    let call = bench.call().mail(&b"sixteen bytes..\n".repeat(20_000));
    // Postfix ignores the signal, so the write fails instead.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"])
        .arg(program())
        .args(call.arguments());
    let output = feed(&mut limited, &call.mail);
    assert_eq!(output.status.code(), Some(75));
    assert!(line(&output).starts_with("4.3.1 cannot write the message: File too large"), "{output:?}");
    assert_eq!(bench.spool.list().unwrap(), []);
}
