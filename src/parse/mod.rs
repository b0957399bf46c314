//! Job `parse`: hand the parts of a delivery to its module, gather what it says, load it.
//!
//! ```text
//!   delivery ─▶ reading (stored parts, mail or file) ─▶ headworks-modules (sandbox) ─▶ rows in memory or tmp ─▶ finish: one commit
//! ```
//!
//! No transaction is open while the module runs. What the module says about the input decides how the job ends: `ok` and
//! `partial` complete it, `retry` and a dead child are the job core's to judge. `rejected`: a mail is held, for its sender
//! sees nothing; any other delivery fails, for its sender can ask. Findings are kept in both cases. Where something of a
//! part was lost, `ok` becomes `partial`.

mod feature;
mod problems;
mod reading;

pub use feature::FEATURE;
pub use reading::Reading;

use crate::delivery::store::{self, DeliveryRow};
use crate::delivery::{Core, Rows, Work};
use crate::ids::{Coordinates, Digest, JobId, Scope, VolumeName};
use crate::infra::db::View;
use crate::infra::host::{Collect, Ran};
use crate::infra::volume::{BadSubPath, Stored, SubPath};
use crate::job::{HoldReason, Interrupted, Job, LeaseHandle, Outcome, Run};
use crate::load::{NewLoad, Source};
use module_api::frame::{self, Input, Parse, PartRecord, Stage};
use module_api::{Content, Envelope, Finding, Row};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Rows above this many bytes of memory go to a file.
const ROWS_IN_MEMORY_BYTES: usize = 8 << 20;
/// How often a module that makes many rows says so.
const ROWS_PER_PROGRESS: u64 = 1_000;

/// Does the jobs of kind `parse`; cheap to clone.
#[derive(Clone)]
pub struct Parser {
    /// The parts of this process.
    pub core: Arc<Core>,
}

/// What a run of a module is about.
struct Subject {
    delivery: DeliveryRow,
    coordinates: Coordinates,
    module: String,
    version: String,
}

impl Parser {
    /// Does one job.
    pub async fn run(self, run: Run) -> Outcome<Work> {
        self.steps(&run).await.unwrap_or_else(Outcome::from)
    }

    async fn steps(&self, run: &Run) -> Result<Outcome<Work>, Interrupted> {
        let subject = match self.subject(&run.job).await? {
            Ok(subject) => subject,
            Err(detail) => {
                return Ok(Outcome::Hold { reason: HoldReason::NoModule, detail, work: None });
            }
        };
        let Reading { input, envelope, given, file, digests } = self.reading(&subject.delivery).await?;
        let rows = Gathering::new(Rows::new(&self.core.tmp, ROWS_IN_MEMORY_BYTES), run.lease.clone());
        let slot = run.wait(self.core.host.slot()).await?;
        let ran = run.in_time(slot.parse(self.request(&subject, input, envelope), given, rows)).await?;
        let id = run.job.id;
        run.at("results");
        tokio::task::spawn_blocking(move || outcome(id, subject, ran, &file, &digests)).await?
    }

    /// The delivery, and the module that reads it; `Err` says why there is none.
    async fn subject(&self, job: &Job) -> Result<Result<Subject, String>, Interrupted> {
        let id = job.delivery_id.ok_or_else(|| Interrupted::Failed("the job names no delivery".into()))?;
        let delivery = store::get(&Scope::All, &mut self.core.db.reader(View::State).await?.tx(), id)
            .await?
            .ok_or_else(|| Interrupted::Failed(format!("there is no delivery {id}")))?;
        let Some(coordinates) = delivery.coordinates() else {
            return Err(Interrupted::Failed(format!("delivery {id} has no coordinates")));
        };
        let module = coordinates.module();
        let declared = self.core.host.declarations().iter().find(|declared| declared.id == module);
        Ok(match declared {
            Some(declared) => {
                Ok(Subject { version: declared.version.clone(), delivery, coordinates, module })
            }
            None => Err(format!("no module reads {module}")),
        })
    }

    /// Opens what the module reads.
    async fn reading(&self, delivery: &DeliveryRow) -> Result<Reading, Interrupted> {
        let path = delivery.path.as_deref();
        let path = path.ok_or_else(|| Interrupted::Failed("the delivery has no tree".into()))?;
        let path: SubPath =
            path.parse().map_err(|error: BadSubPath| Interrupted::Failed(error.to_string()))?;
        let envelope = Envelope {
            sender: delivery.envelope.sender().to_owned(),
            recipient: delivery.envelope.recipient().to_owned(),
            ..Envelope::default()
        };
        let (version, limits) = (self.core.host.state().version, self.core.live.config().mail.limits());
        let inbox = self.core.volume(VolumeName::Inbox);
        let record = (delivery.id, delivery.digest);
        let open = move || Reading::open(&inbox, &path, record, envelope, (&version, &limits));
        tokio::task::spawn_blocking(open).await?
    }

