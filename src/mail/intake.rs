//! Intake: spool entries become deliveries.
//!
//! inotify names new entries; a scan finds earlier ones and any that the kernel dropped. A batch is read, `new` is
//! fsynced once, and everything in it is accepted in one commit. What fails stays in the spool and is tried again.

use super::damaged::Damaged;
use super::record;
use super::watch::{Heard, watch};
use crate::config::{Config, MailSource};
use crate::delivery::{AcceptError, Core, FirstJob, NewDelivery, NewReceipt, Reuse};
use crate::ids::{DeliveryId, Digest, SpoolId, Timestamp};
use crate::infra::telemetry::condition::Condition;
use crate::job::{Priority, QueueName};
use headworks_spool::{EntryName, Spool, SpoolError, State};
use std::collections::{HashSet, VecDeque};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const BATCH: usize = 256;
const HEARD_BOUND: usize = 4096;
/// A scan this often finds what a watch may have missed.
const RESCAN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Takes in the mail of the spool; cheap to clone.
#[derive(Clone)]
pub struct Intake {
    /// The parts of this process.
    pub core: Arc<Core>,
    /// The spool; this process holds its lock.
    pub spool: Spool,
    /// Entries that cannot be read.
    pub damaged: Damaged,
}

/// What intake knows while it runs.
struct Seen {
    /// To be accepted.
    pending: VecDeque<EntryName>,
    /// Accepted and not yet gone from the spool.
    accepted: HashSet<EntryName>,
    /// Could not be read or accepted although the store takes others: each is logged once.
    odd: HashSet<EntryName>,
    /// The spool cannot be listed or synced.
    spool: Condition,
    /// The store takes nothing.
    store: Condition,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            pending: VecDeque::new(),
            accepted: HashSet::new(),
            odd: HashSet::new(),
            spool: Condition::new("the spool cannot be read; its mail waits", "the spool is read again"),
            store: Condition::new("mail cannot be accepted; it stays in the spool", "mail is accepted again"),
        }
    }
}

impl Seen {
    /// Tries an entry again later; what is wrong with it alone is logged once.
    fn retry(&mut self, name: EntryName, error: &dyn Display) {
        if self.odd.insert(name) {
            tracing::warn!(receipt_id = %name.receipt_id, %error, "a spool entry cannot be taken in at the moment");
        }
        self.pending.push_back(name);
    }
}

