//! `headworks config check --live`: checks what the configuration names.
//!
//! ```text
//!   secrets ─▶ directories ─▶ store (which volumes are registered?) ─▶ volumes, spool ─▶ module program ─▶ addresses, Kafka
//! ```
//!
//! Each check prints a line, even if an earlier one failed. Nothing is created, migrated or written. What the first start
//! creates may be missing until the store has registered it; afterwards it is an error, perhaps a missing mount.

use super::super::Failure;
use super::super::client::Client;
use super::super::gateway::Gateway;
use super::super::local;
use crate::app::{ObjectStores, Place, beside_this_program, tls_files};
use crate::config::{Config, Loaded, Role, StoreKind};
use crate::delivery::store::registered_volume;
use crate::ids::VolumeName;
use crate::infra::db::{DbError, ReadOnly, Schema, View, path_of};
use crate::infra::volume::{BucketSettings, Volume};
use crate::load::Tables;
use crate::web::tls::{Files, Tls};
use headworks_spool::Spool;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for the server at one of our addresses.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_START: &str = "missing; the first start will create it";

/// A check, its place, and its result: a remark, or what is wrong.
pub struct Line {
    check: &'static str,
    place: String,
    found: Result<String, String>,
}

impl Line {
    pub(super) fn new(check: &'static str, place: impl ToString, found: Result<String, String>) -> Self {
        Self { check, place: place.to_string(), found }
    }

    /// Whether something is wrong.
    pub const fn has_failed(&self) -> bool {
        self.found.is_err()
    }

    /// For printing.
    pub fn json(&self) -> Value {
        let (state, detail) = match &self.found {
            Ok(remark) => ("ok", remark),
            Err(wrong) => ("failed", wrong),
        };
        json!({"state": state, "check": self.check, "place": self.place, "detail": detail})
    }
}

/// Checks everything that the configuration names.
pub async fn check(loaded: &Loaded) -> Vec<Line> {
    let config = loaded.config();
    let mut lines: Vec<_> = loaded
        .secret_places()
        .into_iter()
        .map(|(setting, place)| Line::new("secret", place, Ok(format!("{setting} is readable"))))
        .collect();
    lines.extend(directories(config));
    let (of_store, known) = store(config).await;
    lines.extend(of_store);
    let mut stores = ObjectStores::default();
    for (name, settings) in config.volume.iter() {
        let registered = known.as_ref().map(|known| known.get(&name).copied());
        let found = match stores.place(config, name) {
            Ok(Place::Directory(path)) => volume(name, path, registered),
            Ok(Place::Bucket(settings)) => bucket(name, settings, registered).await,
            Err(error) => Err(error.to_string()),
        };
        lines.push(Line::new(name.word(), settings.place(), found));
    }
    if config.server.roles.contains(&Role::Mail) {
        let path = &config.spool.path;
        lines.push(Line::new(
            "spool",
            path.display(),
            spool(config, known.is_some_and(|known| known.is_empty())),
        ));
    }
    let program = beside_this_program(&config.modules.program);
    let (modules, tables) = modules(config).await;
    lines.push(Line::new("modules", program.display(), modules));
    if config.server.roles.contains(&Role::Http) {
        for listen in &config.listen {
            let tls = tls_files(listen);
            let found = address(listen.address, tls.as_ref(), &config.server.control_socket).await;
            lines.push(Line::new("listen", listen.address, found));
            if let Some(files) = tls {
                let place = files.certificate.display().to_string();
                let read =
                    Tls::load(files).map(|_| "can be read".to_owned()).map_err(|error| error.to_string());
                lines.push(Line::new("certificate", place, read));
            }
        }
    }
    lines.extend(super::kafka::check(config, tables.as_ref()).await);
    lines
}

/// The state directory, and the temporary directory, which must be on the same file system as the volumes.
fn directories(config: &Config) -> [Line; 2] {
    let (state, tmp) = (&config.server.state_dir, &config.server.tmp_dir);
    let elsewhere = config
        .volume
        .iter()
        .filter_map(|(_, volume)| volume.directory())
        .filter(|path| matches!((device(path), device(tmp)), (Some(a), Some(b)) if a != b));
    let elsewhere: Vec<_> = elsewhere.map(|path| path.display().to_string()).collect();
    let near = match elsewhere.is_empty() {
        true => writable(tmp),
        false => Err(format!("on another file system than {}", elsewhere.join(", "))),
    };
    [Line::new("state", state.display(), writable(state)), Line::new("tmp", tmp.display(), near)]
}

fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|found| found.dev())
}

fn writable(directory: &Path) -> Result<String, String> {
    use rustix::fs::Access;
    match rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if directory.is_dir() => Ok(String::new()),
        Ok(()) => Err("is not a directory".into()),
        Err(rustix::io::Errno::NOENT) => Ok(FIRST_START.into()),
        Err(errno) => Err(errno.to_string()),
    }
}

/// Registered markers of the volumes; `None` if the store could not be read.
type Known = Option<BTreeMap<VolumeName, Uuid>>;

