//! The configuration of a running server, and what a reload may change of it.

use super::tree::{Table, Value};
use super::{Config, Errors, KeyPath, Layers, Loaded, load};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What takes effect without a restart: settings, and sections with everything in them. [`Live::reload`] takes over exactly
/// these, so whatever uses one must ask [`Live`] each time. The head of `config.default.toml` lists the same (a test compares
/// them).
pub(super) const RELOADED: [&[&str]; 25] = [
    &["customer"],
    &["rule"],
    &["source"],
    &["mail"],
    &["queue"],
    &["history"],
    &["held"],
    &["log"],
    &["keeper"],
    &["server", "time_zone"],
    &["jobs", "prefetch"],
    &["jobs", "concurrency"],
    &["jobs", "max_attempts"],
    &["jobs", "backoff_base"],
    &["jobs", "backoff_max"],
    &["jobs", "soft_timeout"],
    &["modules", "rows"],
    &["modules", "row_bytes"],
    &["modules", "findings"],
    &["modules", "archive_depth"],
    &["modules", "archive_members"],
    &["modules", "archive_member_bytes"],
    &["modules", "archive_ratio"],
    &["modules", "archive_ratio_after"],
    &["modules", "archive_decoder_bytes"],
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
    pub fn reload(&self, layers: &Layers) -> Result<Difference, Errors> {
        let new = load(layers)?;
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let (started, last) = &mut *loaded;
        let adopted = started.adopt(&new)?;
        let difference = Difference {
            reloaded: last.difference(&new).reloaded,
            restart: started.difference(&new).restart,
        };
        self.0.current.send_replace(adopted.config);
        *last = new;
        Ok(difference)
    }
}

impl Loaded {
    /// These settings with what a reload takes over from `new`.
    fn adopt(&self, new: &Self) -> Result<Self, Errors> {
        let mut tree = self.tree.clone();
        for setting in RELOADED {
            let path = KeyPath::from_iter(setting.iter().map(|step| (*step).to_owned()));
            tree.replace(&path, new.tree.at(&path).cloned());
        }
        Self::of(tree, None, Vec::new()).map_err(|Errors(mut mistakes)| {
            for mistake in &mut mistakes {
                mistake.message.push_str(" (while other changes of this configuration wait for a restart)");
            }
            Errors(mistakes)
        })
    }

    /// The settings in which `new` differs: those a reload takes over, and those that need a restart.
    #[must_use]
    pub fn difference(&self, new: &Self) -> Difference {
        let mut changed = Vec::new();
        if let (Value::Table(old), Value::Table(new)) = (&self.tree.value, &new.tree.value) {
            compare(&KeyPath::default(), old, new, &mut changed);
        }
        changed.sort();
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
