//! Damaged entries of the spool: their bytes are not what was once written. Each may be the only copy of a mail, so none is
//! ever deleted, and operators are reminded until somebody removes them. A good copy that arrives under the same name sets the
//! damaged one aside for inspection.

use crate::job::{Attention, Urgency};
use headworks_spool::EntryName;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The damaged entries of the spool of this process; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Damaged(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Since when this process knows each.
    since: HashMap<EntryName, Instant>,
    /// What operators know already.
    attention: Attention,
}

impl Damaged {
    /// Notes a damaged entry and why; logged the first time.
    pub fn found(&self, name: EntryName, why: &dyn Display) {
        let mut known = self.known();
        let before = known.since.len();
        known.since.entry(name).or_insert_with(Instant::now);
        if known.since.len() > before {
            tracing::error!(receipt_id = %name.receipt_id, entry = %name, error = %why, "a spool entry is damaged and stays");
        }
    }

    /// The entry of this name is good now: another copy took its place.
    pub fn is_good(&self, name: &EntryName) {
        self.known().since.remove(name);
    }

    /// Forgets entries that are no longer in the spool; `there` are those that are.
    pub fn keep(&self, there: &HashSet<EntryName>) {
        self.known().since.retain(|name, _| there.contains(name));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known().since.len()
    }

    /// How long this process has known the first of them.
    #[must_use]
    pub fn oldest(&self) -> Duration {
        self.known().since.values().map(Instant::elapsed).max().unwrap_or_default()
    }

    /// Whether to notify operators now.
    #[must_use]
    pub fn due(&self) -> Option<Urgency> {
        let (entries, oldest) = (self.count(), self.oldest());
        self.known().attention.due(i64::try_from(entries).unwrap_or(i64::MAX), oldest)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Damaged, EntryName, HashSet, Urgency};
    use uuid::Uuid;

    #[test]
    fn an_entry_counts_once_and_until_it_is_good_or_gone() {
        let damaged = Damaged::default();
        let [a, b, c] = [1, 2, 3].map(|number| EntryName::whole(Uuid::from_u128(number)));
        for name in [a, b, c, a] {
            damaged.found(name, &"cut");
        }
        assert_eq!((damaged.count(), damaged.due(), damaged.due()), (3, Some(Urgency::Notice), None));
        damaged.is_good(&a);
        damaged.keep(&HashSet::from([a, b]));
        assert_eq!(damaged.count(), 1);
        damaged.is_good(&b);
        assert_eq!((damaged.count(), damaged.due()), (0, None));
    }
}
