//! What `/readyz` asks: the process, the store, the volumes and the sandbox that its features need, and what they add.

use super::FEATURES;
use crate::delivery::{Core, Feature};
use crate::ids::VolumeName;
use crate::infra::host::Host;
use crate::infra::volume::Volume;
use crate::web::health::Check;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The checks of a process; from when `stop` is cancelled it is not ready.
pub fn checks(core: &Arc<Core>, features: &[Feature], stop: &CancellationToken) -> Vec<Check> {
    let (db, stop) = (core.db.clone(), stop.clone());
    let mut checks = vec![
        Check::new("process", move || {
            let stopping = stop.is_cancelled();
            async move { if stopping { Err("it is stopping".to_owned()) } else { Ok(None) } }
        }),
        Check::new("store", move || {
            let db = db.clone();
            async move { db.ping().await.map(|()| None).map_err(|error| error.to_string()) }
        }),
    ];
    let used = super::volumes::used(FEATURES, &core.roles);
    checks.extend(used.iter().map(|&name| volume_check(name, core.volumes.get(name))));
    if !used.is_empty() {
        checks.push(sandbox_check(core.host.clone()));
    }
    checks.extend(features.iter().flat_map(|feature| feature.checks.clone()));
    checks
}

/// Asks whether a volume is the one that was opened and can say how much is left. One question at a time: a file system that
/// hangs must not take a thread for each.
fn volume_check(name: VolumeName, volume: &Arc<Volume>) -> Check {
    let (volume, turn) = (Arc::clone(volume), Arc::new(Mutex::new(())));
    Check::new(name.word(), move || {
        let (volume, turn) = (Arc::clone(&volume), Arc::clone(&turn));
        async move {
            let turn = turn.try_lock_owned().map_err(|_| "the last check has not returned yet".to_owned())?;
            let asked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                volume.check().and_then(|()| volume.free())
            });
            let free = asked.await.map_err(|error| error.to_string())?;
            free.map(|_| None).map_err(|error| error.to_string())
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
