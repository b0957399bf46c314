//! `headworks keys`: who may ask.

use super::gateway::{Gateway, encoded};
use super::listing::Listing;
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use crate::config::Period;
use crate::ids::{Grant, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;

const COLUMNS: [Column; 8] = [
    ("name", "/name"),
    ("grants", "/grants"),
    ("customer", "/customer"),
    ("imported", "/imported"),
    ("created", "/created_at"),
    ("expires", "/expires_at"),
    ("last used", "/last_used_at"),
    ("revoked", "/revoked_at"),
];

/// Who may ask.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key. Its value goes to standard output, this once.
    Create {
        #[command(flatten)]
        key: NewKey,
    },
    /// Take over a value that clients already use; it is read from standard input.
    Import {
        #[command(flatten)]
        key: NewKey,
    },
    /// List keys, also those that have ended.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// End a key.
    Revoke { name: String },
}

/// What a key is to be.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Its name: unique, also among keys that have ended.
    #[arg(long)]
    name: String,
    /// What it permits: ingest, read, content, operate, admin.
    #[arg(long = "grant", required = true, value_delimiter = ',', value_name = "GRANT")]
    grants: Vec<Grant>,
    /// Whose things it is for; everyone's where this is missing.
    #[arg(long)]
    customer: Option<String>,
    /// How long it is valid: 90d. For ever where this is missing.
    #[arg(long, value_name = "PERIOD")]
    expires: Option<Period>,
}

impl NewKey {
    fn request(self) -> Value {
        let expires_at = self.expires.map(|period| Timestamp::now().after(period.get()));
        json!({"name": self.name, "grants": self.grants, "customer": self.customer, "expires_at": expires_at})
    }
}

impl Keys {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        match self {
            Self::Create { key } => {
                let made = gateway.post("/keys", Some(&key.request())).await?;
                global.say("this value is shown once:");
                print::out(&format!("{}\n", made["value"].as_str().unwrap_or_default()))?;
            }
            Self::Import { key } => {
                let mut value = String::new();
                std::io::stdin().take(4096).read_to_string(&mut value)?;
                let mut request = key.request();
                request["value"] = json!(value.trim());
                gateway.post("/keys/import", Some(&request)).await?;
                global.say("taken over");
            }
            Self::List { listing } => listing.print(global, &gateway, "/keys", &COLUMNS).await?,
            Self::Revoke { name } => {
                gateway.post(&format!("/keys/{}/revoke", encoded(&name)), None).await?;
                global.say(&format!("revoked: {name}"));
            }
        }
        gateway.close().await;
        Ok(Exit::Done)
    }
}
