//! Deliveries that come with their coordinates, from callers who know what they send.
//!
//! ```text
//!   body, staged and hashed ─▶ module and customer known? ─▶ a repeat? ─ yes ─▶ the first receipt
//!                                                              │ no
//!                note ─▶ tree: manifest, and the file as part 1, or a mail as it is ─▶ seal ─▶ accept ─▶ yes
//! ```
//!
//! The tree is durable before the commit, so the yes depends on nothing but the store. What becomes of a tree whose commit
//! failed is decided in [`pending`](crate::delivery::pending): a record without a tree would be a loss.

use super::declared::Declared;
use crate::config::{Config, RestSource};
use crate::delivery::envelope::{Envelope, RawText, RestEnvelope};
use crate::delivery::manifest::{About, PartFacts};
use crate::delivery::parts::NewPart;
use crate::delivery::store;
use crate::delivery::tree::{self, Contents, Written};
use crate::delivery::tree_path::{self, Place};
use crate::delivery::{Accepted, FirstJob, NewDelivery, NewReceipt, Reuse, find_accepted, receipt_id};
use crate::ids::{Coordinates, DeliveryId, Digest, Timestamp};
use crate::infra::db::View;
use crate::infra::volume::{FileRange, Stored, SubPath, Volume, VolumeError};
use crate::job::{Priority, QueueName};
use crate::jobs_api::Api;
use crate::web::{Kind, Problem};
use module_api::PartKind;
use module_sniff as sniff;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// A posted delivery, staged.
#[derive(Debug)]
pub struct Post {
    /// Sender: the unique name of a key.
    pub principal: String,
    /// The sender's name for it, which identifies a repeat.
    pub idempotency_key: Option<String>,
    /// Where it belongs.
    pub coordinates: Coordinates,
    /// Its name, to be shown and matched, never opened.
    pub name: Option<String>,
    /// Its type as declared.
    pub declared: Declared,
    /// The first of its bytes, by which its type is told.
    pub front: Vec<u8>,
    /// Its bytes, from the first byte on.
    pub file: File,
    /// Length and digest of them.
    pub stored: Stored,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl Api {
    /// Stores the delivery and commits its record; returns after both.
    ///
    /// # Errors
    /// Nothing was promised then.
    pub(super) async fn take(
        &self,
        post: Post,
        config: &Config,
        source: RestSource<'_>,
    ) -> Result<Accepted, Problem> {
        self.check(&post.coordinates).await?;
        let (key, fingerprint) = (key(&post), fingerprint(&post));
        // Only the commit decides, but a repeat of 100 MiB need not be written first.
        let found = find_accepted(&mut self.db.reader(View::State).await?.tx(), &key, &fingerprint).await?;
        if let Some(first) = found {
            return Ok(first);
        }
        let id = DeliveryId::fresh();
        let place = Place::Delivered(post.coordinates.clone());
        let path = tree_path::fresh(&place, post.received_at, config.server.time_zone.get(), id);
        let path = path.map_err(|error| Problem::new(Kind::Invalid, error.to_string()))?;
        let receipt = self.receipt(&post, (key, fingerprint), id, source);
        let about = about(&post, id, &receipt);
        let write = move |volume: &Volume, path: &SubPath| write(volume, path, about, &post);
        let tree = self.pending.make(Arc::clone(&self.inbox), path, id, write).await?;
        Ok(self.acceptor.accept_tree(receipt, tree).await?)
    }

    async fn check(&self, coordinates: &Coordinates) -> Result<(), Problem> {
        let wanted = coordinates.module();
        if !self.module_ids.contains(&wanted) {
            let known = self.module_ids.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(Problem::new(Kind::Invalid, format!("no module reads {wanted}; there are {known}")));
        }
        let customer = &coordinates.customer;
        if store::is_customer(&mut self.db.reader(View::State).await?.tx(), customer).await? {
            return Ok(());
        }
        Err(Problem::new(Kind::Invalid, format!("customer {customer} is not registered")))
    }

    fn receipt(
        &self,
        post: &Post,
        (key, fingerprint): ([u8; 32], Digest),
        id: DeliveryId,
        source: RestSource<'_>,
    ) -> NewReceipt {
        let queue = QueueName::parse(&post.coordinates.module());
        NewReceipt {
            key,
            fingerprint,
            reuse: Reuse::Refuse,
            ttl: source.key_ttl,
            source: source.name.to_string(),
            customer: Some(post.coordinates.customer.clone()),
            received_at: post.received_at,
            delivery: Some(NewDelivery {
                id,
                digest: post.stored.digest,
                bytes: post.stored.len_bytes,
                envelope: envelope(post),
                home: None,
                coordinates: Some(post.coordinates.clone()),
                settings: serde_json::json!({}),
            }),
            jobs: vec![FirstJob {
                priority: Priority::Normal,
                max_attempts: self.attempts(&queue),
                delay: Duration::ZERO,
                args: serde_json::json!({}),
                queue,
            }],
            rows: Vec::new(),
        }
    }
}

/// The same sender's same name for it; without a name, the thing itself: its bytes, what it is called, where it belongs.
fn key(post: &Post) -> [u8; 32] {
    let principal = post.principal.as_bytes();
    match &post.idempotency_key {
        Some(named) => headworks_spool::key("rest", &[principal, b"key", named.as_bytes()]),
        None => {
            let [customer, category, type_, group] = post.coordinates.words().map(str::as_bytes);
            let name = post.name.as_deref().unwrap_or_default();
            let (name, media_type, bytes) =
                (name.as_bytes(), post.declared.media_type.as_bytes(), &post.stored.digest.0[..]);
            headworks_spool::key(
                "rest",
                &[principal, b"content", customer, category, type_, group, name, media_type, bytes],
            )
        }
    }
}

fn envelope(post: &Post) -> Envelope {
    Envelope::Rest(RestEnvelope {
        principal: RawText::of(post.principal.as_bytes()),
        customer: RawText::of(post.coordinates.customer.as_str().as_bytes()),
        received_at: post.received_at,
    })
}

/// Identifies what the key was used for: these bytes, for this place.
fn fingerprint(post: &Post) -> Digest {
    let [customer, category, type_, group] = post.coordinates.words().map(str::as_bytes);
    let digest = &post.stored.digest.0[..];
    Digest(headworks_spool::key("rest fingerprint", &[digest, customer, category, type_, group]))
}

fn about(post: &Post, id: DeliveryId, receipt: &NewReceipt) -> About {
    About {
        delivery: id,
        receipt: receipt_id(&receipt.key, &receipt.fingerprint),
        place: Place::Delivered(post.coordinates.clone()),
        rule: None,
        envelope: envelope(post),
        headers: Vec::new(),
        problems: Vec::new(),
        software: BTreeMap::from([("headworks".into(), env!("CARGO_PKG_VERSION").into())]),
        split_limits: None,
    }
}

fn write(volume: &Volume, path: &SubPath, about: About, post: &Post) -> Result<Written, VolumeError> {
    let bytes = FileRange { file: &post.file, offset: 0, stored: post.stored };
    let contents = if post.declared.is_mail(post.name.as_deref(), &post.front) {
        // Taken apart by the job, in the sandbox.
        Contents { about, message: Some(bytes), parts: Vec::new() }
    } else {
        Contents { about, message: None, parts: vec![NewPart { facts: facts(post), bytes }] }
    };
    tree::write(volume, path, &contents)
}

fn facts(post: &Post) -> PartFacts {
    PartFacts {
        path: "1".into(),
        parent: None,
        kind: PartKind::Attachment,
        // Magic numbers only: nothing is taken apart outside the sandbox.
        sniffed_type: sniff::media_type(&post.front, &post.declared.media_type),
        media_type: post.declared.media_type.clone(),
        charset: post.declared.charset.clone(),
        disposition: None,
        name: post.name.as_deref().map(|name| RawText::of(name.as_bytes())),
        transfer_encoding: None,
        in_message: None,
        verbatim: false,
        problems: Vec::new(),
    }
}