    fn request(&self, subject: &Subject, input: Input, envelope: Envelope) -> Parse {
        let config = self.core.live.config();
        Parse {
            module: subject.module.clone(),
            coordinates: module_api::Coordinates {
                customer: subject.coordinates.customer.to_string(),
                category: subject.coordinates.category.to_string(),
                type_: subject.coordinates.type_.to_string(),
                group: subject.coordinates.group.to_string(),
            },
            envelope,
            received_at: subject.delivery.received_at.0,
            settings: serde_json::from_value(subject.delivery.settings.clone()).unwrap_or_default(),
            input,
            mime: config.mail.limits(),
            archive: config.modules.archive_limits(),
            budget: config.modules.budget(),
        }
    }
}

/// Rows and findings of one run, and the lease that reports how many there are.
struct Gathering {
    rows: Rows,
    findings: Vec<Finding>,
    lease: LeaseHandle,
    count: u64,
}

impl Gathering {
    fn new(rows: Rows, lease: LeaseHandle) -> Self {
        Self { rows, findings: Vec::new(), lease, count: 0 }
    }
}

impl Collect for Gathering {
    fn row(&mut self, row: Row) -> io::Result<()> {
        self.count += 1;
        if self.count.is_multiple_of(ROWS_PER_PROGRESS) {
            let (rows, findings) = (self.count, self.findings.len());
            self.lease
                .progress(serde_json::json!({ "step": Stage::Module, "rows": rows, "findings": findings }));
        }
        self.rows.push(row)
    }

    fn stage(&mut self, stage: Stage) {
        self.lease.progress(serde_json::json!({ "step": stage }));
    }

    fn finding(&mut self, finding: Finding) -> io::Result<()> {
        self.findings.push(finding);
        Ok(())
    }
}

/// What the module's word means for the job.
fn outcome(
    job: JobId,
    subject: Subject,
    ran: Ran<Gathering>,
    input: &File,
    digests: &HashMap<frame::Stored, Digest>,
) -> Result<Outcome<Work>, Interrupted> {
    if let module_api::Outcome::Retry { reason } = &ran.outcome {
        return Ok(Outcome::Retry { error: reason.clone() });
    }
    let word = match &ran.outcome {
        module_api::Outcome::Partial { .. } => "partial",
        module_api::Outcome::Ok if problems::lost(&ran.parts) => "partial",
        module_api::Outcome::Ok if ran.findings > 0 => "ok_with_findings",
        module_api::Outcome::Ok => "ok",
        _ => "rejected",
    };
    let sources = ran
        .parts
        .iter()
        .map(|part| source(part, input, &ran.spill, digests))
        .collect::<io::Result<Vec<_>>>()?;
    let mut report = serde_json::json!({
        "module": subject.module, "version": subject.version, "outcome": word, "rows": ran.rows, "findings": ran.findings,
        "profile": ran.profile, "problems": problems::counts(&ran.parts),
    });
    if let module_api::Outcome::Partial { rejected } = &ran.outcome {
        report["rejected"] = (*rejected).into();
    }
    let Gathering { rows, findings, .. } = ran.collected;
    let rejected = match ran.outcome {
        module_api::Outcome::Rejected { reason } => Some(problems::explained(&reason, &ran.parts)),
        _ => None,
    };
    let reason = problems::reason(&ran.parts);
    if rejected.is_some() {
        report["reason"] = reason.word().into();
    }
    let is_mail = subject.delivery.envelope.mail().is_some();
    let load = NewLoad {
        delivery: subject.delivery.id,
        module: subject.module,
        parser_version: subject.version,
        job,
        profile: ran.profile,
        outcome: word.to_owned(),
        coordinates: subject.coordinates,
        received_at: subject.delivery.received_at,
        parts: sources,
        findings,
    };
    let rows = if rejected.is_some() { Rows::new(&PathBuf::new(), usize::MAX) } else { rows };
    let work = Work { load: Some((load, rows)), report: Some(report), ..Work::default() };
    Ok(match rejected {
        Some(detail) if is_mail => Outcome::Hold { reason, detail, work: Some(work) },
        Some(error) => Outcome::Failed { error, work: Some(work) },
        None => Outcome::Done(work),
    })
}

/// Where a part's rows come from, as provenance names it. What the manifest does not know is hashed: archive members, and
/// the parts of a mail that was split again.
fn source(
    part: &PartRecord,
    input: &File,
    spill: &File,
    digests: &HashMap<frame::Stored, Digest>,
) -> io::Result<Source> {
    if let Some(&sha256) = digests.get(&part.stored) {
        return Ok(Source { path: part.path.clone(), sha256 });
    }
    let file = match part.stored {
        frame::Stored::Input(_) => input,
        frame::Stored::Spill(_) => spill,
    };
    let range = part.stored.range();
    let content = Content::Range { file, offset: range.offset, len: range.len };
    Ok(Source { path: part.path.clone(), sha256: Stored::read(content.reader())?.digest })
}
