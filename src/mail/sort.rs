//! Job `sort`: a mail becomes a tree with coordinates, and a job for its module.
//!
//! Steps, each a function: delivery → message → split → decision → path → tree → outcome. Everything may run twice: the
//! path is stored before the tree is made and a re-run reuses it; a tree whose manifest is mine is adopted.

mod decision;
mod message;
mod remake;

use crate::delivery::manifest::About;
use crate::delivery::store::{self, DeliveryRow};
use crate::delivery::tree::{self, Contents, Written};
use crate::delivery::{Core, Sorted, Work, tree_path};
use crate::ids::{DeliveryId, Scope, VolumeName};
use crate::in_tx;
use crate::infra::db::{DbErrorKind, Lane, View};
use crate::infra::host::{Slot, SplitOutput};
use crate::infra::volume::SubPath;
use crate::job::store::NewJob;
use crate::job::{HoldReason, Interrupted, Job, Outcome, Priority, QueueName, Run};
use decision::Verdict;
pub use decision::rule_input;
use headworks_spool::Spool;
use message::Message;
use module_api::Problem;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Problem code of a mail whose queue id and recipient had come before, with other bytes.
const KEY_REUSED: &str = "key_reused";

/// Does the jobs of kind `sort`; cheap to clone.
#[derive(Clone)]
pub struct Sorter {
    /// The parts of this process.
    pub core: Arc<Core>,
    /// The spool of this process.
    pub spool: Spool,
}

impl Sorter {
    /// Does one job.
    pub async fn run(self, run: Run) -> Outcome<Work> {
        self.steps(&run).await.unwrap_or_else(Outcome::from)
    }

    async fn steps(&self, run: &Run) -> Result<Outcome<Work>, Interrupted> {
        let delivery = self.delivery(&run.job).await?;
        let message = message::open(&self.spool, &self.core.volume(VolumeName::Inbox), &delivery).await?;
        let slot = run.wait(self.core.host.slot()).await?;
        run.at("split");
        let split = run.in_time(self.split(slot, &message)).await?;
        run.at("tree");
        let verdict = decision::decide(&delivery, &split.head, &split.parts, &self.core.live.config());
        let path = self.path(&run.job, &delivery, &verdict).await?;
        self.tree(&delivery, message, split, &verdict, path).await?;
        self.outcome(&delivery, verdict).await
    }

    async fn delivery(&self, job: &Job) -> Result<DeliveryRow, Interrupted> {
        self.find(job.delivery_id.ok_or_else(|| Interrupted::Failed("the job names no delivery".into()))?)
            .await
    }

    async fn find(&self, id: DeliveryId) -> Result<DeliveryRow, Interrupted> {
        store::get(&Scope::All, &mut self.core.db.reader(View::State).await?.tx(), id)
            .await?
            .ok_or_else(|| Interrupted::Failed(format!("there is no delivery {id}")))
    }

    async fn split(&self, slot: Slot, message: &Message) -> Result<SplitOutput, Interrupted> {
        let limits = self.core.live.config().mail.limits();
        Ok(slot.split(message.file.try_clone()?, message.stored.len_bytes, limits).await?)
    }

