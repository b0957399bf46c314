//! Connections: limits, draining, and the control socket.

use super::client::{LIMITS, get, key, kit, request, send, send_unix, serve, serve_control};
use crate::stores::open_lite;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get as on_get;
use headworks::ids::{Grant, Scope};
use headworks::web::edge::timed;
use headworks::web::listen::{Limits, Listen, start};
use headworks::web::permit::Admin;
use headworks::web::{Kit, MayAll};
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that have begun, and permits for them to end.
#[derive(Clone)]
struct Gate {
    begun: Arc<Semaphore>,
    end: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self { begun: Arc::new(Semaphore::new(0)), end: Arc::new(Semaphore::new(0)) }
    }

    /// Returns once a request of `/slow` has begun.
    async fn has_begun(&self) {
        let begun = tokio::time::timeout(PATIENCE, self.begun.acquire()).await;
        begun.expect("no request has begun").unwrap().forget();
    }

    /// Lets a request of `/slow` end.
    fn open(&self) {
        self.end.add_permits(1);
    }
}

/// Routes of which `/slow` answers when `gate` lets it.
fn slow(gate: &Gate) -> Router {
    let gate = gate.clone();
    let answer = || async move {
        gate.begun.add_permits(1);
        gate.end.acquire().await.unwrap().forget();
        "done"
    };
    Router::new()
        .route("/slow", on_get(answer))
        .route("/never", on_get(std::future::pending::<()>))
        .route("/peer", on_get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
}

/// How long the server keeps a connection whose client sends `head`, then nothing or one byte at a time.
async fn kept_open(address: SocketAddr, head: &[u8], dribble: bool) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let mut byte = [0];
    loop {
        let read = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        match read {
            Ok(Ok(0) | Err(_)) => return began.elapsed(),
            Ok(Ok(_)) => {}
            Err(_) if dribble => drop(stream.write_all(b"x").await),
            Err(_) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the connection was kept");
    }
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let (_serving, address) = serve(slow(&Gate::new()), LIMITS).await;
    for (head, dribble) in [("", false), ("GET /peer HTTP/1.1\r\nHost: a\r\nX: ", true)] {
        let kept = kept_open(address, head.as_bytes(), dribble).await;
        assert!(kept >= LIMITS.header_timeout && kept < LIMITS.header_timeout * 8, "{head:?} {kept:?}");
    }
    let idle = kept_open(address, b"GET /peer HTTP/1.1\r\nHost: a\r\n\r\n", false).await;
    assert!(idle < LIMITS.header_timeout * 8, "an idle connection is closed: {idle:?}");
}

#[tokio::test]
async fn a_head_with_too_many_fields_or_bytes_is_refused() {
    let (_serving, address) = serve(slow(&Gate::new()), LIMITS).await;
    let mut many = get("/peer", "");
    for n in 0..LIMITS.header_fields {
        many.headers_mut().insert(
            hyper::header::HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap(),
            "1".parse().unwrap(),
        );
    }
    assert_eq!(send(address, many).await.status(), 431);
    let mut large = get("/peer", "");
    large.headers_mut().insert("x-large", "1".repeat(LIMITS.header_bytes).parse().unwrap());
    assert_eq!(send(address, large).await.status(), 431);
}

#[tokio::test]
async fn draining_finishes_what_runs_and_accepts_nothing_new() {
    let gate = Gate::new();
    // An idle connection is not closed for want of a head.
    let (serving, address) = serve(slow(&gate), Limits { header_timeout: PATIENCE * 2, ..LIMITS }).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let running = tokio::spawn(send(address, get("/slow", "")));
    gate.has_begun().await;
    let draining = tokio::spawn(serving.drain(PATIENCE));
    let closed = tokio::time::timeout(PATIENCE, idle.read(&mut [0])).await;
    assert_eq!(closed.expect("an idle connection is kept").unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!draining.is_finished(), "the request still runs");
    gate.open();
    assert_eq!(draining.await.unwrap(), 0);
    assert_eq!(running.await.unwrap().body(), "done");
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut() {
    let gate = Gate::new();
    let (serving, address) = serve(slow(&gate), LIMITS).await;
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    gate.has_begun().await;
    assert_eq!(serving.drain(Duration::from_millis(200)).await, 1);
    assert_eq!(stuck.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_route_without_answer_is_given_up_in_time() {
    let gate = Gate::new();
    let limit = Duration::from_millis(100);
    let limited = timed(slow(&gate), limit, Duration::ZERO, vec![|_, path| path == "/slow"]);
    let (_serving, address) = serve(limited, LIMITS).await;
    let streaming = tokio::spawn(send(address, get("/slow", "")));
    gate.has_begun().await;
    let late = send(address, get("/never", "")).await;
    super::client::problem(&late, 503, "unavailable");
    assert_eq!(late.headers()["retry-after"], "5");
    // It began earlier than what was given up.
    gate.open();
    assert_eq!(streaming.await.unwrap().body(), "done", "here a body may take its time");
}

#[tokio::test]
async fn when_one_address_is_taken_none_is_served() {
    let (_serving, taken) = serve(slow(&Gate::new()), LIMITS).await;
    let listen = |address: SocketAddr| Listen { address, router: slow(&Gate::new()), tls: None };
    let free = "127.0.0.1:0".parse().unwrap();
    let error = start(vec![listen(free), listen(taken)], None, LIMITS).await.unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    let peer = send(taken, get("/peer", "")).await;
    assert!(peer.body().starts_with(b"127.0.0.1:"), "{peer:?}");
}

async fn whoami(may: MayAll<Admin>) -> String {
    may.caller().name.clone()
}

#[tokio::test]
async fn the_control_socket_knows_its_peer_and_needs_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let kit: Kit = kit(&open_lite(directory.path()).await);
    let reader = key(&kit.keys, "reader", &[Grant::Read], Scope::All).await;
    let path = directory.path().join("control.sock");
    let router: Router = Router::new().route("/whoami", on_get(whoami)).with_state(kit);
    let serving = serve_control(router.clone(), &path).await;
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // The kernel's word stands, whatever key is sent.
    for key in ["", "hw_wrong", &reader] {
        let answer = send_unix(&path, get("/whoami", key)).await;
        assert_eq!(answer.body(), &format!("control:uid={}", metadata.uid()), "{key}");
    }
    serving.drain(Duration::from_secs(1)).await;
    assert!(!path.exists());
    let (_serving, address) = serve(router, LIMITS).await;
    assert_eq!(send(address, request("GET", "/whoami", "", "")).await.status(), 401);
}

/// What a process of user `uid` reads from the socket at `path` after asking who it is. Needs root.
fn asked_as(uid: u32, path: &Path) -> Output {
    let ask = r#"my $s = IO::Socket::UNIX->new($ARGV[0]) or die "$!";
                 print $s "GET /whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"; print <$s>;"#;
    let mut perl = Command::new("perl");
    perl.args(["-MIO::Socket::UNIX", "-e", ask])
        .arg(path)
        .current_dir("/")
        .uid(uid)
        .gid(uid)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket_is_closed_to_other_users() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root can become another user");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("control.sock");
    let router = Router::new().route("/whoami", on_get(whoami));
    let _serving = serve_control(router.with_state(kit(&open_lite(directory.path()).await)), &path).await;
    assert!(!asked_as(65534, &path).status.success(), "the file system lets nobody else in");
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(String::from_utf8_lossy(&asked_as(65534, &path).stdout), "", "nor do credentials");
    assert!(String::from_utf8_lossy(&asked_as(0, &path).stdout).ends_with("control:uid=0"));
}
