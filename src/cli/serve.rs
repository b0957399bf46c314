//! `headworks serve`: run the server until SIGTERM or SIGINT.

use super::{Exit, Failure, Global, gateway};
use crate::app::{App, BuildError, Server};
use crate::config::{self, Layers, Live};
use crate::infra::telemetry::{log, metrics::Metrics};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// Run the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// What this process does: http, mail, worker, relay, keeper [default: server.roles].
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    roles: Vec<String>,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When it cannot start.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let mut layers = global.layers();
        if !self.roles.is_empty() {
            let roles: Vec<String> = self.roles.iter().map(|role| format!("{role:?}")).collect();
            layers.flags.push(format!("server.roles=[{}]", roles.join(",")));
        }
        let live =
            Live::new(config::load(&layers).map_err(|errors| Failure::new(Exit::Usage, errors.to_string()))?);
        let telemetry = &live.config().telemetry;
        log::start(level(telemetry.level), telemetry.format)?;
        let (server, signals) = start(live, Metrics::install()?).await?;
        until_told(server, signals, &layers).await;
        Ok(Exit::Done)
    }
}

/// The signals a server reacts to.
pub struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Builds every part, listens to signals, and sets the server to work.
///
/// # Errors
/// When something it needs is not there.
pub async fn start(live: Live, metrics: Metrics) -> Result<(Server, Signals), Failure> {
    // A reload may be asked for while this waits for the store; to be told to stop just ends the process until there is
    // something to stop in order.
    let hang_up = signal(SignalKind::hangup())?;
    let app = App::build(live, metrics).await.map_err(|error| match error {
        BuildError::Idle => Failure::new(Exit::Usage, error.to_string()),
        other => gateway::not_built(&other),
    })?;
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok((Server::start(app).await?, Signals { hang_up, terminate, interrupt }))
}

/// Reloads on SIGHUP; stops on SIGTERM or SIGINT.
pub async fn until_told(server: Server, mut signals: Signals, layers: &Layers) {
    loop {
        tokio::select! {
            _ = signals.hang_up.recv() => {
                reload(&server.app.core.live, layers);
                server.reload_certificates();
            }
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    server.stop().await;
}

fn reload(live: &Live, layers: &Layers) {
    match live.reload(layers) {
        Ok(difference) => {
            tracing::info!(reloaded = ?difference.reloaded, "the configuration was reloaded");
            if !difference.restart.is_empty() {
                tracing::warn!(restart = ?difference.restart, "changed settings wait for a restart");
            }
        }
        Err(errors) => tracing::error!(%errors, "the configuration is bad; the old one stays in force"),
    }
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
