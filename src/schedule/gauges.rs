//! Gauges of what is stored: queues, held jobs, the store itself.

use crate::ids::Timestamp;
use crate::infra::telemetry::metrics::{HELD_JOBS, HELD_OLDEST, QUEUE_JOBS, QUEUE_OLDEST, STORE_BYTES};
use crate::job::HoldReason;
use crate::job::store::{HeldCount, QueueDepth};
use std::collections::BTreeMap;
use std::time::Duration;

/// Queues as labels name them: without the spool, whose id belongs into no label.
pub fn show_queues(depths: &[QueueDepth]) {
    let mut queues: BTreeMap<&str, Vec<&QueueDepth>> = BTreeMap::new();
    for depth in depths {
        let queue = depth.name.split_once('@').map_or(depth.name.as_str(), |(queue, _home)| queue);
        queues.entry(queue).or_default().push(depth);
    }
    for (queue, depths) in queues {
        let sum = |count: fn(&QueueDepth) -> i64| depths.iter().map(|depth| count(depth)).sum::<i64>() as f64;
        for (state, jobs) in [
            ("available", sum(|depth| depth.available)),
            ("running", sum(|depth| depth.running)),
            ("scheduled", sum(|depth| depth.scheduled)),
            ("retryable", sum(|depth| depth.retryable)),
            ("waiting", sum(|depth| depth.waiting)),
            ("held", sum(|depth| depth.held)),
        ] {
            metrics::gauge!(QUEUE_JOBS, "queue" => queue.to_owned(), "state" => state).set(jobs);
        }
        let oldest_at = depths.iter().filter_map(|depth| depth.oldest_at).min();
        metrics::gauge!(QUEUE_OLDEST, "queue" => queue.to_owned()).set(age(oldest_at).as_secs_f64());
    }
}

/// Every reason has its gauge, so that one falls to 0 when its last job was released.
pub fn show_held(counts: &[HeldCount]) {
    for reason in HoldReason::ALL.map(HoldReason::word) {
        let held = counts.iter().find(|count| count.reason.as_deref() == Some(reason));
        metrics::gauge!(HELD_JOBS, "reason" => reason).set(held.map_or(0, |count| count.jobs) as f64);
    }
    let oldest_at = counts.iter().filter_map(|count| count.oldest_at).min();
    metrics::gauge!(HELD_OLDEST).set(age(oldest_at).as_secs_f64());
}

/// What the store takes on disk.
pub fn show_sizes(sizes: &[(&'static str, u64)]) {
    for (kind, bytes) in sizes {
        metrics::gauge!(STORE_BYTES, "kind" => *kind).set(*bytes as f64);
    }
}

/// How long ago that was, by this process's clock; zero where there is no such time.
pub fn age(at: Option<Timestamp>) -> Duration {
    let micros = at.map_or(0, |at| Timestamp::now().0 - at.0);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
