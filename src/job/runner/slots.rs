//! The slots of a queue: how many of its jobs may run here, and which are claimed ahead.

use super::super::lease::LeaseHandle;
use super::super::queue::QueueRules;
use super::super::store::Job;
use crate::ids::QueueName;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// One queue as the dispatcher sees it.
pub struct Slots {
    pub queue: Arc<QueueName>,
    /// Its limits; `None` while it is paused: running jobs go on, but none is claimed or started.
    pub rules: Option<QueueRules>,
    pub running: Arc<AtomicUsize>,
    /// Jobs claimed and not yet started, under their lease.
    pub buffer: VecDeque<(Job, LeaseHandle)>,
    /// The queue may have jobs to claim. One that returned fewer than asked is asked again after a wake-up or at the next poll,
    /// not for every slot that becomes free.
    pub worth_asking: bool,
}

impl Slots {
    pub fn new(queue: QueueName, rules: QueueRules) -> Self {
        Self {
            queue: Arc::new(queue),
            rules: Some(rules),
            running: Arc::default(),
            buffer: VecDeque::new(),
            worth_asking: true,
        }
    }

    /// Pauses the queue; returns the jobs claimed ahead, which must be put back.
    pub fn close(&mut self) -> VecDeque<(Job, LeaseHandle)> {
        self.rules = None;
        self.worth_asking = true;
        std::mem::take(&mut self.buffer)
    }
}

/// Queues to claim from: those that may have jobs and whose buffer is low. Each is asked for as many jobs as fill its slots and
/// its buffer, so that claims come in batches and a freed slot finds its next job in the buffer.
pub fn free_slots(slots: &HashMap<i16, Slots>) -> Vec<(i16, u32)> {
    let mut free: Vec<_> = slots
        .iter()
        .filter(|(_, slot)| slot.worth_asking)
        .filter_map(|(&queue, slot)| {
            let rules = slot.rules?;
            let limit = rules.concurrency as usize;
            let running = slot.running.load(Ordering::Relaxed);
            let ahead = rules.prefetch as usize;
            let low = slot.buffer.len() * 2 <= ahead;
            let want = (limit + ahead).saturating_sub(running + slot.buffer.len());
            (low && want > 0 && limit > 0).then(|| (queue, u32::try_from(want).unwrap_or(u32::MAX)))
        })
        .collect();
    free.sort_unstable();
    free
}

/// One of a count, given back when dropped.
pub struct Ticket {
    count: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Ticket {
    pub fn take(count: &Arc<AtomicUsize>, freed: &Arc<Notify>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count), freed: Arc::clone(freed) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}
