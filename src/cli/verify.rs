//! `headworks verify`: compares the volumes with the store, and repairs what it can.
//!
//! Deliveries are read from the API, so this works beside a running server. Repairs do not: the server may be writing the
//! same tree.

use super::gateway::{Gateway, Here};
use super::listing::{Form, Pages};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use crate::app::{ObjectStores, Place};
use crate::config::{Config, Role};
use crate::delivery::tree;
use crate::delivery::verify::{self, Known, Trouble};
use crate::ids::{DeliveryId, Digest, Timestamp, VolumeName};
use crate::infra::volume::{FileRange, SubPath, Volume, VolumeError, VolumeErrorKind};
use crate::job::Interrupted;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const COLUMNS: [Column; 5] = [
    ("defect", "/defect"),
    ("path", "/path"),
    ("delivery", "/delivery"),
    ("detail", "/detail"),
    ("repair", "/repair"),
];
/// An unknown tree younger than this may belong to a delivery that is just being accepted.
const STRAY_AGE: Duration = Duration::from_secs(3600);

/// Compare the volumes with the store.
#[derive(Debug, Args)]
pub struct Verify {
    /// Rebuild and seal damaged trees, and remove unknown ones older than an hour. No server may be running.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    form: Form,
}

/// One finding.
struct Finding {
    path: SubPath,
    delivery: Option<DeliveryId>,
    /// Digest of the bytes that were delivered.
    delivered: Option<Digest>,
    trouble: Trouble,
    in_archive: bool,
}

impl Verify {
    /// Runs the command. Exits with 0 if there are no defects or all were repaired, 5 if some were, 1 if none was.
    ///
    /// # Errors
    /// When the API or a volume cannot be read.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        if global.url.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "verify reads the volumes of this host: run it there without --url",
            ));
        }
        let gateway = match self.repair {
            true => Gateway::Here(Gateway::alone(global, Role::Mail).await?),
            false => Gateway::open(global).await?,
        };
        let findings = search(&gateway, global.load()?.config()).await?;
        let mut lines = Vec::with_capacity(findings.len());
        let mut repaired = 0;
        for finding in &findings {
            let outcome = match &gateway {
                Gateway::Here(here) if self.repair => repair(here, finding).await,
                _ => Err(String::new()),
            };
            repaired += usize::from(outcome.is_ok());
            lines.push(line(finding, outcome));
        }
        gateway.close().await;
        if !lines.is_empty() || self.form.json {
            print::list(self.form.json, &COLUMNS, &lines)?;
        }
        global.say(&format!("{} defects found, {repaired} repaired", findings.len()));
        Ok(match findings.len() - repaired {
            0 => Exit::Done,
            _ if repaired > 0 => Exit::Partly,
            _ => Exit::Failed,
        })
    }
}

fn line(finding: &Finding, outcome: Result<&'static str, String>) -> Value {
    let volume = if finding.in_archive { "archive" } else { "inbox" };
    json!({
        "defect": finding.trouble.word(),
        "volume": volume,
        "path": finding.path.as_str(),
        "delivery": finding.delivery,
        "detail": finding.trouble.to_string(),
        "repair": outcome.map_or_else(|why| why, str::to_owned),
    })
}

async fn search(gateway: &Gateway, config: &Config) -> Result<Vec<Finding>, Failure> {
    let mut stores = ObjectStores::default();
    let inbox = open(config, &mut stores, VolumeName::Inbox)?;
    let archive = open(config, &mut stores, VolumeName::Archive)?;
    let mut findings = Vec::new();
    let mut paths = BTreeSet::new();
    let mut pages = Pages::new(gateway, "/deliveries", None);
    while let Some(page) = pages.next(usize::MAX).await? {
        let known: Vec<Known> = page.iter().filter_map(|delivery| known(delivery, &mut paths)).collect();
        let (inbox, archive) = (Arc::clone(&inbox), Arc::clone(&archive));
        let checked = tokio::task::spawn_blocking(move || check(&inbox, &archive, &known));
        findings.extend(checked.await??);
    }
    let walked = Arc::clone(&inbox);
    let strays = tokio::task::spawn_blocking(move || verify::strays(&walked, &paths)).await??;
    for (path, owner) in strays {
        if !is_passing(gateway, &inbox, owner, &path).await? {
            findings.push(Finding {
                path,
                delivery: owner,
                delivered: None,
                trouble: Trouble::Stray(owner),
                in_archive: false,
            });
        }
    }
    Ok(findings)
}

/// What the store knows of a delivery's tree, if that was written. Its path goes into `paths` in any case.
fn known(delivery: &Value, paths: &mut BTreeSet<SubPath>) -> Option<Known> {
    let text = |field: &str| delivery[field].as_str();
    let path: SubPath = text("path")?.parse().ok()?;
    paths.insert(path.clone());
    text("sorted_at")?;
    Some(Known {
        delivery: text("id")?.parse().ok()?,
        path,
        digest: text("sha256")?.parse().ok()?,
        sealed: text("sealed_at").is_some(),
        archived: delivery["archived"] == true,
    })
}

