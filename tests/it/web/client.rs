//! A small HTTP client, one connection per request, and a small server to send requests to.

use axum::Router;
use axum::body::Bytes;
use headworks::ids::{Grant, Scope, Slug};
use headworks::infra::db::{Db, Lane};
use headworks::on_either;
use headworks::web::control::Control;
use headworks::web::edge::finish;
use headworks::web::key::NewKey;
use headworks::web::listen::{Limits, Listen, Serving, start};
use headworks::web::{Keys, Kit, Limits as KitLimits, Pace};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Bytes that a JSON body of the test server may have.
pub const BODY_BYTES: u64 = 64;

pub fn kit(db: &Db) -> Kit {
    let limits = KitLimits {
        body_bytes: BODY_BYTES,
        pace: PACE,
        decoder_bytes: 1 << 20,
        key_requests: 64,
        default_page: 2,
        max_page: 3,
        wait: Duration::from_secs(60),
    };
    Kit { keys: Keys::new(db.clone()), limits }
}

pub const LIMITS: Limits = Limits {
    header_bytes: 16_384,
    header_fields: 32,
    header_timeout: Duration::from_millis(300),
    connections: 64,
    reserved_connections: 4,
    trusted_proxies: Vec::new(),
};

/// A silence of 200 ms is too long.
pub const PACE: Pace = Pace { rate: 1, window: Duration::from_millis(200), time: Duration::from_secs(60) };

/// Serves `router` on a free port.
pub async fn serve(router: Router, limits: Limits) -> (Serving, SocketAddr) {
    let address = "127.0.0.1:0".parse().unwrap();
    let serving =
        start(vec![Listen { address, router: finish(router, Vec::new()), tls: None }], None, limits)
            .await
            .unwrap();
    let address = serving.addresses()[0];
    (serving, address)
}

/// Serves `router` on a control socket only.
pub async fn serve_control(router: Router, path: &Path) -> Serving {
    let control = Control { path: path.to_owned(), router: finish(router, Vec::new()) };
    start(vec![], Some(control), LIMITS).await.unwrap()
}

pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Response<Bytes> {
    exchange(TcpStream::connect(address).await.unwrap(), request).await
}

pub async fn send_unix(path: &Path, request: Request<Full<Bytes>>) -> Response<Bytes> {
    exchange(UnixStream::connect(path).await.unwrap(), request).await
}

pub async fn exchange<I>(io: I, mut request: Request<Full<Bytes>>) -> Response<Bytes>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    let connection = tokio::spawn(connection);
    request.headers_mut().insert("host", "test".parse().unwrap());
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    Response::from_parts(parts, body)
}

/// A request without body; `key` goes into `X-Api-Key`.
pub fn get(path: &str, key: &str) -> Request<Full<Bytes>> {
    request("GET", path, key, "")
}

/// A request; `key` goes into `X-Api-Key` where there is one. A body is JSON.
pub fn request(method: &str, path: &str, key: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !key.is_empty() {
        request = request.header("x-api-key", key);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

pub fn json(response: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// Checks everything that is promised of a problem, and returns it.
#[track_caller]
pub fn problem(response: &Response<Bytes>, status: u16, slug: &str) -> serde_json::Value {
    let said = String::from_utf8_lossy(response.body());
    assert_eq!(response.status(), status, "{said}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{said}");
    let problem = json(response);
    assert_eq!(problem["type"], format!("/errors/{slug}"), "{said}");
    assert_eq!(problem["status"], status, "{said}");
    assert_eq!(problem["instance"], response.headers()["x-request-id"].to_str().unwrap(), "{said}");
    problem
}

pub fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub fn new_key(name: &str, grants: &[Grant], scope: Scope) -> NewKey {
    NewKey { name: name.to_owned(), grants: grants.to_vec(), scope, expires_at: None }
}

/// Makes a key and returns its value.
pub async fn key(keys: &Keys, name: &str, grants: &[Grant], scope: Scope) -> String {
    keys.create(new_key(name, grants, scope)).await.unwrap().reveal().to_owned()
}

/// Registers a customer, as configuration does.
pub async fn register(db: &Db, customer: &'static str) {
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            let sql = "INSERT INTO customer (name, title, registered_by) VALUES ($1, $1, 'configuration')";
            on_either!(&mut tx, c => sqlx::query(sql).bind(customer).execute(c).await.map(drop)?);
            Ok(())
        })
    })
    .await
    .unwrap();
}
