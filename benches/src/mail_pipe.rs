//! `mail-pipe`: a real Postfix on the way to us.
//!
//! **A**: Postfix → `mailhandler` (static, as shipped, with our `main.cf` and `master.cf`). **B**: the same Postfix, the same
//! transport lines → `pipe_floor`, a static program that only reads, writes, fsyncs, renames and fsyncs the directory.
//! `smtp-source` sends bodies of 10 KiB over eight sessions; a turn ends when Postfix has logged the last mail as sent.
//! Intake and worker are stopped: nobody takes the entries out. A last cell has the server on, and only informs.

use crate::cell::{Cell, Report};
use crate::place;
use crate::rounds::{Plan, Side};
use crate::server::Server;
use anyhow::{Context, ensure};
use headworks_spool::Spool;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BENCH: &str = "mail-pipe";
/// Every Unix has this user; it is neither root nor Postfix's own.
const NOBODY: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(120);
const TO_US: &str = "x@ingest.example.com";
const TO_FLOOR: &str = "x@floor.example.com";

/// The cells.
pub async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let site = Site::start()?;
    let mails = plan.size(500, 100);
    let turns = async |turn| site.send(if turn == Side::A { TO_US } else { TO_FLOOR }, mails);
    let outcome = plan.interleave(turns).await?;
    let cell = outcome.write(Cell::new(BENCH, "pipe"), "mailhandler_mails_s", "floor_mails_s");
    report.tell(&cell.against(0.9, outcome.ratio))?;
    let server = site.serve()?;
    let outcome = plan.interleave(turns).await?;
    drop(server);
    let cell =
        outcome.write(Cell::new(BENCH, "pipe_with_the_server_on"), "mailhandler_mails_s", "floor_mails_s");
    report.tell(&cell.ratio(outcome.ratio))
}

/// A running Postfix with two ways out; all end with it.
struct Site {
    directory: TempDir,
    port: u16,
}

