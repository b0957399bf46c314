//! Mails as people and programs send them, and what a person would see in them.
//!
//! ```text
//!   tests/cases/mail/<type>/<case>/
//!     mail.eml          as it was received
//!     reading.json      subject, senders, problems and parts: what the splitter makes of it
//!     expected.json     the rows that module `hydrastor/<type>` reads
//! ```
//!
//! Adding a case is adding files; a folder without cases fails. A mail that is read differently leaves
//! `reading.json.failed` or `expected.json.failed` beside it; `BLESS=1` rewrites what is expected.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod taken_apart;

use headworks_modules::registry;
use module_api::fixture::{self, OwnedPart};
use module_api::frame::Head;
use module_api::{PartKind, Problem};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

const TYPES: [&str; 2] = ["alert", "system_report"];

/// Most of a text that is shown; the digest speaks for the rest.
const SHOWN_BYTES: usize = 1_000;

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/mail").join(kind)
}

fn cases() -> Vec<PathBuf> {
    let listed = |kind| fs::read_dir(folder(kind)).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = TYPES.into_iter().flat_map(listed).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

#[test]
fn every_mail_is_taken_apart_as_a_person_would_see_it() {
    let cases = cases();
    assert!(cases.len() > 150, "only {} cases", cases.len());
    let failures: Vec<_> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_mail_gives_the_rows_that_stand_in_it() {
    for module in registry::modules() {
        let id = module.declaration().id;
        let Some(kind) = TYPES.into_iter().find(|kind| id == format!("hydrastor/{kind}")) else { continue };
        let cases = fixture::check(module, &folder(kind), Some(&taken_apart::split));
        println!("{id}: {} cases", cases.unwrap_or_else(|failures| panic!("{failures}")));
    }
}

fn check(case: &Path) -> Result<(), String> {
    let (head, message) = taken_apart::read(&fs::read(case.join("mail.eml")).unwrap()).unwrap();
    let given = format!("{:#}\n", reading(&head, &message.parts));
    let (expected, failed) = (case.join("reading.json"), case.join("reading.json.failed"));
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(expected, given).unwrap();
        return Ok(());
    }
    if fs::read_to_string(expected).unwrap_or_default() == given {
        let _gone = fs::remove_file(failed);
        return Ok(());
    }
    fs::write(failed, given).unwrap();
    Err(format!("{}: read differently; see reading.json.failed", case.display()))
}

fn reading(head: &Head, parts: &[OwnedPart]) -> Value {
    let from: Vec<_> = head.from.iter().map(|from| json!([from.name, from.address])).collect();
    json!({
        "subject": head.subject,
        "from": from,
        "problems": shown(&head.problems),
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn shown(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{} {}", p.code, p.detail).trim_end().to_owned()).collect()
}

fn part(part: &OwnedPart) -> Value {
    let mut about = json!({
        "path": part.path,
        "kind": part.kind,
        "media_type": part.media_type,
        "sniffed_type": part.sniffed_type,
        "charset": part.charset,
        "name": part.name,
        "problems": shown(&part.problems),
        "len": part.bytes.len(),
        "sha256": hex(&Sha256::digest(&part.bytes)),
    });
    if part.kind != PartKind::Message && part.media_type.starts_with("text/") {
        about["text"] = part.as_part().text(SHOWN_BYTES).unwrap().text.into();
    }
    about
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
