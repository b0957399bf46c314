//! The leader of a group: takes the lease, fills batches, and keeps the position.

use super::batch::Batch;
use super::group;
use super::hold::{HoldError, Refused, hold};
use super::record::dead_letter;
use super::sink::Sink;
use super::store::{self, Holder, Moved};
use super::term::{BeginError, Copied, State, Term, Topic};
use super::view::{self, View};
use crate::infra::db::{DbError, Lane};
use crate::infra::kafka::{Failure, Record};
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::RELAY_RECORDS;
use crate::job::Leader;
use crate::warn_unless_outage;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A leader that says nothing for so long is replaced.
pub const TERM: Duration = Duration::from_secs(15);
/// How often it says that it is there, and looks for what operators want.
pub const RENEW: Duration = Duration::from_secs(3);
/// Pause of a candidate.
const STANDBY: Duration = Duration::from_secs(2);
/// Pause while there is nothing to copy.
const IDLE: Duration = Duration::from_millis(100);
/// How often topics, their limits and rights are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Copies a group of topics as long as it leads.
pub struct Relay {
    /// What, and from where.
    pub copied: Copied,
    /// Stands for election.
    pub leader: Leader,
    /// Kafka does not answer.
    pub away: Condition,
}

/// What is under way besides the batch that is written.
#[derive(Default)]
struct Ahead {
    /// The next batch, gathered behind it.
    batch: Option<Batch>,
    /// What the one before has reached, not kept in our store yet.
    reached: Vec<Moved>,
}

/// Why a term ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("another process leads")]
    Lost,
    /// Begin anew at once.
    #[error("{0}")]
    Anew(String),
    #[error("{0}")]
    Kafka(String),
    #[error(transparent)]
    Store(#[from] DbError),
}

