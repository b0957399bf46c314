//! The mails of `tests/cases/mail` in the sandbox: rows as expected, and a finding wherever the reading was a guess.
//!
//! How each mail is taken apart, and which rows stand in it, is tested beside the splitter, in `modules/host/tests`.

use crate::programs;
use headworks::infra::host::{Gathered, Host, Ran, RunInput, Settings};
use module_api::frame::{ArchiveLimits, Budget, Input, MimeLimits, Parse};
use module_api::{Coordinates, Envelope};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

/// Codes of guesses.
const DOUBTS: [&str; 10] = [
    "bad_type",
    "boundary_guess",
    "charset_guess",
    "charset_unknown",
    "header_junk",
    "header_misspelt",
    "leading_junk",
    "no_boundary",
    "param_odd",
    "signature_unverified",
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_read_by_a_guess_have_a_finding_that_says_so() {
    let settings = Settings {
        program: programs::modules(),
        spill_bytes: 32 << 20,
        ..crate::sandboxed_modules::settings()
    };
    let host = Host::start(settings).await.unwrap();
    let mut told = BTreeSet::new();
    for kind in ["alert", "system_report"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/mail").join(kind);
        for case in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let json = |file: &str| -> Value {
                serde_json::from_slice(&fs::read(case.join(file)).unwrap()).unwrap()
            };
            let (expected, reading) = (json("expected.json"), json("reading.json"));
            let rows =
                expected["rows"].as_object().unwrap().values().map(|rows| rows.as_array().unwrap().len());
            let rows: usize = rows.sum();
            let ran = run(&host, &format!("hydrastor/{kind}"), &case.join("mail.eml")).await;
            assert_eq!(ran.collected.rows.len(), rows, "{}", case.display());

            let found: BTreeSet<_> =
                ran.collected.findings.iter().map(|finding| finding.rule.as_str()).collect();
            for row in &ran.collected.rows {
                let problems = reading["parts"][row.place.part as usize]["problems"].as_array().unwrap();
                let codes = problems.iter().filter_map(|problem| problem.as_str()?.split(' ').next());
                for code in codes.filter(|code| DOUBTS.contains(code)) {
                    assert!(found.contains(code), "{}: no finding says {code}", case.display());
                    told.insert(code.to_owned());
                }
            }
            if rows == 0 {
                assert!(DOUBTS.iter().all(|doubt| !found.contains(doubt)), "{}: {found:?}", case.display());
            }
        }
    }
    assert!(told.len() >= 8, "only {told:?} were met");
}

async fn run(host: &Host, module: &str, mail: &Path) -> Ran<Gathered> {
    let file = File::open(mail).unwrap();
    let message_bytes = file.metadata().unwrap().len();
    let parse = Parse {
        module: module.into(),
        coordinates: Coordinates { customer: "acme".into(), ..Coordinates::default() },
        envelope: Envelope {
            sender: "device@acme.example".into(),
            recipient: "acme@in.example".into(),
            ..Envelope::default()
        },
        received_at: 1_700_000_000_000_000,
        settings: BTreeMap::new(),
        input: Input::Mail { message_bytes },
        mime: MimeLimits::default(),
        archive: ArchiveLimits::default(),
        budget: Budget::default(),
    };
    host.parse(parse, RunInput::from(file), Gathered::default()).await.unwrap()
}
