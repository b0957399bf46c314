//! Where two other readers agree and ours differs, there is a reason; and ours sees what is there.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

use oracle::mails::{self, Mail};
use oracle::{Reading, squeezed};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SEED: u64 = 20_230_113;

/// A reader takes seconds for all mails.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// `differences.toml`: what is known and why.
#[derive(Deserialize)]
struct Known {
    difference: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// Kind of the mails.
    kind: String,
    /// `subject`, `text` or `files`.
    field: String,
    /// Why ours is right.
    reason: String,
}

type Readings = BTreeMap<String, Reading>;

#[test]
fn whoever_differs_from_two_that_agree_has_a_reason() {
    let mails = mails::all(SEED);
    assert!(mails.len() >= 300, "only {} mails", mails.len());
    let folder = tempfile::tempdir().unwrap();
    for (number, mail) in mails.iter().enumerate() {
        std::fs::write(folder.path().join(name(number)), &mail.bytes).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_oracle-reader");
    let ours = readings(Command::new(program).arg("ours"), folder.path());
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("peer.py");
    let peers = [
        ("mail-parser", readings(Command::new(program).arg("mail-parser"), folder.path())),
        ("mailparse", readings(Command::new(program).arg("mailparse"), folder.path())),
        ("python", readings(Command::new("python3").arg(python), folder.path())),
    ];
    let known: Known = toml::from_str(include_str!("../differences.toml")).unwrap();
    let mut stale: BTreeSet<(&str, &str)> =
        known.difference.iter().map(|d| (d.kind.as_str(), d.field.as_str())).collect();
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, mail) in mails.iter().enumerate() {
        let name = name(number);
        let ours = &ours[&name];
        let peers: Vec<&Reading> = peers.iter().map(|(_, readings)| &readings[&name]).collect();
        for field in ["subject", "text", "files"] {
            let (mine, true_one) = (value(ours, field), value(&mail.truth, field));
            if mine != true_one {
                wrong.push(format!("{name} {}: {field} is {mine:?}, not {true_one:?}", mail.kind));
            }
            *counts.entry("fields").or_default() += 1;
            match agreed(&peers, field) {
                None => *counts.entry("peers that do not agree").or_default() += 1,
                Some(agreed) if agreed == mine => *counts.entry("agreed with us").or_default() += 1,
                Some(agreed) => {
                    *counts.entry("agreed against us").or_default() += 1;
                    stale.remove(&(mail.kind, field));
                    if let Some(complaint) = complaint(&known, mail, field, &mine, &agreed) {
                        wrong.push(format!("{name} {complaint}"));
                    }
                }
            }
        }
    }
    println!("{} mails: {counts:?}", mails.len());
    wrong.extend(stale.into_iter().map(|(kind, field)| format!("no difference any more: {kind} {field}")));
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(known.difference.iter().all(|d| !d.reason.trim().is_empty()));
}

/// What is wrong about a field in which two peers agree on something else.
fn complaint(known: &Known, mail: &Mail, field: &str, mine: &str, agreed: &str) -> Option<String> {
    if agreed == value(&mail.truth, field) {
        return Some(format!("{}: {field} {agreed:?} is read by two, ours is {mine:?}", mail.kind));
    }
    let is_known = known.difference.iter().any(|d| d.kind == mail.kind && d.field == field);
    (!is_known)
        .then(|| format!("{}: {field} is {mine:?}, and two say {agreed:?}, without a reason", mail.kind))
}

fn name(number: usize) -> String {
    format!("{number:04}.eml")
}

fn value(reading: &Reading, field: &str) -> String {
    match field {
        "subject" => squeezed(&reading.subject),
        "text" => reading.text.clone(),
        _ => format!("{:?}", reading.files),
    }
}

/// What at least two readers say.
fn agreed(peers: &[&Reading], field: &str) -> Option<String> {
    let values: Vec<String> = peers.iter().map(|peer| value(peer, field)).collect();
    values.iter().find(|one| values.iter().filter(|other| other == one).count() >= 2).cloned()
}

/// Runs a reader over a folder.
fn readings(command: &mut Command, folder: &Path) -> Readings {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut reader =
        command.arg(folder).stdout(Stdio::from(output.reopen().unwrap())).spawn().expect("a reader starts");
    let deadline = Instant::now() + TIME_LIMIT;
    let status = loop {
        match reader.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                reader.kill().unwrap();
                reader.wait().unwrap();
                panic!("{command:?} takes longer than {TIME_LIMIT:?}");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert!(status.success(), "{command:?}: {status}");
    serde_json::from_reader(output.reopen().unwrap()).unwrap()
}
