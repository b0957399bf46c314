//! Gathers concurrent callers into one commit.

use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Too many wait already; the caller should come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many are waiting")]
pub struct Busy;

/// How callers are gathered.
#[derive(Debug, Clone, Copy)]
pub struct BatchSettings {
    /// Items of one commit at most.
    pub items: usize,
    /// How long the first of a batch waits for others.
    pub linger: Duration,
    /// Items that may wait before callers hear [`Busy`].
    pub bound: usize,
    /// Batches that may be under way at once.
    pub parallel: usize,
}

/// The entrance to a batcher; cheap to clone.
pub struct Batcher<I, O> {
    queue: mpsc::Sender<(I, oneshot::Sender<O>)>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher that hands batches to `commit`. It gets its items and gives one answer each, in order.
    pub fn start<C>(settings: BatchSettings, commit: C) -> Self
    where
        C: Fn(Vec<I>) -> Pin<Box<dyn Future<Output = Vec<O>> + Send>> + Send + Sync + 'static,
    {
        let (queue, items) = mpsc::channel(settings.bound);
        tokio::spawn(gather(settings, items, std::sync::Arc::new(commit)));
        Self { queue }
    }

    /// Joins the next batch and waits for its commit.
    ///
    /// # Errors
    /// [`Busy`] when too many wait, or the batcher is gone.
    pub async fn join(&self, item: I) -> Result<O, Busy> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send((item, reply)).map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }

    /// As [`join`](Self::join), but waits for a place instead of hearing [`Busy`]: for work that was accepted already.
    ///
    /// # Errors
    /// [`Busy`] when the batcher is gone.
    pub async fn join_patiently(&self, item: I) -> Result<O, Busy> {
        let (reply, answer) = oneshot::channel();
        self.queue.send((item, reply)).await.map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }
}

type Commit<I, O> = dyn Fn(Vec<I>) -> Pin<Box<dyn Future<Output = Vec<O>> + Send>> + Send + Sync;

async fn gather<I: Send + 'static, O: Send + 'static>(
    settings: BatchSettings,
    mut items: mpsc::Receiver<(I, oneshot::Sender<O>)>,
    commit: std::sync::Arc<Commit<I, O>>,
) {
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(settings.parallel.max(1)));
    let mut batch = Vec::new();
    while items.recv_many(&mut batch, settings.items).await > 0 {
        if batch.len() < settings.items {
            let deadline = tokio::time::Instant::now() + settings.linger;
            while batch.len() < settings.items {
                let room = settings.items - batch.len();
                match tokio::time::timeout_at(deadline, items.recv_many(&mut batch, room)).await {
                    Ok(more) if more > 0 => {}
                    _ => break,
                }
            }
        }
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else { return };
        let (values, replies): (Vec<I>, Vec<_>) = batch.drain(..).unzip();
        let commit = std::sync::Arc::clone(&commit);
        tokio::spawn(async move {
            let answers = commit(values).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // A caller that has gone away does not want to know.
                drop(reply.send(answer));
            }
            drop(place);
        });
    }
}
