//! Who gets a connection and an open request when there are too few, and what a head must have.

use super::client::{LIMITS, get, json, key, kit, problem, register, request, send, slug};
use crate::appliance::metrics;
use crate::stores::open_lite;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::FromRef;
use axum::routing::get as on_get;
use futures_util::{StreamExt, stream};
use headworks::ids::{Grant, Scope};
use headworks::web::edge::{finish, reserve};
use headworks::web::health::{self, Health};
use headworks::web::listen::{Limits, Listen, Serving, start};
use headworks::web::permit::Read;
use headworks::web::{Kit, Limits as KitLimits, May};
use http_body_util::Full;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

#[derive(Clone)]
struct Ctx(Kit);

impl FromRef<Ctx> for Kit {
    fn from_ref(ctx: &Ctx) -> Self {
        ctx.0.clone()
    }
}

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with keys of an operator, a customer and a reader of everything.
struct Bench {
    address: SocketAddr,
    operator: String,
    customer: String,
    reader: String,
    _serving: Serving,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn start(limits: Limits, key_requests: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let db = open_lite(directory.path()).await;
        register(&db, "alpha").await;
        let kit = kit(&db);
        let kit = Kit { limits: KitLimits { key_requests, ..kit.limits }, ..kit };
        let operator = key(&kit.keys, "operator", &[Grant::Operate], Scope::All).await;
        let customer = key(&kit.keys, "customer", &Grant::ALL, Scope::Customer(slug("alpha"))).await;
        let reader = key(&kit.keys, "reader", &[Grant::Read], Scope::All).await;
        let endless = |_may: May<Read>| async {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first"))]);
            Body::from_stream(first.chain(stream::pending()))
        };
        let never = |_may: May<Read>| std::future::pending::<()>();
        let routes = Router::new()
            .route("/here", on_get(|_may: May<Read>| async { "here" }))
            .route("/never", on_get(never))
            .route("/endless", on_get(endless))
            .route("/open", on_get(|| async { "open" }))
            .with_state(Ctx(kit.clone()))
            .merge(health::routes(Health::new(kit.clone(), metrics(), vec![])));
        let router = finish(reserve(routes, kit), Vec::new());
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), router, tls: None };
        let serving = start(vec![listen], None, limits).await.unwrap();
        let address = serving.addresses()[0];
        Self { address, operator, customer, reader, _serving: serving, _directory: directory }
    }

    /// A connection whose request is under way: the server has read its head.
    async fn busy(&self, from: &str) -> TcpStream {
        let mut stream = connect(from, self.address).await;
        let head = format!("GET /endless HTTP/1.1\r\nHost: a\r\nX-Api-Key: {}\r\n\r\n", self.reader);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said), "HTTP/1.1 200");
        stream
    }

    /// Asks until the answer is as `wanted`.
    async fn until(&self, path: &str, key: &str, wanted: u16) {
        let asking = async {
            while send(self.address, get(path, key)).await.status() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the answer stayed another one");
    }
}

/// A connection from an address of this host.
async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

async fn send_from(from: &str, to: SocketAddr, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let stream = connect(from, to).await;
    super::client::exchange(stream, request).await
}

/// Everything the server says to `bytes`, until it closes.
async fn told(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut said = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
    said
}

#[tokio::test]
async fn when_every_place_is_taken_health_and_operators_are_served_and_others_told_to_come_back() {
    let bench = Bench::start(Limits { connections: 2, ..LIMITS }, 64).await;
    let (first, _second) = (bench.busy("127.0.0.1").await, bench.busy("127.0.0.2").await);
    for (path, key) in [("/healthz", ""), ("/readyz", ""), ("/here", &bench.operator)] {
        let answer = send(bench.address, get(path, key)).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["connection"], "close", "{path}");
    }
    for (path, key) in
        [("/here", &*bench.customer), ("/here", &bench.reader), ("/open", ""), ("/here", "hw_wrong")]
    {
        let answer = send(bench.address, get(path, key)).await;
        problem(&answer, 503, "busy");
        assert_eq!(answer.headers()["retry-after"], "1", "{path}");
        assert_eq!(answer.headers()["connection"], "close", "{path}");
    }
    drop(first);
    bench.until("/here", &bench.customer, 200).await;
}

