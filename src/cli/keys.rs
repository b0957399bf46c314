//! `headworks keys`: manage API keys.

use super::gateway::{Gateway, Store, encoded};
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

/// Manage API keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Create a key and print its value, which cannot be shown again.
    Create(NewKey),
    /// Import a value that clients already use, from standard input.
    Import(NewKey),
    /// List keys, including expired and revoked ones.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Revoke a key.
    Revoke {
        /// Name of the key.
        name: String,
    },
}

/// Properties of a new key.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Name of the key; must differ from every other, including expired and revoked ones.
    #[arg(long)]
    name: String,
    /// What the key permits: ingest, read, content, operate or admin. May be repeated.
    #[arg(long = "grant", required = true, value_delimiter = ',', value_name = "GRANT")]
    grants: Vec<Grant>,
    /// Customer whose data the key gives access to [default: all customers].
    #[arg(long)]
    customer: Option<String>,
    /// How long the key is valid, for example 90d [default: forever].
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
    /// The first key of an installation may come before its first start.
    #[must_use]
    pub const fn store(&self) -> Store {
        match self {
            Self::Create(_) | Self::Import(_) => Store::Made,
            Self::List { .. } | Self::Revoke { .. } => Store::Found,
        }
    }

    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        match self {
            Self::Create(key) => {
                let made = api.post_json("/keys", &key.request()).await?;
                global.say("keep this value, it cannot be shown again:");
                print::out(&format!("{}\n", made["value"].as_str().unwrap_or_default()))?;
            }
            Self::Import(key) => {
                let mut value = String::new();
                std::io::stdin().take(4096).read_to_string(&mut value)?;
                let mut request = key.request();
                request["value"] = json!(value.trim());
                api.post_json("/keys/import", &request).await?;
                global.say(&format!("imported: {}", request["name"].as_str().unwrap_or_default()));
            }
            Self::List { listing } => listing.print(global, api, "/keys", &COLUMNS).await?,
            Self::Revoke { name } => {
                api.post(&format!("/keys/{}/revoke", encoded(&name))).await?;
                global.say(&format!("revoked: {name}"));
            }
        }
        Ok(Exit::Done)
    }
}
