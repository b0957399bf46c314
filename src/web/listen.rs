//! Serving: every address and the control socket, with limits, until the server stops.
//!
//! ```text
//!   start ─▶ bind all (any failure: none is served) ─▶ accept ─▶ one task per connection
//!   drain ─▶ stop accepting ─▶ idle connections close, busy ones finish their request ─▶ after the grace: cut
//! ```
//!
//! A connection costs memory as soon as it is open, so there is a number per address, and one per peer; see
//! [`places`](super::places) for what becomes of more. A head must arrive within [`Limits::header_timeout`], counted from
//! the connection's begin or the end of the request before; so a connection without a request ends too, and a client that
//! sends one byte at a time holds its place no longer than one that is fast. HTTP/1.1 only: a proxy in front may speak
//! HTTP/2. On an address with a certificate the handshake of [TLS](super::tls) comes first. What is no HTTP, or over the limits of a head, never becomes a request: it gets 400 or 431 without a body.

use super::control::{self, Control};
use super::edge::Reserved;
use super::host;
use super::places::{Place, Places};
use super::tls::Tls;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Pause after a failed accept: it fails for want of descriptors or memory, which only time cures.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest head of a request: request line and all fields.
    pub header_bytes: usize,
    /// Most fields of a head.
    pub header_fields: usize,
    /// Longest wait for a whole head.
    pub header_timeout: Duration,
    /// Most connections at once, per address; one peer can have half of them.
    pub connections: usize,
    /// Further connections when those are taken, for health and operators.
    pub reserved_connections: usize,
    /// Peers that can have all connections.
    pub trusted_proxies: Vec<IpNet>,
}

/// An address and what is served there, [finished](super::edge::finish).
#[derive(Debug)]
pub struct Listen {
    /// Port 0 takes a free one.
    pub address: SocketAddr,
    /// What is served. A request carries its peer as `ConnectInfo<SocketAddr>`.
    pub router: Router,
    /// What it speaks TLS with; plain HTTP without.
    pub tls: Option<Tls>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {source}")]
pub struct ListenError {
    /// The address or path.
    pub place: String,
    /// Why.
    pub source: io::Error,
}

/// A server that runs; kept until it is to be [drained](Self::drain).
#[derive(Debug)]
pub struct Serving {
    addresses: Vec<SocketAddr>,
    tls: Vec<(SocketAddr, Tls)>,
    connections: Connections,
}

/// How connection tasks learn that it is over.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pub(super) stop: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
    limits: Limits,
}

/// Binds every address and the control socket, then serves them all.
///
/// # Errors
/// When one cannot be bound; then none is.
pub async fn start(
    listens: Vec<Listen>,
    control: Option<Control>,
    limits: Limits,
) -> Result<Serving, ListenError> {
    let mut bound = Vec::with_capacity(listens.len());
    for Listen { address, router, tls } in listens {
        let named = |source| ListenError { place: address.to_string(), source };
        let listener = TcpListener::bind(address).await.map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        bound.push((listener, address, router, tls));
    }
    let connections = Connections {
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
        limits,
    };
    if let Some(control) = control {
        control::start(control, &connections)?;
    }
    let addresses = bound.iter().map(|(_, address, ..)| *address).collect();
    let mut certificates = Vec::new();
    for (listener, address, router, tls) in bound {
        tracing::info!(%address, tls = tls.is_some(), "listening");
        certificates.extend(tls.clone().map(|tls| (address, tls)));
        connections.tasks.spawn(accept(listener, router, tls, connections.clone()));
    }
    Ok(Serving { addresses, tls: certificates, connections })
}

impl Serving {
    /// Where it listens, in the order given, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reads the certificates of all addresses again. One that cannot be used is logged, and the one before stays.
    pub fn reload_certificates(&self) {
        for (address, tls) in &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!(%address, "the certificate was read again"),
                Err(error) => tracing::error!(%address, %error, "the certificate before stays in use"),
            }
        }
    }

    /// Stops accepting, lets requests finish for `grace`, then cuts what is left; returns how many connections that
    /// were.
    pub async fn drain(self, grace: Duration) -> usize {
        self.connections.stop.cancel();
        self.connections.tasks.close();
        if tokio::time::timeout(grace, self.connections.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.connections.tasks.len();
        tracing::warn!(connections = left, "connections were cut after the grace period");
        self.connections.cut.cancel();
        self.connections.tasks.wait().await;
        left
    }
}

async fn accept(listener: TcpListener, router: Router, tls: Option<Tls>, connections: Connections) {
    let Limits { connections: most, reserved_connections: reserved, trusted_proxies, .. } =
        &connections.limits;
    let places = Places::new(*most, *reserved, trusted_proxies.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = tokio::select! {
                    place = places.take(peer.ip()) => place,
                    () = connections.stop.cancelled() => return,
                };
                let Some(place) = place else {
                    tracing::debug!("a connection was closed: its peer can have no more");
                    continue;
                };
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection ended before it was served");
                    continue;
                }
                let (router, peer, place) = (router.clone(), ConnectInfo(peer), Arc::new(place));
                match &tls {
                    Some(tls) => connections.serve_tls(stream, tls, router, peer, place),
                    None => connections.serve(stream, router, peer, place),
                }
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// After a failed accept.
pub(super) async fn pause(error: &io::Error) {
    tracing::warn!(%error, "accepting a connection failed");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

impl Connections {
    /// Runs a task that ends when [`stop`](Self::stop) is cancelled.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Most connections at once, per address.
    pub(super) const fn most(&self) -> usize {
        self.limits.connections
    }

    /// Serves one connection in a task of its own; every request carries `peer` as an extension.
    pub(super) fn serve<I, P>(&self, stream: I, router: Router, peer: P, place: Arc<Place>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        P: Clone + Send + Sync + 'static,
    {
        let connections = self.clone();
        self.tasks.spawn(async move { connections.run(stream, router, peer, place).await });
    }

    /// As [`serve`](Self::serve), after the handshake of TLS, which has the time of a head.
    fn serve_tls(
        &self,
        stream: TcpStream,
        tls: &Tls,
        router: Router,
        peer: ConnectInfo<SocketAddr>,
        place: Arc<Place>,
    ) {
        let (connections, handshake) = (self.clone(), tls.acceptor().accept(stream));
        self.tasks.spawn(async move {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(connections.limits.header_timeout, handshake) => shaken,
                () = place.lost() => return,
                () = connections.stop.cancelled() => return,
            };
            match shaken {
                Ok(Ok(stream)) => connections.run(stream, router, peer, place).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }

    async fn run<I, P>(&self, stream: I, router: Router, peer: P, place: Arc<Place>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        P: Clone + Send + Sync + 'static,
    {
        let mut http = self.http();
        // Who has a reserved place goes as soon as it was served.
        http.keep_alive(!place.is_reserved());
        let taken = Arc::clone(&place);
        let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
            taken.head_came();
            request.extensions_mut().insert(peer.clone());
            if taken.is_reserved() {
                request.extensions_mut().insert(Reserved);
            }
            host::check(&mut request);
            router.clone().oneshot(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = place.lost() => Ok(()),
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.cut.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            // Clients go away, and slow ones are timed out; neither is a failure of ours.
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
        }
    }

    fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_headers(self.limits.header_fields)
            .max_header_size(self.limits.header_bytes);
        http
    }
}
