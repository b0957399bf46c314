//! Module processes with real ones: each way to misbehave ends as its own clear error, the server goes on.

use crate::programs::hostile_modules;
use headworks::infra::host::{Gathered, Host, Ran, RunError, RunErrorKind, Settings};
use module_api::frame::{Input, MimeLimits, Parse, Stage};
use module_api::{Coordinates, Envelope, Outcome, PartKind, Value};
use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

fn settings() -> Settings {
    Settings {
        program: hostile_modules(),
        tmp: std::env::temp_dir(),
        children: 2,
        warm: 4,
        queue: 8,
        cpu_seconds: 1,
        data_bytes: 128 << 20,
        wall: Duration::from_secs(20),
        spill_bytes: 8 << 20,
        recycle_after: 256,
    }
}

const MAIL: &[u8] = b"Subject: s\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nhello\n--x\n\
    Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.txt\n\nd29ybGQ=\n--x--\n";

/// `bytes` as a file that is open read-only.
fn input(bytes: &[u8]) -> File {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    File::open(file.path()).unwrap()
}

fn parse(module: &str, customer: &str) -> Parse {
    Parse {
        module: format!("hostile/{module}"),
        coordinates: Coordinates { customer: customer.into(), ..Coordinates::default() },
        envelope: Envelope::default(),
        received_at: 0,
        settings: std::collections::BTreeMap::new(),
        input: Input::Mail { message_bytes: MAIL.len() as u64 },
        mime: MimeLimits::default(),
        archive: module_api::frame::ArchiveLimits::default(),
        budget: module_api::frame::Budget { rows: 1_000, findings: 100, ..Default::default() },
    }
}

async fn run(host: &Host, module: &str) -> Result<Ran<Gathered>, RunError> {
    host.parse(parse(module, "acme"), input(MAIL), Gathered::default()).await
}

/// The good module sees both parts: nothing that went before has left a trace.
async fn goes_on(host: &Host) {
    let ran = run(host, "good").await.unwrap();
    assert_eq!(ran.outcome, Outcome::Ok);
    assert_eq!(ran.profile.as_deref(), Some("plain"));
    let seen: Vec<_> = ran.collected.findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(seen, ["hello", "world"]);
    assert_eq!(ran.collected.rows[1].values[0], Value::Int(1));
    assert_eq!((ran.rows, ran.findings), (2, 2));
}

#[tokio::test]
async fn each_way_to_misbehave_ends_as_its_own_error_and_the_next_delivery_is_read() {
    let host = Host::start(settings()).await.unwrap();
    goes_on(&host).await;
    for (module, kind, message) in [
        ("socket", RunErrorKind::Died, "killed for a forbidden system call (SIGSYS)"),
        ("exec", RunErrorKind::Died, "killed for a forbidden system call (SIGSYS)"),
        ("kill_parent", RunErrorKind::Died, "killed for a forbidden system call (SIGSYS)"),
        ("memory", RunErrorKind::OutOfMemory, "asked for more memory than it may have"),
        ("spin", RunErrorKind::CpuLimit, "used up its cpu time"),
        ("abort", RunErrorKind::Died, "aborted (SIGABRT)"),
        ("panic", RunErrorKind::Died, "a bug in a module"),
        ("overflow", RunErrorKind::Died, "overflowed its stack"),
        ("exit", RunErrorKind::Died, "exited during the run with status 0"),
        ("findings", RunErrorKind::Budget, "more than 100 findings"),
        ("rows", RunErrorKind::Budget, "more than 1000 rows"),
        ("large_row", RunErrorKind::Budget, "1048576 allowed"),
        ("long_frame", RunErrorKind::BadFrame, "frame of 4294967295 bytes"),
        ("broken_frame", RunErrorKind::BadFrame, "frame is not a Reply"),
        ("fill_spill", RunErrorKind::Budget, "wrote more than the spill may hold"),
        ("wrong_table", RunErrorKind::BadFrame, "table 7 is not declared"),
        ("wrong_columns", RunErrorKind::BadFrame, "has 1 values where 2 columns are declared"),
        ("wrong_kind", RunErrorKind::BadFrame, ".n does not take the value of this row"),
        ("null_key", RunErrorKind::BadFrame, ".n does not take the value of this row"),
        ("wrong_word", RunErrorKind::BadFrame, ".colour does not take the value of this row"),
    ] {
        let error = run(&host, module).await.expect_err(module);
        assert_eq!(error.kind, kind, "{module}: {error}");
        assert!(error.message.contains(message), "{module}: {error}");
        assert_eq!(error.stage, Some(Stage::Module), "{module}");
        goes_on(&host).await;
    }
}

