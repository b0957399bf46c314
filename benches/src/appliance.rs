//! A whole headworks, in this process or as a server, and mails for it.

use crate::place;
use crate::server::Server;
use headworks::app::App;
use headworks::config::{self, Layers, Live};
use headworks::infra::db::{DbError, View};
use headworks::infra::telemetry::metrics::Metrics;
use headworks::on_either;
use headworks_spool::{Door, Envelope, Spool};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const STORE_URL: &str = "HEADWORKS__STORE__URL";
const RECIPIENT: &str = "bobs@ingest.example.com";
/// One customer and one rule; everything else as by default, but for the room on the disk and the port.
const CUSTOMER_AND_RULE: &str = r#"
[[listen]]
address = "127.0.0.1:0"
doors = ["api"]

[spool]
min_free_bytes = "1MiB"
min_free_inodes = 10

[[customer]]
name = "bobs"
recipients = ["bobs@ingest.example.com"]

[[rule]]
name = "hydrastor-alert"
when = { subject = '\[HYDRAstor\] ALERT .*node=(?<node>\S+)' }
set = { category = "hydrastor", type = "alert", group = "{node}" }
settings = { zone = "Asia/Tokyo" }
"#;

/// A directory with a spool and a configuration.
pub struct Site {
    directory: TempDir,
    spool: Spool,
    /// Store to use; `None`: SQLite.
    postgres: Option<String>,
}

/// A running appliance.
pub struct Appliance {
    app: Arc<App>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Site {
    /// A new one; `settings` are added to its configuration.
    pub fn make(postgres: Option<String>, settings: &str) -> anyhow::Result<Self> {
        let directory = place::directory()?;
        let state = directory.path().join("state");
        std::fs::create_dir(&state)?;
        let spool = Spool::create(&state.join("spool"))?;
        let kind = if postgres.is_some() { "postgres" } else { "sqlite" };
        let program = place::program("headworks-modules")?;
        let text = format!(
            "[server]\nstate_dir = {state:?}\n[store]\nkind = {kind:?}\n[modules]\nprogram = {program:?}\n{CUSTOMER_AND_RULE}{settings}"
        );
        std::fs::write(directory.path().join("headworks.toml"), text)?;
        Ok(Self { directory, spool, postgres })
    }

    /// Deposits alert number `number` as `mailhandler` does, up to the directory's fsync.
    pub fn deposit(&self, number: usize) -> anyhow::Result<()> {
        let message = alert(number);
        let queue_id = format!("4Q{number}");
        let mut draft = self.spool.draft()?;
        draft.write(message.as_bytes())?;
        let key = headworks_spool::mail_key(self.spool.id(), queue_id.as_bytes(), RECIPIENT.as_bytes());
        let envelope = Envelope {
            spool_id: self.spool.id(),
            receipt_id: headworks_spool::receipt_id(&key, &draft.digest()),
            door: Door::Pipe,
            received_at: i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?,
            queue_id: queue_id.into(),
            sender: b"grid@example.net".to_vec(),
            recipient: RECIPIENT.into(),
            original_recipient: RECIPIENT.into(),
            client_address: Vec::new(),
            client_name: Vec::new(),
            client_helo: Vec::new(),
            client_protocol: Vec::new(),
            sasl_user: Vec::new(),
            nexthop: Vec::new(),
            declared_bytes: None,
            problems: Vec::new(),
            program: "hwbench".into(),
        };
        draft.seal(&envelope)?.deposit()?;
        Ok(())
    }

    /// Makes the names of deposited mails durable, so that they can be acknowledged.
    pub fn sync(&self) -> anyhow::Result<()> {
        Ok(self.spool.sync()?)
    }

    /// Builds everything, without starting it. Settings in the environment hold here as they
    /// do for a server: `HEADWORKS__JOBS__CONCURRENCY=16 hwbench mail-rows` measures that.
    pub async fn build(&self) -> anyhow::Result<Arc<App>> {
        let mut environment: Vec<_> = std::env::vars_os().collect();
        environment.extend(self.postgres.iter().map(|url| (STORE_URL.into(), url.into())));
        let file = Some(self.directory.path().join("headworks.toml"));
        let loaded = config::load(&Layers { file, environment, ..Layers::default() })?;
        Ok(Arc::new(App::build(Live::new(loaded), metrics()?).await?))
    }

    /// Starts a server, which nobody can connect to from outside.
    pub fn serve(&self) -> anyhow::Result<Server> {
        let mut command = Command::new(place::program("headworks")?);
        command.arg("--config").arg(self.directory.path().join("headworks.toml"));
        command
            .args(["--log-level", "error", "serve"])
            .envs(self.postgres.iter().map(|url| (STORE_URL, url)));
        Server::spawn(&mut command)
    }
}

/// The recorder is one for the whole process, and so for all sites in it.
fn metrics() -> anyhow::Result<Metrics> {
    static METRICS: Mutex<Option<Metrics>> = Mutex::new(None);
    let mut installed = METRICS.lock().map_err(|_| anyhow::anyhow!("installing the recorder panicked"))?;
    match &*installed {
        Some(metrics) => Ok(metrics.clone()),
        None => Ok(installed.insert(Metrics::install()?).clone()),
    }
}

impl Appliance {
    /// Starts it.
    pub fn start(app: Arc<App>) -> Self {
        let stop = CancellationToken::new();
        let (working, stopping) = (Arc::clone(&app), stop.clone());
        let running = tokio::spawn(async move { working.run(stopping).await });
        Self { app, stop, running }
    }

    /// Mails whose rows are committed.
    pub async fn loads(&self) -> Result<i64, DbError> {
        let mut reader = self.app.core.db.reader(View::Results).await?;
        let text = "SELECT count(*) FROM load";
        Ok(on_either!(&mut reader.tx(), c => sqlx::query_scalar(text).fetch_one(c).await?))
    }

    /// Entries of the log that are in Kafka.
    pub async fn relayed(&self) -> Result<i64, DbError> {
        let mut reader = self.app.core.db.reader(View::State).await?;
        let text =
            "SELECT count(*) FROM log JOIN relay ON relay.topic = log.topic WHERE log.seq <= relay.seq";
        Ok(on_either!(&mut reader.tx(), c => sqlx::query_scalar(text).fetch_one(c).await?))
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await?;
        self.app.core.db.close().await;
        Ok(())
    }
}

/// A small mail; each number is an event of its own.
fn alert(number: usize) -> String {
    let node = number % 8;
    format!(
        "From: icecream_machine <grid@dc1.example>\nTo: {RECIPIENT}\n\
         Subject: [HYDRAstor] ALERT Warning grid=icecream_machine node=hn{node:03}\n\
         Date: Fri, 13 Jan 2023 12:00:05 +0900\nMessage-ID: <{number}.icecream@grid.example>\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
         Event ID   : 0x{number:07X}\nSeverity   : WARNING\nState      : Raised\nGrid       : icecream_machine\n\
         Node       : hn{node:03}\nComponent  : Disk slot 7\nOccurred   : 2023/01/13 03:14:15 JST\n\
         Message    : Predictive failure reported by drive (SMART).\n\
         Action     : Replace the drive. Contact your service provider.\n"
    )
}
