//! Where a bench runs: a directory of its own on a real disk, a PostgreSQL and a Kafka of its own, and the built programs.

use crate::cpu;
use anyhow::{Context, bail, ensure};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Linked statically, by `build.sh` alone.
const STATIC: &str = "mailhandler";

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A directory that vanishes with it and that other users may enter: servers run as theirs.
pub fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("hwbench-").tempdir()?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// Runs one of `tests/services`, and returns what it printed.
pub fn service(script: &str, directory: &Path, environment: &[(&str, &str)]) -> anyhow::Result<String> {
    let path = repository().join("tests/services").join(script);
    let output = Command::new(&path).arg(directory).envs(environment.iter().copied()).output();
    let output = output.with_context(|| path.display().to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}\n{stderr}", path.display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A PostgreSQL that really writes to its disk; ends with it.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    url: String,
}

impl Postgres {
    /// Starts one: fsync on, and no checkpoint in the middle of a figure.
    pub fn start() -> anyhow::Result<Self> {
        let directory = directory()?;
        let settings = "shared_buffers=512MB max_wal_size=8GB checkpoint_timeout=30min";
        let printed =
            service("postgres/start", directory.path(), &[("PG_FSYNC", "on"), ("PG_SETTINGS", settings)])?;
        let Some(url) = printed.trim().strip_prefix("export DATABASE_URL=") else {
            bail!("postgres/start printed {printed:?}");
        };
        Ok(Self { url: url.to_owned(), directory })
    }

    /// The URL of a database of this server.
    pub fn url(&self, database: &str) -> String {
        let server = self.url.rsplit_once('/').map_or(self.url.as_str(), |(server, _)| server);
        format!("{server}/{database}")
    }

    /// Makes an empty database and returns its URL.
    pub async fn make(&self, database: &str) -> anyhow::Result<String> {
        self.execute(format!("CREATE DATABASE {database}")).await?;
        Ok(self.url(database))
    }

    /// Removes a database, whoever is still connected to it.
    pub async fn remove(&self, database: &str) -> anyhow::Result<()> {
        self.execute(format!("DROP DATABASE {database} WITH (FORCE)")).await
    }

    async fn execute(&self, statement: String) -> anyhow::Result<()> {
        use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
        let mut admin = PgConnection::connect(&self.url).await?;
        admin.execute(AssertSqlSafe(statement)).await?;
        Ok(admin.close().await?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = service("postgres/stop", self.directory.path(), &[]) {
            eprintln!("hwbench: {error:#}");
        }
    }
}

/// A Kafka of one broker, without ACLs; ends with it.
#[derive(Debug)]
pub struct Kafka {
    directory: TempDir,
    bootstrap: String,
    process: u32,
}

impl Kafka {
    /// Starts one that stays the leader of its topics while others have the CPU and the disk.
    pub fn start() -> anyhow::Result<Self> {
        let directory = directory()?;
        let settings = [("KAFKA_SETTINGS", "broker.session.timeout.ms=18000")];
        let printed = service("kafka/start", directory.path(), &settings)?;
        // Made before anything can fail, so that the broker ends.
        let mut kafka = Self { directory, bootstrap: String::new(), process: 0 };
        let bootstrap = printed.trim().strip_prefix("export KAFKA_BOOTSTRAP=");
        kafka.bootstrap = bootstrap.with_context(|| format!("kafka/start printed {printed:?}"))?.to_owned();
        kafka.process = service("kafka/pid", kafka.directory.path(), &[])?.trim().parse()?;
        Ok(kafka)
    }

    /// Where it listens.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The process of the broker.
    pub const fn process(&self) -> u32 {
        self.process
    }

    /// CPU seconds that the broker has used.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu::seconds(self.process)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Err(error) = service("kafka/stop", self.directory.path(), &[]) {
            eprintln!("hwbench: {error:#}");
        }
    }
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Where `benches/peers/build.sh` puts what it built.
pub fn peers() -> PathBuf {
    target().join("peers")
}

/// A program as `build.sh` makes it: from `HEADWORKS_DIST` or `target/dist`, else a plain release build of it, else
/// `build.sh` is run. A static program is taken from a `dist` only.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let target = target();
    let dist = std::env::var_os("HEADWORKS_DIST").map_or_else(|| target.join("dist"), PathBuf::from);
    let (built, release) = (dist.join(name), target.join("release").join(name));
    if built.exists() {
        return Ok(built);
    }
    if name != STATIC && release.exists() {
        return Ok(release);
    }
    eprintln!("hwbench: {} is not there; running build.sh", built.display());
    let status = Command::new(repository().join("build.sh")).stdout(std::io::stderr()).status()?;
    ensure!(status.success() && built.exists(), "build.sh: {status}, and {} is not there", built.display());
    Ok(built)
}