#[tokio::test]
async fn connections_that_stay_silent_do_not_keep_out_who_sends_a_request() {
    let bench = Bench::start(
        Limits { connections: 1, reserved_connections: 2, header_timeout: PATIENCE, ..LIMITS },
        64,
    )
    .await;
    let _busy = bench.busy("127.0.0.1").await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(bench.address).await.unwrap());
    }
    assert_eq!(send(bench.address, get("/healthz", "")).await.status(), 200);
    // Two places are reserved: of the ten, at least eight had to give way.
    for stream in &mut silent[..8] {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await.expect("it is still open");
        assert_eq!(read.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn one_peer_has_half_of_the_places_and_a_trusted_proxy_all() {
    let half = Bench::start(Limits { connections: 4, ..LIMITS }, 64).await;
    let _held = [half.busy("127.0.0.1").await, half.busy("127.0.0.1").await];
    let answer = send_from("127.0.0.1", half.address, get("/here", &half.customer)).await;
    problem(&answer, 503, "busy");
    let answer = send_from("127.0.0.2", half.address, get("/here", &half.customer)).await;
    assert_eq!(answer.status(), 200);

    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let all = Bench::start(Limits { connections: 4, trusted_proxies, ..LIMITS }, 64).await;
    let _held = [all.busy("127.0.0.1").await, all.busy("127.0.0.1").await, all.busy("127.0.0.1").await];
    let answer = send_from("127.0.0.1", all.address, get("/here", &all.customer)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_key_has_so_many_open_requests_until_an_answer_was_sent() {
    let bench = Bench::start(LIMITS, 2).await;
    let (first, _second) = (bench.busy("127.0.0.1").await, bench.busy("127.0.0.1").await);
    let refused = send(bench.address, get("/here", &bench.reader)).await;
    problem(&refused, 429, "too-many");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(json(&refused)["detail"], "a key may have 2");
    assert_eq!(send(bench.address, get("/here", &bench.customer)).await.status(), 200, "another key");
    assert_eq!(send(bench.address, get("/open", "")).await.status(), 200, "nobody's request");
    drop(first);
    bench.until("/here", &bench.reader, 200).await;
    for _ in 0..5 {
        assert_eq!(
            send(bench.address, get("/here", &bench.customer)).await.status(),
            200,
            "what ended is free"
        );
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    let bench = Bench::start(LIMITS, 64).await;
    let close = "Connection: close\r\n\r\n";
    for bad in [
        "GET /healthz HTTP/1.1\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a b\r\n",
        "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n",
        "POST /nowhere HTTP/1.1\r\nContent-Length: 0\r\n",
    ] {
        let said = told(bench.address, &format!("{bad}{close}")).await;
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert_eq!(&head[9..12], "400", "{bad:?}: {said}");
        assert!(head.contains("application/problem+json") && head.contains("x-request-id"), "{said}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["type"], "/errors/malformed");
        assert!(problem["detail"].as_str().unwrap().contains("Host"), "{said}");
    }
    for good in [
        "GET /healthz HTTP/1.1\r\nHost: a.example:80\r\n",
        "GET /healthz HTTP/1.1\r\nhost:\r\n",
        "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n",
        "GET /healthz HTTP/1.0\r\n",
    ] {
        let said = told(bench.address, &format!("{good}{close}")).await;
        assert_eq!(&said[9..12], "200", "{good:?}: {said}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_while_there_are_places() {
    let bench = Bench::start(LIMITS, 1).await;
    let stream = TcpStream::connect(bench.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let _connection = tokio::spawn(connection);
    for _ in 0..5 {
        sender.ready().await.unwrap();
        let mut request = request("GET", "/here", &bench.customer, "");
        request.headers_mut().insert("host", "test".parse().unwrap());
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("content-length"), "the counted body keeps its length");
    }
}
