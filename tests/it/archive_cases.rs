//! Archives with something odd in them: every member that can be read is read, in the real sandbox, and what was odd reaches
//! the operator.

use crate::appliance::{Appliance, Site};
use crate::stores;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use headworks::delivery::ReceiptState::{self, Completed, Failed, Held};
use headworks::ids::ReceiptId;
use headworks::job::store::JobView;
use serde_json::Value;
use std::path::Path;

const REPORTS: &str = "rep@ingest.example.com";

/// One customer whose addresses say what their mail is.
const BY_RECIPIENT: &str = r#"
[[customer]]
name = "cases"
recipients = ["alerts@ingest.example.com", "rep@ingest.example.com"]

[[rule]]
name = "cases-alert"
when = { recipient = '^alerts@' }
set = { category = "hydrastor", type = "alert" }
settings = { zone = "Asia/Tokyo" }

[[rule]]
name = "cases-report"
when = { recipient = '^rep@' }
set = { category = "hydrastor", type = "system_report" }
settings = { zone = "Asia/Tokyo" }
"#;

/// Runs `body` at a site per store, with the configuration above and `extra`.
pub async fn each_case_site<F, B>(extra: &str, body: F)
where
    F: Fn(Site) -> B,
    B: Future<Output = ()>,
{
    let extra = format!("{extra}\n{BY_RECIPIENT}");
    eprintln!("store: sqlite");
    body(Site::new(None, &extra)).await;
    if let Some(server) = stores::postgres() {
        eprintln!("store: postgres");
        stores::with_database(&server, |url| body(Site::new(Some(url), &extra))).await;
    }
}

/// A file of `tests/cases`.
pub fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A mail without a text, and `file` attached.
fn attached(name: &str, file: &[u8]) -> Vec<u8> {
    let lines: Vec<String> =
        BASE64.encode(file).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into()).collect();
    format!(
        "From: grid@dc1.example\nSubject: s\nContent-Type: application/octet-stream\n\
         Content-Disposition: attachment; filename=\"{name}\"\nContent-Transfer-Encoding: base64\n\n{}\n",
        lines.join("\n")
    )
    .into_bytes()
}

/// What is known of a mail that has settled.
pub struct Seen {
    pub state: ReceiptState,
    /// Its delivery, as `/deliveries/{id}` shows it.
    pub delivery: Value,
    /// Its last job.
    pub job: JobView,
    pub trace: Value,
}

impl Seen {
    pub async fn of(appliance: &Appliance, receipt: ReceiptId) -> Self {
        let state = appliance.settled(receipt).await;
        let row = appliance.delivery(receipt, |_| true).await;
        let path = format!("/api/1.0/deliveries/{}", row.id);
        let (_, delivery) = appliance.ask("GET", &path, "").await;
        let (_, trace) = appliance.ask("GET", &format!("{path}/trace"), "").await;
        let job = stores::jobs_of(&appliance.app.core.db, receipt).await.remove(0);
        Self { state, delivery, job, trace }
    }

    /// The outcome of its load; nothing where no module saw it.
    pub fn outcome(&self) -> &str {
        self.trace["loads"][0]["outcome"].as_str().unwrap_or_default()
    }

    /// Number of rows it led to.
    pub fn rows(&self) -> u64 {
        let tables = self.trace["loads"][0]["rows"].as_object().into_iter().flatten();
        tables.flat_map(|(_, counts)| counts.as_object().unwrap().values()).filter_map(Value::as_u64).sum()
    }

    /// `part rule` for each finding of `/deliveries/{id}`, which are those of its trace.
    pub fn findings(&self) -> Vec<String> {
        assert_eq!(self.delivery["findings"], self.trace["findings"]);
        let findings = self.trace["findings"].as_array().unwrap();
        let shown = |f: &Value| format!("{} {}", f["part"].as_str().unwrap(), f["rule"].as_str().unwrap());
        findings.iter().map(shown).collect()
    }

    /// Why its job is held, and the details.
    pub fn held(&self) -> (&str, &str) {
        (
            self.job.wait_reason.as_deref().unwrap_or_default(),
            self.job.last_error.as_deref().unwrap_or_default(),
        )
    }
}

