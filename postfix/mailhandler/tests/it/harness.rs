//! Calls of the program as Postfix makes them.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub use crate::bench::Bench;
use crate::bench::read;
use headworks_spool::{Envelope, State};
use uuid::Uuid;

impl Bench {
    pub fn call(&self) -> Call {
        Call::new(&self.path(), self.spool.id())
    }

    /// Every accepted entry, read and verified.
    pub fn mails(&self) -> Vec<(Envelope, Vec<u8>)> {
        self.names(State::Whole).into_iter().map(|name| read(&self.spool, name)).collect()
    }
}

/// One run of the program.
#[derive(Clone)]
pub struct Call {
    pub options: Vec<(&'static str, OsString)>,
    pub recipient: OsString,
    pub mail: Vec<u8>,
}

impl Call {
    pub fn new(spool: &Path, id: Uuid) -> Self {
        let call =
            Self { options: Vec::new(), recipient: "acme@ingest.example.com".into(), mail: Vec::new() };
        call.set("--spool", spool.as_os_str())
            .set("--spool-id", id.to_string())
            .set("--min-free", "1MiB")
            .set("--queue-id", "4fXyz12345")
            .set("--sender", "a@b.example")
            .mail(b"Return-Path: <a@b.example>\nX-Original-To: acme@ingest.example.com\nSubject: x\n\nbody\n")
    }

    /// Replaces an option's value.
    pub fn set(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.options.retain(|(option, _)| *option != name);
        self.options.push((name, value.into()));
        self
    }

    pub fn recipient(mut self, recipient: impl Into<Vec<u8>>) -> Self {
        self.recipient = OsString::from_vec(recipient.into());
        self
    }

    /// What stdin brings, with the `--size` that belongs to it.
    pub fn mail(mut self, mail: &[u8]) -> Self {
        self.mail = mail.to_vec();
        self.set("--size", postfix_size(mail).to_string())
    }

    /// The same call with less on stdin than `--size` says.
    pub fn cut_to(mut self, bytes: usize) -> Self {
        self.mail.truncate(bytes);
        self
    }

    pub fn arguments(&self) -> Vec<OsString> {
        let options = self.options.iter().flat_map(|(name, value)| [OsString::from(name), value.clone()]);
        options.chain(["--strict-size".into(), "--".into(), self.recipient.clone()]).collect()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.args(self.arguments());
        command
    }

    pub fn run(&self) -> Output {
        feed(&mut self.command(), &self.mail)
    }

    /// Runs, and says how it ended: exit code and the one line.
    pub fn end(&self) -> (Option<i32>, String) {
        let output = self.run();
        (output.status.code(), line(&output))
    }
}

/// The program under test: the one that is shipped, if there is one.
pub fn program() -> PathBuf {
    match std::env::var_os("HEADWORKS_DIST") {
        Some(dist) => PathBuf::from(dist).join("mailhandler"),
        None => env!("CARGO_BIN_EXE_mailhandler").into(),
    }
}

pub fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses early does not read, and that is fine.
    child.stdin.take().unwrap().write_all(stdin).ok();
    child.wait_with_output().unwrap()
}

/// The one line a run printed.
pub fn line(output: &Output) -> String {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout:?}");
    assert!(stdout.trim_end().chars().count() <= 200 && !stdout.contains('/'), "{stdout:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    stdout.trim_end().to_owned()
}

/// `${size}` of a mail whose lines are all shorter than 2,048 bytes.
pub fn postfix_size(mail: &[u8]) -> usize {
    let lines =
        mail.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line));
    let own =
        lines.skip_while(|line| line.starts_with(b"Return-Path:") || line.starts_with(b"X-Original-To:"));
    own.map(|line| line.len() + if line.len() < 128 { 2 } else { 3 }).sum()
}

/// True if `HEADWORKS_TEST_REQUIRE` says that this may not be missing.
pub fn is_required(what: &str) -> bool {
    let required = std::env::var("HEADWORKS_TEST_REQUIRE").unwrap_or_default();
    required.split([',', ' ']).any(|word| word == what)
}

/// Whether a test that needs `what` can run; a missing part is printed, or fails where it is required.
pub fn is_available(what: &str, missing: &[&str]) -> bool {
    if missing.is_empty() {
        return true;
    }
    assert!(!is_required(what), "{what} is required, missing: {}", missing.join(", "));
    // Past the capture of passing tests' output: what was not tried is always seen.
    let line = format!("skipped: needs {what}, missing: {}\n", missing.join(", "));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| fs::metadata(dir.join(program)).is_ok_and(|found| found.is_file()))
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
