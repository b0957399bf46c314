//! The topics of a leader's term: where each goes on, and what becomes of it.

use super::batch::Batch;
use super::check::{Facts, decide};
use super::control::{Control, Fingerprint, Mark};
use super::fill::{FillError, Filling, OpenRows};
use super::group::Group;
use super::settings::Settings;
use super::store::{self, Exported};
use super::view::View;
use crate::config::TopicPlan;
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane, View as StoreView};
use crate::infra::kafka::{Failure, Record, read_to_end};
use crate::infra::volume::Volume;
use crate::log::{self, Position, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// After so long a topic that Kafka does not take is tried again.
const ASIDE: Duration = Duration::from_secs(60);
/// Longest time for one answer of Kafka.
const ANSWER: Duration = Duration::from_secs(30);

/// A topic while it is copied.
pub struct Topic {
    pub id: TopicId,
    pub name: String,
    /// Its name in Kafka.
    pub kafka: String,
    pub mark: Mark,
    /// The mark is kept already; else it is written with the next batch.
    pub is_written: bool,
    /// Copy of the held record before the mark, written with it.
    pub dead_letter: Option<Record>,
    /// Most entries of the next batch: those before one that Kafka refused, then that one alone.
    pub most: Option<usize>,
    /// The file of rows that is being copied.
    pub rows: Option<OpenRows>,
    pub state: State,
    /// Why it does not go on, as the store and the log have it.
    pub trouble: Option<String>,
}

/// Whether a topic is copied.
#[derive(Debug, Clone, Copy)]
pub enum State {
    /// It is.
    Copied,
    /// An operator paused it.
    Paused,
    /// Its position does not fit.
    Stopped,
    /// Kafka does not take its records.
    Aside(Instant),
}

/// Why topics cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error("{0}")]
    Kafka(String),
    #[error(transparent)]
    Store(#[from] DbError),
}

/// What a leader copies, and from where.
#[derive(Clone)]
pub struct Copied {
    /// The store.
    pub db: Db,
    /// Id of the store.
    pub store: Uuid,
    /// Its topics.
    pub group: Group,
    /// How.
    pub settings: Arc<Settings>,
    /// Where the files of large loads are.
    pub blobs: Arc<Volume>,
}

/// The topics of a group, with what a leader needs to know of each.
pub struct Term {
    pub db: Db,
    pub store: Uuid,
    pub settings: Arc<Settings>,
    pub blobs: Arc<Volume>,
    pub view: View,
    pub topics: Vec<Topic>,
    /// The topic that is first in the next batch: one with a long backlog would fill every batch.
    first: usize,
}

impl Term {
    /// Compares Kafka with the log, topic by topic. The producer is open already: what a predecessor wrote is decided.
    ///
    /// # Errors
    /// When Kafka or the store cannot be read.
    pub async fn begin(copied: &Copied, view: View) -> Result<Self, BeginError> {
        let Copied { db, store, group, settings, blobs } = copied;
        let mut controls = match settings.has_transactions {
            true => read_controls(*store, settings).await?,
            false => BTreeMap::new(),
        };
        let mut term = Self {
            db: db.clone(),
            store: *store,
            settings: Arc::clone(settings),
            blobs: Arc::clone(blobs),
            view,
            topics: Vec::with_capacity(group.topics.len()),
            first: 0,
        };
        let exported = store::exported(&mut db.reader(StoreView::State).await?.tx()).await?;
        for exported in exported {
            let Some(plan) = group.topics.get(&exported.name) else { continue };
            let control = controls.remove(&exported.name);
            let topic = term.begin_topic(exported, plan, control).await?;
            term.topics.push(topic);
        }
        Ok(term)
    }

    async fn begin_topic(
        &self,
        exported: Exported,
        plan: &TopicPlan,
        control: Option<Control>,
    ) -> Result<Topic, DbError> {
        self.compare_partitions(plan, control.as_ref());
        let control = match self.settings.has_transactions {
            true => control.map(|control| control.mark),
            false => exported.copy.clone(),
        };
        let (newest, pruned, entry) = {
            let mut reader = self.db.reader(StoreView::State).await?;
            let (newest, pruned) = log::ends(&mut reader.tx(), exported.topic).await?;
            let at = control.as_ref().map_or(Position::START, |mark| mark.position);
            (newest, pruned, log::entry(&mut reader.tx(), exported.topic, at).await?)
        };
        let facts = Facts {
            entry: entry.as_ref().map(Fingerprint::of),
            copy: exported.copy,
            newest,
            pruned,
            cluster: self.view.cluster.clone(),
            wish: exported.wish,
            control,
        };
        let topic = |mark, is_written, state, trouble| Topic {
            id: exported.topic,
            name: exported.name.clone(),
            kafka: plan.name.clone(),
            mark,
            is_written,
            dead_letter: None,
            most: None,
            rows: None,
            state,
            trouble,
        };
        match decide(&facts) {
            Ok(start) => {
                let known = facts.control.as_ref().filter(|mark| mark.position == start.position);
                let entry = match known.and_then(|mark| mark.entry) {
                    Some(entry) => Some(entry),
                    None => self.entry_at(exported.topic, start.position).await?,
                };
                let mark = start.mark(entry, self.view.cluster.clone());
                let is_written = facts.control.as_ref() == Some(&mark);
                let (state, wrong) = match (exported.paused, self.view.wrong(&plan.name)) {
                    (true, _) => (State::Paused, None),
                    (false, Some(why)) => {
                        (State::Aside(Instant::now()), Some(format!("{}: {why}", plan.name)))
                    }
                    (false, None) => (State::Copied, None),
                };
                if exported.paused {
                    in_tx!(self.db, Lane::State, tx => store::trouble(tx, exported.topic, None)).await?;
                } else {
                    let before = exported.trouble.as_deref();
                    self.say(exported.topic, &exported.name, before, wrong.as_deref()).await?;
                }
                Ok(topic(mark, is_written, state, wrong))
            }
            Err(stop) => {
                let why = format!("{stop}; headworks relay resume {}", exported.name);
                self.say(exported.topic, &exported.name, exported.trouble.as_deref(), Some(&why)).await?;
                let mark = facts.control.or(facts.copy).unwrap_or_else(|| Mark::none(&self.view.cluster));
                Ok(topic(mark, true, State::Stopped, Some(why)))
            }
        }
    }

    async fn entry_at(&self, topic: TopicId, at: Position) -> Result<Option<Fingerprint>, DbError> {
        let entry = log::entry(&mut self.db.reader(StoreView::State).await?.tx(), topic, at).await?;
        Ok(entry.as_ref().map(Fingerprint::of))
    }

    /// With another count of partitions, keys go to other partitions than before. All earlier records are acknowledged by now.
    fn compare_partitions(&self, plan: &TopicPlan, control: Option<&Control>) {
        let before = control.and_then(|control| control.partitions.get(&plan.name).copied());
        if let (Some(before), Some(now)) = (before, self.view.partitions(&plan.name))
            && before != now
        {
            tracing::warn!(
                topic = plan.name,
                before,
                now,
                "the partitions of a Kafka topic have changed: from here on keys are in other partitions"
            );
        }
    }

    /// Writes why a topic does not go on, where that is new.
    async fn say(
        &self,
        topic: TopicId,
        name: &str,
        before: Option<&str>,
        now: Option<&str>,
    ) -> Result<(), DbError> {
        if before == now {
            return Ok(());
        }
        match now {
            Some(why) => tracing::error!(topic = name, "the relay does not go on: {why}"),
            None => tracing::info!(topic = name, "the relay goes on"),
        }
        let now = now.map(str::to_owned);
        in_tx!(self.db, Lane::State, tx => store::trouble(tx, topic, now)).await
    }

    /// Writes why the topic with this number does not go on, or that nothing keeps it any more. However often it is tried in vain, it
    /// is told once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn say_at(&mut self, at: usize, why: Option<String>) -> Result<(), DbError> {
        let topic = &self.topics[at];
        self.say(topic.id, &topic.name, topic.trouble.as_deref(), why.as_deref()).await?;
        self.topics[at].trouble = why;
        Ok(())
    }

    /// Sets aside the topics that are one topic in Kafka; the others go on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_aside(&mut self, kafka: &str, why: &str) -> Result<(), DbError> {
        for at in 0..self.topics.len() {
            let topic = &mut self.topics[at];
            if topic.kafka == kafka && matches!(topic.state, State::Copied | State::Aside(_)) {
                topic.state = State::Aside(Instant::now());
                self.say_at(at, Some(format!("{kafka}: {why}"))).await?;
            }
        }
        Ok(())
    }

    /// Takes a new look at Kafka's topics into account.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn see(&mut self, view: View) -> Result<(), DbError> {
        let before = std::mem::replace(&mut self.view, view);
        for at in 0..self.topics.len() {
            let topic = &self.topics[at];
            let (kafka, is_aside) = (topic.kafka.clone(), matches!(topic.state, State::Aside(_)));
            if let (Some(before), Some(now)) = (before.partitions(&kafka), self.view.partitions(&kafka))
                && before != now
            {
                tracing::warn!(
                    topic = kafka,
                    before,
                    now,
                    "the partitions of a Kafka topic have changed: from here on keys are in other partitions"
                );
            }
            match self.view.wrong(&kafka) {
                Some(why) if !is_aside => self.set_aside(&kafka, &why).await?,
                None if is_aside && before.wrong(&kafka).is_some() => {
                    self.topics[at].state = State::Copied;
                    self.say_at(at, None).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an operator wants something else than what is done.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_outdated(&self) -> Result<bool, DbError> {
        let exported = store::exported(&mut self.db.reader(StoreView::State).await?.tx()).await?;
        Ok(exported.iter().any(|exported| {
            self.topics.iter().find(|topic| topic.id == exported.topic).is_some_and(|topic| {
                let is_new = exported.wish.is_some_and(|wish| topic.mark.wish != Some(wish.id));
                let is_paused = matches!(topic.state, State::Paused);
                is_new || (exported.paused != is_paused && !matches!(topic.state, State::Stopped))
            })
        }))
    }

    /// The next entries of every topic that can go on.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn gather(&mut self) -> Result<Batch, DbError> {
        for topic in &mut self.topics {
            if let State::Aside(since) = topic.state
                && since.elapsed() > ASIDE
            {
                topic.state = State::Copied;
            }
        }
        let mut batch = Batch::default();
        for at in self.in_turn() {
            match self.fill(at, &mut batch, None).await {
                Ok(()) => {}
                Err(FillError::Store(error)) => return Err(error),
                Err(FillError::Rows(why)) => {
                    self.topics[at].state = State::Aside(Instant::now());
                    self.say_at(at, Some(why)).await?;
                }
            }
        }
        Ok(batch)
    }

    /// The entries behind `batch`, which is being written and may fail. `None` if there are none, or if [`gather`](Self::gather) has
    /// to decide something first.
    pub async fn gather_behind(&mut self, batch: &Batch) -> Option<Batch> {
        if self.topics.iter().any(|topic| topic.most.is_some()) {
            return None;
        }
        let mut next = Batch::default();
        for at in self.in_turn() {
            if let Err(error) = self.fill(at, &mut next, Some(batch)).await {
                tracing::debug!(topic = self.topics[at].name, %error, "the next batch is gathered later");
                return None;
            }
        }
        (!next.marks.is_empty()).then_some(next)
    }

    /// The topics, each batch from another one on.
    fn in_turn(&mut self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.first, self.topics.len());
        self.first = (first + 1) % count.max(1);
        (first..count).chain(0..first)
    }

    /// Adds entries of the topic with this number, if it is copied and there is room: those behind its mark, or behind a batch that is
    /// being written.
    async fn fill(&mut self, at: usize, batch: &mut Batch, behind: Option<&Batch>) -> Result<(), FillError> {
        let topic = &mut self.topics[at];
        if !matches!(topic.state, State::Copied) || batch.is_full() {
            return Ok(());
        }
        let written = behind.and_then(|behind| behind.marks.get(&topic.name));
        let filling = Filling {
            store: self.store,
            settings: &self.settings,
            view: &self.view,
            mark: written.unwrap_or(&topic.mark).clone(),
            is_new: written.is_none() && !topic.is_written,
            is_ahead: behind.is_some(),
            topic,
            batch,
            last: None,
            added: 0,
        };
        filling.fill(&self.db, &self.blobs).await
    }
}

/// The control records of our topics.
async fn read_controls(
    store: Uuid,
    settings: &Arc<Settings>,
) -> Result<BTreeMap<String, Control>, BeginError> {
    let settings = Arc::clone(settings);
    let read = move || read_to_end(&settings.connection, &settings.control.name, ANSWER);
    let read: Result<_, Failure> = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| BeginError::Kafka(format!("a thread of the relay: {error}")))?;
    let read = read.map_err(|why| BeginError::Kafka(why.to_string()))?;
    let records = read.into_iter().map(|record| (record.key, record.payload));
    Control::latest(store, records).map_err(|bad| BeginError::Kafka(bad.to_string()))
}
