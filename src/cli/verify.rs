//! `headworks verify`: the volumes against the store, and what can be mended.
//!
//! What is known comes from the API, so this works beside a running server; mending does not, for the server may be making
//! the very tree.

use super::gateway::{Gateway, Here};
use super::listing::{Form, Pages};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use crate::config::{Config, VolumeKind};
use crate::delivery::verify::{self, Known, Trouble};
use crate::ids::{DeliveryId, Timestamp};
use crate::infra::volume::{SubPath, Volume};
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
            true => Gateway::Here(Gateway::alone(global, "mail").await?),
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
    let (inbox, archive) = (open(config, "inbox")?, open(config, "archive")?);
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
        if !is_known_by_now(gateway, owner, &path).await {
            findings.push(Finding {
                path,
                delivery: owner,
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
    })
}

fn check(
    inbox: &Volume,
    archive: &Volume,
    known: &[Known],
) -> Result<Vec<Finding>, crate::infra::volume::VolumeError> {
    let mut findings = Vec::new();
    for known in known {
        let found = |in_archive| {
            move |trouble| Finding {
                path: known.path.clone(),
                delivery: Some(known.delivery),
                trouble,
                in_archive,
            }
        };
        findings.extend(verify::of_delivery(inbox, known)?.into_iter().map(found(false)));
        findings.extend(verify::archived(inbox, archive, &known.path)?.map(found(true)));
    }
    Ok(findings)
}

/// A tree may have been made since the deliveries were listed.
async fn is_known_by_now(gateway: &Gateway, owner: Option<DeliveryId>, path: &SubPath) -> bool {
    let Some(owner) = owner else { return false };
    let found = gateway.get(&format!("/deliveries/{owner}")).await;
    found.is_ok_and(|delivery| delivery["path"].as_str() == Some(path.as_str()))
}

/// Says what was done, or why nothing.
async fn mend(here: &Here, finding: &Finding) -> Result<&'static str, String> {
    let app = &here.app;
    let seal = || app.inbox.seal(std::slice::from_ref(&finding.path)).map_err(|error| error.to_string());
    match (&finding.trouble, finding.delivery) {
        _ if finding.in_archive => Err("copy it from the tree by hand".into()),
        (Trouble::Unsealed, _) => seal().map(|()| "sealed"),
        (Trouble::Stray(_), _) => {
            let found = app.inbox.stat(&finding.path).map_err(|error| error.to_string())?;
            if found.modified_at > Timestamp::now().before(STRAY_AGE) {
                return Err("younger than an hour".into());
            }
            app.inbox.remove_tree(&finding.path).map(|_| "removed").map_err(|error| error.to_string())
        }
        (Trouble::Foreign(_), _) | (_, None) => Err("two deliveries claim one path: look at both".into()),
        (_, Some(delivery)) => {
            let home = app.spool.as_ref().ok_or("this host has no spool")?;
            app.sorter(home).remake(delivery).await.map_err(|interrupted| said(&interrupted))?;
            seal().map(|()| "made again")
        }
    }
}

fn said(interrupted: &Interrupted) -> String {
    match interrupted {
        Interrupted::Failed(why) => why.clone(),
        other => format!("{other:?}"),
    }
}

/// A volume on disk that is there; nothing is made by looking.
fn open(config: &Config, name: &str) -> Result<Arc<Volume>, Failure> {
    let settings = if name == "inbox" { &config.volume.inbox } else { &config.volume.archive };
    if settings.kind != VolumeKind::Disk {
        return Err(Failure::new(
            Exit::Usage,
            format!("volume {name} is not on disk: there is nothing to verify"),
        ));
    }
    if !settings.path.is_dir() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("volume {name}: there is no {}", settings.path.display()),
        ));
    }
    Ok(Arc::new(Volume::open(name, &settings.path, None)?))
}
