//! What the REST API is given.

use super::App;
use crate::config::Live;
use crate::delivery::Arrivals;
use crate::infra::host::Host;
use crate::jobs_api::{Api, Explain, InSpool};
use crate::mail;
use crate::web::{Kind, Kit, Problem};
use mailhandler::EntryName;
use std::io::Write;
use std::sync::Arc;

impl App {
    /// The parts of the REST API.
    #[must_use]
    pub fn api(&self, kit: Kit) -> Api {
        Api {
            db: self.db.clone(),
            kit,
            live: Arc::new(self.live.clone()),
            tables: self.tables.clone(),
            modules: self.host.declarations().into(),
            arrivals: Arrivals {
                db: self.db.clone(),
                inbox: Arc::clone(&self.inbox),
                acceptor: self.acceptor.clone(),
                modules: Arc::clone(&self.modules),
            },
            tmp: self.live.config().server.tmp_dir.clone(),
            wake: self.wake.clone(),
            leases: self.leases.clone(),
            explain: explain(self.host.clone(), self.live.clone()),
            in_spool: self.in_spool(),
        }
    }

    fn in_spool(&self) -> InSpool {
        let spool = self.spool.as_ref().map(|home| home.spool.clone());
        Arc::new(move |receipt| spool.as_ref().is_some_and(|spool| spool.read(EntryName::whole(receipt)).is_ok()))
    }
}

fn explain(host: Host, live: Live) -> Explain {
    Arc::new(move |message, recipient, sender| {
        let (host, config) = (host.clone(), live.config());
        Box::pin(async move {
            let tmp = config.server.tmp_dir.clone();
            let bytes = message.len() as u64;
            let staged = tokio::task::spawn_blocking(move || {
                let mut file = tempfile::NamedTempFile::new_in(tmp)?;
                file.write_all(&message)?;
                // Module processes are given files they cannot write.
                std::fs::File::open(file.path())
            });
            let file = staged.await.map_err(Problem::internal)?.map_err(Problem::internal)?;
            let explained = mail::explain(&host, &config, file, bytes, (Some(recipient), Some(sender))).await;
            let explained = explained.map_err(|error| Problem::new(Kind::Unavailable, error.to_string()))?;
            serde_json::to_value(explained.explanation).map_err(Problem::internal)
        })
    })
}
