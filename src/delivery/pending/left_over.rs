//! Decides the notes that a crash or an undecided commit left over, once the store answers.

use super::Pending;
use super::note::{Note, Said};
use crate::delivery::store::{self, Recorded};
use crate::delivery::tree::{self, Found};
use crate::ids::{DeliveryId, VolumeName};
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::STRAY_TREES;
use crate::infra::volume::{SubPath, Volume, VolumeError, Volumes};
use std::collections::HashMap;
use std::fs::DirEntry;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Most notes that are decided in one turn.
const ROUND: usize = 1_000;

/// Decides left-over notes, turn by turn.
#[derive(Debug)]
pub struct LeftOver {
    /// Of deliveries that had no row at an earlier turn: the transactions of that time, which must end before that is final.
    absent: Mutex<HashMap<DeliveryId, i64>>,
    /// Notes or trees could not be read or removed.
    stuck: Condition,
}

impl Default for LeftOver {
    fn default() -> Self {
        let stuck = Condition::new(
            "trees without a record cannot be removed yet",
            "trees without a record are removed again",
        );
        Self { absent: Mutex::default(), stuck }
    }
}

/// A note that nobody works on, locked, and its tree.
struct Left {
    delivery: DeliveryId,
    note: Note,
    volume: Arc<Volume>,
    path: SubPath,
}

impl LeftOver {
    /// One turn: where the store has the delivery its note goes, where it has not its tree goes too. Notes of volumes that this
    /// process does not have are left alone.
    ///
    /// # Errors
    /// When the store fails; nothing is decided then.
    pub async fn decide(&self, pending: &Pending, db: &Db, volumes: &Volumes) -> Result<(), DbError> {
        metrics::counter!(STRAY_TREES).increment(0);
        let (directory, volumes) = (pending.directory(), volumes.clone());
        let found = tokio::task::spawn_blocking(move || find(&directory, &volumes)).await;
        let (left, mut failures) = found.unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
        if left.is_empty() {
            self.absent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        } else {
            let ids: Vec<DeliveryId> = left.iter().map(|left| left.delivery).collect();
            let recorded = in_tx!(db, Lane::State, tx => store::recorded(tx, &ids)).await?;
            let decided: Vec<(Left, bool)> = left
                .into_iter()
                .filter_map(|left| self.has_row(left.delivery, &recorded).map(|has_row| (left, has_row)))
                .collect();
            let ended = tokio::task::spawn_blocking(move || {
                decided
                    .into_iter()
                    .filter_map(|(left, has_row)| Some(left.end(has_row).err()?.to_string()))
                    .collect::<Vec<_>>()
            });
            failures.extend(ended.await.unwrap_or_else(|error| vec![error.to_string()]));
        }
        match failures.first() {
            Some(first) => self.stuck.holds_for(failures.len() as u64, first),
            None => self.stuck.ends(),
        }
        Ok(())
    }

    /// Whether a delivery has a row; `None` while a commit that was under way when this was first asked may still bring one.
    fn has_row(&self, delivery: DeliveryId, recorded: &Recorded) -> Option<bool> {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.ids.contains(&delivery) {
            absent.remove(&delivery);
            return Some(true);
        }
        let under_way = *absent.entry(delivery).or_insert(recorded.next);
        if recorded.ended < under_way {
            return None;
        }
        absent.remove(&delivery);
        Some(false)
    }
}

/// The notes that nobody works on, and what cannot be read.
fn find(directory: &Path, volumes: &Volumes) -> (Vec<Left>, Vec<String>) {
    let (mut left, mut failures) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (left, failures),
        Err(error) => return (left, vec![format!("{}: {error}", directory.display())]),
        Ok(entries) => entries,
    };
    let named = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse::<DeliveryId>().ok();
    for delivery in entries.filter_map(named).take(ROUND) {
        match Note::left_over(directory, delivery) {
            Ok(Some((note, Said { volume, path }))) => {
                let name = VolumeName::ALL.iter().find(|name| name.word() == volume);
                let volume = name.map(|name| volumes.get(*name)).filter(|volume| !volume.is_away());
                left.extend(volume.map(|volume| Left { delivery, note, volume: Arc::clone(volume), path }));
            }
            Ok(None) => {}
            Err(error) => failures.push(format!("the note of delivery {delivery}: {error}")),
        }
    }
    (left, failures)
}

impl Left {
    /// Does what the row, or that there is none, demands.
    fn end(self, has_row: bool) -> Result<(), VolumeError> {
        let Self { delivery, note, volume, path } = self;
        if has_row {
            note.remove();
            return Ok(());
        }
        // A path is claimed by the row that has it, not by a note.
        if let Found::Manifest(manifest) = tree::read_manifest(&volume, &path)?
            && manifest.about.delivery != delivery
        {
            let other = manifest.about.delivery;
            tracing::warn!(delivery_id = %delivery, %path, %other, "a noted tree is another delivery's and stays");
            note.remove();
            return Ok(());
        }
        if volume.remove_tree(&path)? {
            metrics::counter!(STRAY_TREES).increment(1);
            let volume = volume.name();
            tracing::info!(delivery_id = %delivery, volume, %path, "a tree was removed: its delivery was never accepted");
        }
        note.remove();
        Ok(())
    }
}
