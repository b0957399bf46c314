//! A server at work: an [`App`] that runs and is served.

use super::App;
use crate::config::{self, ClientCertificate, Config, Door, Network, Role};
use crate::web::control::Control;
use crate::web::health::Health;
use crate::web::listen::{self, Limits, Listen, ListenError, Serving};
use crate::web::tls::{Clients, Files, Tls, TlsError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Open files besides connections: of the store, the volumes and the module processes.
const OTHER_FILES: u64 = 256;

/// A server at work.
pub struct Server {
    /// Its parts.
    pub app: Arc<App>,
    serving: Serving,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why an app cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address or the control socket cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A certificate cannot be used.
    #[error("listen {address}: {error}")]
    Tls {
        /// The address that would show it.
        address: SocketAddr,
        /// What is wrong.
        error: TlsError,
    },
    /// The API document cannot be written.
    #[error("openapi.json: {0}")]
    Document(#[from] serde_json::Error),
}

impl Server {
    /// Serves `app` and sets it to work.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(app: App) -> Result<Self, StartError> {
        let (app, stop, tasks) = (Arc::new(app), CancellationToken::new(), TaskTracker::new());
        let config = app.core.live.config();
        let health = app.health(&stop);
        let serving = serve(&app, &config, &health).await?;
        tasks.spawn(health.watch(stop.clone()));
        tasks.spawn(app.keeper().run(config.server.roles.contains(&Role::Keeper), stop.clone()));
        let (working, stopping) = (Arc::clone(&app), stop.clone());
        tasks.spawn(async move { working.run(stopping).await });
        tracing::info!(version = env!("CARGO_PKG_VERSION"), boot = %app.core.boot, "headworks is up");
        Ok(Self { app, serving, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.serving.addresses()
    }

    /// Reads the certificates of all addresses again.
    pub fn reload_certificates(&self) {
        self.serving.reload_certificates();
    }

    /// Stops accepting, lets what runs finish within the grace, gives back what does not, closes the store.
    pub async fn stop(self) {
        let grace = self.app.core.live.config().server.shutdown_grace.get();
        tracing::info!("stopping");
        self.stop.cancel();
        self.serving.drain(grace).await;
        self.tasks.close();
        self.tasks.wait().await;
        self.app.core.db.close().await;
        tracing::info!("stopped");
    }
}

/// Serves the control socket, which every process has, and with role `http` every address.
async fn serve(app: &App, config: &Config, health: &Health) -> Result<Serving, StartError> {
    let mut listens = Vec::new();
    for listen in config.listen.iter().filter(|_| config.server.roles.contains(&Role::Http)) {
        let tls = tls_files(listen).map(Tls::load).transpose();
        let tls = tls.map_err(|error| StartError::Tls { address: listen.address, error })?;
        listens.push(Listen { address: listen.address, router: app.router(&listen.doors, health)?, tls });
    }
    let path = config.server.control_socket.clone();
    let control = Control { path, router: app.router(&[Door::Api].into(), health)? };
    let http = &config.http;
    allow_files(http.connections.get().saturating_add(http.reserved_connections.get()));
    let limits = Limits {
        header_bytes: usize::try_from(http.header_bytes.bytes()).unwrap_or(usize::MAX),
        header_fields: http.header_fields.get() as usize,
        header_timeout: HEADER_TIMEOUT,
        connections: http.connections.get() as usize,
        reserved_connections: http.reserved_connections.get() as usize,
        trusted_proxies: http.trusted_proxies.iter().map(Network::get).collect(),
    };
    Ok(listen::start(listens, Some(control), limits).await?)
}

/// The files of an address that speaks TLS.
#[must_use]
pub fn tls_files(listen: &config::Listen) -> Option<Files> {
    let (certificate, key) = (listen.certificate.clone()?, listen.key.clone()?);
    let clients = match (listen.client_ca.clone(), listen.client_certificate) {
        (None, _) => Clients::All,
        (Some(file), ClientCertificate::Required) => Clients::OnlyWith(file),
        (Some(file), ClientCertificate::Optional) => Clients::With(file),
    };
    Some(Files { certificate, key, clients })
}

/// Raises the limit of open files as far as this process may: without a free one no connection is accepted.
fn allow_files(connections: u32) {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let needed = u64::from(connections) + OTHER_FILES;
    if let Some(allowed) = limit.maximum.filter(|allowed| *allowed < needed) {
        tracing::warn!(allowed, needed, "http.connections needs more open files than this process may have");
    }
}
