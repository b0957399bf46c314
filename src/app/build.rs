//! The order in which parts are built.

use super::kafka::kafka;
use super::patience::until_there;
use super::{FEATURES, customers, volumes};
use crate::config::{Config, Live, Period, Role, StoreKind};
use crate::delivery::{
    self, Acceptor, BatchSettings, Core, FeatureError, Finisher, Pending, RowWriters, Sealer,
};
use crate::ids::{BootId, VolumeName};
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, Lite, LiteSettings, Pg, PgSettings, private};
use crate::infra::host::{self, Host, RunError};
use crate::infra::object_store::StoreError;
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::Metrics;
use crate::infra::volume::VolumeError;
use crate::job::{self, Leases, Queues, Wake};
use crate::load::{self, DeclarationError, Tables};
use crate::web::Keys;
use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long making tables waits for another process that makes them.
const TABLES_LOCK: Duration = Duration::from_secs(30);
/// Most changes of published rows that a load tells one by one; more of them become a file.
const SEALED_ABOVE: usize = 10_000;

/// Why headworks could not start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A directory could not be made.
    #[error("directory {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store could not be opened or used.
    #[error(transparent)]
    Store(#[from] DbError),
    /// A volume is not there, or not the one that was registered.
    #[error("{error}: {why}", error = .0, why = .0.source)]
    Volume(#[from] VolumeError),
    /// The object store of a volume cannot be used.
    #[error(transparent)]
    ObjectStore(#[from] StoreError),
    /// A feature cannot start: the mail feature without its spool, for example.
    #[error("{name}: {source}")]
    Feature {
        /// Which.
        name: &'static str,
        /// Why.
        source: FeatureError,
    },
    /// The relay alone, without a Kafka.
    #[error("role relay alone does nothing without kafka.bootstrap")]
    Idle,
    /// Module processes cannot be run.
    #[error("modules: {0}")]
    Modules(#[from] RunError),
    /// What modules declare makes no sense together.
    #[error(transparent)]
    Declarations(#[from] DeclarationError),
}

/// Builds the core for `roles`. If `patient`, waits until the store, and the object stores of its volumes, are reachable.
pub(super) async fn core(
    live: Live,
    roles: BTreeSet<Role>,
    metrics: Metrics,
    patient: bool,
) -> Result<Core, BuildError> {
    let config = live.config();
    let tmp = make_directories(&config, &roles)?;
    let db = open_store(&config).await?;
    migrate(&db, patient).await?;
    let boot = BootId::fresh();
    let writers: RowWriters = FEATURES.iter().flat_map(|spec| spec.rows.iter().copied()).collect();
    let worker = enter(&db, &config, boot, &roles, &writers).await?;
    let used = volumes::used(FEATURES, &roles);
    let volumes = volumes::open(&db, &config, &used, patient).await?;
    let settings = host::Settings { tmp: tmp.clone(), ..host_settings(&config) };
    // Features with volumes put, read or take apart what was delivered: only with a proven sandbox.
    let host = if used.is_empty() { Host::idle(settings).await? } else { Host::start(settings).await? };
    let tables = Tables::new(host.declarations())?;
    let made = load::ensure(&db, &tables, TABLES_LOCK).await?;
    if !made.is_empty() {
        tracing::info!(tables = made.join(", "), "module tables were made or extended");
    }
    let (queues, wake) = (Queues::new(db.clone()), Wake::default());
    let accepting = batches(&config, config.store.batch_linger, 4);
    let sealer = Sealer {
        volume: Arc::clone(volumes.get(VolumeName::Blobs)),
        tmp: tmp.clone(),
        entries: SEALED_ABOVE,
    };
    // With SQLite one batch at a time: its two commits go through one writer each.
    let finishing = batches(&config, config.jobs.finish_linger, if db.is_pg() { 2 } else { 1 });
    Ok(Core {
        acceptor: Acceptor::start(db.clone(), queues.clone(), wake.clone(), writers.clone(), accepting),
        finisher: Finisher::start(db.clone(), tables.clone(), wake.clone(), writers, finishing, sealer)
            .await?,
        modules: Arc::new(host.declarations().iter().map(|declared| declared.id.clone()).collect()),
        leases: Leases::default(),
        keys: Keys::new(db.clone()),
        kafka: kafka(&config.kafka),
        live,
        roles,
        db,
        boot,
        worker,
        pending: Pending::below(&config.server.tmp_dir),
        tmp,
        volumes,
        host,
        tables,
        queues,
        wake,
        metrics,
    })
}

/// Opens the store the configuration names.
///
/// # Errors
/// When it is somebody else's (SQLite), or its URL makes no sense (Postgres).
pub async fn open_store(config: &Config) -> Result<Db, DbError> {
    let store = &config.store;
    Ok(match store.kind {
        StoreKind::Sqlite => Db::Lite(
            Lite::open(&LiteSettings {
                directory: config.server.state_dir.clone(),
                readers: store.sqlite_readers.get(),
                cache_bytes: store.sqlite_cache.bytes(),
                queue_bound: store.queue_bound.get() as usize,
            })
            .await?,
        ),
        StoreKind::Postgres => Db::Pg(Pg::open(&PgSettings {
            url: store.url.reveal().to_owned(),
            queue_connections: store.queue_connections.get(),
            bulk_connections: store.bulk_connections.get(),
            read_connections: store.read_connections.get(),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: store.statement_timeout.get(),
        })?),
    })
}

/// Runs migrations. If `patient`, waits until the server is reachable.
async fn migrate(db: &Db, patient: bool) -> Result<(), DbError> {
    let condition = Condition::new("the store is unreachable; waiting for it", "the store is there");
    let away =
        |error: &DbError| (patient && error.kind() == DbErrorKind::Unavailable).then(|| error.to_string());
    let steps = until_there(&condition, away, async || db.migrate().await).await?;
    if steps > 0 {
        tracing::info!(steps, "the schema was brought up to date");
    }
    Ok(())
}

/// Everything that must happen before the first claim: stored ends, days, this process's row, leases of dead ones, customers.
/// A process without a role leaves no trace in a Postgres that others share, least of all its idea of who the customers are.
async fn enter(
    db: &Db,
    config: &Config,
    boot: BootId,
    roles: &BTreeSet<Role>,
    writers: &RowWriters,
) -> Result<Option<i32>, DbError> {
    if db.is_pg() && roles.is_empty() {
        return Ok(None);
    }
    let applied = delivery::recover(db, writers).await?;
    if applied > 0 {
        tracing::info!(applied, "ends of jobs that a crash had interrupted were applied");
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let worker = db
        .write(Lane::State, move |mut tx| {
            Box::pin(async move {
                job::store::make_days(&mut tx).await?;
                let worker = job::store::register_worker(&mut tx, boot, &host).await?;
                job::store::release_leases_of_others(&mut tx, worker).await?;
                Ok(worker)
            })
        })
        .await?;
    customers::register(db, config).await?;
    Ok(Some(worker))
}

/// Makes the state directory and the scratch directory, and returns the latter. On Postgres a process without a role leaves
/// nothing on its host, and so has no need of either.
fn make_directories(config: &Config, roles: &BTreeSet<Role>) -> Result<PathBuf, BuildError> {
    let server = &config.server;
    if roles.is_empty() && config.store.kind == StoreKind::Postgres {
        return Ok(std::env::temp_dir());
    }
    make_state_directory(&server.state_dir)?;
    make_directory(&server.tmp_dir)?;
    Ok(server.tmp_dir.clone())
}

/// Makes the state directory, or closes an existing one to others: it will hold mail, envelopes and key digests.
///
/// # Errors
/// [`BuildError::Directory`], also if one that is open to others belongs to another user.
pub fn make_state_directory(path: &Path) -> Result<(), BuildError> {
    make_directory(path)?;
    private::directory(path).map_err(|source| BuildError::Directory { path: path.to_owned(), source })
}

/// Makes a directory that only we can read. An existing one keeps its mode.
fn make_directory(path: &Path) -> Result<(), BuildError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| BuildError::Directory { path: path.to_owned(), source })
}

/// How the configuration wants module processes run.
#[must_use]
pub fn host_settings(config: &Config) -> host::Settings {
    let modules = &config.modules;
    host::Settings {
        program: beside_this_program(&modules.program),
        tmp: config.server.tmp_dir.clone(),
        children: modules.children.get() as usize,
        warm: modules.warm.get() as usize,
        queue: 1024,
        cpu_seconds: modules.cpu.get().as_secs().max(1),
        data_bytes: modules.memory_bytes.bytes(),
        wall: config.longest_hard_timeout(),
        spill_bytes: modules.spill_bytes.bytes() + config.mail.message_bytes.bytes(),
        recycle_after: modules.recycle_after.get(),
    }
}

/// A bare name is looked for beside the running program, so that a build directory works as it is.
#[must_use]
pub fn beside_this_program(program: &Path) -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(program)));
    match beside {
        Some(beside) if program.components().count() == 1 && beside.exists() => beside,
        _ => program.to_owned(),
    }
}

/// How items are gathered into commits: each waits for others at most `linger`, and `parallel` commits may be under way.
fn batches(config: &Config, linger: Period, parallel: usize) -> BatchSettings {
    BatchSettings {
        items: config.store.batch_items.get() as usize,
        linger: linger.get(),
        bound: config.store.queue_bound.get() as usize,
        parallel,
    }
}
