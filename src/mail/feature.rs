//! What mail adds to a process: with role `mail` this host's spool and all that lives on it, everywhere the test of rules.

use super::damaged::Damaged;
use super::intake::Intake;
use super::leftovers::Leftovers;
use super::routes::routes;
use super::sealer::Sealer;
use super::sort::Sorter;
use crate::config::{Config, Role};
use crate::delivery::store;
use crate::delivery::{ApiRoutes, By, Core, Duty, Feature, FeatureError, FeatureSpec, KindHandler, Task};
use crate::ids::{SpoolId, VolumeName};
use crate::in_tx;
use crate::infra::db::{DbError, Lane};
use crate::infra::telemetry::metrics::SPOOL_DAMAGED;
use crate::job::Kind;
use crate::web::health::{Check, Trial, try_write};
use futures_util::FutureExt;
use headworks_spool::{Spool, SpoolError, SpoolLock};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Mail.
pub const FEATURE: FeatureSpec = FeatureSpec {
    name: "mail",
    roles: &[Role::Mail],
    volumes: &[VolumeName::Inbox, VolumeName::Archive],
    rows: &[],
    build: |core| build(core).boxed(),
};

/// Most held mails in one round of a duty.
const ROUND: i64 = 5_000;
/// How often damaged entries are counted.
const DAMAGED_EVERY: Duration = Duration::from_secs(10);

/// This host's spool, and the lock that makes it this process's.
struct Home {
    core: Arc<Core>,
    spool: Spool,
    damaged: Damaged,
    sealer: Sealer,
    sorter: Sorter,
    /// Whether the spool takes a write.
    trial: Mutex<Trial>,
    _lock: SpoolLock,
}

async fn build(core: Arc<Core>) -> Result<Feature, FeatureError> {
    let api = ApiRoutes { keyed: routes(&core), ..ApiRoutes::default() };
    if !core.roles.contains(&Role::Mail) {
        return Ok(Feature { api, ..Feature::default() });
    }
    let path = core.live.config().spool.path.clone();
    let home = Arc::new(Home::open(core).map_err(|error| format!("spool {}: {error}", path.display()))?);
    home.remake_damaged_trees().await?;
    let (sorter, spool_id) = (home.sorter.clone(), SpoolId(home.spool.id()));
    let (sealer, remade) = (home.sealer.clone(), home.sorter.clone());
    let intake =
        Intake { core: Arc::clone(&home.core), spool: home.spool.clone(), damaged: home.damaged.clone() };
    let spooled = Arc::clone(&home);
    let spool_every = |config: &Config| config.keeper.spool_every.get();
    Ok(Feature {
        api,
        handlers: vec![KindHandler::new(Kind::Sort, Some(spool_id), move |run| sorter.clone().run(run))],
        duties: vec![
            Duty::new("spool", By::Each, spool_every, &home, Home::clear_leftovers),
            Duty::new("held_trees", By::Each, spool_every, &home, Home::keep_held_trees),
            Duty::new("damaged", By::Each, |_| DAMAGED_EVERY, &home, Home::tell_damaged),
        ],
        checks: vec![Check::new("spool", move || Arc::clone(&spooled).check())],
        tasks: vec![
            Task::new(move |stop| intake.clone().run(stop)),
            Task::new(move |stop| sealer.clone().run(stop)),
        ],
        remake: Some(Arc::new(move |id| {
            let sorter = remade.clone();
            async move { sorter.remake(id).await }.boxed()
        })),
        ..Feature::default()
    })
}

impl Home {
    /// Opens the spool of the configuration, makes it at the first start, and locks it.
    fn open(core: Arc<Core>) -> Result<Self, SpoolError> {
        let directory = core.live.config().spool.path.clone();
        let spool = if directory.join("id").exists() {
            Spool::open(&directory, None)?
        } else {
            Spool::create(&directory)?
        };
        let lock = spool.lock()?;
        let sorter = Sorter { core: Arc::clone(&core), spool: spool.clone() };
        let sealer = Sealer::new(Arc::clone(&core), spool.clone());
        Ok(Self {
            core,
            spool,
            damaged: Damaged::default(),
            sealer,
            sorter,
            trial: Mutex::default(),
            _lock: lock,
        })
    }

    /// Makes trees again that a crash damaged before they were sealed: their mail is still in the spool.
    async fn remake_damaged_trees(&self) -> Result<(), DbError> {
        for id in self.sealer.damaged().await? {
            if let Err(error) = self.sorter.remake(id).await {
                tracing::error!(delivery_id = %id, ?error, "a damaged tree could not be rebuilt; its mail is still in the spool");
            }
        }
        Ok(())
    }

    async fn clear_leftovers(self: Arc<Self>) -> Result<(), DbError> {
        let (core, spool, damaged) = (Arc::clone(&self.core), self.spool.clone(), self.damaged.clone());
        Leftovers { core, spool, damaged }.clear().await
    }

    /// Gives mail whose job was held before it made a tree the tree it lacks.
    async fn keep_held_trees(self: Arc<Self>) -> Result<(), DbError> {
        // The reason decides the place of the tree.
        in_tx!(self.core.db, Lane::State, tx => store::note_held(tx)).await?;
        self.sorter.keep_all_held(ROUND).await
    }

    /// Counts damaged entries and notifies operators.
    async fn tell_damaged(self: Arc<Self>) -> Result<(), DbError> {
        let entries = self.damaged.count();
        metrics::gauge!(SPOOL_DAMAGED).set(entries as f64);
        if let Some(urgency) = self.damaged.due() {
            urgency.log(
                entries as i64,
                self.damaged.oldest(),
                "damaged entries in the spool wait for an operator",
            );
        }
        Ok(())
    }

    /// Whether the spool has room, which `mailhandler` also checks before each mail, and takes a write; and a remark about damaged
    /// entries.
    async fn check(self: Arc<Self>) -> Result<Option<String>, String> {
        let (spool, settings) = (self.spool.clone(), self.core.live.config().spool.clone());
        let home = Arc::clone(&self);
        let asked = tokio::task::spawn_blocking(move || {
            let full = spool.require_free(settings.min_free_bytes.bytes(), settings.min_free_inodes);
            full.map_err(|error| error.to_string())?;
            let mut trial = home.trial.lock().unwrap_or_else(PoisonError::into_inner);
            let drafts = settings.path.join("tmp");
            trial.write(|| try_write(&drafts).map_err(|error| format!("{}: {error}", drafts.display())))
        });
        asked.await.map_err(|error| error.to_string())??;
        let damaged = self.damaged.count();
        Ok((damaged > 0).then(|| format!("damaged entries: {damaged}")))
    }
}
