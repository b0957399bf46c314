//! `headworks serve`: everything at work, until SIGTERM or SIGINT.

use super::{Exit, Failure, Global};
use crate::app::App;
use crate::config::{self, Live, Role, Sources};
use crate::infra::host::Host;
use crate::infra::telemetry::{log, metrics::Metrics};
use crate::infra::volume::Volume;
use crate::router::Doors;
use crate::schedule::Keeper;
use crate::web::Kit;
use crate::web::control::Control;
use crate::web::health::{Check, Health};
use crate::web::key::Keys;
use crate::web::listen::{self, Listen, Serving};
use clap::Args;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::level_filters::LevelFilter;

/// Longest wait for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence while a body is read.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// Run the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// What this process does: http, mail, worker, relay, keeper [default: server.roles].
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    roles: Vec<String>,
}

impl Serve {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// When it cannot start.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let mut sources = global.sources();
        if !self.roles.is_empty() {
            let roles: Vec<String> = self.roles.iter().map(|role| format!("{role:?}")).collect();
            sources.flags.push(format!("server.roles=[{}]", roles.join(",")));
        }
        let live = Live::new(
            config::load(&sources).map_err(|errors| Failure::new(Exit::Usage, errors.to_string()))?,
        );
        let telemetry = &live.config().telemetry;
        log::start(level(telemetry.level), format(telemetry.format))?;
        let metrics = Metrics::install()?;
        let server = Server::start(live, metrics).await?;
        server.until_told(&sources).await;
        Ok(Exit::Done)
    }
}

