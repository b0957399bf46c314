//! The three programs as they are shipped, and a server that runs.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Directory of the three programs: `HEADWORKS_DIST`, or cargo's own, where those that cargo does not build for this
/// test are built now.
pub fn programs() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(dist) = std::env::var_os("HEADWORKS_DIST") {
                return PathBuf::from(dist);
            }
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "-p", "headworks-modules", "-p", "mailhandler", "--bins"]);
            assert!(build.status().unwrap().success());
            Path::new(env!("CARGO_BIN_EXE_headworks")).parent().unwrap().to_owned()
        })
        .clone()
}

/// Sends what Ctrl-C sends.
pub fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// The program that runs modules.
pub fn modules() -> PathBuf {
    programs().join("headworks-modules")
}

/// The module program with the misbehaving modules. It is no shipped program, so it is built here, beside the test.
pub fn hostile_modules() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let name = "headworks-modules-hostile";
            let build =
                ["build", "--quiet", "-p", "headworks-modules", "--features", "hostile", "--bin", name];
            assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success(), "building {name}");
            Path::new(env!("CARGO_BIN_EXE_headworks")).with_file_name(name)
        })
        .clone()
}

/// A server; killed when dropped.
pub struct Served {
    child: Child,
    /// What it said until it answered.
    log: Vec<String>,
}

impl Served {
    /// Starts it and waits until its control socket answers.
    pub fn start(mut command: Command, socket: &Path) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            let up = line.contains("headworks is up");
            log.push(line);
            if up {
                break;
            }
        }
        // Nobody may have to wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let mut served = Self { child, log };
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(served.child.try_wait().unwrap().is_none(), "it ended: {:?}", served.log);
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", served.log);
            std::thread::sleep(Duration::from_millis(20));
        }
        served
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        let line = self.log.iter().find(|line| line.contains("\"listening\"")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("http://{}", line["address"].as_str().unwrap())
    }

    /// Stops it as systemd does; returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            self.child.wait().ok();
        }
    }
}
