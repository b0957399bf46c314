//! Fills a batch with the next entries of a topic, and with the rows of the files that entries name.
//!
//! ```text
//!   entry ─┬─ an event ───────▶ a record; the mark is behind it
//!          └─ names a file ──▶ rows from the mark's row on, as many as fit ─┬─ more are left: the mark has the row
//!                                                                           └─ the last: the mark is behind the entry
//! ```

use super::batch::{Batch, Source, bytes};
use super::control::{Fingerprint, Mark};
use super::hold::{Gap, hold_gap};
use super::settings::Settings;
use super::term::Topic;
use super::view::View;
use crate::infra::db::{Db, DbError, View as StoreView};
use crate::infra::kafka::Record;
use crate::infra::telemetry::metrics::RELAY_GAPS;
use crate::infra::volume::Volume;
use crate::log::{self, ExpandError, Expanded, Position, Sealed, SealedEntry, Stored};
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// Entries read at once of one topic.
const PAGE: u32 = 250;

/// A topic and the batch that its entries are added to.
pub struct Filling<'a> {
    pub store: Uuid,
    pub settings: &'a Settings,
    pub view: &'a View,
    pub topic: &'a mut Topic,
    pub batch: &'a mut Batch,
    /// Where the topic is behind what was added.
    pub mark: Mark,
    /// The mark is to be written even if nothing is added.
    pub is_new: bool,
    /// The entry at the mark. Its fingerprint is taken at the end: only that of the last one is kept.
    pub last: Option<Stored>,
    /// Records of the topic in the batch.
    pub added: usize,
    /// The batch before it is still being written, and may fail: nothing is decided.
    pub is_ahead: bool,
}

/// A file of rows that is being read.
pub struct OpenRows {
    /// The entry that names it.
    entry: Position,
    /// Number of the first row that waits.
    next: u64,
    /// Read, not added yet.
    waiting: VecDeque<SealedEntry>,
    rows: Expanded,
}

/// Why a topic does not go on.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    #[error(transparent)]
    Store(#[from] DbError),
    /// The rows of an entry cannot be read.
    #[error("{0}")]
    Rows(String),
}

