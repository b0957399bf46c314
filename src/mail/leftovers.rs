//! Leftovers of the spool: drafts of writers that crashed, and mails that were cut short and never came whole.
//!
//! A mail shorter than Postfix announced is kept as `<receipt id>.short` and Postfix is asked to send it again. When the whole
//! mail has come since, under the same queue id and recipient, the short one goes. When none comes for a day, it is all
//! there will ever be: it is accepted, flagged [`CUT_SHORT`], and held for an operator.

use super::damaged::Damaged;
use super::intake;
use crate::delivery::{Core, store};
use crate::ids::{SpoolId, Timestamp};
use crate::infra::db::{DbError, View};
use headworks_spool::{Entry, EntryName, Spool, State};
use std::sync::Arc;
use std::time::Duration;

/// Problem code of a mail that was cut short and never came whole.
pub const CUT_SHORT: &str = "cut_short";
/// Drafts younger than this belong to a mail on its way.
const DRAFT_AGE: Duration = Duration::from_secs(3600);
/// Postfix comes again within hours; after this long it will not.
const SHORT_AGE: Duration = Duration::from_secs(24 * 3600);

/// Clears the spool of leftovers.
pub struct Leftovers {
    /// The parts of this process.
    pub core: Arc<Core>,
    /// The spool of this process.
    pub spool: Spool,
    /// Entries that cannot be read.
    pub damaged: Damaged,
}

impl Leftovers {
    /// Clears the spool once.
    ///
    /// # Errors
    /// When the store fails. What the spool refuses is logged and tried again next time.
    pub async fn clear(&self) -> Result<(), DbError> {
        let spool = self.spool.clone();
        let found = tokio::task::spawn_blocking(move || {
            let swept = spool.sweep(DRAFT_AGE)?;
            let shorts = spool.list()?.into_iter().filter(|name| name.state == State::Short);
            let shorts: Vec<_> = shorts.map(|name| (name, spool.read(name))).collect();
            Ok::<_, headworks_spool::SpoolError>((swept, shorts))
        })
        .await;
        let shorts = match found {
            Ok(Ok((swept, shorts))) => {
                if swept > 0 {
                    tracing::info!(swept, "drafts of writers that crashed were removed from the spool");
                }
                shorts
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the spool could not be cleared");
                return Ok(());
            }
            Err(error) => {
                tracing::error!(%error, "the task that clears the spool failed");
                return Ok(());
            }
        };
        for (name, entry) in shorts {
            match entry {
                Ok(entry) => {
                    self.damaged.is_good(&name);
                    self.settle(name, entry).await?;
                }
                Err(error) if matches!(error.kind(), headworks_spool::Kind::Damaged(_)) => {
                    self.damaged.found(name, &error);
                }
                Err(error) if error.kind() == headworks_spool::Kind::NotFound => {}
                Err(error) => {
                    tracing::warn!(receipt_id = %name.receipt_id, %error, "a short mail cannot be read at the moment");
                }
            }
        }
        Ok(())
    }

    async fn settle(&self, name: EntryName, entry: Entry) -> Result<(), DbError> {
        let envelope = entry.envelope();
        let key = headworks_spool::mail_key(envelope.spool_id, &envelope.queue_id, &envelope.recipient);
        let came_whole = store::knows_key(&mut self.core.db.reader(View::State).await?.tx(), &key).await?;
        if came_whole {
            if let Err(error) = self.spool.remove(name) {
                tracing::warn!(%error, "the short copy of a mail whose complete copy arrived cannot be removed");
            }
            return Ok(());
        }
        if Timestamp(envelope.received_at) > Timestamp::now().before(SHORT_AGE) {
            return Ok(());
        }
        let config = self.core.live.config();
        let Some(source) = config.mail_source() else { return Ok(()) };
        let home = SpoolId(self.spool.id());
        let receipt = intake::receipt(&entry, home, (&config, source), &[CUT_SHORT]);
        match self.core.acceptor.accept(receipt).await {
            Ok(_) => {
                tracing::warn!(receipt_id = %name.receipt_id, "a mail was cut short and the complete one never arrived; it is held")
            }
            Err(error) => tracing::warn!(%error, "a mail that was cut short could not be accepted"),
        }
        Ok(())
    }
}
