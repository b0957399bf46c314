//! The command line: the real program, as operators and scripts call it.

mod kafka;
mod live;
mod post;
mod tls;
mod ways;

use crate::appliance::{Site, deposit, fixture};
use crate::processes::each_store;
use crate::programs::{Served, programs};
use crate::stores;
use headworks_spool::Spool;
use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const TO: &str = "bobs@ingest.example.com";
const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"api\"]\n";

/// A site and the command line of it.
struct Shell {
    site: Site,
    postgres: Option<String>,
}

impl Shell {
    fn new(postgres: Option<String>) -> Self {
        Self::with(postgres, "")
    }

    /// With these lines more in its configuration.
    fn with(postgres: Option<String>, extra: &str) -> Self {
        Self { site: Site::new(postgres.clone(), &format!("{LISTEN}{extra}")), postgres }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join("headworks"));
        command.args(arguments).env("HEADWORKS_CONFIG", self.site.directory.path().join("headworks.toml"));
        for name in ["HEADWORKS_URL", "HEADWORKS_KEY", "HEADWORKS_KEY_FILE", "HEADWORKS_CA"] {
            command.env_remove(name);
        }
        command.envs(self.postgres.iter().map(|url| ("HEADWORKS__STORE__URL", url)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Standard output of a command that must go well.
    fn says(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    /// The objects a command with `--json` prints.
    fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.says(&[arguments, &["--json"]].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn exit(&self, arguments: &[&str]) -> i32 {
        self.run(arguments).status.code().unwrap()
    }

    fn serve(&self) -> Served {
        Served::start(self.command(&["serve"]), &self.site.state().join("control.sock"))
    }

    /// Mails of both formats and one that nobody expects, settled.
    fn with_mails(&self) -> Served {
        let served = self.serve();
        let spool = Spool::open(&self.site.state().join("spool"), None).unwrap();
        deposit(&spool, "Q1", TO, &fixture("system_report/01_happy_path"));
        deposit(&spool, "Q2", TO, &fixture("alert/01_warning"));
        deposit(&spool, "Q3", TO, b"Subject: lunch?\n\nAt noon.\n");
        self.wait_for("two finished, one held, all sealed", || {
            self.objects(&["jobs", "list", "--state", "completed"]).len() == 4
                && self.objects(&["held", "list"]).len() == 1
                && self
                    .objects(&["deliveries", "list"])
                    .iter()
                    .all(|delivery| !delivery["sealed_at"].is_null())
        });
        served
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_is_answered_without_one_too() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let served = shell.with_mails();
        let lists: [&[&str]; 6] = [
            &["jobs", "list"],
            &["deliveries", "list"],
            &["held", "list"],
            &["queues", "list"],
            &["keys", "list"],
            &["modules", "list"],
        ];
        let beside = lists.map(|list| shell.objects(list));
        assert_eq!(served.stop(), Some(0), "SIGTERM ends a server well");
        assert_eq!(lists.map(|list| shell.objects(list)), beside);
        assert_eq!(beside[1].len(), 3);
        assert!(shell.says(&["jobs", "list"]).starts_with(" ID"), "people get a table");
    })
    .await;
}

/// What a command is told on a host that has nothing but the configuration and the way to the store.
const ELSEWHERE: [&str; 2] = ["--set", "server.state_dir=/nowhere/headworks"];

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_host_without_volumes_lacks_only_the_contents_of_mails() {
    let Some(server) = stores::postgres() else { return };
    stores::with_database(&server, |url| async { tokio::task::block_in_place(|| without_volumes(url)) })
        .await;
}

fn without_volumes(url: String) {
    let shell = Shell::new(Some(url));
    let served = shell.with_mails();
    let lists: [&[&str]; 5] = [
        &["jobs", "list"],
        &["deliveries", "list"],
        &["queues", "list"],
        &["keys", "list"],
        &["modules", "list"],
    ];
    let elsewhere = |arguments: &[&str]| shell.run(&[arguments, &ELSEWHERE].concat());
    let beside = lists.map(|list| shell.objects(list));
    assert_eq!(lists.map(|list| shell.objects(&[list, &ELSEWHERE].concat())), beside, "beside the server");
    assert_eq!(served.stop(), Some(0));
    assert_eq!(lists.map(|list| shell.objects(&[list, &ELSEWHERE].concat())), beside, "without it");

    let held = shell.objects(&[&["held", "list"], &ELSEWHERE[..]].concat())[0]["job_id"].to_string();
    let delivery = beside[1][0]["id"].as_str().unwrap();
    let job = beside[0][0]["id"].to_string();
    assert!(elsewhere(&["jobs", "show", &job]).status.success());
    for bytes in [&["held", "show", &held], &["deliveries", "show", delivery]] {
        let ended = elsewhere(bytes);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success() && said.contains("/nowhere/headworks/inbox: "), "{bytes:?}: {said}");
    }
    assert!(elsewhere(&["trace", delivery]).status.success());
    let verify = elsewhere(&["verify"]);
    assert_eq!(verify.status.code(), Some(3), "{}", String::from_utf8_lossy(&verify.stderr));

    assert!(elsewhere(&["queues", "pause", "parse:hydrastor/alert"]).status.success());
    assert!(elsewhere(&["queues", "resume", "parse:hydrastor/alert"]).status.success());
    let alert = &shell.objects(&["deliveries", "list", "--type", "alert"])[0]["id"];
    let replayed = elsewhere(&["replay", alert.as_str().unwrap()]);
    let replayed = String::from_utf8(replayed.stdout).unwrap();
    assert!(elsewhere(&["held", "release", &held]).status.success());
    assert!(!Path::new("/nowhere").exists(), "nothing is left on that host");

    let _served = shell.serve();
    shell.wait_for("the replay", || {
        shell.objects(&["jobs", "show", replayed.trim()])[0]["state"] == "completed"
    });
    shell.wait_for("held once more", || shell.objects(&["held", "list"]).len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_makes_the_schema_and_finds_it_made() {
    migrates_once_and_again(None);
    if let Some(server) = stores::postgres() {
        stores::with_empty_database(&server, |url| async {
            tokio::task::block_in_place(|| migrates_once_and_again(Some(url)));
        })
        .await;
    }
}

fn migrates_once_and_again(postgres: Option<String>) {
    let shell = Shell::new(postgres);
    let migrate = || {
        let ended = shell.run(&["migrate"]);
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stderr).unwrap()
    };
    let first = migrate();
    assert!(first.contains("migrations run") && !first.contains("(0 migrations"), "{first}");
    let second = migrate();
    assert!(second.contains("the schema is up to date (0 migrations run)"), "{second}");
    assert_eq!(shell.objects(&["jobs", "list"]).len(), 0);
}

#[test]
fn a_long_list_says_how_to_go_on() {
    let shell = Shell::new(None);
    let _served = shell.with_mails();
    for name in ["reader", "operator"] {
        shell.says(&["keys", "create", "--name", name, "--grant", "read"]);
    }
    for noun in ["jobs", "deliveries", "queues", "modules", "keys"] {
        let all = shell.objects(&[noun, "list"]);
        let first = shell.run(&[noun, "list", "--json", "--limit", "1"]);
        assert_eq!(String::from_utf8(first.stdout).unwrap().lines().count(), 1, "{noun}");
        let said = String::from_utf8(first.stderr).unwrap();
        let cursor = said.trim().rsplit(' ').next().unwrap();
        assert_eq!(shell.objects(&[noun, "list", "--cursor", cursor]), all[1..], "{noun}");
    }
    assert!(shell.run(&["jobs", "list", "--limit", "2", "--quiet"]).stderr.is_empty());
}

#[test]
fn lists_are_whole_however_small_the_pages_of_the_server_are() {
    let shell = Shell::with(None, "[http]\ndefault_page = 1\nmax_page = 2\n");
    let served = shell.with_mails();
    for (noun, count) in [("jobs", 5), ("deliveries", 3), ("queues", 3)] {
        assert_eq!(shell.objects(&[noun, "list"]).len(), count, "{noun}");
        assert_eq!(shell.objects(&[noun, "list", "--limit", "3"]).len(), 3, "{noun}");
    }
    assert_eq!(shell.exit(&["verify"]), 0);
    let job = shell.objects(&["held", "list"])[0]["job_id"].to_string();
    assert_eq!(shell.says(&["held", "release", "--reason", "no_rule", "--yes"]).trim(), job);
    assert_eq!(served.stop(), Some(0));
    assert_eq!(shell.objects(&["jobs", "list"]).len(), 5, "nor without a server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_the_whole_story_by_any_of_its_ids() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let _served = shell.with_mails();
        let delivery = &shell.objects(&["deliveries", "list", "--type", "alert"])[0];
        let id = delivery["id"].as_str().unwrap();
        let story = shell.says(&["trace", id]);
        for part in
            ["Subject", "missed at subject", "matched", "parse:hydrastor/alert", "started", "hydrastor_alert"]
        {
            assert!(story.contains(part), "{part} is missing in:\n{story}");
        }
        for (field, value) in [
            ("client_name", "mx.dc1.example"),
            ("client_helo", "grid-7"),
            ("sasl_user", "gridmaster"),
            ("nexthop", "ingest.example.com"),
            ("queue_id", "Q2"),
        ] {
            let shown = story.lines().any(|line| line.split_whitespace().eq([field, value]));
            assert!(shown, "{field} {value} is missing in:\n{story}");
        }
        let receipt = delivery["receipt_id"].as_str().unwrap();
        assert_eq!(shell.says(&["trace", receipt]), story);
        let job = shell.objects(&["jobs", "list", "--type", "alert"])[0]["id"].to_string();
        assert_eq!(shell.says(&["trace", &job]), story);
        assert_eq!(shell.exit(&["trace", "00000000-0000-8000-8000-000000000000"]), 3);
        assert_eq!(shell.exit(&["trace", "lunch"]), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_mail_is_shown_assigned_released_and_discarded() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let _served = shell.with_mails();
        let job = shell.objects(&["held", "list"])[0]["job_id"].to_string();
        assert!(shell.says(&["held", "show", &job]).contains("lunch?"));
        assert_eq!(shell.exit(&["held", "release", "--reason", "no_rule"]), 4, "many at once need --yes");
        shell.says(&["held", "release", "--reason", "no_rule", "--yes"]);
        shell.wait_for("held once more", || shell.objects(&["held", "list"]).len() == 1);
        assert_eq!(shell.exit(&["held", "discard", &job]), 4, "what ends for good needs --yes");
        shell.says(&["held", "discard", &job, "--yes"]);
        assert_eq!(shell.objects(&["held", "list"]).len(), 0);
        assert_eq!(shell.exit(&["held", "release", &job]), 4, "it is not held any more");
        shell.says(&["jobs", "retry", &job]);
        shell.wait_for("held as a new job", || shell.objects(&["held", "list"]).len() == 1);
        let again = shell.objects(&["held", "list"])[0]["job_id"].to_string();
        let place = ["--customer", "bobs", "--category", "hydrastor", "--type", "alert"];
        shell.says(&[&["held", "assign", &again], &place[..]].concat());
        shell.wait_for("held again, rejected by the module", || {
            let held = shell.objects(&["held", "list"]);
            held.len() == 1 && held[0]["reason"] == "rejected"
        });
        shell.says(&["held", "discard", "--reason", "rejected", "--yes"]);
        assert_eq!(shell.objects(&["held", "list"]).len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_and_replay_take_the_id_of_a_job_a_delivery_or_a_receipt() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let _served = shell.with_mails();
        let held = &shell.objects(&["deliveries", "list", "--held"])[0];
        let ids = [&held["id"], &held["receipt_id"]].map(|id| id.as_str().unwrap());
        let job = shell.objects(&["held", "list"])[0]["job_id"].to_string();
        let shown = shell.says(&["held", "show", &job]);
        for id in ids {
            assert_eq!(shell.says(&["held", "show", id]), shown);
            assert_eq!(shell.says(&["held", "release", id]).trim(), job);
            shell.wait_for("held once more", || shell.objects(&["held", "list"]).len() == 1);
        }
        let alert = &shell.objects(&["deliveries", "list", "--type", "alert"])[0];
        let parse = shell.objects(&["jobs", "list", "--queue", "parse:hydrastor/alert"])[0]["id"].to_string();
        for id in [alert["id"].as_str().unwrap(), alert["receipt_id"].as_str().unwrap(), &parse] {
            let made = shell.says(&["replay", id]);
            let job = || shell.objects(&["jobs", "show", made.trim()])[0].clone();
            assert_eq!(job()["delivery_id"], alert["id"]);
            shell.wait_for("the replay", || job()["state"] == "completed");
        }
        let (nobody, finished) = ("00000000-0000-8000-8000-000000000000", alert["id"].as_str().unwrap());
        assert_eq!([shell.exit(&["held", "show", nobody]), shell.exit(&["replay", nobody])], [3, 3]);
        assert_eq!(shell.exit(&["held", "show", finished]), 3, "nothing of it is held");
        assert_eq!([shell.exit(&["held", "show", "lunch"]), shell.exit(&["replay", "lunch"])], [2, 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_can_be_released_are_released_and_the_others_are_reported() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let _served = shell.with_mails();
        let job = shell.objects(&["held", "list"])[0]["job_id"].to_string();
        let ended = shell.run(&["held", "release", "888888", &job, "999999"]);
        assert_eq!(ended.status.code(), Some(5));
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), job);
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(told.contains("job 888888: ") && told.contains("job 999999: "), "{told}");
        shell.wait_for("held once more", || shell.objects(&["held", "list"]).len() == 1);
        assert_eq!(shell.exit(&["held", "release", "888888", "999999"]), 1, "none could be");
        assert_eq!(shell.exit(&["held", "release", "999999"]), 3, "one alone fails in its own way");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_queues_replay_and_log() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let _served = shell.with_mails();
        let job = &shell.objects(&["jobs", "list", "--state", "completed"])[0];
        let id = job["id"].to_string();
        assert!(shell.says(&["jobs", "show", &id]).contains("timeline"));
        assert_eq!([shell.exit(&["jobs", "cancel", &id]), shell.exit(&["jobs", "retry", &id])], [4, 4]);
        let queue = "parse:hydrastor/alert";
        assert!(shell.says(&["queues", "pause", queue, "--json"]).contains("\"paused\":true"));
        assert!(shell.says(&["queues", "resume", queue, "--json"]).contains("\"paused\":false"));
        assert_eq!(shell.exit(&["queues", "pause", "parse:nothing/there"]), 3);
        let delivery =
            shell.objects(&["deliveries", "list", "--type", "alert"])[0]["id"].as_str().unwrap().to_owned();
        assert!(shell.says(&["deliveries", "show", &delivery]).contains("hydrastor-alert"));
        let made = shell.says(&["replay", &delivery]);
        let state = || shell.objects(&["jobs", "show", made.trim()])[0]["state"].clone();
        shell.wait_for("the replay", || state() == "completed");
        assert_eq!(shell.exit(&["log", "tail", "nothing"]), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_opens_the_door_until_it_is_revoked() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let served = shell.serve();
        let key =
            shell.says(&["keys", "create", "--name", "ops", "--grant", "read,operate", "--expires", "90d"]);
        assert!(key.starts_with("hw_"));
        let listed = shell.says(&["keys", "list", "--json"]);
        assert!(listed.contains("\"ops\"") && !listed.contains(key.trim()));
        let url = served.url();
        let remote = |key: &str| {
            let mut command = shell.command(&["jobs", "list", "--json", "--url", &url]);
            command.env("HEADWORKS_KEY", key).output().unwrap().status.code()
        };
        assert_eq!(remote(key.trim()), Some(0));
        assert_eq!(remote("hw_wrong"), Some(4));
        let mut import = shell.command(&["keys", "import", "--name", "old", "--grant", "read"]);
        let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(b"s3cret-of-before\n").unwrap();
        assert!(import.wait().unwrap().success());
        assert_eq!(remote("s3cret-of-before"), Some(0));
        shell.says(&["keys", "revoke", "ops"]);
        assert_eq!(shell.exit(&["keys", "revoke", "nobody"]), 3);
        shell.wait_for("the end of the key", || remote(key.trim()) == Some(4));
    })
    .await;
}

#[test]
fn scripts_can_rely_on_exit_codes() {
    let shell = Shell::new(None);
    assert_eq!(shell.exit(&["jobs", "show", "1"]), 3);
    assert_eq!(shell.exit(&["jobs", "show", "one"]), 2);
    assert_eq!(shell.exit(&["nothing"]), 2);
    assert_eq!(shell.exit(&["jobs", "list", "--state", "lost"]), 2);
    assert_eq!(shell.exit(&["jobs", "list", "--url", "http://127.0.0.1:1"]), 6);
    assert_eq!(shell.exit(&["jobs", "list", "--url", "ftp://127.0.0.1:1"]), 2);
    assert_eq!(shell.exit(&["config", "check", "--set", "jobs.lese=1m"]), 2);
    assert_eq!(shell.exit(&["rules", "test", "/nowhere.eml"]), 3);
}

#[test]
fn no_command_prints_a_secret() {
    const MARKER: &str = "MARKER-d41d8cd9";
    let shell = Shell::new(None);
    let with = |arguments: &[&str]| {
        let url = format!("postgres://user:{MARKER}@127.0.0.1:1/none");
        let ended = shell.command(arguments).env("HEADWORKS__STORE__URL", url).output().unwrap();
        [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    };
    let printed = with(&["config", "print", "--origin"]);
    assert!(printed.contains("***") && !printed.contains(MARKER), "{printed}");
    let refused = with(&["migrate", "--set", "store.kind=postgres", "--log-level", "trace"]);
    assert!(!refused.is_empty() && !refused.contains(MARKER), "{refused}");
}

#[test]
fn rules_are_tested_and_profiles_drafted_without_a_server() {
    let shell = Shell::new(None);
    let file = shell.site.directory.path().join("mail.eml");
    std::fs::write(&file, fixture("system_report/20_a_label_never_seen_before")).unwrap();
    let file = file.to_str().unwrap();
    let said = shell.says(&["rules", "test", file, "--recipient", TO]);
    assert!(said.contains("rule hydrastor-report: matched"), "{said}");
    assert!(said.contains("routed to bobs/hydrastor/system_report/"), "{said}");
    let said = shell.says(&["rules", "test", file]);
    assert!(said.contains("recipient acme@in.example") && said.contains("held: unknown_customer"), "{said}");
    let json = &shell.objects(&["rules", "test", file, "--recipient", TO])[0];
    assert_eq!(json["customer"], "bobs");
    let draft = shell.says(&["modules", "draft-profile", file, "--module", "hydrastor/system_report"]);
    assert!(draft.contains("# UNMAPPED"), "{draft}");
    assert_eq!(shell.exit(&["modules", "draft-profile", file]), 2, "no rule says which module");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_trees_are_found_and_repaired() {
    each_store(|postgres| {
        let shell = Shell::new(postgres);
        let served = shell.with_mails();
        assert_eq!(shell.exit(&["verify"]), 0);
        let delivery = &shell.objects(&["deliveries", "list", "--type", "system_report"])[0];
        let tree = shell.site.state().join("inbox").join(delivery["path"].as_str().unwrap());
        let part = |tree: &Path| {
            let entries = std::fs::read_dir(tree).unwrap().map(|entry| entry.unwrap().path());
            entries
                .into_iter()
                .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("001-"))
                .unwrap()
        };
        let writable =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        writable(&tree, 0o750);
        writable(&part(&tree), 0o640);
        std::fs::write(part(&tree), "damaged").unwrap();
        let alert = &shell.objects(&["deliveries", "list", "--type", "alert"])[0];
        let copies = shell.site.state().join("archive").join(alert["path"].as_str().unwrap());
        writable(&copies, 0o750);
        std::fs::remove_file(copies.join("message.eml")).unwrap();
        writable(&copies, 0o550);
        let stray = shell.site.state().join("inbox/bobs/a/b/c/20260101_000000");
        std::fs::create_dir_all(&stray).unwrap();
        let troubles = shell.run(&["verify", "--json"]);
        assert_eq!(troubles.status.code(), Some(1));
        let said = String::from_utf8(troubles.stdout).unwrap();
        for trouble in ["has other bytes", "its copy is missing", "\"stray\""] {
            assert!(said.contains(trouble), "{trouble}: {said}");
        }
        assert_eq!(shell.exit(&["verify", "--repair"]), 4, "a server runs");
        assert_eq!(served.stop(), Some(0));
        assert_eq!(shell.exit(&["verify", "--repair"]), 5, "the stray is younger than an hour");
        std::fs::remove_dir(&stray).unwrap();
        assert_eq!(shell.exit(&["verify"]), 0);
        for sealed in [tree, copies] {
            assert_eq!(
                std::fs::metadata(&sealed).unwrap().permissions().mode() & 0o777,
                0o550,
                "sealed again"
            );
        }
    })
    .await;
}

#[test]
fn the_lines_for_postfix_name_this_installation() {
    let shell = Shell::new(None);
    assert_eq!(shell.exit(&["postfix", "snippet"]), 3, "no spool yet");
    let _served = shell.serve();
    let spool = Spool::open(&shell.site.state().join("spool"), None).unwrap();
    let snippet = shell.says(&["postfix", "snippet"]);
    assert!(snippet.contains(&spool.id().to_string()) && !snippet.contains('@'), "{snippet}");
}

#[test]
fn completions_and_the_manual_page_know_every_command() {
    let shell = Shell::new(None);
    let bash = shell.says(&["completions", "bash"]);
    let page = shell.says(&["man"]);
    for noun in [
        "serve",
        "demo",
        "migrate",
        "config",
        "keys",
        "jobs",
        "held",
        "deliveries",
        "trace",
        "replay",
        "rules",
    ] {
        assert!(bash.contains(noun) && page.contains(noun), "{noun}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let shell = Shell::new(None);
    let mut child = shell.command(&["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let tmp = tempfile::tempdir().unwrap();
    let mut demo = Command::new(programs().join("headworks"));
    let ended = demo.args(["demo", "--once", "--quiet"]).env("TMPDIR", tmp.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for shown in ["hydrastor_grid_snapshot", "hydrastor_alert", "no_rule", "malformed"] {
        assert!(said.contains(shown), "{shown} is missing in:\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "a subject has reached the terminal as it is");
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}

#[test]
fn a_new_module_passes_its_test_at_once() {
    let checkout = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parts =
        ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "src", "modules", "postfix", "benches", "tests"];
    let copied =
        Command::new("cp").arg("-r").args(parts.map(|part| source.join(part))).arg(checkout.path()).status();
    assert!(copied.unwrap().success());
    let new = |name: &str| {
        let mut command = Command::new(programs().join("headworks"));
        command.args(["modules", "new", name]).current_dir(checkout.path().join("modules"));
        command.status().unwrap().code()
    };
    assert_eq!(new("acme_two"), Some(0));
    assert_eq!([new("acme_two"), new("../acme"), new("api")], [Some(4), Some(2), Some(4)]);
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--quiet", "--offline", "--package", "module-acme_two"]).current_dir(checkout.path());
    let ended = test.env("CARGO_TARGET_DIR", checkout.path().join("target")).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));

    let cases = checkout.path().join("modules/acme_two/fixtures/report");
    let case = std::fs::read_dir(cases).unwrap().next().unwrap().unwrap().path();
    std::fs::write(case.join("expected.json"), "{}").unwrap();
    let mut test = Command::new(programs().join("headworks"));
    test.args(["modules", "test", "acme_two"]).current_dir(checkout.path());
    let environment =
        [("CARGO_TARGET_DIR", checkout.path().join("target")), ("CARGO_NET_OFFLINE", "true".into())];
    let broken = test.envs(environment).output().unwrap();
    assert_eq!(broken.status.code(), Some(1), "{}", String::from_utf8_lossy(&broken.stdout));
}

#[test]
fn the_fixtures_of_a_module_are_run_in_its_crate_and_taken_apart_as_in_production() {
    let test = |name: &str, place: &Path| {
        let mut test = Command::new(programs().join("headworks"));
        test.args(["modules", "test", name]).env("CARGO_NET_OFFLINE", "true").current_dir(place);
        test.output().unwrap()
    };
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ended = test("hydrastor", checkout);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("module_hydrastor") && told.contains("tests/fixtures.rs"), "{told}");
    assert_eq!(test("nothing", checkout).status.code(), Some(3));
    assert_eq!(test("hydrastor", &std::env::temp_dir()).status.code(), Some(2), "no checkout");
}
