//! Trees that are made outside of a job: again after a crash damaged them, or for mail whose job was held before it made one.

use super::decision::{self, Verdict};
use super::message::{self, Message};
use super::{Sorter, about};
use crate::delivery::store::{self, DeliveryRow};
use crate::delivery::tree::{self, Contents};
use crate::delivery::tree_path::Place;
use crate::ids::{DeliveryId, SpoolId, VolumeName};
use crate::in_tx;
use crate::infra::db::{DbError, DbErrorKind, Lane, View};
use crate::infra::volume::SubPath;
use crate::job::Interrupted;

impl Sorter {
    /// Rebuilds a tree that a crash damaged, at its stored path and without a job.
    ///
    /// # Errors
    /// Why it could not be made.
    pub async fn remake(&self, id: DeliveryId) -> Result<(), Interrupted> {
        let delivery = self.find(id).await?;
        let path = delivery.path.as_deref().unwrap_or_default().parse();
        let path: SubPath =
            path.map_err(|error| Interrupted::Failed(format!("its stored path is malformed: {error}")))?;
        let message = message::open(&self.spool, &self.core.volume(VolumeName::Inbox), &delivery).await?;
        let place = Place::of(&path)
            .ok_or_else(|| Interrupted::Failed(format!("{path} is not the path of a tree")))?;
        let verdict = decision::stored(&delivery, place);
        if verdict.is_undecided() {
            return self.message_alone(&delivery, message, &verdict, path).await;
        }
        let split = self.split(self.core.host.slot().await?, &message).await?;
        self.tree(&delivery, message, split, &verdict, path).await
    }

    /// Makes the held trees that are missing. One that cannot be made stays for the next time, its mail in the spool.
    pub async fn keep_all_held(&self, limit: i64) -> Result<(), DbError> {
        let home = SpoolId(self.spool.id());
        let missing =
            store::held_without_tree(&mut self.core.db.reader(View::State).await?.tx(), home, limit).await?;
        for id in missing {
            if let Err(error) = self.keep_held(id).await {
                tracing::warn!(delivery_id = %id, ?error, "a held mail has no tree yet");
            }
        }
        Ok(())
    }

    /// Makes the held tree of a mail whose job was held before it could make one: the message alone, for taking it apart
    /// may be what went wrong. Then it is sealed like any other, and does not fill the spool.
    ///
    /// # Errors
    /// Why it could not be made.
    async fn keep_held(&self, id: DeliveryId) -> Result<(), Interrupted> {
        let delivery = self.find(id).await?;
        let message = message::open(&self.spool, &self.core.volume(VolumeName::Inbox), &delivery).await?;
        let verdict = Verdict::held(delivery.held_reason.as_deref().unwrap_or_default());
        let path = self.held_path(&delivery, &verdict).await?;
        self.message_alone(&delivery, message, &verdict, path.clone()).await?;
        let path = path.to_string();
        in_tx!(self.core.db, Lane::State, tx => store::set_held_tree(tx, id, &path)).await?;
        Ok(())
    }

    /// A tree that holds the message and no parts.
    async fn message_alone(
        &self,
        delivery: &DeliveryRow,
        message: Message,
        verdict: &Verdict,
        path: SubPath,
    ) -> Result<(), Interrupted> {
        let about = about(delivery, verdict);
        let inbox = self.core.volume(VolumeName::Inbox);
        tokio::task::spawn_blocking(move || {
            let contents = Contents { about, message: Some(message.bytes()), parts: Vec::new() };
            tree::write(&inbox, &path, &contents).map(|_| ())
        })
        .await??;
        Ok(())
    }

    async fn held_path(&self, delivery: &DeliveryRow, verdict: &Verdict) -> Result<SubPath, Interrupted> {
        for path in self.candidates(delivery, verdict)? {
            let (id, text) = (delivery.id, path.to_string());
            let chosen =
                in_tx!(self.core.db, Lane::State, tx => store::choose_held_path(tx, id, &text)).await;
            match chosen {
                Ok(true) => return Ok(path),
                Ok(false) => {}
                Err(error) if error.kind() == DbErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Interrupted::GivenUp)
    }
}