/// A server at work.
pub struct Server {
    /// Its parts.
    pub app: Arc<App>,
    serving: Serving,
    signals: Signals,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What a process is told from outside, from the moment each is made.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Server {
    /// Builds every part and sets it to work.
    ///
    /// # Errors
    /// When something it needs is not there.
    pub async fn start(live: Live, metrics: Metrics) -> Result<Self, Failure> {
        // A reload may be asked for while this waits for the store; to be told to stop just ends the process until there is
        // something to stop in order.
        let hang_up = signal(SignalKind::hangup())?;
        let app = Arc::new(App::build(live.clone()).await?);
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let signals = Signals { hang_up, terminate, interrupt };
        let config = live.config();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let keys = Keys::new(app.db.clone());
        let serving = open_doors(&app, &keys, &metrics, &stop).await?;
        let keeper = Keeper {
            live: live.clone(),
            db: app.db.clone(),
            boot: app.boot,
            wake: app.wake.clone(),
            keys,
            metrics,
            leftovers: app.leftovers(),
            sorter: app.spool.as_ref().map(|home| app.sorter(home)),
            tmp: config.server.tmp_dir.clone(),
            attention: Arc::default(),
        };
        tasks.spawn(keeper.run(config.server.roles.contains(&Role::Keeper), stop.clone()));
        let (working, stopping) = (Arc::clone(&app), stop.clone());
        tasks.spawn(async move { working.run(stopping).await });
        tracing::info!(version = env!("CARGO_PKG_VERSION"), boot = %app.boot, "headworks is up");
        Ok(Self { app, serving, signals, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[std::net::SocketAddr] {
        self.serving.addresses()
    }

    /// Reloads on SIGHUP; stops on SIGTERM or SIGINT.
    pub async fn until_told(mut self, sources: &Sources) {
        loop {
            tokio::select! {
                _ = self.signals.hang_up.recv() => self.reload(sources),
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
            }
        }
        self.stop().await;
    }

    fn reload(&self, sources: &Sources) {
        match self.app.live.reload(sources) {
            Ok(difference) => {
                tracing::info!(reloaded = ?difference.reloaded, "the configuration was reloaded");
                if !difference.restart.is_empty() {
                    tracing::warn!(restart = ?difference.restart, "changed settings wait for a restart");
                }
            }
            Err(errors) => tracing::error!(%errors, "the configuration is bad; the old one stays in force"),
        }
    }

    /// Stops accepting, lets what runs finish within the grace, gives back what does not, closes the store.
    pub async fn stop(self) {
        let grace = self.app.live.config().server.shutdown_grace.get();
        tracing::info!("stopping");
        self.stop.cancel();
        self.serving.drain(grace).await;
        self.tasks.close();
        self.tasks.wait().await;
        self.app.db.close().await;
        tracing::info!("stopped");
    }
}

/// What every listener of this process serves from.
pub(super) fn doors(app: &Arc<App>, keys: &Keys, metrics: &Metrics, stop: &CancellationToken) -> Doors {
    let http = &app.live.config().http;
    let kit = Kit {
        keys: keys.clone(),
        limits: crate::web::Limits {
            body_bytes: http.body_bytes.bytes(),
            body_idle: BODY_IDLE,
            default_page: http.default_page.get(),
            max_page: http.max_page.get(),
        },
    };
    Doors {
        api: app.api(kit.clone()),
        health: Health::new(kit, metrics.clone(), checks(app, stop)),
        request_timeout: http.request_timeout.get(),
    }
}

/// Serves the control socket, which every process has, and with role `http` every address.
async fn open_doors(
    app: &Arc<App>,
    keys: &Keys,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<Serving, Failure> {
    let config = app.live.config();
    let http = &config.http;
    let doors = doors(app, keys, metrics, stop);
    let mut listens = Vec::new();
    let addresses = config.listen.iter().filter(|_| config.server.roles.contains(&Role::Http));
    for listen in addresses {
        listens.push(Listen { address: listen.address, router: doors.router(&listen.doors)? });
    }
    let everything: BTreeSet<_> = [config::Door::Api].into();
    let control = Control { path: config.server.control_socket.clone(), router: doors.router(&everything)? };
    let limits = listen::Limits {
        header_bytes: usize::try_from(http.header_bytes.bytes()).unwrap_or(usize::MAX),
        header_fields: http.header_fields.get() as usize,
        header_timeout: HEADER_TIMEOUT,
        connections: http.connections.get() as usize,
    };
    Ok(listen::start(listens, Some(control), limits).await?)
}

const fn level(level: config::Level) -> LevelFilter {
    match level {
        config::Level::Error => LevelFilter::ERROR,
        config::Level::Warn => LevelFilter::WARN,
        config::Level::Info => LevelFilter::INFO,
        config::Level::Debug => LevelFilter::DEBUG,
        config::Level::Trace => LevelFilter::TRACE,
    }
}

const fn format(format: config::Format) -> log::Format {
    match format {
        config::Format::Auto => log::Format::Auto,
        config::Format::Json => log::Format::Json,
        config::Format::Pretty => log::Format::Pretty,
    }
}

/// Asks whether a volume is the one that was opened and can say how much is left. One question at a time: a file system that
/// hangs must not take a thread for each.
fn volume_check(name: &'static str, volume: &Arc<Volume>) -> Check {
    let (volume, turn) = (Arc::clone(volume), Arc::new(Mutex::new(())));
    Check::new(name, move || {
        let (volume, turn) = (Arc::clone(&volume), Arc::clone(&turn));
        async move {
            let turn = turn.try_lock_owned().map_err(|_| "it has not answered the last time".to_owned())?;
            let asked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                volume.check().and_then(|()| volume.free())
            });
            let free = asked.await.map_err(|error| error.to_string())?;
            free.map(|_| None).map_err(|error| error.to_string())
        }
    })
}

/// What `/readyz` asks.
fn checks(app: &Arc<App>, stop: &CancellationToken) -> Vec<Check> {
    let (db, spooled, stop) = (app.db.clone(), Arc::clone(app), stop.clone());
    let mut checks = vec![
        Check::new("process", move || {
            let stopping = stop.is_cancelled();
            async move { if stopping { Err("it is stopping".to_owned()) } else { Ok(None) } }
        }),
        Check::new("store", move || {
            let db = db.clone();
            async move { db.ping().await.map(|()| None).map_err(|error| error.to_string()) }
        }),
        Check::new("spool", move || {
            let app = Arc::clone(&spooled);
            async move { app.check_spool().await }
        }),
    ];
    if app.touches_deliveries {
        checks.extend([
            volume_check("inbox", &app.inbox),
            volume_check("archive", &app.archive),
            sandbox_check(app.host.clone()),
        ]);
    }
    checks
}

fn sandbox_check(modules: Host) -> Check {
    Check::new("modules", move || {
        let walls = modules.state().walls;
        let note = walls.landlock_abi.is_none().then(|| "this kernel has no landlock".to_owned());
        async move { if walls.seccomp_calls > 0 { Ok(note) } else { Err("no sandbox stands".to_owned()) } }
    })
}
