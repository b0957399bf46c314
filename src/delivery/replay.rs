//! Replay: processes a delivery again as if it had just arrived.
//!
//! A new job does it; what it loads replaces the delivery's older load in its finishing commit. With `sort` a mail is
//! split and the rules are asked again; without it only the module reads the tree again.

use super::operate::{ActResult, OperateError, Operator, act, wrong};
use super::store::{self, DeliveryRow};
use crate::ids::{DeliveryId, JobId};
use crate::infra::db::View;
use crate::job::store::{JobView, NewJob, Note};
use crate::job::{self, Priority, QueueName, QueueRow};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a replay does first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Ask the rules again.
    Sort,
    /// Hand the parts to the module.
    Parse,
}

impl Operator {
    /// Inserts the job of a replay and returns it. `attempts` says how many failed runs a job of a queue may have.
    ///
    /// # Errors
    /// See [`OperateError`]; a delivery with a live job is in the wrong state.
    pub async fn replay(
        &self,
        id: DeliveryId,
        from: Again,
        modules: &BTreeSet<String>,
        attempts: impl Fn(&QueueName) -> u16,
    ) -> ActResult<JobId> {
        let scope = self.scope.clone();
        let found = store::get(&scope, &mut self.db.reader(View::State).await?.tx(), id).await?;
        let delivery = found.ok_or(OperateError::NotFound)?;
        let queue = queue(&delivery, from, modules)?;
        let (scope, max_attempts, note) = (self.scope.clone(), attempts(&queue), self.note("replayed", None));
        act!(self, tx => {
            store::lock(&scope, tx, id).await?.ok_or(OperateError::NotFound)?;
            let jobs = job::store::of_delivery(&scope, tx, id).await?;
            if let Some(live) = jobs.iter().find(|job| !job.state.is_final()) {
                return wrong(format!("job {} of it is {}", live.id, live.state.word()));
            }
            let row = job::store::queue_row(tx, &queue).await?;
            let new = first_job(&delivery, row, max_attempts, &jobs);
            let made = job::store::insert(tx, &[new]).await?;
            let &made = made.first().ok_or(OperateError::NotFound)?;
            if from == Again::Sort {
                store::start_over(tx, id).await?;
            }
            let note = Note { delivery_id: Some(id), job_id: Some(made), ..note };
            job::store::note(tx, &[note]).await?;
            Ok(made)
        })
    }
}

fn queue(delivery: &DeliveryRow, from: Again, modules: &BTreeSet<String>) -> ActResult<QueueName> {
    if from == Again::Sort {
        return match delivery.home {
            Some(home) => Ok(QueueName::sort(home)),
            None => wrong("it is not a mail, so there is nothing to sort"),
        };
    }
    let (Some(category), Some(type_)) = (&delivery.category, &delivery.type_) else {
        return wrong("it has no coordinates; replay it with sort=true");
    };
    let module = format!("{category}/{type_}");
    if modules.contains(&module) {
        Ok(QueueName::parse(&module))
    } else {
        wrong(format!("no module reads {module}"))
    }
}

/// The job names the newest one of its kind, whose end no longer counts in the receipt.
fn first_job(delivery: &DeliveryRow, queue: QueueRow, max_attempts: u16, jobs: &[JobView]) -> NewJob {
    NewJob {
        queue,
        priority: Priority::Low,
        delivery_id: Some(delivery.id),
        receipt_id: Some(delivery.receipt_id),
        parent_id: None,
        retry_of: jobs.iter().filter(|job| job.kind.known() == Some(queue.kind)).map(|job| job.id).max(),
        signals: None,
        max_attempts,
        delay: Duration::ZERO,
        args: serde_json::json!({}),
    }
}