fn check(inbox: &Volume, archive: &Volume, known: &[Known]) -> Result<Vec<Finding>, VolumeError> {
    let mut findings = Vec::new();
    for known in known {
        let found = |in_archive| {
            move |trouble| Finding {
                path: known.path.clone(),
                delivery: Some(known.delivery),
                delivered: Some(known.digest),
                trouble,
                in_archive,
            }
        };
        findings.extend(verify::of_delivery(inbox, known)?.into_iter().map(found(false)));
        if known.archived {
            findings.extend(verify::archived(archive, known)?.map(found(true)));
        }
    }
    Ok(findings)
}

/// Whether a tree at no listed path is in order: written since the deliveries were listed, or the held tree of a released
/// delivery, which is removed once the new tree is sealed.
async fn is_passing(
    gateway: &Gateway,
    inbox: &Volume,
    owner: Option<DeliveryId>,
    path: &SubPath,
) -> Result<bool, Failure> {
    let Some(owner) = owner else { return Ok(false) };
    let Ok(delivery) = gateway.get(&format!("/deliveries/{owner}")).await else { return Ok(false) };
    Ok(delivery["path"].as_str() == Some(path.as_str()) || is_young(inbox, path)?)
}

fn is_young(inbox: &Volume, path: &SubPath) -> Result<bool, VolumeError> {
    match inbox.stat(path) {
        Ok(found) => Ok(found.modified_at > Timestamp::now().before(STRAY_AGE)),
        // It was removed in the meantime.
        Err(error) if error.kind == VolumeErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Repairs a defect; returns what was done, or why nothing was.
async fn repair(here: &Here, finding: &Finding) -> Result<&'static str, String> {
    let volumes = &here.app.core.volumes;
    let (inbox, archive) = (volumes.get(VolumeName::Inbox), volumes.get(VolumeName::Archive));
    let text = |error: VolumeError| error.to_string();
    let seal = || inbox.seal(std::slice::from_ref(&finding.path)).map_err(text);
    match (&finding.trouble, finding.delivery) {
        _ if finding.in_archive => copy(inbox, archive, finding).map(|()| "copied"),
        (Trouble::Unsealed, _) => seal().map(|()| "sealed"),
        (Trouble::Stray(_), _) if is_young(inbox, &finding.path).map_err(text)? => {
            Err("younger than an hour".into())
        }
        (Trouble::Stray(_), _) => inbox.remove_tree(&finding.path).map(|_| "removed").map_err(text),
        (Trouble::Foreign(_), _) | (_, None) => {
            Err("two deliveries claim this path: compare both by hand".into())
        }
        (_, Some(delivery)) => {
            let remake = here.app.remakes().next().ok_or("the spool is not on this host")?;
            remake(delivery).await.map_err(|interrupted| said(&interrupted))?;
            seal().map(|()| "rebuilt")
        }
    }
}

/// Copies the message of a tree into the archive if it has the digest that was delivered.
fn copy(inbox: &Volume, archive: &Volume, finding: &Finding) -> Result<(), String> {
    let message = tree::message(&finding.path);
    let stored = inbox.digest(&message).map_err(|error| error.to_string())?;
    if Some(stored.digest) != finding.delivered {
        return Err("the message in its tree is damaged, too".into());
    }
    let copied = inbox.open_file(&message).and_then(|file| {
        tree::archive(archive, &finding.path, FileRange { file: &file, offset: 0, stored })?;
        archive.seal(std::slice::from_ref(&finding.path))
    });
    copied.map_err(|error| error.to_string())
}

fn said(interrupted: &Interrupted) -> String {
    match interrupted {
        Interrupted::Failed(why) => why.clone(),
        other => format!("{other:?}"),
    }
}

/// Opens a volume without creating anything.
fn open(config: &Config, stores: &mut ObjectStores, name: VolumeName) -> Result<Arc<Volume>, Failure> {
    let missing = |why: String| Failure::new(Exit::NotFound, format!("volume {name}: {why}"));
    let path = match stores.place(config, name)? {
        Place::Directory(path) => path,
        Place::Bucket(bucket) => {
            let opened = Volume::look_into_bucket(name.word(), bucket, None);
            return opened.map(Arc::new).map_err(|error| missing(error.source.to_string()));
        }
    };
    if !path.is_dir() {
        return Err(missing(format!("{} does not exist", path.display())));
    }
    if !Volume::is_marked(path) {
        return Err(missing(format!("the marker is missing in {}; is it mounted?", path.display())));
    }
    Ok(Arc::new(Volume::open(name.word(), path, None)?))
}
