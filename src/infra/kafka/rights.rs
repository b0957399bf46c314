//! Finds out what we may do without doing it.

use super::Record;
use super::connection::Connection;
use super::failure::Failure;
use super::plain::PlainProducer;
use super::producer::Producer;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Largest record that is sent to find out about a right.
const MOST_BYTES: u64 = 16 << 20;
/// How much more than allowed it has.
const TOO_MANY: u64 = 64 << 10;

/// Whether we may write to `topic`: sends a record that is larger than its `max_message_bytes`. The broker looks at rights
/// first and at the size next, so nothing is written. `None` if the limit is too high to be tried. Blocks.
///
/// # Errors
/// [`Failure::Again`], [`Failure::Lost`]: Kafka does not answer, or the settings cannot be used.
pub fn may_write(
    connection: &Connection,
    topic: &str,
    max_message_bytes: u64,
    timeout: Duration,
) -> Result<Option<bool>, Failure> {
    if max_message_bytes > MOST_BYTES {
        return Ok(None);
    }
    let mut noise = vec![0; usize::try_from(max_message_bytes + TOO_MANY).unwrap_or_default()];
    if getrandom::fill(&mut noise).is_err() {
        return Ok(None); // It must not compress.
    }
    let record = Record {
        topic: topic.to_owned(),
        partition: None,
        key: Some(b"config check".to_vec()),
        payload: Some(noise),
        headers: Vec::new(),
        timestamp_millis: 0,
    };
    let producer = PlainProducer::open_as(connection, timeout, CancellationToken::new(), false)?;
    match producer.send(&[record]) {
        Err(Failure::Refused { .. }) => Ok(Some(true)),
        Err(Failure::Topic { .. }) => Ok(Some(false)),
        Ok(()) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether we may use transactional ids that begin as `transactional_id` does. Kafka notes this id. Blocks.
///
/// # Errors
/// [`Failure::Lost`]: we may not. [`Failure::Again`]: Kafka does not answer.
pub fn ensure_transactions(
    connection: &Connection,
    transactional_id: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    std::thread::scope(|scope| {
        let (opened, closed) = std::sync::mpsc::channel::<()>();
        let cancel = stop.clone();
        scope.spawn(move || {
            // An answer before the time is over drops the sender.
            if closed.recv_timeout(timeout) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                cancel.cancel();
            }
        });
        let made = Producer::open(connection, transactional_id, timeout, stop);
        drop(opened);
        made.map(|_| ())
    })
}
