//! How commands reach the API, wherever it is.
//!
//! ```text
//!   --url                     ─▶ HTTP or HTTPS, with the key of --key-file or HEADWORKS_KEY
//!   control.sock answers      ─▶ the same over that socket; the kernel tells the server who we are
//!   no server on this host    ─▶ the same router in this process: with SQLite as the owner of the state directory, with
//!                                Postgres on any host; an operation that needs a missing volume fails and says why
//! ```
//!
//! In each case a command is one request to one handler, so the rules and the notes in the timeline are the same.

use super::client::{Client, Upload, cause};
use super::{Exit, Failure, Global, owner};
use crate::app::{App, BuildError};
use crate::config::{Config, Door, Live, Loaded, Role, StoreKind};
use crate::ids::VolumeName;
use crate::infra::db::{DbErrorKind, ReadOnly, View, path_of};
use crate::infra::telemetry::metrics::Metrics;
use crate::web::Caller;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Where the API is nested.
const BASE: &str = "/api/1.0";
/// Longest JSON answer that is read.
const ANSWER_BYTES: usize = 256 << 20;

/// An API that commands can ask.
pub enum Gateway {
    /// A server.
    Server(Client),
    /// This process, because no server runs on this host.
    Here(Here),
}

/// Every part of headworks, not running.
pub struct Here {
    /// The parts.
    pub app: Arc<App>,
    router: Router,
}

/// Whether a command may make the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// It needs one that is there.
    Found,
    /// It makes one in an existing state directory, or an empty database.
    Made,
}

impl Gateway {
    /// Finds the API, which without a server needs a store that is there.
    ///
    /// # Errors
    /// When there is none, or we may not use it.
    pub async fn open(global: &Global) -> Result<Self, Failure> {
        Self::open_on(global, Store::Found).await
    }

    /// As [`open`](Self::open), for a command that may make the store.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_on(global: &Global, store: Store) -> Result<Self, Failure> {
        if let Some(url) = &global.url {
            return Client::at_url(url, key(global)?.as_deref(), global.ca.as_deref()).map(Self::Server);
        }
        let loaded = global.load()?;
        let config = loaded.config();
        let socket = &config.server.control_socket;
        match answers(socket).await {
            Ok(true) => return Client::at_socket(socket).map(Self::Server),
            // The server does not know us, but Postgres has users of its own.
            Err(refused) if config.store.kind != StoreKind::Postgres => return Err(refused),
            Ok(false) | Err(_) => {}
        }
        owner::of_store(config)?;
        require(config, store).await?;
        Here::open(loaded, BTreeSet::new()).await.map(Self::Here)
    }

    /// The parts of headworks in this process, to change volumes and spool in ways that would disturb a running server.
    ///
    /// # Errors
    /// When a server runs here, or something that `role` needs is missing.
    pub async fn alone(global: &Global, role: Role) -> Result<Here, Failure> {
        let loaded = global.load()?;
        let server = &loaded.config().server;
        if answers(&server.control_socket).await? {
            return Err(Failure::new(Exit::Refused, "a server is running here: stop it first"));
        }
        owner::become_owner(&server.state_dir)?;
        require(loaded.config(), Store::Found).await?;
        Here::open(loaded, BTreeSet::from([role])).await
    }

    /// Tells the user why `contents` is empty where the volume is on another host.
    pub fn explain_missing(&self, global: &Global, contents: &Value) {
        if let (Self::Here(here), true) = (self, contents.is_null())
            && let Err(error) = here.app.core.volumes.get(VolumeName::Inbox).check()
        {
            global.say(&format!("the contents cannot be shown: {error}: {}", error.source));
        }
    }

    /// Gets a resource.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, &format!("{BASE}{path}"), None).await
    }

    /// Gets bytes, of any length.
    pub async fn download(&self, path: &str) -> Result<Body, Failure> {
        self.send(Method::GET, &format!("{BASE}{path}"), None).await
    }

    /// Posts a request without a body; null where the answer is empty.
    pub async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::POST, &format!("{BASE}{path}"), None).await
    }

    /// Posts JSON; null where the answer is empty.
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let upload = ("application/json".into(), body.to_string().into());
        self.json(Method::POST, &format!("{BASE}{path}"), Some(upload)).await
    }

    /// Posts bytes of any length, with their media type.
    pub async fn post_bytes(
        &self,
        path: &str,
        media_type: &str,
        bytes: reqwest::Body,
    ) -> Result<Value, Failure> {
        self.json(Method::POST, &format!("{BASE}{path}"), Some((media_type.to_owned(), bytes))).await
    }

    /// Which build of headworks answers.
    pub async fn version(&self) -> Result<Value, Failure> {
        self.json(Method::GET, "/version", None).await
    }

    async fn json(&self, method: Method, path: &str, upload: Option<Upload>) -> Result<Value, Failure> {
        let answer = self.read(self.send(method, path, upload).await?).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| {
            Failure::new(Exit::Failed, format!("{}{path}: the answer is not JSON: {error}", self.place()))
        })
    }

    async fn send(&self, method: Method, path: &str, upload: Option<Upload>) -> Result<Body, Failure> {
        let answer = match self {
            Self::Server(client) => client.send(method, path, upload).await?,
            Self::Here(here) => here.send(method, path, upload).await?,
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        Err(refusal(status, &self.read(answer.into_body()).await?))
    }

    #[expect(clippy::disallowed_methods, reason = "no setting of a server limits what a client reads")]
    async fn read(&self, body: Body) -> Result<Bytes, Failure> {
        let broken = |error: axum::Error| {
            Failure::new(Exit::Failed, format!("{}: the answer broke off: {}", self.place(), cause(&error)))
        };
        to_bytes(body, ANSWER_BYTES).await.map_err(broken)
    }

    fn place(&self) -> &str {
        match self {
            Self::Server(client) => &client.place,
            Self::Here(_) => "this process",
        }
    }

    /// Closes the store where this process opened it.
    pub async fn close(self) {
        if let Self::Here(here) = self {
            here.app.core.db.close().await;
        }
    }
}

