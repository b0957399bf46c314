//! Files that are posted from the command line, their receipts and their rows.

use super::{Shell, each_store, fixture};
use std::process::Stdio;

const AS_ALERT: [&str; 8] =
    ["--customer", "bobs", "--category", "hydrastor", "--type", "alert", "--media-type", "message/rfc822"];

#[tokio::test(flavor = "multi_thread")]
async fn posted_files_get_receipts_and_become_rows() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let served = shell.serve();
        let file = |name: &str, bytes: &[u8]| {
            let path = shell.site.directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let warning = file("warning.eml", &fixture("alert/01_warning"));
        let missing = shell.site.directory.path().join("missing.eml").to_str().unwrap().to_owned();
        let post = |files: &[&str]| shell.run(&[&["deliveries", "post"], files, &AS_ALERT].concat());

        let posted = post(&[&warning, &missing]);
        let told = String::from_utf8(posted.stderr).unwrap();
        assert_eq!(posted.status.code(), Some(5), "partly done: {told}");
        assert!(told.contains("missing.eml: No such file"), "{told}");
        let receipt = String::from_utf8(posted.stdout).unwrap();
        let completed = |receipt: &str| {
            shell.wait_for("the rows", || {
                shell.objects(&["receipts", "show", receipt.trim()])[0]["state"] == "completed"
            });
        };
        completed(&receipt);

        let again = shell.objects(&[&["deliveries", "post", &warning], &AS_ALERT[..]].concat());
        assert_eq!((&again[0]["receipt_id"], &again[0]["duplicate"]), (&receipt.trim().into(), &true.into()));
        let mut input = shell.command(&[&["deliveries", "post", "-"], &AS_ALERT[..]].concat());
        let mut input = input.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pipe = input.stdin.take().unwrap();
        std::io::Write::write_all(&mut pipe, &fixture("alert/01_warning")).unwrap();
        drop(pipe);
        let nameless = String::from_utf8(input.wait_with_output().unwrap().stdout).unwrap();
        assert_ne!(nameless, receipt, "the name belongs to what is posted");
        completed(&nameless);
        assert_eq!(post(&[&missing]).status.code(), Some(1));

        let row = &shell.objects(&["rows", "hydrastor_alert"])[0];
        let grid = format!("grid=eq:{}", row["grid"].as_str().unwrap());
        assert_eq!(&shell.objects(&["rows", "hydrastor_alert", "--filter", &grid])[0], row);
        assert_eq!(shell.objects(&["rows", "hydrastor_alert", "--filter", "grid=eq:another"]).len(), 0);
        assert!(shell.says(&["rows", "hydrastor_alert"]).contains("GRID"), "people get a table");
        assert_eq!(shell.exit(&["rows", "no_such_table"]), 3);
        assert_eq!(shell.exit(&["rows", "hydrastor_alert", "--order", "no_such_column"]), 2);
        assert_eq!(shell.exit(&["receipts", "show", "00000000-0000-8000-8000-000000000000"]), 3);
        let event = &shell.objects(&["log", "tail", "rows.hydrastor_alert"])[0];
        assert!(event["position"].is_string() && event["body"].is_object(), "{event}");
        let told = ["op", "table", "schema"].map(|name| event["headers"][name].as_str().unwrap());
        assert_eq!(told, ["upsert", "hydrastor_alert", "1"]);
        let schema = &shell.objects(&["schemas", "hydrastor_alert", "--version", told[2]])[0];
        jsonschema::draft202012::validate(schema, &event["body"]).unwrap();
        let listed = &shell.objects(&["schemas"])[0];
        assert_eq!((&listed["topic"], &listed["version"]), (&"rows.hydrastor_alert".into(), &1.into()));
        assert_eq!(shell.exit(&["schemas", "no_such_table"]), 3);
        let line = shell.says(&["log", "tail", "rows.hydrastor_alert"]);
        assert!(!line.starts_with('{') && line.contains("{\""), "when, then what: {line}");
        assert_eq!(served.stop(), Some(0));
    })
    .await;
}

#[test]
fn help_of_a_command_has_the_options_of_all_commands_under_their_own_heading() {
    let help = Shell::new(None).says(&["receipts", "show", "--help"]);
    let (own, global) = help.split_once("Global options:").unwrap_or_else(|| panic!("{help}"));
    assert!(own.contains("--json") && !own.contains("--key-file"), "{help}");
    assert!(global.contains("--key-file") && !global.contains("--json"), "{help}");
}
