//! The ways in which people post one report with curl: each ends in its rows, or in words that say what went wrong.

use super::{Shell, each_store, fixture};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// How a report is sent from a directory that holds it in many forms. `$TO` is the address with coordinates, `$WHERE` the
/// coordinates alone.
const WAYS: [(&str, &str); 25] = [
    ("the default type, a form", "curl --data-binary @report.txt $TO"),
    ("text", "curl --data-binary @report.txt -H 'Content-Type: text/plain' $TO"),
    (
        "text with a character set",
        "curl --data-binary @wide.txt -H 'Content-Type: text/plain; charset=utf-16' $TO",
    ),
    ("no type", "curl --data-binary @report.txt -H 'Content-Type:' $TO"),
    ("a type that is none", "curl --data-binary @report.txt -H 'Content-Type: text' $TO"),
    ("bytes", "curl --data-binary @report.txt -H 'Content-Type: application/octet-stream' $TO"),
    ("another type", "curl --data-binary @report.txt -H 'Content-Type: application/json' $TO"),
    ("-T", "curl -T report.txt $TO"),
    ("-T below a slash", "curl -T report.txt $URL/api/1.0/deliveries/?$WHERE"),
    ("-T with the name in the path", "curl -T report.txt $URL/api/1.0/deliveries/report.log?$WHERE"),
    ("-T of standard input", "cat report.txt | curl -T - $TO"),
    ("a form", "curl -F file=@report.txt $TO"),
    ("a form whose file has another name", "curl -F 'file=@report.txt;type=text/plain;filename=today' $TO"),
    ("a form without a file name", "curl -F 'file=<report.txt' $TO"),
    ("a form with another field", "curl -F report=@report.txt $TO"),
    ("a form under another type", "curl -F file=@report.txt -H 'Content-Type: text/plain' $TO"),
    ("gzip as the file", "curl --data-binary @today.gz $TO"),
    ("gzip with an odd name in a form", "curl -F file=@today.gz $TO"),
    ("gzip as the coding", "curl --data-binary @today.gz -H 'Content-Encoding: gzip' $TO"),
    ("tar", "tar -czf - report.txt | curl -T - $TO"),
    ("zip", "python3 -m zipfile -c today.zip report.txt && curl -F file=@today.zip $TO"),
    ("a mail in a form", "curl -F file=@report.eml $TO"),
    ("a mail", "curl --data-binary @report.eml $TO"),
    ("a packed mail", "gzip -c report.eml | curl --data-binary @- -H 'Content-Type: text/plain' $TO"),
    ("lines of Windows", "sed 's/$/\\r/' report.txt | curl -T - $TO"),
];

/// Ways that spoil a report, and what is said of it.
const SPOILT: [(&str, &str); 2] = [
    ("curl -d @report.txt $TO", "no line ends: was it sent with -d?"),
    ("curl --data-urlencode @report.txt $TO", "percent-encoded: was it sent with --data-urlencode?"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_report_becomes_its_rows_however_curl_sends_it() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let served = shell.serve();
        let curl = Curl::new(&shell, &served.url());
        for (number, (title, way)) in (1..).zip(WAYS) {
            let grid = format!("grid-of-way-{number}");
            let receipt = curl.send(&grid, way, "wait=30s");
            assert_eq!(receipt["state"], "completed", "{title}: {way}: {}", shell.last_error(&receipt));
            let filter = format!("grid_name=eq:{grid}");
            let rows = shell.objects(&["rows", "hydrastor_grid_snapshot", "--filter", &filter]);
            assert_eq!(rows.len(), 1, "{title}: {way}");
            let nodes = format!("grid_key=eq:{}", rows[0]["grid_key"].as_str().unwrap());
            let nodes = shell.objects(&["rows", "hydrastor_node_snapshot", "--filter", &nodes]);
            assert!(nodes.len() > 1, "{title}: {way}: {nodes:?}");
            eprintln!("{number:2}  {title:40} {way:85} {} rows", rows.len() + nodes.len());
        }
        for (way, said) in SPOILT {
            let receipt = curl.send("spoilt", way, "wait=30s");
            assert_eq!(receipt["state"], "failed", "{way}: {receipt}");
            let error = shell.last_error(&receipt);
            assert!(error.contains("one part: text/plain, ") && error.contains(said), "{way}: {error}");
            eprintln!("    {way:60} {error}");
        }
        assert_eq!(served.stop(), Some(0));
    })
    .await;
}

