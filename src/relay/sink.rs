//! Where records go, and with what promise.

use super::settings::Settings;
use crate::infra::kafka::{Failure, PlainProducer, Producer, Record};
use tokio_util::sync::CancellationToken;

/// A producer of one of two kinds.
pub enum Sink {
    /// Records and positions in one transaction: each record once.
    Transactions(Box<Producer>),
    /// Records, and then positions in our store: each record at least once.
    Database(Box<PlainProducer>),
}

impl Sink {
    /// Makes the producer that the settings want. One with transactions ends the transaction of its predecessor, and its right to
    /// write. Its batches have at most `batch_bytes`. Blocks until Kafka answers or `stop`.
    ///
    /// # Errors
    /// See [`Producer::open`].
    pub fn open(
        settings: &Settings,
        transactional_id: &str,
        batch_bytes: u32,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let (connection, timeout) =
            (settings.connection.with_batch_bytes(batch_bytes), settings.transaction_timeout);
        if settings.has_transactions {
            let producer = Producer::open(&connection, transactional_id, timeout, stop)?;
            return Ok(Self::Transactions(Box::new(producer)));
        }
        Ok(Self::Database(Box::new(PlainProducer::open(&connection, timeout, stop)?)))
    }

    /// Writes all of `records`; with transactions, all or none. Blocks.
    ///
    /// # Errors
    /// What to do next.
    pub fn write(&mut self, records: &[Record]) -> Result<(), Failure> {
        match self {
            Self::Transactions(producer) => producer.transact(records),
            Self::Database(producer) => producer.send(records),
        }
    }
}