#[tokio::test]
async fn an_idle_host_knows_its_modules_and_starts_no_child_before_the_first_run() {
    let host = Host::idle(settings()).await.unwrap();
    assert!(host.declarations().iter().any(|declared| declared.id.ends_with("/good")));
    assert_eq!(host.state().started, 0);
    goes_on(&host).await;
    assert_eq!(host.state().started, 1);
}

#[tokio::test]
async fn what_is_merely_refused_is_the_modules_to_report() {
    let host = Host::start(settings()).await.unwrap();
    for module in ["fork", "thread", "open"] {
        let ran = run(&host, module).await.unwrap();
        let told: Vec<_> =
            ran.collected.findings.iter().map(|f| (f.rule.as_str(), f.message.as_str())).collect();
        assert_eq!(told, [("refused", format!("{module}: PermissionDenied").as_str())]);
    }
    assert_eq!(run(&host, "print").await.unwrap().rows, 1, "printing goes nowhere and blocks nobody");
    goes_on(&host).await;
}

#[tokio::test]
async fn a_run_that_waits_for_ever_ends_at_its_deadline_and_others_go_on_meanwhile() {
    let host = Host::start(Settings { wall: Duration::from_secs(1), ..settings() }).await.unwrap();
    let (stuck, ()) = tokio::join!(run(&host, "wait"), goes_on(&host));
    let error = stuck.unwrap_err();
    assert_eq!((error.kind, error.stage), (RunErrorKind::Deadline, Some(Stage::Module)));
    goes_on(&host).await;
}

#[tokio::test]
async fn dropping_a_run_kills_its_child_and_frees_its_place() {
    let host = Host::start(Settings { children: 1, ..settings() }).await.unwrap();
    let warm = host.state().started;
    tokio::select! {
        _ = run(&host, "wait") => panic!("nothing waits for ever"),
        () = eventually(|| (host.state().started > warm).then_some(())) => {}
    }
    let begun = Instant::now();
    goes_on(&host).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "the place was not freed before the wall-clock limit");
}

#[tokio::test]
async fn more_runs_than_may_wait_are_refused_at_once() {
    let host = Host::start(Settings { children: 1, queue: 1, ..settings() }).await.unwrap();
    let (first, second) = (run(&host, "wait"), run(&host, "wait"));
    let crowd = async { tokio::join!(first, second) };
    let third = async {
        eventually(|| (host.state().runs == 2).then_some(())).await;
        run(&host, "good").await.unwrap_err().kind
    };
    tokio::select! {
        _ = crowd => panic!("nothing waits for ever"),
        kind = third => assert_eq!(kind, RunErrorKind::Unavailable),
    }
    goes_on(&host).await;
}

#[tokio::test]
async fn children_are_replaced_after_enough_runs_and_for_another_customer() {
    // The first, for the start; then a, a | a | b, and a again where only one is kept.
    for (warm, started) in [(1, 5), (4, 4)] {
        let host = Host::start(Settings { children: 1, recycle_after: 2, warm, ..settings() }).await.unwrap();
        for customer in ["a", "a", "a", "b", "a"] {
            let ran = host.parse(parse("good", customer), input(MAIL), Gathered::default()).await.unwrap();
            assert_eq!(ran.rows, 2);
        }
        assert_eq!(host.state().started, started, "with {warm} kept warm");
    }
}

