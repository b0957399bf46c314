//! The program is stopped at every system call it makes on its way, by an error or a kill.
//!
//! A first run under strace tells which calls there are, from the opening of the spool on. Then each of them fails with
//! EIO, fails with ENOSPC, and kills the program, one per run. Whatever happens: exit 0 means that the mail is complete
//! in `new`, and never follows a failed fsync or link; any other end is 75 or a signal; nothing damaged is ever in `new`; and the next run takes the mail.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use headworks_spool::{Damage, Kind, State};

use crate::harness::{Bench, Call, feed, is_available, is_installed, program};

/// How the program is stopped at a call.
const FAULTS: [&str; 3] = ["error=EIO", "error=ENOSPC", "signal=KILL"];

/// What is in the spool before the run, and what holds in all runs.
struct Scene {
    prepare: fn(&Bench),
    call: fn(&Bench) -> Call,
    /// A fault that is always there.
    always: Option<&'static str>,
}

/// One system call of a run: its name, and its number among the calls of that name.
#[derive(Debug, PartialEq)]
struct Stop {
    call: String,
    number: usize,
}

#[test]
fn a_new_mail_survives_a_stop_anywhere() {
    Scene { prepare: |_| {}, call: Bench::call, always: None }.try_every_stop(12);
}

#[test]
fn a_repeated_mail_survives_a_stop_anywhere() {
    let prepare = |bench: &Bench| assert_eq!(bench.call().end().0, Some(0));
    Scene { prepare, call: Bench::call, always: None }.try_every_stop(15);
}

#[test]
fn an_equally_short_mail_survives_a_stop_anywhere() {
    let prepare = |bench: &Bench| assert_eq!(short(bench).end().0, Some(75));
    Scene { prepare, call: short, always: None }.try_every_stop(15);
}

#[test]
fn a_mail_that_needs_several_writes_survives_a_stop_anywhere() {
    let call = |bench: &Bench| bench.call().mail(&b"Return-Path: <>\n\nsixteen bytes..\n".repeat(9000));
    Scene { prepare: |_| {}, call, always: None }.try_every_stop(15);
}

#[test]
fn a_mail_survives_a_stop_anywhere_where_no_anonymous_files_are() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let trace = traced(&bench.call(), &bench, &[]).1;
    let calls: Vec<&str> = trace.lines().filter(|line| line.contains("openat(")).collect();
    let number =
        1 + calls.iter().position(|line| line.contains("O_TMPFILE")).expect("no O_TMPFILE in the trace");
    let always = Box::leak(format!("inject=openat:error=EOPNOTSUPP:when={number}").into_boxed_str());
    Scene { prepare: |_| {}, call: Bench::call, always: Some(always) }.try_every_stop(12);
}

fn short(bench: &Bench) -> Call {
    bench.call().set("--size", "9999")
}

fn can_trace() -> bool {
    let missing: &[&str] = if is_installed("strace") { &[] } else { &["strace"] };
    is_available("strace", missing)
}

impl Scene {
    fn try_every_stop(&self, at_least: usize) {
        if !can_trace() {
            return;
        }
        let stops = self.stops();
        assert!(stops.len() >= at_least, "only {stops:?}");
        for stop in &stops {
            for fault in FAULTS {
                self.try_stop(stop, fault);
            }
        }
    }

    /// The system calls of an undisturbed run, from the opening of the spool on.
    fn stops(&self) -> Vec<Stop> {
        let bench = Bench::new();
        (self.prepare)(&bench);
        let (output, trace) = traced(&(self.call)(&bench), &bench, self.always.as_slice());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let mut calls: Vec<Stop> = Vec::new();
        let mut in_spool = None;
        for line in trace.lines().filter(|line| line.contains('(')) {
            // "12345 openat(AT_FDCWD, …"
            let call = line.split('(').next().unwrap().rsplit(' ').next().unwrap();
            if in_spool.is_none() && call == "openat" && line.contains(bench.path().to_str().unwrap()) {
                in_spool = Some(calls.len());
            }
            let number = 1 + calls.iter().filter(|stop| stop.call == call).count();
            calls.push(Stop { call: call.to_owned(), number });
        }
        let mut calls = calls.split_off(in_spool.expect("the spool was not opened"));
        // strace takes one rule per call name.
        calls.retain(|stop| {
            stop.call != "exit_group" && !self.always.is_some_and(|rule| rule.contains(&stop.call))
        });
        calls
    }

    fn try_stop(&self, stop: &Stop, fault: &str) {
        let bench = Bench::new();
        (self.prepare)(&bench);
        let call = (self.call)(&bench);
        let rule = format!("inject={}:{fault}:when={}", stop.call, stop.number);
        let rules: Vec<&str> = self.always.into_iter().chain([rule.as_str()]).collect();
        let (output, trace) = traced(&call, &bench, &rules);
        assert!(
            trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"),
            "{rule} did not strike:\n{trace}"
        );

        let is_ours = |(_, message): &(_, Vec<u8>)| *message == call.mail;
        let is_refused = matches!(stop.call.as_str(), "fsync" | "linkat") && fault != "signal=KILL";
        match (output.status.code(), output.status.signal()) {
            (code, _) if is_refused => assert_eq!(code, Some(75), "{rule}: said yes to an error"),
            (Some(0), None) => assert!(bench.mails().iter().any(is_ours), "{rule}: lost"),
            (Some(75), None) | (None, Some(_)) => {}
            end => panic!("{rule}: ended with {end:?}"),
        }
        // Reads every entry and panics at a damaged one.
        bench.mails();
        assert_eq!(bench.names(State::Damaged), [], "{rule}");

        let (code, line) = call.end();
        let waited = call.options.iter().any(|(_, value)| value == "9999") && code == Some(75);
        let (code, line) = if waited { call.end() } else { (code, line) };
        assert_eq!(code, Some(0), "after {rule}: {line}");
        assert!(bench.mails().iter().all(is_ours) && bench.mails().len() == 1, "after {rule}");
    }
}

/// Runs a call under strace with these rules; gives its end and its trace.
fn traced(call: &Call, bench: &Bench, rules: &[&str]) -> (Output, String) {
    let file = bench.dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-s", "200", "-o"]).arg(&file);
    for rule in rules {
        strace.args(["-e", rule]);
    }
    let output = feed(strace.arg(program()).args(call.arguments()), &call.mail);
    (output, std::fs::read_to_string(&file).unwrap())
}

#[test]
fn the_reader_would_notice_a_damaged_entry() {
    let bench = Bench::new();
    assert_eq!(bench.call().end().0, Some(0));
    let name = bench.names(State::Whole).remove(0);
    let file = bench.path().join("new").join(name.to_string());
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[1..]).unwrap();
    assert_eq!(bench.spool.read(name).unwrap_err().kind(), Kind::Damaged(Damage::Lengths));
}
