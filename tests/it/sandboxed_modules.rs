//! The shipped modules in the real sandbox: time zones, patterns and profiles need nothing that it forbids.

use headworks::infra::host::{Gathered, Host, Settings};
use module_api::frame::{ArchiveLimits, Budget, Input, MimeLimits, Parse};
use module_api::{Coordinates, Envelope, Outcome};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub fn settings() -> Settings {
    Settings {
        program: crate::programs::modules(),
        tmp: std::env::temp_dir(),
        children: 1,
        warm: 4,
        queue: 8,
        cpu_seconds: 10,
        data_bytes: 256 << 20,
        wall: Duration::from_secs(20),
        spill_bytes: 8 << 20,
        recycle_after: 256,
    }
}

fn mail(module: &str, bytes: u64) -> Parse {
    Parse {
        module: module.into(),
        coordinates: Coordinates { customer: "acme".into(), ..Coordinates::default() },
        envelope: Envelope::default(),
        received_at: 1_673_578_810_000_000,
        settings: BTreeMap::from([("zone".to_owned(), "Asia/Tokyo".to_owned())]),
        input: Input::Mail { message_bytes: bytes },
        mime: MimeLimits::default(),
        archive: ArchiveLimits::default(),
        budget: Budget::default(),
    }
}

#[tokio::test]
async fn a_module_is_given_subject_and_header_of_the_mail_itself() {
    let host = Host::start(settings()).await.unwrap();
    let alert = fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("modules/hydrastor/fixtures/alert/01_warning/mail.eml"),
    );
    let alert = alert.unwrap();
    for (header, rejected) in [("X-Autorespond: yes\n", true), ("X-Other: yes\n", false)] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[header.as_bytes(), &alert].concat()).unwrap();
        let parse = mail("hydrastor/alert", file.as_file().metadata().unwrap().len());
        let ran = host.parse(parse, File::open(file.path()).unwrap(), Gathered::default()).await.unwrap();
        assert_eq!(matches!(ran.outcome, Outcome::Rejected { .. }), rejected, "{header}: {:?}", ran.outcome);
    }
}

#[tokio::test]
async fn hydrastor_gives_in_the_sandbox_the_rows_it_gives_in_its_fixtures() {
    let host = Host::start(settings()).await.unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules/hydrastor/fixtures/system_report");
    for case in ["01_happy_path", "10c_time_without_a_zone", "11_html_only_with_tables", "12b_text_in_a_zip"]
    {
        let mail = fixtures.join(case).join("mail.eml");
        let parse = self::mail("hydrastor/system_report", fs::metadata(&mail).unwrap().len());
        let ran = host.parse(parse, File::open(&mail).unwrap(), Gathered::default()).await.unwrap();
        let expected = fs::read(fixtures.join(case).join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        let rows: usize =
            expected["rows"].as_object().unwrap().values().map(|t| t.as_array().unwrap().len()).sum();
        assert_eq!((ran.outcome, ran.collected.rows.len()), (Outcome::Ok, rows), "{case}");
        assert_eq!(ran.profile.as_deref(), Some("hydrastor-assumed-1"));
        let at_noon = |row: &module_api::Row| row.report_at == Some(1_673_578_803_000_000);
        assert!(ran.collected.rows.iter().all(at_noon), "{case}");
    }
}