/// What must come out of an archive: state, outcome, rows, findings, reason.
type Expected = (ReceiptState, &'static str, u64, &'static [&'static str], &'static str);

async fn check(appliance: &Appliance, name: &str, mail: &[u8], expected: Expected) {
    let receipt = appliance.deposit(name, REPORTS, mail);
    let seen = Seen::of(appliance, receipt).await;
    let (state, outcome, rows, findings, reason) = expected;
    let found = (seen.state, seen.outcome(), seen.rows(), seen.findings(), seen.held().0);
    let findings = findings.iter().map(|&finding| finding.to_owned()).collect();
    assert_eq!(found, (state, outcome, rows, findings, reason), "{name}: {}", seen.held().1);
    if state == Held {
        assert_eq!(seen.delivery["held_reason"], reason, "{name}");
    }
    let report = seen.job.report.unwrap();
    assert_eq!(report["outcome"], outcome, "{name}");
    let told: u64 = report["problems"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(told, seen.trace["findings"].as_array().unwrap().len() as u64, "{name}: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_about_the_archives_of_a_mail_reaches_the_operator() {
    const OK: &str = "ok";
    const MORE: &str = "ok_with_findings";
    let cases: [(&str, Expected); 8] = [
        ("61b.eml", (Completed, "partial", 6, &["2!/r2.txt encrypted", "2!/r2.txt zip_mismatch"], "")),
        ("65_local_header_name_differs.eml", (Completed, MORE, 6, &["2!/r.txt zip_mismatch"], "")),
        ("67_symlink_in_zip.eml", (Completed, MORE, 6, &["2 zip_symlink"], "")),
        ("72_gnu_long_name_3_mb.eml", (Held, "rejected", 0, &["2 tar_header"], "rejected")),
        ("77_encrypted_zip.eml", (Held, "rejected", 0, &["2!/r.txt encrypted"], "encrypted")),
        ("79_zip_method_lzma.eml", (Held, "rejected", 0, &["2!/r.txt unsupported_method"], "rejected")),
        ("81_empty_archive_dirs_only_.eml", (Held, "rejected", 0, &["2 empty"], "rejected")),
        ("83_r_tar_xz.eml", (Completed, OK, 6, &[], "")),
    ];
    each_case_site("", |site| async move {
        let appliance = site.start().await;
        for (name, expected) in cases {
            check(&appliance, name, &case(&format!("mail/{name}")), expected).await;
        }
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_members_are_read_beside_bad_ones_and_every_compression_within_its_memory() {
    const OK: &str = "ok";
    let cases: [(&str, Expected); 8] = [
        ("report.tar.bz2", (Completed, OK, 6, &[], "")),
        ("report.tar.zst", (Completed, OK, 6, &[], "")),
        ("report_dictionary_of_64_mib.tar.xz", (Completed, OK, 6, &[], "")),
        ("report_dictionary_of_1_gib.tar.xz", (Held, "rejected", 0, &["1 unsupported"], "rejected")),
        ("report_window_of_1_gib.tar.zst", (Held, "rejected", 0, &["1 unsupported"], "rejected")),
        (
            "report_then_cut.tar.gz",
            (Completed, "partial", 6, &["1 truncated", "1!/r.txt from_truncated"], ""),
        ),
        (
            "report_and_another_of_its_name.zip",
            (Completed, "ok_with_findings", 6, &["1!/r.txt dup_member"], ""),
        ),
        ("report_beside_a_damaged_member.zip", (Completed, "partial", 6, &["1!/a.txt corrupt"], "")),
    ];
    each_case_site("", |site| async move {
        let appliance = site.start().await;
        for (name, expected) in cases {
            let mail = attached(name, &case(&format!("archive/{name}")));
            check(&appliance, name, &mail, expected).await;
        }
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_shows_problems_of_its_mail_beside_those_of_its_archives() {
    each_case_site("", |site| async move {
        let appliance = site.start().await;
        let mut mail = attached("r.zip", &case("archive/report_and_another_of_its_name.zip"));
        mail.extend_from_slice(b"!!\n");
        let seen = Seen::of(&appliance, appliance.deposit("4B1", REPORTS, &mail)).await;
        let part = &seen.delivery["contents"]["parts"][0];
        let codes: Vec<_> = part["problems"].as_array().unwrap().iter().map(|code| code.as_str()).collect();
        assert!(codes.iter().any(|code| code.is_some_and(|code| code.starts_with("b64_"))), "{codes:?}");
        assert_eq!(seen.findings(), ["1!/r.txt dup_member"]);
        let report = seen.job.report.unwrap();
        assert_eq!(report["problems"]["dup_member"], 1);
        assert_eq!(report["problems"].as_object().unwrap().len(), 1 + codes.len(), "{report}");
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_over_http_and_cannot_be_read_fails_with_the_reason() {
    each_case_site("", |site| async move {
        let appliance = site.start().await;
        let url = "/api/1.0/deliveries?customer=cases&category=hydrastor&type=system_report&name=";
        for (name, error, reason) in [
            ("report_window_of_1_gib.tar.zst", "(1: unsupported)", "rejected"),
            ("report_all_encrypted.zip", "(1!/r.txt: encrypted)", "encrypted"),
        ] {
            let file = case(&format!("archive/{name}"));
            let (status, taken) = appliance.send("POST", &format!("{url}{name}"), &file).await;
            assert_eq!(status, 202, "{taken}");
            let receipt: ReceiptId = taken["receipt_id"].as_str().unwrap().parse().unwrap();
            let seen = Seen::of(&appliance, receipt).await;
            assert_eq!(seen.state, Failed, "{name}");
            assert!(seen.job.last_error.as_ref().unwrap().ends_with(error), "{:?}", seen.job);
            assert_eq!(seen.job.report.unwrap()["reason"], reason);
        }
        appliance.stop().await;
    })
    .await;
}