impl Filling<'_> {
    /// Adds entries until the batch is full or the log ends, and the mark behind them.
    ///
    /// # Errors
    /// When the log or a file cannot be read. What was added before stays.
    pub async fn fill(mut self, db: &Db, blobs: &Arc<Volume>) -> Result<(), FillError> {
        if self.is_new
            && let Some(record) = self.topic.dead_letter.clone()
        {
            self.batch.add_dead_letter(&self.topic.name, record);
        }
        let before = (self.mark.position, self.mark.row);
        let filled = self.add_entries(db, blobs).await;
        self.take_fingerprint();
        if self.is_new || before != (self.mark.position, self.mark.row) {
            self.batch.mark(&self.topic.name, self.mark);
        }
        filled
    }

    async fn add_entries(&mut self, db: &Db, blobs: &Arc<Volume>) -> Result<(), FillError> {
        let mut after = self.mark.position;
        loop {
            let page =
                log::read(&mut db.reader(StoreView::State).await?.tx(), self.topic.id, after, PAGE).await?;
            if page.gap {
                if self.is_ahead {
                    return Ok(());
                }
                let (_, pruned_until) =
                    log::ends(&mut db.reader(StoreView::State).await?.tx(), self.topic.id).await?;
                let gap = Gap { topic: self.topic.name.clone(), pruned_after: after, pruned_until };
                metrics::counter!(RELAY_GAPS, "topic" => gap.topic.clone()).increment(1);
                hold_gap(db, self.topic.id, gap, self.settings.max_attempts).await?;
                self.mark.row = 0;
            }
            let is_last = page.entries.len() < PAGE as usize;
            after = page.next;
            for entry in page.entries {
                let sealed = Sealed::named_by(&entry.headers).map_err(FillError::Rows)?;
                let goes_on = match sealed {
                    Some(sealed) => self.add_rows(blobs, &entry, &sealed).await?,
                    None => self.add_entry(entry),
                };
                if !goes_on {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn source(&self) -> Source<'_> {
        let Topic { name, kafka, mark, .. } = &*self.topic;
        Source { store: self.store, epoch: mark.epoch, topic: name, kafka }
    }

    /// Whether there is room for a record. One that fits only if it compresses is sent alone of its topic: if it is refused, it alone
    /// is at fault.
    fn has_room(&self, record: &Record) -> bool {
        let added = self.added;
        let is_large = bytes(record) > self.view.record_bytes(&self.topic.kafka);
        !(self.batch.is_full()
            || self.topic.most.is_some_and(|most| added >= most)
            || (is_large && added > 0))
    }

    /// Adds a record; whether there may be room for another.
    fn add(&mut self, entry: Position, record: Record) -> bool {
        let is_large = bytes(&record) > self.view.record_bytes(&self.topic.kafka);
        self.batch.add(self.topic.id, entry, record);
        self.added += 1;
        !is_large
    }

    /// Adds an entry; whether another one may follow.
    fn add_entry(&mut self, entry: Stored) -> bool {
        let record = self.source().record(&entry);
        if !self.has_room(&record) {
            return false;
        }
        (self.mark.position, self.mark.row) = (entry.position, 0);
        let goes_on = self.add(entry.position, record);
        self.last = Some(entry);
        goes_on
    }

    fn take_fingerprint(&mut self) {
        if let Some(entry) = self.last.take() {
            self.mark.entry = Some(Fingerprint::of(&entry));
        }
    }

    /// Adds rows of a file; whether all of them are added.
    async fn add_rows(
        &mut self,
        blobs: &Arc<Volume>,
        entry: &Stored,
        sealed: &Sealed,
    ) -> Result<bool, FillError> {
        self.take_fingerprint();
        let behind = Mark {
            position: entry.position,
            row: 0,
            entry: Some(Fingerprint::of(entry)),
            ..self.mark.clone()
        };
        let open = self.topic.rows.take();
        let open = open.filter(|open| open.entry == entry.position && open.next == self.mark.row);
        let room = self.topic.most.unwrap_or(usize::MAX).min(self.batch.room());
        let (blobs, sealed_file, place) =
            (Arc::clone(blobs), sealed.clone(), (entry.position, self.mark.row));
        let read =
            tokio::task::spawn_blocking(move || OpenRows::read(open, &blobs, &sealed_file, place, room));
        let read = read.await.map_err(|error| FillError::Rows(error.to_string()))?;
        let mut open = read.map_err(|error| FillError::Rows(format!("entry {}: {error}", entry.position)))?;
        let mut goes_on = true;
        while goes_on && let Some(row) = open.waiting.front() {
            let record = self.source().row((entry.position, entry.at), self.mark.row, row.clone());
            if !self.has_room(&record) {
                break;
            }
            open.waiting.pop_front();
            open.next += 1;
            self.mark.row += 1;
            goes_on = self.add(entry.position, record);
        }
        if self.mark.row == sealed.entries {
            self.mark = behind;
            return Ok(goes_on);
        }
        self.topic.rows = Some(open);
        Ok(false)
    }
}

impl OpenRows {
    /// Reads rows from number `first` of an entry on, until `room` wait.
    fn read(
        open: Option<Self>,
        blobs: &Volume,
        sealed: &Sealed,
        (entry, first): (Position, u64),
        room: usize,
    ) -> Result<Self, ExpandError> {
        let mut open = match open {
            Some(open) => open,
            None => {
                let rows = log::expand(blobs, sealed, first)?;
                Self { entry, next: first, waiting: VecDeque::new(), rows }
            }
        };
        while open.waiting.len() < room
            && let Some(row) = open.rows.next()
        {
            open.waiting.push_back(row?);
        }
        Ok(open)
    }
}
