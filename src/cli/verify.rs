//! `headworks verify`: the volumes against the store, and what can be mended.
//!
//! What is known comes from the API, so this works beside a running server; mending does not, for the server may be making
//! the very tree.

use super::gateway::{Gateway, Here};
use super::listing::{Form, Pages};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
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
    ("trouble", "/trouble"),
    ("path", "/path"),
    ("delivery", "/delivery"),
    ("detail", "/detail"),
    ("repair", "/repair"),
];
/// Deliveries asked for at once.
const PAGE: usize = 500;
/// A tree that nobody knows may be one that is being made; after so long it is not.
const STRAY_AGE: Duration = Duration::from_secs(3600);

/// Compare what is on the volumes with what the store knows.
#[derive(Debug, Args)]
pub struct Verify {
    /// Mend what can be: make trees again, seal them, remove those nobody has known for an hour. No server may run.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    form: Form,
}

/// One finding.
struct Finding {
    path: SubPath,
    delivery: Option<DeliveryId>,
    /// Digest of what was delivered.
    delivered: Option<Digest>,
    trouble: Trouble,
    in_archive: bool,
}

impl Verify {
    /// Does it: exit 0 where all is well or was mended, 5 where some was, 1 where none was.
    ///
    /// # Errors
    /// When the store or a volume cannot be read.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        if global.url.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "volumes are looked at on their own host: leave --url out",
            ));
        }
        let gateway = match self.repair {
            true => Gateway::Here(Gateway::alone(global, Role::Mail).await?),
            false => Gateway::open(global).await?,
        };
        let findings = search(&gateway, global.load()?.config()).await?;
        let mut lines = Vec::with_capacity(findings.len());
        let mut mended = 0;
        for finding in &findings {
            let repair = match &gateway {
                Gateway::Here(here) if self.repair => mend(here, finding).await,
                _ => Err(String::new()),
            };
            mended += usize::from(repair.is_ok());
            lines.push(line(finding, repair));
        }
        gateway.close().await;
        if !lines.is_empty() || self.form.json {
            print::list(self.form.json, &COLUMNS, &lines)?;
        }
        global.say(&format!("{} troubles, {mended} mended", findings.len()));
        Ok(match findings.len() - mended {
            0 => Exit::Done,
            _ if mended > 0 => Exit::Partly,
            _ => Exit::Failed,
        })
    }
}

fn line(finding: &Finding, repair: Result<&'static str, String>) -> Value {
    let volume = if finding.in_archive { "archive" } else { "inbox" };
    json!({
        "trouble": finding.trouble.word(),
        "volume": volume,
        "path": finding.path.as_str(),
        "delivery": finding.delivery,
        "detail": finding.trouble.to_string(),
        "repair": repair.map_or_else(|why| why, str::to_owned),
    })
}

async fn search(gateway: &Gateway, config: &Config) -> Result<Vec<Finding>, Failure> {
    let (inbox, archive) = (open(config, VolumeName::Inbox)?, open(config, VolumeName::Archive)?);
    let mut findings = Vec::new();
    let mut paths = BTreeSet::new();
    let mut pages = Pages::new(gateway, "/deliveries", None);
    while let Some(page) = pages.next(PAGE).await? {
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

/// What a delivery says of its tree, where that was made; its path is taken in any case.
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

/// Whether a tree that is no delivery's place is as it should be: made since the deliveries were listed, or the held tree
/// of one that was released, which goes when the new one is sealed.
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
        // It has gone in the meantime.
        Err(error) if error.kind == VolumeErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Says what was done, or why nothing.
async fn mend(here: &Here, finding: &Finding) -> Result<&'static str, String> {
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
        (Trouble::Foreign(_), _) | (_, None) => Err("two deliveries claim one path: look at both".into()),
        (_, Some(delivery)) => {
            let remake = here.app.remakes().next().ok_or("this host has no spool")?;
            remake(delivery).await.map_err(|interrupted| said(&interrupted))?;
            seal().map(|()| "made again")
        }
    }
}

/// Copies the message of a tree into the archive, if it is the one that was delivered.
fn copy(inbox: &Volume, archive: &Volume, finding: &Finding) -> Result<(), String> {
    let message = tree::message(&finding.path);
    let stored = inbox.digest(&message).map_err(|error| error.to_string())?;
    if Some(stored.digest) != finding.delivered {
        return Err("its tree has no good message to copy".into());
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

/// A volume on disk that is there; nothing is made by looking.
fn open(config: &Config, name: VolumeName) -> Result<Arc<Volume>, Failure> {
    let settings = config.volume.get(name);
    if !settings.path.is_dir() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("volume {name}: there is no {}", settings.path.display()),
        ));
    }
    if !Volume::is_marked(&settings.path) {
        let why = format!("volume {name}: {} has no marker; is it mounted?", settings.path.display());
        return Err(Failure::new(Exit::NotFound, why));
    }
    Ok(Arc::new(Volume::open(name.word(), &settings.path, None)?))
}
