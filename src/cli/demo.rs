//! `headworks demo`: everything at work, from nothing.
//!
//! ```text
//!   a temporary directory ─▶ configuration ─▶ the server, in this process
//!   six mails ─▶ the real mailhandler, as Postfix would run it ─▶ receipts ─▶ settled
//!   the API, with a key ─▶ tables: rows, and what is held ─▶ until Ctrl-C, then everything is removed
//! ```
//!
//! Each mail must end as [`mails`] says, or the demo fails: it is a test that people can watch.

mod mails;
mod pipe;
mod site;

use super::gateway::Gateway;
use super::print::{self, Column};
use super::{Exit, Failure, Global, held, serve};
use crate::app::Server;
use crate::config::Live;
use crate::infra::telemetry::{log, metrics::Metrics};
use clap::Args;
use headworks_spool::Spool;
use mails::{MAILS, Mail};
use serde_json::{Value, json};
use site::Site;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

/// Longest a mail may take to settle.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Tables that are shown, and what of them.
const TABLES: [(&str, &[Column]); 3] = [
    (
        "hydrastor_grid_snapshot",
        &[
            ("grid", "/grid_name"),
            ("report", "/report_at"),
            ("used %", "/used_pct"),
            ("nodes", "/node_count"),
            ("not normal", "/nodes_not_normal"),
            ("complete", "/complete"),
        ],
    ),
    (
        "hydrastor_node_snapshot",
        &[("grid", "/grid_key"), ("node", "/node_name"), ("status", "/status"), ("cpu %", "/cpu_pct")],
    ),
    (
        "hydrastor_alert",
        &[("event", "/event_id"), ("state", "/state"), ("severity", "/severity"), ("message", "/message")],
    ),
];

/// See it work, from nothing, in a temporary directory.
#[derive(Debug, Args)]
pub struct Demo {
    /// Stop after the tables, instead of leaving the server up until Ctrl-C.
    #[arg(long)]
    once: bool,
}

impl Demo {
    /// Runs it; whatever happens, nothing stays behind.
    ///
    /// # Errors
    /// When a mail does not end as it should, or something cannot be had.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        log::start(LevelFilter::ERROR, log::Format::Pretty)?;
        let site = Site::make()?;
        let shown = self.show(global, &site).await;
        site.remove()?;
        shown
    }

    async fn show(&self, global: &Global, site: &Site) -> Result<Exit, Failure> {
        global.say(&format!("a temporary directory: {}", site.path().display()));
        let sources = site.sources();
        let live = Live::new(
            crate::config::load(&sources).map_err(|errors| Failure::new(Exit::Failed, errors.to_string()))?,
        );
        let (server, signals) = serve::start(live, Metrics::install()?).await?;
        let story = tokio::select! {
            story = self.story(global, site, &server) => story,
            () = told_to_stop() => Err(Failure::new(Exit::Failed, "told to stop before it was over")),
        };
        match story {
            Ok(()) if !self.once => serve::until_told(server, signals, &sources).await,
            _ => server.stop().await,
        }
        story.map(|()| Exit::Done)
    }

    async fn story(&self, global: &Global, site: &Site, server: &Server) -> Result<(), Failure> {
        let config = server.app.core.live.config();
        let address = server.addresses().first().copied();
        let address = address.ok_or_else(|| Failure::new(Exit::Failed, "the server listens nowhere"))?;
        let key = make_key(&config.server.control_socket).await?;
        let gateway = Gateway::Remote { authority: address.to_string(), key: Some(key.clone()) };
        global.say(&format!("a server: http://{address}"));
        let spool = Spool::open(&config.spool.path, None)?;
        let mut receipts = Vec::new();
        for (number, mail) in (1..).zip(&MAILS) {
            let receipt = pipe::deliver(&config, &spool, number, mail).await?;
            global.say(&format!("mail {number} of {}: {}, receipt {receipt}", MAILS.len(), mail.title));
            receipts.push((mail, receipt));
        }
        let settled = settle(global, &gateway, &receipts).await?;
        tables(&gateway, &settled).await?;
        if !self.once {
            site.write_environment(address, &key)?;
            global.say(&site.invitation(address, &key));
        }
        Ok(())
    }
}

/// Returns at SIGINT or SIGTERM, so that the directory is removed after either.
async fn told_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = Signal::recv(&mut terminate) => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => std::future::pending().await,
    }
}

/// A key that reads everything and may do what operators do; the server hands it out on its control socket.
async fn make_key(socket: &std::path::Path) -> Result<String, Failure> {
    let control = Gateway::Socket(socket.to_owned());
    let wanted = json!({"name": "demo", "grants": ["ingest", "read", "content", "operate"]});
    let made = control.post("/keys", Some(&wanted)).await?;
    Ok(made["value"].as_str().unwrap_or_default().to_owned())
}

/// Waits until every mail is where it should be.
async fn settle(
    global: &Global,
    gateway: &Gateway,
    receipts: &[(&Mail, Uuid)],
) -> Result<Vec<Value>, Failure> {
    let mut settled = Vec::new();
    for (mail, receipt) in receipts {
        let state = tokio::time::timeout(PATIENCE, settled_state(gateway, *receipt)).await;
        let state = state.map_err(|_| {
            Failure::new(Exit::Failed, format!("{}: still at work after {PATIENCE:?}", mail.title))
        })??;
        global.say(&format!("{}: {state}", mail.title));
        if state != mail.ends {
            return Err(Failure::new(Exit::Failed, format!("{}: {state}, not {}", mail.title, mail.ends)));
        }
        settled.push(json!({"mail": mail.title, "receipt": receipt, "state": state}));
    }
    Ok(settled)
}

async fn settled_state(gateway: &Gateway, receipt: Uuid) -> Result<String, Failure> {
    loop {
        let receipt = gateway.get(&format!("/receipts/{receipt}")).await?;
        match receipt["state"].as_str() {
            Some("working") | None => tokio::time::sleep(PAUSE).await,
            Some(state) => return Ok(state.to_owned()),
        }
    }
}

async fn tables(gateway: &Gateway, settled: &[Value]) -> Result<(), Failure> {
    let mails = Value::Array(settled.to_vec());
    print::section("mails", &[("mail", "/mail"), ("state", "/state"), ("receipt", "/receipt")], &mails)?;
    for (table, columns) in TABLES {
        let rows = gateway.get(&format!("/rows/{table}")).await?;
        print::section(table, columns, &rows["items"])?;
    }
    print::section("held", &held::COLUMNS, &gateway.get("/held").await?["items"])
}