impl Site {
    fn start() -> anyhow::Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "Postfix can be started by root only");
        place::service("postfix/install", Path::new("."), &[])?;
        let directory = place::directory()?;
        let top = directory.path();
        let program = top.join("mailhandler");
        std::fs::copy(place::program("mailhandler")?, &program)?;
        build_floor(&top.join("pipe_floor"))?;

        let spool = top.join("spool");
        let id = Spool::create(&spool)?.id().to_string();
        give_away(&spool)?;
        for part in ["floor", "floor/new", "floor/tmp"] {
            std::fs::create_dir(top.join(part))?;
        }
        give_away(&top.join("floor"))?;

        // The same line for both: what differs is the program.
        let service = format!(
            "floor unix - n n - 8 pipe\n  flags=ORXhu user=nobody null_sender= directory={floor}\n  \
             argv={program} {floor} ${{queue_id}} ${{size}} ${{sender}} ${{original_recipient}} ${{client_address}}\n    \
             ${{client_hostname}} ${{client_helo}} ${{client_protocol}} ${{sasl_username}} ${{nexthop}} ${{recipient}}",
            floor = top.join("floor").display(),
            program = top.join("pipe_floor").display(),
        );
        // Postfix slows its senders down where delivery lags; here delivery is what is measured.
        let settings = "relay_domains = ingest.example.com floor.example.com\n\
            transport_maps = inline:{ ingest.example.com=mailhandler: floor.example.com=floor: }\n\
            floor_destination_recipient_limit = 1\n\
            floor_destination_concurrency_limit = 8\n\
            floor_time_limit = 4h\n\
            in_flow_delay = 0";
        let environment = [
            ("SPOOL", text(&spool)?),
            ("SPOOL_ID", &id),
            ("MAILHANDLER", text(&program)?),
            ("MAIN_CF", settings),
            ("MASTER_CF", &service),
        ];
        let printed = place::service("postfix/start", &top.join("postfix"), &environment)?;
        let port =
            printed.trim().strip_prefix("SMTP_PORT=").context("postfix/start printed no port")?.parse()?;
        Ok(Self { directory, port })
    }

    /// Sends `mails` mails and waits until Postfix has delivered the last one; mails per second. Then makes room.
    fn send(&self, recipient: &str, mails: usize) -> anyhow::Result<f64> {
        let mut log = Log::from_here(self.directory.path().join("postfix/log"))?;
        let begun = Instant::now();
        let mut source = Command::new("smtp-source")
            .args(["-d", "-s", "8", "-l", "10240", "-m", &mails.to_string()])
            .args(["-f", "grid@example.net", "-t", recipient, &format!("127.0.0.1:{}", self.port)])
            .spawn()
            .context("smtp-source")?;
        let mut sent = 0;
        while sent < mails {
            ensure!(begun.elapsed() < PATIENCE, "{sent} of {mails} mails were sent after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(2));
            sent += log.sent()?;
        }
        let rate = sent as f64 / begun.elapsed().as_secs_f64();
        ensure!(source.wait()?.success(), "smtp-source failed");
        empty(&self.directory.path().join("floor/new"))?;
        if !self.directory.path().join("state").exists() {
            empty(&self.directory.path().join("spool/new"))?;
        }
        Ok(rate)
    }

    /// Starts the server on the spool that Postfix delivers to, as the user mail is delivered by.
    fn serve(&self) -> anyhow::Result<Server> {
        let top = self.directory.path();
        for name in ["headworks", "headworks-modules"] {
            std::fs::copy(place::program(name)?, top.join(name))?;
        }
        let state = top.join("state");
        std::fs::create_dir(&state)?;
        give_away(&state)?;
        let config = top.join("headworks.toml");
        let settings = format!(
            "[server]\nstate_dir = {state:?}\n[spool]\npath = {:?}\nmin_free_bytes = \"1MiB\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"api\"]\n\
             [[customer]]\nname = \"bobs\"\ndomains = [\"ingest.example.com\"]\n",
            top.join("spool"),
        );
        std::fs::write(&config, settings)?;
        let mut command = Command::new(top.join("headworks"));
        command.arg("--config").arg(config).args(["--log-level", "error", "serve"]).uid(NOBODY).gid(NOBODY);
        let mut server = Server::spawn(&mut command)?;
        std::thread::sleep(Duration::from_secs(1));
        server.ensure_runs()?;
        Ok(server)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = place::service("postfix/stop", &self.directory.path().join("postfix"), &[]) {
            eprintln!("hwbench: {error:#}");
        }
    }
}

/// What Postfix has logged since a moment.
struct Log {
    file: std::fs::File,
    /// The line that is being written.
    rest: String,
}

impl Log {
    fn from_here(path: PathBuf) -> anyhow::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, rest: String::new() })
    }

    /// Deliveries logged since the last call.
    fn sent(&mut self) -> anyhow::Result<usize> {
        self.file.read_to_string(&mut self.rest)?;
        let end = self.rest.rfind('\n').map_or(0, |at| at + 1);
        let lines: String = self.rest.drain(..end).collect();
        let failed =
            lines.lines().find(|line| line.contains("status=deferred") || line.contains("status=bounced"));
        ensure!(failed.is_none(), "postfix: {}", failed.unwrap_or_default());
        Ok(lines.matches("status=sent").count())
    }
}

/// Static and with a panic that aborts, as `mailhandler` is.
fn build_floor(to: &Path) -> anyhow::Result<()> {
    let source = place::repository().join("benches/src/bin/pipe_floor.rs");
    let flags =
        ["--edition", "2024", "-C", "opt-level=3", "-C", "target-feature=+crt-static", "-C", "panic=abort"];
    let built = Command::new("rustc").args(flags).arg("-o").arg(to).arg(source).status().context("rustc")?;
    ensure!(built.success(), "rustc: {built}");
    Ok(())
}

/// Makes a directory and what is in it the user's by whom mail is delivered.
fn give_away(path: &Path) -> anyhow::Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give_away(&entry?.path())?;
        }
    }
    Ok(())
}

fn empty(directory: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a temporary directory that is not UTF-8")
}
