//! `headworks doctor`: tries what a part of headworks needs, step by step, and says which step is refused and why.

use super::print::{self, Column};
use super::{Exit, Failure, Global, owner};
use crate::app::{ObjectStores, Place};
use crate::ids::VolumeName;
use crate::infra::object_store::{Body, ObjectRef, ObjectStore, Put, StoreError, StoreErrorKind};
use crate::infra::volume::BucketSettings;
use clap::Subcommand;
use serde_json::{Value, json};
use sha2::Digest as _;
use uuid::Uuid;

const COLUMNS: [Column; 3] = [("state", "/state"), ("step", "/step"), ("detail", "/detail")];
/// What is written and read.
const BYTES: &[u8] = b"headworks doctor\n";

/// Try what a part of headworks needs, step by step.
#[derive(Debug, Subcommand)]
pub enum Doctor {
    /// Try everything that a volume in a bucket needs, with one small object, which is removed.
    S3 {
        /// The volume, such as `inbox`.
        volume: String,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

impl Doctor {
    /// Runs the command. Exits with 1 if a step failed.
    ///
    /// # Errors
    /// When there is no such volume, or it is in no bucket.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Self::S3 { volume, json } = self;
        let loaded = global.load()?;
        let config = loaded.config();
        let Some(&name) = VolumeName::ALL.iter().find(|name| name.word() == volume) else {
            let known: Vec<_> = VolumeName::ALL.iter().map(|name| name.word()).collect();
            let why = format!("there is no volume {volume:?}; there are {}", known.join(", "));
            return Err(Failure::new(Exit::NotFound, why));
        };
        let bucket = match ObjectStores::default().place(config, name)? {
            Place::Bucket(bucket) => bucket,
            Place::Directory(path) => {
                let why = format!("volume {name} is the directory {}, not in a bucket", path.display());
                return Err(Failure::new(Exit::Usage, why));
            }
        };
        // As the server would: files of profiles and tokens may be readable for it alone.
        owner::become_owner(&config.server.state_dir)?;
        let steps = examine(&bucket).await;
        print::list(json, &COLUMNS, &steps.iter().map(Step::json).collect::<Vec<_>>())?;
        let failed = steps.iter().filter(|step| step.failed()).count();
        global.say(&format!("{}: {failed} of {} steps failed", config.volume.get(name).place(), steps.len()));
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    }
}

/// One thing that a volume needs, and what came of trying it.
struct Step {
    step: &'static str,
    found: Found,
}

enum Found {
    Fine,
    Failed(String),
    /// And why.
    NotTried(&'static str),
}

impl Step {
    /// `right` is the permission that the step needs, in the words of policies.
    fn new(step: &'static str, right: &str, tried: Result<(), StoreError>) -> Self {
        let found = match tried {
            Ok(()) => Found::Fine,
            Err(error) if error.kind == StoreErrorKind::Denied => {
                Found::Failed(format!("{error}; the policy of this key must allow {right}"))
            }
            Err(error) => Found::Failed(error.to_string()),
        };
        Self { step, found }
    }

    const fn failed(&self) -> bool {
        matches!(self.found, Found::Failed(_))
    }

    fn json(&self) -> Value {
        let (state, detail) = match &self.found {
            Found::Fine => ("ok", ""),
            Found::Failed(why) => ("failed", why.as_str()),
            Found::NotTried(why) => ("not tried", *why),
        };
        json!({"state": state, "step": self.step, "detail": detail})
    }
}

/// Every step. Those that need an object are left out where none could be put.
async fn examine(settings: &BucketSettings) -> Vec<Step> {
    let BucketSettings { store, bucket, prefix, .. } = settings;
    let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let key = format!("{folder}.headworks-doctor-{}", Uuid::new_v4().simple());
    let at = ObjectRef { bucket, key: &key };

    let listed = store.objects(bucket, &folder, Some(1)).await.map(drop);
    let mut steps = vec![Step::new("list", "s3:ListBucket on the bucket", listed)];
    let uploads = store.uploads(bucket, &folder).await.map(drop);
    steps.push(Step::new("uploads", "s3:ListBucketMultipartUploads on the bucket", uploads));
    let written = store.put_new(at, &Body::Bytes(BYTES.into()), sha2::Sha256::digest(BYTES).into()).await;
    let is_there = written.is_ok();
    steps.push(Step::new("put", "s3:PutObject", written.map(drop)));
    if is_there {
        with_object(store, at, &mut steps).await;
    } else {
        let why = Found::NotTried;
        let left_out = ["get", "range", "create once", "delete"];
        steps.extend(left_out.map(|step| Step { step, found: why("it needs the object of step put") }));
    }
    steps
}

async fn with_object(store: &ObjectStore, at: ObjectRef<'_>, steps: &mut Vec<Step>) {
    let mut got = Vec::new();
    let mut keep = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    let read = store.read(at, None, &mut keep).await.map(drop);
    steps.push(same("get", read, &got, BYTES));
    let (read, part) = match store.read_range(at, 3, 4).await {
        Ok(part) => (Ok(()), part),
        Err(error) => (Err(error), Vec::new()),
    };
    steps.push(same("range", read, &part, &BYTES[3..7]));
    let again = store.put_new(at, &Body::Bytes(BYTES.into()), sha2::Sha256::digest(BYTES).into()).await;
    steps.push(match again {
        Ok(Put::New) => {
            let why =
                "the store overwrites objects in spite of `If-None-Match: *`; no volume can be kept there";
            Step { step: "create once", found: Found::Failed(why.into()) }
        }
        again => Step::new("create once", "s3:PutObject", again.map(drop)),
    });
    steps.push(Step::new("delete", "s3:DeleteObject", store.delete(at).await));
}

fn same(step: &'static str, read: Result<(), StoreError>, got: &[u8], expected: &[u8]) -> Step {
    if read.is_ok() && got != expected {
        return Step { step, found: Found::Failed("the store gave other bytes than were put".into()) };
    }
    Step::new(step, "s3:GetObject", read)
}
