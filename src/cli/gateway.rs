//! How commands speak to headworks: as clients of its API, wherever that is.
//!
//! ```text
//!   --url                              ─▶ HTTP, with the key of --key-file or HEADWORKS_KEY
//!   control.sock answers               ─▶ the same over that socket; the kernel says who we are
//!   nobody serves here                 ─▶ the same router in this process: on SQLite as the owner of the state directory, on
//!                                         Postgres on any host; a volume that is not there is missed where it is needed
//! ```
//!
//! Whichever it is, a command is one request to one handler, so there is one set of rules and one note in the timeline.

use super::{Exit, Failure, Global, owner};
use crate::app::{App, BuildError};
use crate::config::{Door, Live, Loaded, Role, StoreKind};
use crate::ids::VolumeName;
use crate::infra::db::DbErrorKind;
use crate::infra::telemetry::metrics::Metrics;
use crate::web::Caller;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Where the API is nested.
const BASE: &str = "/api/1.0";
/// Longest answer that is read.
const ANSWER_BYTES: usize = 256 << 20;
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// An API that can be asked.
pub enum Gateway {
    /// A server on this host.
    Socket(PathBuf),
    /// A server anywhere.
    Remote {
        /// `host:port`.
        authority: String,
        /// The value of a key.
        key: Option<String>,
    },
    /// No server: this process.
    Here(Here),
}

/// Every part of headworks, not running.
pub struct Here {
    /// The parts.
    pub app: Arc<App>,
    router: Router,
}

impl Gateway {
    /// Finds the API.
    ///
    /// # Errors
    /// When there is none, or not for us.
    pub async fn open(global: &Global) -> Result<Self, Failure> {
        if let Some(url) = &global.url {
            return Ok(Self::Remote { authority: authority(url)?, key: key(global)? });
        }
        let loaded = global.load()?;
        let config = loaded.config();
        let socket = config.server.control_socket.clone();
        match answers(&socket).await {
            Ok(true) => return Ok(Self::Socket(socket)),
            // Whom the server does not know may still open a store that asks for a role of its own.
            Err(refused) if config.store.kind != StoreKind::Postgres => return Err(refused),
            Ok(false) | Err(_) => {}
        }
        owner::of_store(loaded.config())?;
        Here::open(loaded, BTreeSet::new()).await.map(Self::Here)
    }

    /// The parts of headworks in this process, for what is done to volumes and spool and cannot be done beside a server.
    ///
    /// # Errors
    /// When a server runs here, or something that `role` needs is not there.
    pub async fn alone(global: &Global, role: Role) -> Result<Here, Failure> {
        let loaded = global.load()?;
        let server = &loaded.config().server;
        if answers(&server.control_socket).await? {
            return Err(Failure::new(Exit::Refused, "a server runs here: stop it first"));
        }
        owner::become_owner(&server.state_dir)?;
        Here::open(loaded, BTreeSet::from([role])).await
    }

    /// Says what is missing where the `contents` of something are not shown because they are on another host.
    pub fn say_what_is_missing(&self, global: &Global, contents: &Value) {
        if let (Self::Here(here), true) = (self, contents.is_null())
            && let Err(error) = here.app.core.volumes.get(VolumeName::Inbox).check()
        {
            global.say(&format!("what it holds is not shown: {error}: {}", error.source));
        }
    }

    /// `GET`: what is there.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await.map(|answer| json(&answer))
    }

    /// `GET`: bytes.
    pub async fn bytes(&self, path: &str) -> Result<Bytes, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// `POST`: does something; null where the API says nothing about it.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map(|body| ("application/json", Bytes::from(body.to_string())));
        self.ask(Method::POST, path, body).await.map(|answer| json(&answer))
    }

    /// `POST` with a mail as the body.
    pub async fn post_mail(&self, path: &str, mail: Bytes) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(("message/rfc822", mail))).await.map(|answer| json(&answer))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<(&str, Bytes)>) -> Result<Bytes, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{BASE}{path}"));
        if let Some((media_type, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *media_type);
        }
        let mut request = request.body(Full::new(body.map(|(_, bytes)| bytes).unwrap_or_default()))?;
        let (status, body) = match self {
            Self::Socket(path) => {
                let stream =
                    UnixStream::connect(path).await.map_err(|error| unreachable(path.display(), error))?;
                send(stream, "localhost", request).await
            }
            Self::Remote { authority, key } => {
                if let Some(key) = key {
                    let value =
                        key.parse().map_err(|_| Failure::new(Exit::Usage, "the key is no visible text"))?;
                    request.headers_mut().insert(API_KEY, value);
                }
                let stream =
                    TcpStream::connect(authority).await.map_err(|error| unreachable(authority, error))?;
                send(stream, authority, request).await
            }
            Self::Here(here) => here.answer(request).await,
        }?;
        judge(status, body)
    }

    /// Lets go of what is held.
    pub async fn close(self) {
        if let Self::Here(here) = self {
            here.close().await;
        }
    }
}

impl Here {
    /// Opens the store in this process, with what `roles` need; with SQLite no other process may hold it.
    async fn open(loaded: Loaded, roles: BTreeSet<Role>) -> Result<Self, Failure> {
        let built = App::build_at_once(Live::new(loaded), roles, Metrics::install()?).await;
        let app = Arc::new(built.map_err(|error| not_built(&error))?);
        let router = app.router(&[Door::Api].into(), &CancellationToken::new())?;
        Ok(Self { app, router })
    }

