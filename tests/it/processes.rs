//! A headworks of real processes: the programs as they are shipped, run by an unprivileged user, in a directory of their
//! own. It is driven and looked at from outside only: signals, the control socket, its files and its store.

use crate::appliance::{CUSTOMERS_AND_RULES, QUICK};
use crate::programs;
use crate::stores;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest wait for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything one headworks has on this host, and where its store is.
pub struct Installation {
    pub directory: tempfile::TempDir,
    pub store: Store,
    user: User,
}

/// Where what it knows can be read, whether it runs or not.
#[derive(Clone)]
pub enum Store {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Whom the server and `mailhandler` run as: not root, where this is root.
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// A running server. Dropping it kills it.
pub struct Server {
    process: Child,
    control: PathBuf,
    log: PathBuf,
}

impl Installation {
    /// `programs` are copied from where they were built, for the user may not be able to reach that. `settings` are added
    /// to the configuration of the other tests.
    pub fn new(postgres: Option<String>, settings: &str, modules: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let user = User::find();
        let (state, bin) = (directory.path().join("state"), directory.path().join("bin"));
        fs::create_dir(&bin).unwrap();
        for (program, name) in [
            (programs::programs().join("headworks"), "headworks"),
            (modules.to_owned(), "headworks-modules"),
            (programs::programs().join("mailhandler"), "mailhandler"),
        ] {
            fs::copy(program, bin.join(name)).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let kind = if postgres.is_some() { "postgres" } else { "sqlite" };
        let config = format!(
            "[server]\nstate_dir = {state:?}\n[store]\nkind = {kind:?}\n[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"api\"]\n\
             {QUICK}\n{settings}\n{CUSTOMERS_AND_RULES}"
        );
        fs::write(directory.path().join("headworks.toml"), config).unwrap();
        let store = postgres.map_or(Store::Sqlite(state.clone()), Store::Postgres);
        let installation = Self { directory, store, user };
        installation.make_directory(&state);
        installation
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn spool(&self) -> PathBuf {
        self.state().join("spool")
    }

    /// Name of the user everything runs as.
    pub fn user(&self) -> &str {
        &self.user.name
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.path().join("bin").join(name)
    }

    /// Starts the server and returns when it is ready.
    pub fn start(&self) -> Server {
        let mut server = self.launch();
        server.ready();
        server
    }

    /// Starts the server and does not wait for it.
    pub fn launch(&self) -> Server {
        self.launch_beside("control", &[])
    }

    /// Starts one server of several on this host, with a control socket of its name, and does not wait for it.
    pub fn launch_beside(&self, name: &str, arguments: &[&str]) -> Server {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let control = self.state().join(format!("{name}.sock"));
        let mut command = self.command();
        command.arg("serve").args(arguments).env("HEADWORKS__SERVER__CONTROL_SOCKET", &control);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.user.runs(&mut command);
        Server { process: command.spawn().unwrap(), control, log: self.log() }
    }

    /// The command line, run by whoever runs the tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program("headworks"));
        command.args([OsString::from("--config"), self.config().into()]);
        if let Store::Postgres(url) = &self.store {
            command.env("HEADWORKS__STORE__URL", url);
        }
        command
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("headworks.toml")
    }

    /// Where a server listens: the one that says so.
    pub fn address(&self) -> SocketAddr {
        let log = fs::read_to_string(self.log()).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut said = lines.filter(|line| line["msg"] == "listening");
        said.next_back().unwrap()["address"].as_str().unwrap().parse().unwrap()
    }

    /// Number of the user everything runs as.
    pub fn uid(&self) -> u32 {
        self.user.uid
    }

    /// `mailhandler` as Postfix calls it.
    pub fn mailhandler(&self, queue_id: &str, recipient: &str, mail_bytes: usize) -> Command {
        let mut command = Command::new(self.program("mailhandler"));
        let id = fs::read_to_string(self.spool().join("id")).unwrap();
        command.arg("--spool").arg(self.spool()).args(["--spool-id", id.trim_end(), "--min-free", "1MiB"]);
        command.args([
            "--queue-id",
            queue_id,
            "--size",
            &mail_bytes.to_string(),
            "--sender",
            "grid@dc1.example",
        ]);
        command.args(["--client", "192.0.2.9", "--name", "mx.dc1.example", "--helo", "grid-7"]);
        command.args(["--proto", "ESMTP", "--sasl", "gridmaster", "--nexthop", "ingest.example.com"]);
        command.args(["--", recipient]);
        self.user.runs(&mut command);
        command
    }

    /// Gives a mail to `mailhandler`; the receipt, if it says yes.
    pub fn deliver(&self, queue_id: &str, recipient: &str, mail: &[u8]) -> Option<Uuid> {
        let mut command = self.mailhandler(queue_id, recipient, mail.len());
        let mut call = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        call.stdin.take().unwrap().write_all(mail).unwrap();
        let output = call.wait_with_output().unwrap();
        output.status.success().then(|| receipt_in(&String::from_utf8(output.stdout).unwrap()).unwrap())
    }

    /// What a command of `headworks` prints.
    pub fn says(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.program("headworks"));
        command.arg("--config").arg(self.directory.path().join("headworks.toml")).args(arguments);
        if let Store::Postgres(url) = &self.store {
            command.env("HEADWORKS__STORE__URL", url);
        }
        self.user.runs(&mut command);
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Mounts an empty file system of so many MiB, which belongs to the server's user, at a new directory.
    pub fn mount(&self, path: &Path, mebibytes: u32) -> Mount {
        fs::create_dir_all(path).unwrap();
        let User { uid, gid, .. } = self.user;
        let options = format!("size={mebibytes}m,mode=0700,uid={uid},gid={gid}");
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status().unwrap();
        assert!(mounted.success(), "tmpfs cannot be mounted");
        Mount(path.to_owned())
    }

    /// Makes a directory of the server's user.
    pub fn make_directory(&self, path: &Path) {
        fs::create_dir(path).unwrap();
        chown(path, Some(self.user.uid), Some(self.user.gid)).unwrap();
    }

    /// Puts a script in the place of `mailhandler` that stops itself once before it becomes the program; the program
    /// stays what it is.
    pub fn stop_the_next_mailhandler(&self) {
        let (program, real) = (self.program("mailhandler"), self.program("the-mailhandler"));
        let once = self.state().join("stop");
        self.make_directory(&once);
        fs::rename(&program, &real).unwrap();
        let (once, real) = (once.display(), real.display());
        let script =
            format!("#!/bin/sh\nif rmdir {once} 2>/dev/null; then kill -STOP $$; fi\nexec {real} \"$@\"\n");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Every line that the server logged.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(self.log()).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The end of what the server logged.
    pub fn last_words(&self) -> String {
        last_lines(&self.log())
    }

    /// Waits until `condition` gives something.
    pub fn wait_for<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        wait(condition).unwrap_or_else(|| panic!("waited in vain for {what}\n{}", self.last_words()))
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

fn last_lines(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Waits for a while until `condition` gives something.
pub fn wait<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let started_at = Instant::now();
    while started_at.elapsed() < PATIENCE {
        if let Some(found) = condition() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

impl Server {
    /// Waits until it says that it is ready.
    pub fn ready(&mut self) {
        let ended = wait(|| match self.process.try_wait().unwrap() {
            None => (self.ask("GET", "/readyz") == Some(200)).then_some(None),
            ended => Some(ended),
        });
        assert_eq!(ended, Some(None), "it does not get ready: {}", last_lines(&self.log));
    }

    /// Asks over the control socket; the status of the answer, if there is one.
    pub fn ask(&self, method: &str, path: &str) -> Option<u16> {
        self.answer(method, path)?.split(' ').nth(1)?.parse().ok()
    }

    /// Asks over the control socket; the body of the answer, if there is one and it is whole.
    pub fn body(&self, path: &str) -> Option<String> {
        self.answer("GET", path)?.split_once("\r\n\r\n").map(|(_head, body)| body.to_owned())
    }

    /// Where its control socket is.
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    fn answer(&self, method: &str, path: &str) -> Option<String> {
        answer(&self.control, method, path, b"")
    }

    /// Number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// See [`memory_kib`]. Its modules are not counted.
    pub fn memory_kib(&self, figure: &str) -> u64 {
        memory_kib(self.id(), figure)
    }

    /// Tells it to read its configuration again.
    pub fn reload(&self) {
        kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
    }

    /// Waits until it ends by itself; its exit code.
    pub fn ended(mut self) -> Option<i32> {
        wait(|| self.process.try_wait().unwrap()).unwrap().code()
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let status = wait(|| self.process.try_wait().unwrap()).unwrap();
        assert!(status.success(), "{status}");
    }

    /// Its module processes, each with the processor time it has used.
    pub fn modules(&self) -> Vec<(Pid, Duration)> {
        let parent = self.process.id();
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
            let fields: Vec<&str> = fields.split(' ').collect();
            let is_module =
                name.starts_with("headworks-modul") && fields[1].parse() == Ok(parent) && fields[0] != "Z";
            let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            is_module.then_some((Pid::from_raw(pid)?, Duration::from_millis(ticks * 10)))
        })
        .collect()
    }
}

/// A figure of a process's memory as `/proc/PID/status` has it, such as `VmRSS` or `VmHWM`, in KiB.
pub fn memory_kib(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.split(':').next() == Some(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Posts a file of customer `bobs` over a control socket; status and receipt, if there is an answer and it is whole.
pub fn post(control: &Path, body: &[u8]) -> Option<(u16, Option<Uuid>)> {
    post_of("system_report", control, body)
}

/// The same for another type of category `hydrastor`.
pub fn post_of(kind: &str, control: &Path, body: &[u8]) -> Option<(u16, Option<Uuid>)> {
    post_for(("hydrastor", kind), control, body)
}

/// The same for another category and type.
pub fn post_for((category, kind): (&str, &str), control: &Path, body: &[u8]) -> Option<(u16, Option<Uuid>)> {
    let path = format!("/api/1.0/deliveries?customer=bobs&category={category}&type={kind}");
    let answer = answer(control, "POST", &path, body)?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    Some((status, body["receipt_id"].as_str().map(|id| id.parse().unwrap())))
}

fn answer(control: &Path, method: &str, path: &str, body: &[u8]) -> Option<String> {
    let mut socket = UnixStream::connect(control).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).ok()?;
    socket.write_all(body).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl User {
    /// `HEADWORKS_TEST_USER`, else one that every Unix has; ourselves where we may not become another.
    fn find() -> Self {
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let name = std::env::var("HEADWORKS_TEST_USER").unwrap_or_else(|_| "nobody".to_owned());
        if own.0 != 0 {
            return Self { name, uid: own.0, gid: own.1 };
        }
        let number = |flag: &str| {
            let output = Command::new("id").args([flag, &name]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end().parse().unwrap()
        };
        Self { uid: number("-u"), gid: number("-g"), name }
    }

    fn runs(&self, command: &mut Command) {
        if rustix::process::geteuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
    }
}

/// A small file system, until dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// Takes all of its space.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        let zeros = vec![0; 64 << 10];
        for size in [zeros.len(), 4096, 1] {
            while file.write_all(&zeros[..size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn clear(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a server that is still stopping may have files open there.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Whether this user may mount file systems.
pub fn can_mount() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let probe = || {
        let directory = tempfile::tempdir().unwrap();
        let mount = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .arg(directory.path())
                .status()
                .is_ok_and(|ended| ended.success())
        };
        mount("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]) && mount("umount", &[])
    };
    let missing: &[&str] = if is_root && probe() { &[] } else { &["mount"] };
    is_available("mount", missing)
}

/// The receipt in a line of `mailhandler` that says yes.
pub fn receipt_in(line: &str) -> Option<Uuid> {
    let said = line.split("2.0.0 ").nth(1)?;
    said.split(|c: char| c != '-' && !c.is_ascii_hexdigit()).find_map(|word| Uuid::try_parse(word).ok())
}

/// Whether a test that needs `backend` can run; what is missing is printed, or fails where it is required.
pub fn is_available(backend: &str, missing: &[&str]) -> bool {
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var("HEADWORKS_TEST_REQUIRE").unwrap_or_default();
    let is_required = required.split([',', ' ']).any(|word| word == backend);
    assert!(!is_required, "{backend} is required, missing: {}", missing.join(", "));
    // Past the capture of passing tests' output: what was not tried is always seen.
    std::io::stderr()
        .write_all(format!("skipped: needs {backend}, missing: {}\n", missing.join(", ")).as_bytes())
        .unwrap();
    false
}

/// Runs `body` once per store; it gets the URL of a database of its own, or none for SQLite.
pub async fn each_store(body: impl Fn(Option<String>)) {
    eprintln!("store: sqlite");
    tokio::task::block_in_place(|| body(None));
    if let Some(server) = stores::postgres() {
        eprintln!("store: postgres");
        stores::with_database(&server, |url| async { tokio::task::block_in_place(|| body(Some(url))) }).await;
    }
}

/// Whether the counts and intervals are those shown (`just soak`), not the short ones.
pub fn is_soak() -> bool {
    std::env::var("HEADWORKS_TEST_SOAK").is_ok_and(|soak| soak == "1")
}
