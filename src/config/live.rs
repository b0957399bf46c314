//! The configuration of a running server, and what a reload may change of it.

use super::tree::{Table, Value};
use super::{Config, Errors, Http, Jobs, KeyPath, Loaded, Modules, Server, Sources, Spool, load};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What takes effect without a restart: settings, and sections with all that is in them. Everything that reads one of these
/// asks [`Live`] each time. The head of `config.default.toml` tells the same (a test compares them).
pub(super) const RELOADED: [&[&str]; 25] = [
    &["customer"],
    &["rule"],
    &["mail"],
    &["queue"],
    &["history"],
    &["log"],
    &["keeper"],
    &["server", "time_zone"],
    &["spool", "domains"],
    &["http", "idempotency_ttl"],
    &["jobs", "prefetch"],
    &["jobs", "concurrency"],
    &["jobs", "max_attempts"],
    &["jobs", "backoff_base"],
    &["jobs", "backoff_max"],
    &["jobs", "soft_timeout"],
    &["jobs", "hard_timeout"],
    &["modules", "rows"],
    &["modules", "row_bytes"],
    &["modules", "findings"],
    &["modules", "archive_depth"],
    &["modules", "archive_members"],
    &["modules", "archive_member_bytes"],
    &["modules", "archive_ratio"],
    &["modules", "archive_ratio_after"],
];

/// The configuration now. Clones share it.
#[derive(Clone)]
pub struct Live(Arc<State>);

struct State {
    current: watch::Sender<Arc<Config>>,
    /// What the server was started with, and what was loaded last.
    loaded: Mutex<(Loaded, Loaded)>,
}

/// What a reload changed, as names of settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// In effect now.
    pub reloaded: Vec<String>,
    /// Will be in effect after a restart.
    pub restart: Vec<String>,
}

impl Live {
    /// Starts with `loaded`.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let current = watch::Sender::new(Arc::clone(loaded.config()));
        Self(Arc::new(State { current, loaded: Mutex::new((loaded.clone(), loaded)) }))
    }

    /// The settings that hold now. Keep them for one piece of work, not longer.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0.current.borrow())
    }

    /// Tells when they change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.0.current.subscribe()
    }

    /// Loads again. What needs a restart keeps its value until then, and is named at every reload.
    ///
    /// # Errors
    /// Every mistake; the settings that hold stay as they are.
    pub fn reload(&self, sources: &Sources) -> Result<Difference, Errors> {
        let new = load(sources)?;
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let (started, last) = &mut *loaded;
        let difference = Difference {
            reloaded: last.reloadable_difference(&new).reloaded,
            restart: started.reloadable_difference(&new).restart,
        };
        self.0.current.send_modify(|config| *config = Arc::new(adopt(config, new.config())));
        *last = new;
        Ok(difference)
    }
}

/// The settings of `now` with what may change taken from `new`; names the same settings as [`RELOADED`].
fn adopt(now: &Config, new: &Config) -> Config {
    Config {
        customers: new.customers.clone(),
        rules: new.rules.clone(),
        mail: new.mail.clone(),
        queue: new.queue.clone(),
        history: new.history.clone(),
        log: new.log.clone(),
        keeper: new.keeper.clone(),
        server: Server { time_zone: new.server.time_zone.clone(), ..now.server.clone() },
        spool: Spool { domains: new.spool.domains.clone(), ..now.spool.clone() },
        http: Http { idempotency_ttl: new.http.idempotency_ttl, ..now.http.clone() },
        jobs: adopt_jobs(&now.jobs, &new.jobs),
        modules: adopt_modules(&now.modules, &new.modules),
        ..now.clone()
    }
}

fn adopt_jobs(now: &Jobs, new: &Jobs) -> Jobs {
    Jobs {
        prefetch: new.prefetch,
        concurrency: new.concurrency,
        max_attempts: new.max_attempts,
        backoff_base: new.backoff_base,
        backoff_max: new.backoff_max,
        soft_timeout: new.soft_timeout,
        hard_timeout: new.hard_timeout,
        ..now.clone()
    }
}

fn adopt_modules(now: &Modules, new: &Modules) -> Modules {
    Modules {
        rows: new.rows,
        row_bytes: new.row_bytes,
        findings: new.findings,
        archive_depth: new.archive_depth,
        archive_members: new.archive_members,
        archive_member_bytes: new.archive_member_bytes,
        archive_ratio: new.archive_ratio,
        archive_ratio_after: new.archive_ratio_after,
        ..now.clone()
    }
}

impl Loaded {
    /// The settings in which `new` differs: those a reload takes over, and those that need a restart.
    #[must_use]
    pub fn reloadable_difference(&self, new: &Self) -> Difference {
        let mut changed = Vec::new();
        if let (Value::Table(old), Value::Table(new)) = (&self.tree.value, &new.tree.value) {
            compare(&KeyPath::default(), old, new, &mut changed);
        }
        let keys = self.secrets.iter().filter(|(key, secret)| new.secrets.get(*key) != Some(*secret));
        changed.extend(keys.map(|(key, _)| key.clone()));
        changed.sort();
        changed.dedup();
        let mut difference = Difference::default();
        for key in changed {
            let reloaded = RELOADED.iter().any(|known| key.starts_with(known));
            let list = if reloaded { &mut difference.reloaded } else { &mut difference.restart };
            list.push(key.to_string());
        }
        difference
    }
}

/// Names the settings that differ; a list counts as one.
fn compare(path: &KeyPath, old: &Table, new: &Table, changed: &mut Vec<KeyPath>) {
    for (name, node) in old.iter() {
        match (&node.value, new.get(name).map(|node| &node.value)) {
            (Value::Table(old), Some(Value::Table(new))) => compare(&path.key(name), old, new, changed),
            (old, Some(new)) if old.same(new) => {}
            _ => changed.push(path.key(name)),
        }
    }
    changed.extend(new.iter().filter(|(name, _)| old.get(name).is_none()).map(|(name, _)| path.key(name)));
}