async fn store(config: &Config) -> (Vec<Line>, Known) {
    if config.store.kind == StoreKind::Postgres {
        let (found, known) = look(ReadOnly::at_server(config.store.url.reveal()).await, true).await;
        // The URL contains the password.
        return (vec![Line::new("store", "store.url", found)], known);
    }
    let directory = &config.server.state_dir;
    let [state, results] = [View::State, View::Results].map(|view| path_of(directory, view));
    let (of_state, known) = match state.exists() {
        true => look(ReadOnly::at_file(directory, View::State).await, true).await,
        false => (Ok(FIRST_START.into()), Some(BTreeMap::new())),
    };
    let of_results = match (results.exists(), state.exists()) {
        (true, _) => look(ReadOnly::at_file(directory, View::Results).await, false).await.0,
        (false, true) => Err(format!("is missing, but {} exists", state.display())),
        (false, false) => Ok(FIRST_START.into()),
    };
    let lines = [(state, of_state), (results, of_results)];
    (lines.map(|(path, found)| Line::new("store", path.display(), found)).into(), known)
}

async fn look(opened: Result<ReadOnly, DbError>, knows_volumes: bool) -> (Result<String, String>, Known) {
    let mut look = match opened {
        Ok(look) => look,
        Err(error) => return (Err(error.to_string()), None),
    };
    let schema = look.schema().await;
    let known = match &schema {
        Ok(Schema { version: Some(_), .. }) if knows_volumes => markers(&mut look).await,
        Ok(Schema { version: None, .. }) if knows_volumes => Ok(Some(BTreeMap::new())),
        _ => Ok(None),
    };
    look.close().await;
    match (schema, known) {
        (Ok(schema), Ok(known)) => (Ok(remark(schema)), known),
        (Err(error), _) | (_, Err(error)) => (Err(error.to_string()), None),
    }
}

async fn markers(look: &mut ReadOnly) -> Result<Known, DbError> {
    let mut known = BTreeMap::new();
    for name in VolumeName::ALL {
        known.extend(registered_volume(&mut look.tx(), name.word()).await?.map(|marker| (*name, marker)));
    }
    Ok(Some(known))
}

fn remark(schema: Schema) -> String {
    match schema {
        Schema { version: None, .. } => "no schema; the first start will create it".into(),
        Schema { version: Some(version), steps: 0 } => format!("schema {version}"),
        Schema { version: Some(version), steps } => {
            format!(
                "schema {version}; the next start or `headworks migrate` will run {steps} more migrations"
            )
        }
    }
}

/// `registered`: the volume's marker in the store; `None` if the store could not be read.
fn volume(name: VolumeName, path: &Path, registered: Option<Option<Uuid>>) -> Result<String, String> {
    match (registered, Volume::is_marked(path)) {
        (Some(None), false) => Ok(FIRST_START.into()),
        (_, false) => Err("the volume's marker is missing; is it mounted?".into()),
        (registered, true) => {
            let opened = Volume::open(name.word(), path, registered.flatten());
            opened.map(|volume| format!("marker {}", volume.id())).map_err(|error| error.to_string())
        }
    }
}

/// As [`volume`], of one in a bucket. The bucket must exist before the first start, which writes the marker.
async fn bucket(
    name: VolumeName,
    settings: BucketSettings,
    registered: Option<Option<Uuid>>,
) -> Result<String, String> {
    let listed = settings.store.objects(&settings.bucket, &settings.prefix, Some(1)).await;
    let is_empty = listed.map_err(|error| error.to_string())?.is_empty();
    if is_empty && registered == Some(None) {
        return Ok("empty; the first start will write its marker".into());
    }
    let looked = Volume::look_into_bucket(name.word(), settings, registered.flatten());
    looked.map(|volume| format!("marker {}", volume.id())).map_err(|error| error.source.to_string())
}

fn spool(config: &Config, is_first_start: bool) -> Result<String, String> {
    let settings = &config.spool;
    if !settings.path.join("id").exists() {
        return match is_first_start {
            true => Ok(FIRST_START.into()),
            false => Err("the spool is missing; is it mounted? A start with role mail creates one".into()),
        };
    }
    let opened = Spool::open(&settings.path, None);
    let found = opened.and_then(|spool| {
        spool.require_free(settings.min_free_bytes.bytes(), settings.min_free_inodes)?;
        Ok(format!("id {}", spool.id()))
    });
    found.map_err(|error| error.to_string())
}

/// What is said of the modules, and their tables if they can be read.
async fn modules(config: &Config) -> (Result<String, String>, Option<Tables>) {
    let host = match local::host(config).await {
        Ok(host) => host,
        Err(failure) => return (Err(failure.message), None),
    };
    match Tables::new(host.declarations()) {
        Ok(tables) => {
            let said = format!("{} modules, {} tables", host.declarations().len(), tables.tables().len());
            (Ok(said), Some(tables))
        }
        Err(error) => (Err(error.to_string()), None),
    }
}

/// Whether the address is free or in use by the server of this configuration.
async fn address(address: SocketAddr, tls: Option<&Files>, socket: &Path) -> Result<String, String> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok("free".into()),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_ours(address, tls, socket).await => {
            Ok("in use by the server of this configuration".into())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the same build answers at the address as on the control socket. An address that speaks TLS may want a certificate that
/// we have not: there it is enough that the server runs.
async fn is_ours(address: SocketAddr, tls: Option<&Files>, socket: &Path) -> bool {
    let compared = async {
        let here = Gateway::Server(Client::at_socket(socket)?).version().await?;
        if tls.is_some() {
            return Ok(true);
        }
        let there = Client::at_url(&format!("http://{address}"), None, None)?;
        Ok::<_, Failure>(Gateway::Server(there).version().await? == here)
    };
    matches!(tokio::time::timeout(VERSION_TIMEOUT, compared).await, Ok(Ok(true)))
}
