//! Many bodies that arrive as slowly as they can, under one customer's key.

use super::client::{LIMITS, get, key, kit, register, send, slug};
use crate::appliance::metrics;
use crate::processes::{self, Installation, is_soak};
use crate::programs;
use crate::stores::open_lite;
use axum::Router;
use axum::extract::{FromRef, Request};
use axum::routing::post;
use headworks::ids::{Grant, Scope};
use headworks::web::edge::{finish, reserve};
use headworks::web::health::{self, Health};
use headworks::web::listen::{Limits, Listen, start};
use headworks::web::permit::Ingest;
use headworks::web::{Cap, Decoded, Kit, Limits as KitLimits, May, Pace, Problem};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many, how slow, and what the server allows.
struct Trial {
    sockets: usize,
    /// Pause between two bytes of a socket.
    pause: Duration,
    limits: Limits,
    pace: Pace,
    key_requests: u32,
    /// Longest wait for `/healthz`.
    health: Duration,
}

impl Trial {
    /// As an installation without settings of its own.
    fn long() -> Self {
        Self {
            sockets: 1024,
            pause: Duration::from_secs(5),
            limits: Limits {
                header_timeout: Duration::from_secs(10),
                connections: 1024,
                reserved_connections: 16,
                ..LIMITS
            },
            pace: Pace { rate: 1024, window: Duration::from_secs(30), time: Duration::from_secs(60) },
            key_requests: 64,
            health: Duration::from_millis(100),
        }
    }

    fn short() -> Self {
        Self {
            sockets: 48,
            pause: Duration::from_millis(20),
            limits: Limits { connections: 32, reserved_connections: 4, ..LIMITS },
            pace: Pace { rate: 1024, window: Duration::from_millis(500), time: Duration::from_secs(60) },
            key_requests: 4,
            // Other tests run at the same time.
            health: Duration::from_secs(5),
        }
    }
}

#[derive(Clone)]
struct Ctx(Kit);

impl FromRef<Ctx> for Kit {
    fn from_ref(ctx: &Ctx) -> Self {
        ctx.0.clone()
    }
}

async fn take(may: May<Ingest>, pace: Pace, request: Request) -> Result<String, Problem> {
    let (parts, body) = request.into_parts();
    let cap = Cap { bytes: 1 << 20, pace, decoder_bytes: 0 };
    let bytes = Decoded::new(&parts.headers, body, cap)?.bytes().await?;
    Ok(format!("{} bytes of {}", bytes.len(), may.caller().name))
}

/// Sends a head and one byte after each pause, until there is an answer; its status, `None` if the connection was closed
/// without one.
async fn dribble(address: SocketAddr, key: String, pause: Duration, open: Arc<AtomicUsize>) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head =
        format!("POST /take HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nContent-Length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    open.fetch_add(1, Ordering::Relaxed);
    let mut said = [0; 12];
    loop {
        match tokio::time::timeout(pause, stream.read(&mut said)).await {
            Ok(Ok(12)) => return String::from_utf8_lossy(&said[9..]).parse().ok(),
            Ok(_) => return None,
            Err(_) => stream.write_all(b"x").await.ok()?,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_under_one_key_do_not_keep_health_from_answering() {
    let trial = if is_soak() { Trial::long() } else { Trial::short() };
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    register(&db, "alpha").await;
    let kit = kit(&db);
    let kit = Kit { limits: KitLimits { key_requests: trial.key_requests, ..kit.limits }, ..kit };
    let customer = key(&kit.keys, "customer", &[Grant::Ingest], Scope::Customer(slug("alpha"))).await;
    let pace = trial.pace;
    let routes = Router::new()
        .route("/take", post(move |may: May<Ingest>, request: Request| take(may, pace, request)))
        .with_state(Ctx(kit.clone()))
        .merge(health::routes(Health::new(kit.clone(), metrics(), vec![])));
    let router = finish(reserve(routes, kit), Vec::new());
    let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), router, tls: None };
    let serving = start(vec![listen], None, trial.limits.clone()).await.unwrap();
    let address = serving.addresses()[0];

    let open = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..trial.sockets)
        .map(|_| tokio::spawn(dribble(address, customer.clone(), trial.pause, open.clone())))
        .collect();
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    // As long as one of them still sends, so the trial ends only because the server ends them.
    while senders.iter().any(|sender| !sender.is_finished()) {
        let began = Instant::now();
        // While they are being opened, this process is as busy as the server.
        let all_open = open.load(Ordering::Relaxed) == trial.sockets;
        let patience = if all_open { trial.health } else { Duration::from_secs(5) };
        let answer = tokio::time::timeout(patience, send(address, get("/healthz", ""))).await;
        assert_eq!(answer.expect("health does not answer").status(), 200);
        slowest = if all_open { slowest.max(began.elapsed()) } else { slowest };
        asked += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(asked < 60_000, "the slow bodies were never ended");
    }
    let mut answers = BTreeMap::new();
    for sender in senders {
        *answers.entry(sender.await.unwrap()).or_insert(0) += 1;
    }
    eprintln!("{} slow bodies: {answers:?}; healthz {asked} times, slowest {slowest:?}", trial.sockets);
    assert!(asked > 10);
    let timed_out = answers.get(&Some(408)).copied().unwrap_or(0);
    assert!(timed_out >= trial.key_requests, "as many as a key may have were let in, and ended: {answers:?}");
    let known = [None, Some(408), Some(429), Some(503)];
    assert!(answers.keys().all(|answer| known.contains(answer)), "{answers:?}");
}

/// What the server answers to a request on a connection of its own.
fn asked(address: SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_holds_to_the_limits_of_its_configuration() {
    let settings = "[http]\nconnections = 2\nreserved_connections = 1\nbody_window = \"1s\"\n";
    processes::each_store(|url| {
        let installation = Installation::new(url, settings, &programs::modules());
        let server = installation.start();
        let made = installation
            .says(&["keys", "create", "--name", "slow", "--grant", "ingest", "--customer", "bobs"]);
        let key = made.split_whitespace().find(|word| word.starts_with("hw_")).unwrap();
        let address = installation.address();
        let mut slow = std::net::TcpStream::connect(address).unwrap();
        let place = "category=hydrastor&type=alert";
        write!(
            slow,
            "POST /api/1.0/deliveries?{place} HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nContent-Length: 100000\r\n\r\nx"
        )
        .unwrap();
        // Half of two places is one, and connections are accepted in their order.
        assert_eq!(asked(address, "/version"), "HTTP/1.1 503 Service Unavailable");
        assert_eq!(asked(address, "/healthz"), "HTTP/1.1 200 OK");
        let mut said = String::new();
        slow.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("1024 bytes per second"), "{said}");
        installation.wait_for("its place", || {
            (asked(address, "/version") == "HTTP/1.1 200 OK").then_some(())
        });
        server.stop();
    })
    .await;
}
