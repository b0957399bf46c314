//! The child as a program: what it says of its walls, and when it refuses to start.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use module_api::Declaration;
use module_api::frame::{self, Hello, MAX_REPLY_BYTES, PROTOCOL, Reply};
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headworks-modules");

/// Starts a child of this thread and reads its greeting; its standard error where there is none.
fn hello(parent: u32, environment: &[(&str, &str)]) -> Result<Hello, String> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["serve", &parent.to_string(), "1000000"])
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(OwnedFd::from(theirs))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut buffer = Vec::new();
    let greeted = frame::read(&mut ours, &mut buffer, MAX_REPLY_BYTES).unwrap();
    drop(ours);
    let mut stderr = child.stderr.take().unwrap();
    assert_eq!(child.wait().unwrap().success(), greeted);
    match greeted.then(|| frame::decode(&buffer).unwrap()) {
        Some(Reply::Hello(hello)) => Ok(hello),
        Some(other) => panic!("{other:?}"),
        None => Err(std::io::read_to_string(&mut stderr).unwrap()),
    }
}

#[test]
fn a_child_greets_with_its_walls_and_ends_with_its_socket() {
    let hello = hello(std::process::id(), &[]).unwrap();
    assert_eq!(hello.protocol, PROTOCOL);
    assert!(hello.walls.seccomp_calls > 20);
}

#[test]
fn a_kernel_without_landlock_is_said_and_the_rest_stands() {
    // A filter of this thread alone, which its children inherit, plays the older kernel.
    let landlock = [(libc::SYS_landlock_create_ruleset, Vec::new())].into_iter().collect();
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(landlock, SeccompAction::Allow, absent, architecture).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    let hello = hello(std::process::id(), &[]).unwrap();
    assert_eq!(hello.walls.landlock_abi, None);
    assert!(hello.walls.seccomp_calls > 20);
}

#[test]
fn a_child_refuses_another_parent_and_an_environment() {
    assert!(hello(1, &[]).unwrap_err().contains("the parent is gone"));
    assert!(hello(std::process::id(), &[("A", "b")]).unwrap_err().contains("the environment is not empty"));
}

#[test]
fn describe_prints_declarations() {
    let output = Command::new(PROGRAM).arg("describe").output().unwrap();
    assert!(output.status.success());
    let declared: Vec<Declaration> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(declared.len(), headworks_modules::registry::modules().len());
}

#[test]
fn anything_else_is_answered_with_the_usage() {
    let output = Command::new(PROGRAM).arg("serve").stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: headworks-modules"));
}