impl From<BeginError> for Ended {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Kafka(why) => Self::Kafka(why),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

impl Relay {
    /// Leads whenever it can, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let term = stop.child_token();
            let ended = self.term(&term).await;
            // A producer that still waits for Kafka gives up.
            term.cancel();
            match ended {
                Ok(()) => {}
                Err(Ended::Anew(why)) => {
                    tracing::info!(group = self.copied.group.name, "the relay begins anew: {why}");
                    continue;
                }
                Err(Ended::Lost) => tracing::debug!(group = self.copied.group.name, "another process leads"),
                // What is given up because the process stops is no trouble.
                Err(Ended::Kafka(_)) if stop.is_cancelled() => {}
                Err(Ended::Kafka(why)) => self.is_away(&why),
                Err(Ended::Store(error)) => {
                    warn_unless_outage!(error, group = self.copied.group.name, %error, "the relay cannot read the log");
                }
            }
            pause(&stop, STANDBY).await;
        }
    }

    /// One term: from the lease to its loss, or that of the producer.
    async fn term(&self, stop: &CancellationToken) -> Result<(), Ended> {
        self.leads().await?;
        let view = self.look(stop).await?;
        let mut sink = self.open(&view, stop).await?;
        let mut term = Term::begin(&self.copied, view).await?;
        self.leads().await?;
        self.away.ends();
        tracing::info!(group = self.copied.group.name, topics = term.topics.len(), "the relay leads");
        let (mut renewed, mut looked) = (Instant::now(), Instant::now());
        let mut ahead = Ahead::default();
        while !stop.is_cancelled() {
            let mut is_outdated = false;
            if renewed.elapsed() > RENEW {
                self.keep(&mut ahead).await?;
                self.leads().await?;
                renewed = Instant::now();
                is_outdated = term.is_outdated().await?;
            }
            if is_outdated || looked.elapsed() > LOOK {
                self.keep(&mut ahead).await?;
                ahead.batch = None;
                let view = self.look(stop).await?;
                looked = Instant::now();
                if view.batch_bytes() < term.view.batch_bytes() || view.cluster != term.view.cluster {
                    return Err(Ended::Anew("Kafka's topics have changed".to_owned()));
                }
                if is_outdated {
                    term = Term::begin(&self.copied, view).await?;
                } else {
                    term.see(view).await?;
                }
            }
            let batch = match ahead.batch.take() {
                Some(batch) => batch,
                None => term.gather().await?,
            };
            if batch.marks.is_empty() {
                self.keep(&mut ahead).await?;
                pause(stop, IDLE).await;
                continue;
            }
            sink = self.write(&mut term, sink, batch, &mut ahead, stop).await?;
        }
        self.keep(&mut ahead).await
    }

    /// Writes a batch. Meanwhile the next one is gathered, and what the one before has reached is kept.
    async fn write(
        &self,
        term: &mut Term,
        mut sink: Sink,
        mut batch: Batch,
        ahead: &mut Ahead,
        stop: &CancellationToken,
    ) -> Result<Sink, Ended> {
        let records = self.records(term, &mut batch);
        let written = self.while_leading(stop, move || {
            let written = sink.write(&records);
            (sink, records, written)
        });
        let (written, next, kept) = tokio::join!(written, term.gather_behind(&batch), self.keep(ahead));
        let (sink, records, written) = written?;
        kept?;
        batch.take_back(records);
        match written {
            Ok(()) => {
                ahead.reached = self.committed(term, batch);
                ahead.batch = next;
            }
            Err(failure) => self.failed(term, &batch, failure).await?,
        }
        Ok(sink)
    }

    /// Says that nothing can be copied, unless the connection says so already.
    fn is_away(&self, why: &str) {
        if self.copied.settings.connection.trouble().is_none() {
            self.away.holds(&why);
        }
    }

    fn duty(&self) -> String {
        group::duty(&self.copied.group.name)
    }

    /// Takes or keeps the lease.
    async fn leads(&self) -> Result<(), Ended> {
        if self.leader.leads(&self.duty()).await? { Ok(()) } else { Err(Ended::Lost) }
    }

    async fn look(&self, stop: &CancellationToken) -> Result<View, Ended> {
        let (settings, topics) =
            (Arc::clone(&self.copied.settings), self.copied.settings.topics(&self.copied.group));
        let view = self.while_leading(stop, move || view::look(&settings, &topics)).await?;
        view.map_err(|failure| Ended::Kafka(failure.to_string()))
    }

    async fn open(&self, view: &View, stop: &CancellationToken) -> Result<Sink, Ended> {
        let prefix = &self.copied.settings.transactional_id_prefix;
        let id = format!("{prefix}-{}-{}", self.copied.store, self.copied.group.name);
        let (settings, batch_bytes, stop_open) =
            (Arc::clone(&self.copied.settings), view.batch_bytes(), stop.clone());
        let opened =
            self.while_leading(stop, move || Sink::open(&settings, &id, batch_bytes, stop_open)).await?;
        opened.map_err(|failure| Ended::Kafka(failure.to_string()))
    }

    /// Runs what blocks, and keeps the lease meanwhile. If that is lost, `stop` ends the work. While our store is away nobody else
    /// can take the lease either, and Kafka lets only the newest producer write.
    async fn while_leading<T: Send + 'static>(
        &self,
        stop: &CancellationToken,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let mut working = tokio::task::spawn_blocking(work);
        loop {
            tokio::select! {
                done = &mut working => {
                    return done.map_err(|error| Ended::Kafka(format!("a thread of the relay: {error}")));
                }
                () = tokio::time::sleep(RENEW) => {}
            }
            if matches!(self.leads().await, Err(Ended::Lost)) {
                stop.cancel();
                drop(working.await);
                return Err(Ended::Lost);
            }
        }
    }

    /// Takes the records out of a batch, and adds those for the topic of dead letters, and with transactions the positions.
    fn records(&self, term: &Term, batch: &mut Batch) -> Vec<Record> {
        let mut records = batch.take();
        records.extend(batch.dead_letters.iter().map(|(_, record)| record.clone()));
        if self.copied.settings.has_transactions {
            let kafka = |name: &str| {
                term.topics.iter().find(|topic| topic.name == name).map(|topic| topic.kafka.as_str())
            };
            let control = &self.copied.settings.control.name;
            records.extend(batch.positions(self.copied.store, control, &term.view, kafka));
        }
        records
    }

    /// The topics go on behind a batch that was written. Returns what is to be kept.
    fn committed(&self, term: &mut Term, batch: Batch) -> Vec<Moved> {
        metrics::counter!(RELAY_RECORDS, "group" => self.copied.group.name.clone())
            .increment(batch.records.len() as u64);
        self.away.ends();
        let mut reached = Vec::with_capacity(batch.marks.len());
        for topic in &mut term.topics {
            if let Some(mark) = batch.marks.get(&topic.name) {
                reached.push(Moved { topic: topic.id, before: topic.mark.clone(), now: mark.clone() });
                topic.mark = mark.clone();
                topic.is_written = true;
                topic.dead_letter = None;
                topic.most = None;
                if topic.trouble.take().is_some() {
                    tracing::info!(topic = topic.name, "the relay goes on");
                }
            }
        }
        reached
    }

    /// Keeps what was reached. With transactions this is a copy, which may fail: the control topic has the position.
    async fn keep(&self, ahead: &mut Ahead) -> Result<(), Ended> {
        let reached = std::mem::take(&mut ahead.reached);
        if reached.is_empty() {
            return Ok(());
        }
        let holder = Holder { duty: self.duty(), boot: self.leader.boot() };
        let decides = !self.copied.settings.has_transactions;
        let kept = self.copied.db.write(Lane::State, move |mut tx| {
            Box::pin(async move {
                for moved in &reached {
                    if !store::moved(&mut tx, moved).await? && decides {
                        return Ok(false);
                    }
                }
                if decides { store::holds(&mut tx, &holder).await } else { Ok(true) }
            })
        });
        match kept.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Ended::Lost),
            Err(error) if decides => Err(error.into()),
            Err(error) => {
                warn_unless_outage!(error, %error, "the position of the relay was not copied; Kafka has it");
                Ok(())
            }
        }
    }

    /// Does what a failure asks for.
    async fn failed(&self, term: &mut Term, batch: &Batch, failure: Failure) -> Result<(), Ended> {
        match failure {
            Failure::Again { reason } => {
                self.is_away(&reason);
                Ok(())
            }
            Failure::Lost { fenced: true, reason } => {
                tracing::info!(group = self.copied.group.name, "Kafka lets another producer write: {reason}");
                Err(Ended::Lost)
            }
            Failure::Lost { reason, .. } => Err(Ended::Kafka(reason)),
            Failure::Topic { topic, reason } if topic == self.copied.settings.control.name => {
                Err(Ended::Kafka(format!("kafka.control_topic: {topic}: {reason}")))
            }
            Failure::Topic { topic, reason } if self.are_dead_letters(&topic) => {
                term.topics.iter_mut().for_each(|topic| give_up_dead_letter(topic, &reason));
                Ok(())
            }
            Failure::Topic { topic, reason } => Ok(term.set_aside(&topic, &reason).await?),
            Failure::Refused { records } => self.refused(term, batch, &records).await,
        }
    }

    /// Finds the record that is at fault: the limit of a topic holds for a batch of records, so only one that is refused alone is.
    /// That is held, and the others go on.
    async fn refused(
        &self,
        term: &mut Term,
        batch: &Batch,
        refused: &[(usize, String)],
    ) -> Result<(), Ended> {
        let dead_letters = batch.records.len()..batch.records.len() + batch.dead_letters.len();
        if let Some((_, why)) = refused.iter().find(|(index, _)| *index >= dead_letters.end) {
            return Err(Ended::Kafka(format!("kafka.control_topic: a position is refused: {why}")));
        }
        for at in 0..term.topics.len() {
            let topic = &mut term.topics[at];
            for (index, why) in refused.iter().filter(|(index, _)| dead_letters.contains(index)) {
                if batch.dead_letters[index - dead_letters.start].0 == topic.name {
                    give_up_dead_letter(topic, why);
                }
            }
            let own = (0..).zip(&batch.of).filter(|(_, (of, _))| *of == topic.id);
            let own: Vec<usize> = own.map(|(index, _)| index).collect();
            let place = |index: &usize| own.iter().position(|at| at == index);
            let first = refused.iter().filter_map(|(index, why)| Some((place(index)?, why))).min();
            match first {
                None => {}
                Some((0, why)) if own.len() == 1 => {
                    let (why, index) = (why.clone(), own[0]);
                    self.hold(term, at, (batch, index), why).await?;
                }
                Some((before, _)) => topic.most = Some(before.max(1)),
            }
        }
        Ok(())
    }
}

