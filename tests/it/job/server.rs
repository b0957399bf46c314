//! A Postgres server of the test's own, to be stopped and killed.

use crate::stores::postgres;
use headworks::infra::db::{Db, Pg, PgSettings};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Unprivileged user that runs the server when the tests run as root: Postgres refuses root.
const USER: &str = "nobody";

pub struct Server {
    directory: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Server {
    /// A running server; `None` where the tests do without Postgres or its programs are not installed.
    pub fn start_new() -> Option<Self> {
        postgres()?;
        let programs = programs()?;
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            let id = Command::new("id").args(["-u", USER]).output().unwrap();
            let id = String::from_utf8(id.stdout).unwrap().trim().parse().unwrap();
            chown(directory.path(), Some(id), None).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { directory, programs, port };
        let data = server.data();
        let data = data.to_str().unwrap();
        server
            .run("initdb", &["-D", data, "-U", "hw", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        server.start();
        Some(server)
    }

    pub fn start(&self) {
        let (data, log) = (self.data(), self.directory.path().join("log"));
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off",
            self.port
        );
        let arguments =
            ["-D", data.to_str().unwrap(), "-l", log.to_str().unwrap(), "-o", &options, "-w", "start"];
        // After a kill the old server's processes hold its shared memory for a moment.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.output("pg_ctl", &arguments).status.success() {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "the server does not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the server as a crash would: nothing is flushed, connections break.
    pub fn stop_at_once(&self) {
        self.run("pg_ctl", &["-D", self.data().to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
    }

    /// Kills the server's first process.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let killed = Command::new("kill").args(["-9", pid.lines().next().unwrap()]).status().unwrap();
        assert!(killed.success());
    }

    /// Stops every process of the server where it is, so that nothing answers and no connection breaks; or lets them go on.
    pub fn freeze(&self, frozen: bool) {
        let first = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let first: i32 = first.lines().next().unwrap().parse().unwrap();
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        // The first one begins the others, so it stops before them.
        kill_process(Pid::from_raw(first).unwrap(), signal).unwrap();
        for child in children(first) {
            match kill_process(Pid::from_raw(child).unwrap(), signal) {
                // It served a connection that ended in between.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => panic!("process {child} of the server: {error}"),
            }
        }
    }

    /// Where its one database is.
    pub fn url(&self) -> String {
        format!("postgres://hw@127.0.0.1:{}/postgres", self.port)
    }

    /// A store on the server, migrated.
    pub async fn open(&self) -> Db {
        let settings = PgSettings {
            url: self.url(),
            queue_connections: 4,
            bulk_connections: 2,
            read_connections: 2,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
        };
        let db = Db::Pg(Pg::open(&settings).unwrap());
        db.migrate().await.unwrap();
        db
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.output(program, arguments);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(self.directory.path()).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        if data.join("postmaster.pid").exists() {
            self.freeze(false);
        }
        drop(self.output("pg_ctl", &["-D", data.to_str().unwrap_or_default(), "-m", "immediate", "stop"]));
    }
}

/// Processes that this one began.
fn children(pid: i32) -> Vec<i32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Where `initdb` and `pg_ctl` are: where `pg_config` says, or where Debian puts them.
fn programs() -> Option<PathBuf> {
    let said = Command::new("pg_config")
        .arg("--bindir")
        .output()
        .ok()
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten();
    let debian = debian.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    said.into_iter().chain(debian).find(|folder: &PathBuf| has_server(folder))
}

fn has_server(folder: &Path) -> bool {
    folder.join("initdb").exists() && folder.join("pg_ctl").exists()
}
