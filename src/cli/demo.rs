//! `headworks demo`: the whole system at work in a temporary directory.
//!
//! ```text
//!   a temporary directory ─▶ configuration ─▶ the server, in this process
//!   six mails ─▶ the real mailhandler, as Postfix would run it ─▶ receipts ─▶ settled
//!   the API, with a key ─▶ tables of rows and held mails ─▶ until Ctrl-C, then everything is removed
//! ```
//!
//! With a Kafka, the rows go there too, to topics of the demo's own, which are deleted at the end.
//!
//! The demo fails if a mail does not end as [`mails`] says: it is a test that people can watch.

mod mails;
mod pipe;
mod site;
mod topics;

use super::client::Client;
use super::gateway::Gateway;
use super::print::{self, Column};
use super::{Exit, Failure, Global, held, serve};
use crate::app::Server;
use crate::config::{Broker, Live};
use crate::infra::telemetry::{log, metrics::Metrics};
use clap::Args;
use headworks_spool::Spool;
use mails::{MAILS, Mail};
use serde_json::{Value, json};
use site::Site;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use topics::DemoTopics;
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

/// Longest time until a mail is settled.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a receipt is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The tables to show, with their columns.
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

/// What to show of each topic of the log.
const TOPICS: [Column; 4] =
    [("topic", "/topic"), ("kafka", "/kafka"), ("position", "/position"), ("lag", "/lag_entries")];

/// Show headworks at work in a temporary directory.
#[derive(Debug, Args)]
pub struct Demo {
    /// Stop after printing the tables instead of running until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Copy the rows to this Kafka too, `host:port`; the topics are deleted at the end.
    #[arg(long, value_name = "BROKER")]
    kafka: Option<Broker>,
}

impl Demo {
    /// Runs the demo and removes everything, even if it fails.
    ///
    /// # Errors
    /// When a mail does not end as expected, or the server cannot start.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        log::start(LevelFilter::ERROR, log::Format::Pretty)?;
        let site = Site::make(self.kafka.as_ref())?;
        let shown = self.show(global, &site).await;
        site.remove()?;
        shown
    }

    async fn show(&self, global: &Global, site: &Site) -> Result<Exit, Failure> {
        global.say(&format!("temporary directory: {}", site.path().display()));
        let layers = site.layers();
        let live = Live::new(
            crate::config::load(&layers).map_err(|errors| Failure::new(Exit::Failed, errors.to_string()))?,
        );
        let (server, signals) = serve::start(live, Metrics::install()?).await?;
        let core = &server.app.core;
        let topics =
            core.kafka.as_ref().map(|kafka| DemoTopics::of(kafka, &core.live.config(), &core.tables));
        let topics = topics.transpose()?;
        let story = tokio::select! {
            story = self.story(global, site, &server, topics.as_ref()) => story,
            () = stop_signal() => Err(Failure::new(Exit::Failed, "stopped before the demo was over")),
        };
        match story {
            Ok(()) if !self.once => serve::until_told(server, signals, &layers).await,
            _ => server.stop().await,
        }
        if let Some(topics) = topics {
            topics.delete().await?;
        }
        story.map(|()| Exit::Done)
    }

    async fn story(
        &self,
        global: &Global,
        site: &Site,
        server: &Server,
        topics: Option<&DemoTopics>,
    ) -> Result<(), Failure> {
        let config = server.app.core.live.config();
        let address = server.addresses().first().copied();
        let address =
            address.ok_or_else(|| Failure::new(Exit::Failed, "the server listens on no address"))?;
        let key = make_key(&config.server.control_socket).await?;
        let url = format!("http://{address}");
        let api = Gateway::Server(Client::at_url(&url, Some(&key), None)?);
        global.say(&format!("server: {url}"));
        let spool = Spool::open(&config.spool.path, None)?;
        let mut receipts = Vec::new();
        for (number, mail) in (1..).zip(&MAILS) {
            let receipt = pipe::deliver(&config, &spool, number, mail).await?;
            global.say(&format!("mail {number} of {}: {}, receipt {receipt}", MAILS.len(), mail.title));
            receipts.push((mail, receipt));
        }
        let settled = settle(global, &api, &receipts).await?;
        tables(&api, &settled).await?;
        if let Some(topics) = topics {
            copied(&api).await?;
            topics.print().await?;
        }
        if !self.once {
            site.write_environment(address, &key)?;
            global.say(&site.invitation(address, &key));
        }
        Ok(())
    }
}

/// Waits for SIGINT or SIGTERM, so that the directory is removed after either.
async fn stop_signal() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = Signal::recv(&mut terminate) => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => std::future::pending().await,
    }
}

/// Creates a key for reading and operating; the control socket needs none.
async fn make_key(socket: &std::path::Path) -> Result<String, Failure> {
    let control = Gateway::Server(Client::at_socket(socket)?);
    let wanted = json!({"name": "demo", "grants": ["ingest", "read", "content", "operate"]});
    let made = control.post_json("/keys", &wanted).await?;
    Ok(made["value"].as_str().unwrap_or_default().to_owned())
}

/// Waits until every mail has ended as expected.
async fn settle(global: &Global, api: &Gateway, receipts: &[(&Mail, Uuid)]) -> Result<Vec<Value>, Failure> {
    let mut settled = Vec::new();
    for (mail, receipt) in receipts {
        let state = tokio::time::timeout(SETTLE_TIMEOUT, settled_state(api, *receipt)).await;
        let state = state.map_err(|_| {
            Failure::new(Exit::Failed, format!("{}: not settled after {SETTLE_TIMEOUT:?}", mail.title))
        })??;
        global.say(&format!("{}: {state}", mail.title));
        if state != mail.ends {
            return Err(Failure::new(
                Exit::Failed,
                format!("{}: ended as {state}, expected {}", mail.title, mail.ends),
            ));
        }
        settled.push(json!({"mail": mail.title, "receipt": receipt, "state": state}));
    }
    Ok(settled)
}

async fn settled_state(api: &Gateway, receipt: Uuid) -> Result<String, Failure> {
    loop {
        let receipt = api.get(&format!("/receipts/{receipt}")).await?;
        match receipt["state"].as_str() {
            Some("working") | None => tokio::time::sleep(POLL_INTERVAL).await,
            Some(state) => return Ok(state.to_owned()),
        }
    }
}

/// Waits until the relay has copied all that is in the log.
async fn copied(api: &Gateway) -> Result<(), Failure> {
    let copying = async {
        loop {
            let relayed = api.get("/relay").await?;
            let topics = relayed["items"].as_array().cloned().unwrap_or_default();
            if !topics.is_empty() && topics.iter().all(|topic| topic["lag_entries"] == 0) {
                return print::section("relay", &TOPICS, &relayed["items"]);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let copied = tokio::time::timeout(SETTLE_TIMEOUT, copying).await;
    copied.map_err(|_| Failure::new(Exit::Failed, format!("not copied to Kafka after {SETTLE_TIMEOUT:?}")))?
}

async fn tables(api: &Gateway, settled: &[Value]) -> Result<(), Failure> {
    let mails = Value::Array(settled.to_vec());
    print::section("mails", &[("mail", "/mail"), ("state", "/state"), ("receipt", "/receipt")], &mails)?;
    for (table, columns) in TABLES {
        let rows = api.get(&format!("/rows/{table}")).await?;
        print::section(table, columns, &rows["items"])?;
    }
    print::section("held", &held::COLUMNS, &api.get("/held").await?["items"])
}
