//! The producer without transactions.

use super::Record;
use super::connection::Connection;
use super::deliveries::Deadline;
use super::failure::Failure;
use super::producer::Inner;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A producer without transactions. Records of one key keep their order, and a record is written more than once only
/// where the caller sends it again.
pub struct PlainProducer {
    inner: Inner,
    timeout: Duration,
    stop: CancellationToken,
}

impl PlainProducer {
    /// Makes a producer, which connects in the background. A batch that takes longer than `timeout`, or until `stop`, is
    /// given up.
    ///
    /// # Errors
    /// [`Failure::Lost`]: the settings cannot be used.
    pub fn open(
        connection: &Connection,
        timeout: Duration,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        Self::open_as(connection, timeout, stop, true)
    }

    /// Without `idempotent` no right but that to write is needed, and a repetition may double a record.
    pub(super) fn open_as(
        connection: &Connection,
        timeout: Duration,
        stop: CancellationToken,
        idempotent: bool,
    ) -> Result<Self, Failure> {
        let millis = timeout.as_millis().to_string();
        let properties = connection.of_producers();
        let mut own: Vec<(&str, &str)> =
            properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        own.push(("message.timeout.ms", &millis));
        if !idempotent {
            own.push(("enable.idempotence", "false"));
        }
        let inner = Inner { client: connection.client(&own)?, connection: connection.clone() };
        Ok(Self { inner, timeout, stop })
    }

    /// Sends all of `records` and waits until each was written by all replicas. Blocks.
    ///
    /// # Errors
    /// What to do next; see [`Failure`]. Records may have been written all the same, but those that are named as refused,
    /// and those of a topic that is named, were not.
    pub fn send(&self, records: &[Record]) -> Result<(), Failure> {
        let sent = self
            .inner
            .send(records, 0..records.len(), Deadline::after(self.timeout), &|| self.stop.is_cancelled());
        match &sent {
            Ok(()) => self.inner.connection.answers(),
            Err(Failure::Again { .. }) => self.inner.purge(),
            Err(_) => {}
        }
        sent.map_err(|failure| self.inner.fatal().unwrap_or(failure))
    }
}