    /// Stores where the tree will be, under the lease: from here on the place is this delivery's.
    async fn path(
        &self,
        job: &Job,
        delivery: &DeliveryRow,
        verdict: &Verdict,
    ) -> Result<SubPath, Interrupted> {
        let candidates = self.candidates(delivery, verdict)?.map(|path| path.to_string());
        let (id, lease) = (delivery.id, (job.id, job.lease_token));
        for last_try in [false, true] {
            let candidates = candidates.clone();
            let chosen =
                in_tx!(self.core.db, Lane::State, tx => store::choose_path(tx, id, lease, &candidates)).await;
            match chosen {
                Ok(Some(path)) => return path.parse().map_err(bad_path),
                Ok(None) => return Err(Interrupted::GivenUp),
                Err(error) if error.kind() == DbErrorKind::Conflict && !last_try => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Interrupted::Failed("another delivery took the path twice".into()))
    }

    /// Where the tree may be: the second path is for when another delivery has the first.
    fn candidates(&self, delivery: &DeliveryRow, verdict: &Verdict) -> Result<[SubPath; 2], Interrupted> {
        let (place, at) = (verdict.place(&delivery.source), delivery.received_at);
        let config = self.core.live.config();
        let zone = config.server.time_zone.get();
        tree_path::candidates(&place, at, zone, delivery.receipt_id).map_err(bad_path)
    }

    /// Writes the tree. Nothing is fsynced: the sealer does that later.
    async fn tree(
        &self,
        delivery: &DeliveryRow,
        message: Message,
        split: SplitOutput,
        verdict: &Verdict,
        path: SubPath,
    ) -> Result<(), Interrupted> {
        let about = about(delivery, verdict);
        let (inbox, archive) = (
            self.core.volume(VolumeName::Inbox),
            verdict.archive().then(|| self.core.volume(VolumeName::Archive)),
        );
        tokio::task::spawn_blocking(move || {
            let bytes = message.bytes();
            let contents = Contents::of_split(about, bytes, &split)?;
            if let Written::Taken(other) = tree::write(&inbox, &path, &contents)? {
                return Err(Interrupted::Failed(format!("{path} holds the tree of delivery {other}")));
            }
            if let Some(archive) = archive {
                tree::archive(&archive, &path, bytes)?;
            }
            Ok(())
        })
        .await?
    }

    async fn outcome(&self, delivery: &DeliveryRow, verdict: Verdict) -> Result<Outcome<Work>, Interrupted> {
        let sorted = |held: Option<&str>| Sorted {
            id: delivery.id,
            coordinates: verdict.route().map(|route| route.coordinates.clone()),
            rule: verdict.rule().map(|rule| rule.name),
            settings: serde_json::json!(
                verdict.route().map(|route| route.settings.clone()).unwrap_or_default()
            ),
            captures: verdict.route().map(|route| route.captures.clone()).unwrap_or_default(),
            archive: verdict.archive(),
            held_reason: held.map(str::to_owned),
        };
        let hold = |reason: HoldReason, detail| {
            let work = Work { sorted: Some(sorted(Some(reason.word()))), ..Work::default() };
            Outcome::Hold { reason, detail, work: Some(work) }
        };
        let route = match &verdict {
            Verdict::Sorted(route) => route,
            Verdict::Held(reason, detail) | Verdict::Closed(_, reason, detail) => {
                return Ok(hold(*reason, detail.clone()));
            }
        };
        let module = route.coordinates.module();
        if !self.core.modules.contains(&module) {
            return Ok(hold(HoldReason::NoModule, format!("no module reads {module}")));
        }
        let child = self.parse_job(delivery, &module).await?;
        Ok(Outcome::Done(Work { sorted: Some(sorted(None)), children: vec![child], ..Work::default() }))
    }

    async fn parse_job(&self, delivery: &DeliveryRow, module: &str) -> Result<NewJob, Interrupted> {
        let queue = QueueName::parse(module);
        let limits = self.core.live.config().queue_limits(&queue);
        Ok(NewJob {
            queue: self.core.queues.row(&queue).await?,
            priority: Priority::Normal,
            delivery_id: Some(delivery.id),
            receipt_id: Some(delivery.receipt_id),
            parent_id: None,
            retry_of: None,
            signals: None,
            max_attempts: limits.max_attempts,
            delay: Duration::ZERO,
            args: serde_json::json!({}),
        })
    }
}

/// What the manifest says of a mail before it is split. Its problems are those of the door, and what accept found.
fn about(delivery: &DeliveryRow, verdict: &Verdict) -> About {
    let problem = |code: Cow<'static, str>| Problem { code, detail: String::new() };
    let door = delivery.envelope.mail().map(|mail| mail.problems.as_slice()).unwrap_or_default();
    let door = door.iter().map(|code| problem(Cow::Owned(code.clone())));
    let reused = delivery.key_reused.then(|| problem(Cow::Borrowed(KEY_REUSED)));
    About {
        delivery: delivery.id,
        receipt: delivery.receipt_id,
        place: verdict.place(&delivery.source),
        rule: verdict.rule(),
        envelope: delivery.envelope.clone(),
        headers: Vec::new(),
        problems: door.chain(reused).collect(),
        software: BTreeMap::from([("headworks".into(), env!("CARGO_PKG_VERSION").into())]),
        split_limits: None,
    }
}

fn bad_path(error: crate::infra::volume::BadSubPath) -> Interrupted {
    Interrupted::Failed(error.to_string())
}
