//! The parts of a process that every feature uses, built once by `app.rs`.

use super::{Acceptor, Finisher, Pending};
use crate::config::{Live, Role};
use crate::ids::{BootId, VolumeName};
use crate::infra::db::Db;
use crate::infra::host::Host;
use crate::infra::kafka::Connection;
use crate::infra::telemetry::metrics::Metrics;
use crate::infra::volume::{Volume, Volumes};
use crate::job::{Leases, Queues, Wake};
use crate::load::Tables;
use crate::web::{Keys, Kit, Limits, Pace};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// The parts of a process that features share.
pub struct Core {
    /// The configuration in force.
    pub live: Live,
    /// Roles of this process; empty for a command.
    pub roles: BTreeSet<Role>,
    /// The store.
    pub db: Db,
    /// This process start.
    pub boot: BootId,
    /// The worker row of this process; `None` for a command on Postgres, which claims nothing.
    pub worker: Option<i32>,
    /// Scratch directory, on the file system of the volumes.
    pub tmp: PathBuf,
    /// Notes of trees that are made before their deliveries are accepted.
    pub pending: Pending,
    /// The volumes, by name.
    pub volumes: Volumes,
    /// How to reach Kafka; `None` if none is configured.
    pub kafka: Option<Connection>,
    /// The module processes.
    pub host: Host,
    /// The tables that modules declare.
    pub tables: Tables,
    /// Ids of the modules there are, `category/type`.
    pub modules: Arc<BTreeSet<String>>,
    /// Queues and their rows.
    pub queues: Queues,
    /// Wake-ups for workers.
    pub wake: Wake,
    /// Leases of the jobs that run here.
    pub leases: Leases,
    /// The first compound commit.
    pub acceptor: Acceptor,
    /// The second one.
    pub finisher: Finisher,
    /// API keys.
    pub keys: Keys,
    /// Metrics of this process.
    pub metrics: Metrics,
}

impl Core {
    /// The volume of a name.
    #[must_use]
    pub fn volume(&self, name: VolumeName) -> Arc<Volume> {
        Arc::clone(self.volumes.get(name))
    }

    /// What extractors of requests need: keys and limits.
    #[must_use]
    pub fn kit(&self) -> Kit {
        let http = &self.live.config().http;
        let limits = Limits {
            body_bytes: http.body_bytes.bytes(),
            pace: Pace {
                rate: http.body_rate.bytes(),
                window: http.body_window.get(),
                time: http.body_time.get(),
            },
            decoder_bytes: http.decoder_bytes.bytes(),
            key_requests: http.key_requests.get(),
            default_page: http.default_page.get(),
            max_page: http.max_page.get(),
            wait: http.wait.get(),
        };
        Kit { keys: self.keys.clone(), limits }
    }
}