#[test]
fn the_lines_in_the_help_of_post_do_what_they_say() {
    let shell = Shell::new(None);
    let help = shell.says(&["deliveries", "post", "--help"]);
    let (_, lines) = help.split_once("KEY:\n").unwrap_or_else(|| panic!("{help}"));
    let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    assert!(lines.len() > 4 && lines.iter().all(|line| line.len() < 120), "{lines:#?}");
    let served = shell.serve();
    let curl = Curl::new(&shell, &served.url());
    curl.write("grid-of-help");
    let said = curl.bash(&lines.join("\n"));
    let receipts: Vec<Value> = serde_json::Deserializer::from_str(&said)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(receipts.len(), lines.iter().filter(|line| line.contains("curl")).count(), "{said}");
    for receipt in receipts {
        let id = receipt["receipt_id"].as_str().unwrap();
        shell.wait_for("the rows", || shell.objects(&["receipts", "show", id])[0]["state"] == "completed");
    }
    assert_eq!(served.stop(), Some(0));
}

/// Sends reports to a server.
struct Curl<'a> {
    directory: &'a Path,
    url: String,
    key: String,
}

impl<'a> Curl<'a> {
    fn new(shell: &'a Shell, url: &str) -> Self {
        let key = shell.says(&["keys", "create", "--name", "sender", "--grant", "ingest"]).trim().to_owned();
        assert!(key.starts_with("hw_") && !key.contains('\n'), "{key}");
        Self { directory: shell.site.directory.path(), url: url.to_owned(), key }
    }

    /// Writes a report of this grid in the forms that are sent.
    fn write(&self, grid: &str) {
        let mail = String::from_utf8(fixture("system_report/01_happy_path")).unwrap();
        let mail = mail.replace("icecream_machine", grid).replace("HS8-0000417", grid);
        let (_, text) = mail.split_once("\n\n").unwrap();
        std::fs::write(self.directory.join("report.eml"), &mail).unwrap();
        std::fs::write(self.directory.join("report.txt"), text).unwrap();
        self.bash("gzip -c report.txt >today.gz; iconv -t UTF-16 report.txt >wide.txt");
    }

    fn send(&self, grid: &str, way: &str, more: &str) -> Value {
        self.write(grid);
        let coordinates = format!("customer=bobs&category=hydrastor&type=system_report&{more}");
        let way = way.replace("curl ", "curl -sSf -H \"X-Api-Key: $KEY\" ");
        let way = way.replace("$TO", "\"$URL/api/1.0/deliveries?$WHERE\"").replace("?$WHERE", "?\"$WHERE\"");
        let said = self.bash(&format!("WHERE='{coordinates}'\n{way}"));
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{way}: {e}: {said}"))
    }

    fn bash(&self, script: &str) -> String {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(self.directory);
        let ended = bash.env("URL", &self.url).env("KEY", &self.key).output().unwrap();
        assert!(ended.status.success(), "{script}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }
}

impl Shell {
    /// The last error of the last job of a receipt.
    fn last_error(&self, receipt: &Value) -> String {
        let trace = self.objects(&["trace", receipt["receipt_id"].as_str().unwrap()]);
        let jobs = trace[0]["jobs"].as_array().unwrap();
        jobs.iter().rev().find_map(|job| job["last_error"].as_str()).unwrap_or_default().to_owned()
    }
}