#[tokio::test]
async fn the_hello_says_which_walls_stand_and_what_was_found_open() {
    let leaked = tempfile::tempfile().unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let host = Host::start(settings()).await.unwrap();
    let state = host.state();
    assert!(state.walls.seccomp_calls > 20);
    assert!(state.walls.descriptors_closed > 0, "a descriptor of the server without close-on-exec is closed");
    assert!(state.version.starts_with(concat!(env!("CARGO_PKG_VERSION"), "+reading.")), "{}", state.version);
    assert_eq!(host.declarations()[0].id, "hostile/good");
}

#[tokio::test]
async fn a_mail_is_split_and_its_trailer_left_alone() {
    let host = Host::start(settings()).await.unwrap();
    let with_trailer = [MAIL, b"--x\n\ntrailer of the spool"].concat();
    let split = host.split(input(&with_trailer), MAIL.len() as u64, MimeLimits::default()).await.unwrap();
    assert_eq!(split.head.subject.as_deref(), Some("s"));
    let kinds: Vec<_> = split.parts.iter().map(|p| (p.path.as_str(), p.kind)).collect();
    assert_eq!(kinds, [("1", PartKind::Body), ("2", PartKind::Attachment)]);
    let short = host.split(input(MAIL), MAIL.len() as u64 + 1, MimeLimits::default()).await.unwrap_err();
    assert_eq!(short.kind, RunErrorKind::Io);
}

#[tokio::test]
async fn mails_made_to_kill_parsers_end_as_one_opaque_part() {
    let nested = "Content-Type: message/rfc822\n\n".repeat(24_000);
    let inner: String =
        (0..40_000).map(|i| format!("--o\nContent-Type: multipart/mixed; boundary=n{i}\n\nx\n")).collect();
    let boundaries = format!("Content-Type: multipart/mixed; boundary=o\n\n{inner}");
    let host = Host::start(settings()).await.unwrap();
    for (mail, code) in [(nested, "mime_depth"), (boundaries, "mime_parts")] {
        let begun = Instant::now();
        let split =
            host.split(input(mail.as_bytes()), mail.len() as u64, MimeLimits::default()).await.unwrap();
        assert_eq!(split.parts.len(), 1);
        assert_eq!(split.parts[0].problems[0].code, code);
        assert!(begun.elapsed() < Duration::from_secs(5), "{code} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_input_that_could_be_changed_is_not_handed_out() {
    let host = Host::start(settings()).await.unwrap();
    let writable = tempfile::tempfile().unwrap();
    let error = host.split(writable, 0, MimeLimits::default()).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (RunErrorKind::Io, "input is not open read-only"));
}

#[tokio::test]
async fn a_program_that_is_missing_or_is_none_of_ours_is_unavailable() {
    for program in ["/nonexistent/headworks-modules", "/bin/true"] {
        let error = Host::start(Settings { program: program.into(), ..settings() }).await.unwrap_err();
        assert_eq!(error.kind, RunErrorKind::Unavailable, "{error}");
    }
}

/// Set in the second process of the next test, which plays the server that is killed.
const PLAYS_SERVER: &str = "HEADWORKS_TEST_PLAYS_SERVER";

#[tokio::test]
async fn children_die_with_the_server() {
    if std::env::var_os(PLAYS_SERVER).is_some() {
        let host =
            Host::start(Settings { cpu_seconds: 60, wall: Duration::from_secs(60), ..settings() }).await;
        panic!("{:?}", run(&host.unwrap(), "spin").await.unwrap_err());
    }
    hostile_modules();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["sandbox::children_die_with_the_server", "--exact"])
        .env(PLAYS_SERVER, "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let spinning = |pid: &u32| used_cpu(*pid).is_some_and(|ticks| ticks > 10);
    let child = eventually(|| children_of(server.id()).into_iter().find(spinning)).await;
    server.kill().unwrap();
    server.wait().unwrap();
    eventually(|| used_cpu(child).is_none().then_some(())).await;
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(seen) = look() {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never came true");
}

/// State, parent and the following fields of `/proc/PID/stat`; `None` for a process that is gone or only unreaped.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    (fields[0] != "Z" && fields[0] != "X").then_some(fields)
}

fn used_cpu(pid: u32) -> Option<u64> {
    stat(pid)?[11].parse().ok()
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|s| s[1] == parent.to_string())).collect()
}