impl Intake {
    /// Takes in mail until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (sender, mut heard) = mpsc::channel(HEARD_BOUND);
        if let Err(error) = watch(&self.core.live.config().spool.path.join("new"), sender.clone()) {
            tracing::warn!(%error, "the spool cannot be watched; it is scanned every {RESCAN:?}");
        }
        let mut seen = Seen::default();
        let mut scan = tokio::time::interval(RESCAN);
        let mut messages = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE), if !seen.pending.is_empty() => {}
                _ = scan.tick() => self.scan(&mut seen).await,
                _ = heard.recv_many(&mut messages, HEARD_BOUND) => {
                    self.linger(&mut heard, &mut messages).await;
                    for message in messages.drain(..) {
                        match message {
                            Heard::New(name) => self.come(name, &mut seen),
                            Heard::Rescan => self.scan(&mut seen).await,
                        }
                    }
                }
            }
            while !seen.pending.is_empty() && !stop.is_cancelled() {
                let batch: Vec<_> = seen.pending.drain(..seen.pending.len().min(BATCH)).collect();
                if !self.accept(batch, &mut seen).await {
                    break; // Tried again after a pause; entries that arrive meanwhile are queued.
                }
            }
        }
    }

    /// Waits a moment for more, so that they share one commit and one fsync.
    async fn linger(&self, heard: &mut mpsc::Receiver<Heard>, messages: &mut Vec<Heard>) {
        let deadline = tokio::time::Instant::now() + self.core.live.config().mail.intake_linger.get();
        while messages.len() < BATCH {
            let more = heard.recv_many(messages, BATCH);
            if tokio::time::timeout_at(deadline, more).await.is_err() {
                break;
            }
        }
    }

    async fn scan(&self, seen: &mut Seen) {
        let spool = self.spool.clone();
        match blocking(move || spool.list()).await {
            Ok(names) => {
                let there: HashSet<EntryName> = names.into_iter().collect();
                seen.accepted.retain(|name| there.contains(name));
                seen.odd.retain(|name| there.contains(name));
                // What waits is in the list too.
                seen.pending.clear();
                self.damaged.keep(&there);
                let mut fresh: Vec<_> = there.into_iter().collect();
                fresh.sort_by_key(|name| name.receipt_id);
                fresh.into_iter().for_each(|name| self.hear(name, seen));
            }
            Err(error) => seen.spool.holds(&error),
        }
    }

    /// The kernel reports a new entry. It counts as new even if the name was accepted before: that entry was sealed since.
    fn come(&self, name: EntryName, seen: &mut Seen) {
        seen.accepted.remove(&name);
        self.hear(name, seen);
    }

    /// An entry exists, new or not. Damaged ones are read again at every scan: a good copy may have arrived under the same name.
    fn hear(&self, name: EntryName, seen: &mut Seen) {
        match name.state {
            State::Whole if seen.accepted.contains(&name) => {}
            State::Whole => seen.pending.push_back(name),
            State::Damaged => self.damaged.found(name, &"set aside when a good copy arrived"),
            State::Short => {}
        }
    }

    /// Accepts a batch; `false` when something is to be tried again.
    async fn accept(&self, batch: Vec<EntryName>, seen: &mut Seen) -> bool {
        let config = self.core.live.config();
        let Some(source) = config.mail_source() else { return false };
        let spool = self.spool.clone();
        let read = blocking(move || {
            let entries: Vec<_> = batch.into_iter().map(|name| (name, spool.read(name))).collect();
            spool.sync().map(|()| entries)
        })
        .await;
        let entries = match read {
            Ok(entries) => entries,
            Err(error) => {
                seen.spool.holds(&error);
                self.scan(seen).await;
                return false;
            }
        };
        seen.spool.ends();
        let before = seen.pending.len();
        let mut waiting = Vec::new();
        for (name, entry) in entries {
            match entry {
                Ok(entry) => {
                    self.damaged.is_good(&name);
                    let acceptor = self.core.acceptor.clone();
                    let home = SpoolId(self.spool.id());
                    let receipt = receipt(&entry, home, (&config, source), &[]);
                    waiting.push(async move { (name, acceptor.accept(receipt).await) });
                }
                Err(error) if error.kind() == headworks_spool::Kind::NotFound => {}
                Err(error) if matches!(error.kind(), headworks_spool::Kind::Damaged(_)) => {
                    self.damaged.found(name, &error);
                }
                Err(error) => seen.retry(name, &error),
            }
        }
        let (mut refused, mut why) = (0, String::new());
        for (name, answer) in futures_util::future::join_all(waiting).await {
            match answer {
                Ok(accepted) if accepted.sealed => {
                    seen.store.ends();
                    self.remove(name).await;
                }
                Ok(_) => {
                    seen.store.ends();
                    seen.accepted.insert(name);
                }
                Err(AcceptError::Store(error)) if !error.is_temporary() => seen.retry(name, &error),
                Err(error) => {
                    (refused, why) = (refused + 1, error.to_string());
                    seen.pending.push_back(name);
                }
            }
        }
        if refused > 0 {
            seen.store.holds_for(refused, &why);
        }
        seen.pending.len() == before
    }

    /// Unlinks an entry whose delivery is sealed: it came again.
    async fn remove(&self, name: EntryName) {
        let spool = self.spool.clone();
        let removed = blocking(move || match spool.remove(name) {
            Err(error) if error.kind() == headworks_spool::Kind::NotFound => Ok(()), // The sealer was first.
            removed => removed,
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "a spool entry that is no longer needed cannot be removed");
        }
    }
}

/// What an entry of spool `home` is accepted as: a delivery to be sorted, with problem codes that its door did not know.
pub fn receipt(
    entry: &headworks_spool::Entry,
    home: SpoolId,
    (config, source): (&Config, MailSource<'_>),
    problems: &[&str],
) -> NewReceipt {
    let envelope = entry.envelope();
    let queue = QueueName::sort(home);
    let digest = Digest(entry.digest());
    NewReceipt {
        key: headworks_spool::mail_key(envelope.spool_id, &envelope.queue_id, &envelope.recipient),
        fingerprint: digest,
        reuse: Reuse::Flag,
        ttl: source.key_ttl,
        source: source.name.to_string(),
        customer: None,
        received_at: Timestamp(envelope.received_at),
        delivery: Some(NewDelivery {
            id: DeliveryId::fresh(),
            digest,
            bytes: entry.message_bytes(),
            envelope: record::envelope(envelope, problems),
            home: Some(home),
            coordinates: None,
            settings: serde_json::json!({}),
        }),
        jobs: vec![FirstJob {
            priority: Priority::Normal,
            max_attempts: config.queue_limits(&queue).max_attempts,
            delay: Duration::ZERO,
            args: serde_json::json!({}),
            queue,
        }],
        rows: Vec::new(),
    }
}

/// Runs file work off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