    async fn answer(&self, mut request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        request.extensions_mut().insert(Caller::control(rustix::process::geteuid().as_raw()));
        let answered = self.router.clone().oneshot(request.map(Body::new)).await;
        let Ok(answer) = answered;
        let status = answer.status();
        Ok((status, read(answer.into_body()).await?))
    }

    /// Closes the store.
    pub async fn close(self) {
        self.app.core.db.close().await;
    }
}

/// Text as one segment of a path or one value of a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Which build of headworks answers.
///
/// # Errors
/// When nobody does, or not as headworks would.
pub(super) async fn version<S>(stream: S) -> Result<Value, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get("/version").body(Full::default())?;
    let (status, body) = send(stream, "localhost", request).await?;
    judge(status, body).map(|answer| json(&answer))
}

/// Whether a server answers at a socket that may not be there.
pub(super) async fn answers(socket: &Path) -> Result<bool, Failure> {
    match UnixStream::connect(socket).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let why = format!("{}: {error}: run this as the server's user or as root", socket.display());
            Err(Failure::new(Exit::Refused, why))
        }
        Err(_) => Ok(false),
    }
}

async fn send<S>(
    stream: S,
    host: &str,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    request.headers_mut().insert(header::HOST, host.parse()?);
    let lost = |error: hyper::Error| unreachable(host, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(lost)?;
    let status = answer.status();
    let body = read(answer.into_body()).await?;
    connection.abort();
    Ok((status, body))
}

async fn read<B>(body: B) -> Result<Bytes, Failure>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = Limited::new(body, ANSWER_BYTES).collect().await;
    let broken = |error| Failure::new(Exit::Failed, format!("the answer broke off: {error}"));
    Ok(collected.map_err(broken)?.to_bytes())
}

fn json(answer: &[u8]) -> Value {
    serde_json::from_slice(answer).unwrap_or_default()
}

/// What an answer means for the command: its body, or why not.
fn judge(status: StatusCode, body: Bytes) -> Result<Bytes, Failure> {
    if status.is_success() {
        return Ok(body);
    }
    let value = json(&body);
    let exit = match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT => Exit::Refused,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    };
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut said = vec![text(&value, "title"), text(&value, "detail")];
    for fault in value["errors"].as_array().into_iter().flatten() {
        said.push(format!(
            "{}{}: {}",
            text(fault, "pointer"),
            text(fault, "parameter"),
            text(fault, "detail")
        ));
    }
    said.retain(|line| !line.is_empty());
    let message = if said.is_empty() { format!("the server answered {status}") } else { said.join(": ") };
    Err(Failure::new(exit, message))
}

/// Host and port of an `http://` address.
fn authority(url: &str) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::new(Exit::Usage, format!("--url {url}: {why}"));
    let uri: axum::http::Uri = url.parse().map_err(|_| wrong("is no address"))?;
    if uri.scheme_str() != Some("http") {
        return Err(wrong("only http:// is spoken; put TLS in front, or use the control socket"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

/// The value of the key, from a file or the environment: never from the command line, which others can see.
fn key(global: &Global) -> Result<Option<String>, Failure> {
    let Some(file) = &global.key_file else { return Ok(std::env::var("HEADWORKS_KEY").ok()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))?;
    Ok(Some(text.trim().to_owned()))
}

/// Why the parts could not be had: a store that is away or held by another process can be had another time.
pub(super) fn not_built(error: &BuildError) -> Failure {
    let held = matches!(error, BuildError::Store(store) if store.kind() == DbErrorKind::Unavailable);
    Failure::new(if held { Exit::Unreachable } else { Exit::Failed }, error.to_string())
}

fn unreachable(place: impl std::fmt::Display, error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Unreachable, format!("{place}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{authority, encoded, judge};
    use crate::cli::Exit;
    use axum::http::StatusCode;
    use hyper::body::Bytes;

    #[test]
    fn names_of_queues_fit_into_one_segment() {
        assert_eq!(encoded("parse:hydrastor/alert@x y"), "parse%3Ahydrastor%2Falert%40x%20y");
    }

    #[test]
    fn an_answer_decides_the_exit() {
        let exit = |status: u16| judge(StatusCode::from_u16(status).unwrap(), Bytes::new()).unwrap_err().exit;
        assert_eq!(exit(404), Exit::NotFound);
        assert_eq!([exit(401), exit(403), exit(409)], [Exit::Refused; 3]);
        assert_eq!([exit(400), exit(422)], [Exit::Usage; 2]);
        assert_eq!(exit(503), Exit::Unreachable);
        assert_eq!(exit(500), Exit::Failed);
    }

    #[test]
    fn a_refusal_says_what_and_where() {
        let body = br#"{"title":"The request says what cannot be","errors":[{"pointer":"/grants/0","detail":"unknown"}]}"#;
        let failure = judge(StatusCode::UNPROCESSABLE_ENTITY, Bytes::from_static(body)).unwrap_err();
        assert_eq!(failure.message, "The request says what cannot be: /grants/0: unknown");
    }

    #[test]
    fn only_plain_http_is_spoken() {
        assert_eq!(authority("http://127.0.0.1:25025").unwrap(), "127.0.0.1:25025");
        assert_eq!(authority("http://host/").unwrap(), "host:80");
        assert!(authority("https://host").is_err() && authority("host").is_err());
    }
}