impl Relay {
    /// Holds a record; its topic goes on behind it.
    async fn hold(
        &self,
        term: &mut Term,
        at: usize,
        (batch, index): (&Batch, usize),
        why: String,
    ) -> Result<(), Ended> {
        let Copied { db, blobs, settings, .. } = &self.copied;
        let topic = &mut term.topics[at];
        let (record, (_, entry)) = (batch.records[index].clone(), &batch.of[index]);
        let dead_letter = settings.dead_letters.as_ref().map(|to| dead_letter(&record, &to.name, &why));
        let refused = Refused { topic: topic.id, name: topic.name.clone(), entry: *entry, record, why };
        match hold(db, blobs, refused, settings.max_attempts).await {
            Ok(()) => {}
            Err(HoldError::Store(error)) => return Err(error.into()),
            Err(error) => {
                topic.state = State::Aside(Instant::now());
                return Ok(term.say_at(at, Some(error.to_string())).await?);
            }
        }
        if let Some(mark) = batch.marks.get(&topic.name) {
            topic.mark = mark.clone();
            topic.is_written = false;
        }
        topic.most = None;
        topic.dead_letter = dead_letter;
        if let Some(why) = settings.dead_letters.as_ref().and_then(|to| term.view.wrong(&to.name)) {
            give_up_dead_letter(topic, &why);
        }
        Ok(())
    }

    fn are_dead_letters(&self, kafka: &str) -> bool {
        self.copied.settings.dead_letters.as_ref().is_some_and(|topic| topic.name == kafka)
    }
}

/// A held record waits in our store in any case; only its copy is left out.
fn give_up_dead_letter(topic: &mut Topic, why: &str) {
    if topic.dead_letter.take().is_some() {
        tracing::warn!(
            topic = topic.name,
            "kafka.dead_letter_topic does not take the copy of a held record: {why}"
        );
    }
}

async fn pause(stop: &CancellationToken, time: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
