//! What `/readyz` asks: the process, the store, the file systems and the sandbox that its features need, and what they add.

use super::FEATURES;
use crate::config::{ByteSize, Config, Customer, Live};
use crate::delivery::{Core, Feature};
use crate::ids::VolumeName;
use crate::in_tx;
use crate::infra::db::{DbError, Lane};
use crate::infra::host::Host;
use crate::infra::volume::{SubPath, Volume, VolumeError};
use crate::job;
use crate::web::health::{Check, Trial, try_write};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// What a check says: a remark, or what is wrong.
type Answer = Result<Option<String>, String>;

/// The checks of a process; from when `stop` is cancelled it is not ready.
pub fn checks(core: &Arc<Core>, features: &[Feature], stop: &CancellationToken) -> Vec<Check> {
    let stop = stop.clone();
    let mut checks = vec![
        Check::new("process", move || {
            let stopping = stop.is_cancelled();
            async move { if stopping { Err("it is stopping".to_owned()) } else { Ok(None) } }
        }),
        store_check(core),
        state_check(&core.live.config()),
    ];
    let used = super::volumes::used(FEATURES, &core.roles);
    checks.extend(used.iter().map(|&name| volume_check(name, core.volumes.get(name), &core.live)));
    if !used.is_empty() {
        checks.push(sandbox_check(core.host.clone()));
    }
    checks.extend(features.iter().flat_map(|feature| feature.checks.clone()));
    checks
}

/// Asks whether the store answers and takes a write: the row of this process is updated.
fn store_check(core: &Arc<Core>) -> Check {
    let (db, boot, trial) = (core.db.clone(), core.boot, Arc::new(Mutex::new(Trial::default())));
    Check::new("store", move || {
        let (db, trial) = (db.clone(), Arc::clone(&trial));
        async move {
            let text = |error: DbError| error.to_string();
            db.ping().await.map_err(text)?;
            let mut trial = trial.lock().await;
            if let Some(stands) = trial.standing() {
                return stands.map(|()| None);
            }
            // In force if the answer does not come in time.
            trial.answered(Err("a write was not answered".into())).ok();
            let written = in_tx!(db, Lane::State, tx => job::store::see_worker(tx, boot)).await;
            trial.answered(written.map_err(text)).map(|()| None)
        }
    })
}

/// Asks whether the state directory and the scratch directory have room and take a write.
fn state_check(config: &Config) -> Check {
    let server = &config.server;
    let directories = [server.state_dir.clone(), server.tmp_dir.clone()];
    let least = server.min_free_bytes.bytes();
    file_check("state", move |trial| {
        for directory in &directories {
            let free = bytes_free(directory).map_err(|error| named(directory, error))?;
            has_room(free, least).map_err(|error| named(directory, error))?;
        }
        trial.write(|| {
            directories
                .iter()
                .try_for_each(|directory| try_write(directory).map_err(|error| named(directory, error)))
        })?;
        Ok(None)
    })
}

fn bytes_free(directory: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn named(directory: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", directory.display())
}

/// Asks whether a volume is the one that was opened, has room, takes a write, and has directories where they belong.
fn volume_check(name: VolumeName, volume: &Arc<Volume>, live: &Live) -> Check {
    let (volume, live) = (Arc::clone(volume), live.clone());
    file_check(name.word(), move |trial| {
        let text = |error: VolumeError| format!("{error}: {}", error.source);
        let config = live.config();
        volume.check().map_err(text)?;
        let least = config.volume.get(name).min_free_bytes.map_or(0, ByteSize::bytes);
        has_room(volume.free().map_err(text)?.bytes, least)?;
        trial.write(|| volume.try_write().map_err(text))?;
        let below = |customer: &Customer| format!("{}/x", customer.name).parse::<SubPath>().ok();
        let damage = volume.damage(config.customers.iter().filter_map(below));
        if damage.is_empty() {
            return Ok(None);
        }
        let places: Vec<String> = damage.iter().map(|place| format!("{place} is no directory")).collect();
        Err(format!("damaged: {}", places.join(", ")))
    })
}

fn has_room(free: u64, least: u64) -> Result<(), String> {
    if free < least {
        return Err(format!("full: {free} bytes are free, min_free_bytes is {least}"));
    }
    Ok(())
}

/// A check of files. One question at a time: a file system that hangs must not take a thread for each.
fn file_check(name: &'static str, ask: impl Fn(&mut Trial) -> Answer + Send + Sync + 'static) -> Check {
    let (ask, turn) = (Arc::new(ask), Arc::new(Mutex::new(Trial::default())));
    Check::new(name, move || {
        let (ask, turn) = (Arc::clone(&ask), Arc::clone(&turn));
        async move {
            let turn = turn.try_lock_owned().map_err(|_| "the last check has not returned yet".to_owned())?;
            let asked = tokio::task::spawn_blocking(move || {
                let mut trial = turn;
                ask(&mut trial)
            });
            asked.await.map_err(|error| error.to_string())?
        }
    })
}

fn sandbox_check(modules: Host) -> Check {
    Check::new("modules", move || {
        let walls = modules.state().walls;
        let landlock = match walls.landlock_abi {
            Some(version) => format!("Landlock, version {version}"),
            None => "no Landlock: this kernel does not have it".to_owned(),
        };
        let note = format!("sandbox: seccomp, which allows {} system calls; {landlock}", walls.seccomp_calls);
        async move {
            if walls.seccomp_calls > 0 { Ok(Some(note)) } else { Err("the sandbox is not active".to_owned()) }
        }
    })
}
