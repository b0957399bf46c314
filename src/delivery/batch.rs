//! Gathers concurrent callers into one commit.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Too many wait already; the caller should come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many are waiting")]
pub struct Busy;

/// How callers are gathered.
#[derive(Debug, Clone, Copy)]
pub struct BatchSettings {
    /// Weight of one commit at most: each item weighs one, or as much as the jobs and rows that it brings. A heavier item
    /// goes alone.
    pub items: usize,
    /// How long the first of a batch waits for others.
    pub linger: Duration,
    /// Items that may wait before callers get [`Busy`].
    pub bound: usize,
    /// Batches that may be committed at once.
    pub parallel: usize,
}

/// The entrance to a batcher; cheap to clone.
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Waiting<I, O>>,
    weigh: fn(&I) -> usize,
}

/// An item, and where its answer goes.
struct Waiting<I, O> {
    item: I,
    weight: usize,
    reply: oneshot::Sender<O>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), weigh: self.weigh }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher that hands batches to `commit`. It gets its items and gives one answer each, in order. `weigh` counts
    /// the jobs and rows of an item.
    pub fn start<C>(settings: BatchSettings, weigh: fn(&I) -> usize, commit: C) -> Self
    where
        C: Fn(Vec<I>) -> Pin<Box<dyn Future<Output = Vec<O>> + Send>> + Send + Sync + 'static,
    {
        let (queue, waiting) = mpsc::channel(settings.bound);
        tokio::spawn(gather(settings, waiting, Arc::new(commit)));
        Self { queue, weigh }
    }

    /// Joins the next batch and waits for its commit.
    ///
    /// # Errors
    /// [`Busy`] when too many wait, or the batcher has stopped.
    pub async fn join(&self, item: I) -> Result<O, Busy> {
        let (waiting, answer) = self.waiting(item);
        self.queue.try_send(waiting).map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }

    /// As [`join`](Self::join), but waits for a place instead of returning [`Busy`]: for work that is already accepted.
    ///
    /// # Errors
    /// [`Busy`] when the batcher has stopped.
    pub async fn join_patiently(&self, item: I) -> Result<O, Busy> {
        let (waiting, answer) = self.waiting(item);
        self.queue.send(waiting).await.map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }

    fn waiting(&self, item: I) -> (Waiting<I, O>, oneshot::Receiver<O>) {
        let (reply, answer) = oneshot::channel();
        let weight = (self.weigh)(&item).max(1);
        (Waiting { item, weight, reply }, answer)
    }
}

type Commit<I, O> = dyn Fn(Vec<I>) -> Pin<Box<dyn Future<Output = Vec<O>> + Send>> + Send + Sync;

async fn gather<I: Send + 'static, O: Send + 'static>(
    settings: BatchSettings,
    mut waiting: mpsc::Receiver<Waiting<I, O>>,
    commit: Arc<Commit<I, O>>,
) {
    let places = Arc::new(Semaphore::new(settings.parallel.max(1)));
    // An item that was too heavy for the previous batch.
    let mut left_over = None;
    loop {
        let first = match left_over.take() {
            Some(left_over) => Some(left_over),
            None => waiting.recv().await,
        };
        let Some(first) = first else { return };
        let deadline = Instant::now() + settings.linger;
        let mut weight = first.weight;
        let mut batch = vec![first];
        while weight < settings.items {
            let Ok(Some(next)) = timeout_at(deadline, waiting.recv()).await else { break };
            if weight + next.weight > settings.items {
                left_over = Some(next);
                break;
            }
            weight += next.weight;
            batch.push(next);
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (items, replies): (Vec<I>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.item, waiting.reply)).unzip();
        let commit = Arc::clone(&commit);
        tokio::spawn(async move {
            let answers = commit(items).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // The caller may be gone; nobody needs the answer then.
                drop(reply.send(answer));
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    #[tokio::test]
    async fn a_batch_holds_so_much_weight_and_a_heavier_item_goes_alone() {
        let settings = BatchSettings { items: 10, linger: Duration::from_secs(1), bound: 100, parallel: 1 };
        let batcher = Batcher::start(
            settings,
            |item: &usize| *item,
            |items: Vec<usize>| {
                let batch = items.clone();
                Box::pin(async move { items.iter().map(|_| batch.clone()).collect() })
            },
        );
        let answers = join_all([4, 0, 5, 1, 5000, 6, 4].map(|item| batcher.join(item))).await;
        let answers: Vec<Vec<usize>> = answers.into_iter().map(|answer| answer.unwrap()).collect();
        let (first, alone, last) = (vec![4, 0, 5], vec![5000], vec![6, 4]);
        let expected = [first.clone(), first.clone(), first, vec![1], alone, last.clone(), last];
        assert_eq!(answers, expected);
    }
}