impl Here {
    /// Opens the store in this process, with what `roles` need; with SQLite no other process may hold it.
    async fn open(loaded: Loaded, roles: BTreeSet<Role>) -> Result<Self, Failure> {
        let built = App::build_at_once(Live::new(loaded), roles, Metrics::install()?).await;
        let app = Arc::new(built.map_err(|error| not_built(&error))?);
        let router = app.router(&[Door::Api].into(), &app.health(&CancellationToken::new()))?;
        Ok(Self { app, router })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        upload: Option<Upload>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.extension(Caller::control(rustix::process::geteuid().as_raw()));
        let request = match upload {
            Some((media_type, body)) => {
                request.header(header::CONTENT_TYPE, media_type).body(Body::new(body))?
            }
            None => request.body(Body::empty())?,
        };
        let Ok(answer) = self.router.clone().oneshot(request).await;
        Ok(answer)
    }
}

/// Percent-encodes a segment of a path or a value of a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Whether a server answers on a socket that need not exist.
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

/// Refuses where the store is missing. Who only looks makes none; and one that was made by another user than the server's,
/// the server could not open.
async fn require(config: &Config, store: Store) -> Result<(), Failure> {
    let missing = match config.store.kind {
        StoreKind::Postgres if store == Store::Made => None,
        StoreKind::Postgres => {
            let looked = async {
                let mut look = ReadOnly::at_server(config.store.url.reveal()).await?;
                let schema = look.schema().await;
                look.close().await;
                schema
            };
            // What else is wrong with the schema is said when it is used.
            let is_empty = match looked.await {
                Err(error) if error.is_outage() => return Err(not_built(&error.into())),
                schema => schema.is_ok_and(|schema| schema.version.is_none()),
            };
            is_empty.then(|| "in the database".to_owned())
        }
        StoreKind::Sqlite => {
            let directory = &config.server.state_dir;
            let is_there = match store {
                Store::Made => directory.is_dir(),
                Store::Found => {
                    [View::State, View::Results].iter().all(|view| path_of(directory, *view).exists())
                }
            };
            (!is_there).then(|| format!("in {}", directory.display()))
        }
    };
    match missing {
        None => Ok(()),
        Some(place) => {
            let why = format!(
                "there is no store {place} yet: the first start of the server makes it, or `headworks migrate`"
            );
            Err(Failure::new(Exit::NotFound, why))
        }
    }
}

/// What a refusal means for the command: how to exit, and what the problem document says.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
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
    let mut sentences = vec![text(&problem, "title"), text(&problem, "detail")];
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let place = text(fault, "pointer") + &text(fault, "parameter");
        sentences.push(format!("{place}: {}", text(fault, "detail")));
    }
    sentences.retain(|sentence| !sentence.is_empty());
    if sentences.is_empty() {
        sentences.push(format!("the server answered {status}"));
    }
    Failure::new(exit, sentences.join(": "))
}

/// The value of the key, from a file or the environment: never from the command line, which other users can see.
fn key(global: &Global) -> Result<Option<String>, Failure> {
    let Some(file) = &global.key_file else { return Ok(std::env::var("HEADWORKS_KEY").ok()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))?;
    Ok(Some(text.trim().to_owned()))
}

/// Why the parts could not be built. A store that is away or held by another process may be available later.
pub(super) fn not_built(error: &BuildError) -> Failure {
    let held = matches!(error, BuildError::Store(store) if store.kind() == DbErrorKind::Unavailable);
    Failure::new(if held { Exit::Unreachable } else { Exit::Failed }, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{encoded, refusal};
    use crate::cli::Exit;
    use axum::http::StatusCode;

    #[test]
    fn names_of_queues_fit_into_one_segment() {
        assert_eq!(encoded("parse:hydrastor/alert@x y"), "parse%3Ahydrastor%2Falert%40x%20y");
    }

    #[test]
    fn the_status_decides_the_exit_code() {
        let exit = |status: u16| refusal(StatusCode::from_u16(status).unwrap(), b"").exit;
        assert_eq!(exit(404), Exit::NotFound);
        assert_eq!([exit(401), exit(403), exit(409)], [Exit::Refused; 3]);
        assert_eq!([exit(400), exit(422)], [Exit::Usage; 2]);
        assert_eq!(exit(503), Exit::Unreachable);
        assert_eq!(exit(500), Exit::Failed);
    }

    #[test]
    fn a_refusal_names_the_place_and_the_fault() {
        let body = br#"{"title":"Invalid values","errors":[{"pointer":"/grants/0","detail":"unknown"}]}"#;
        let failure = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.message, "Invalid values: /grants/0: unknown");
    }
}
