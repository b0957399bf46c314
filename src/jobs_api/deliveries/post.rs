//! What comes with its coordinates: the way in for callers who know what they send.
//!
//! ```text
//!   body, staged and hashed ─▶ module and customer known? ─▶ came before? ─ yes ─▶ the first receipt
//!                                                              │ no
//!                        tree: manifest, and the file as part 1, or a mail as it is ─▶ seal ─▶ accept ─▶ yes
//! ```
//!
//! The tree is durable before the commit, so the yes depends on nothing but the store. A tree whose commit did not take
//! place is removed; one whose commit may have taken place stays, for a tree without a record is found by `verify`, and
//! a record without a tree is a loss.

use crate::delivery::envelope::{Envelope, RawText, RestEnvelope};
use crate::delivery::manifest::{About, PartFacts};
use crate::delivery::parts::NewPart;
use crate::delivery::store;
use crate::delivery::tree::{self, Contents, Written};
use crate::delivery::tree_path::{self, Place};
use crate::delivery::{
    AcceptError, Accepted, Acceptor, FirstJob, NewDelivery, NewReceipt, Reuse, find_accepted, receipt_id,
};
use crate::ids::{Coordinates, DeliveryId, Digest, Slug, Timestamp};
use crate::infra::db::{Db, DbError, DbErrorKind, View};
use crate::infra::volume::{BadSubPath, FileRange, Stored, SubPath, Volume, VolumeError};
use crate::job::{Priority, QueueName};
use jiff::tz::TimeZone;
use module_api::PartKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// What a mail is declared as.
const MAIL: &str = "message/rfc822";

/// Something that came, staged.
#[derive(Debug)]
pub struct Post {
    /// Who sends it: the unique name of a key.
    pub principal: String,
    /// What its sender calls it, so that a repetition is recognised.
    pub idempotency_key: Option<String>,
    /// Where it belongs.
    pub coordinates: Coordinates,
    /// Its name, to be shown and matched, never opened.
    pub name: Option<String>,
    /// Declared media type, lower case, without parameters.
    pub media_type: String,
    /// Its bytes, from the first byte on.
    pub file: File,
    /// Length and digest of them.
    pub stored: Stored,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// What taking needs to be told by the configuration.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Name of the source.
    pub source: String,
    /// How long a key is remembered.
    pub key_ttl: Duration,
    /// Failed runs the first job may have.
    pub max_attempts: u16,
    /// Zone of the date in paths.
    pub zone: TimeZone,
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nobody could read it.
    #[error("no module reads {wanted}; there are {known}")]
    UnknownModule {
        /// `category/type`.
        wanted: String,
        /// The ids there are, joined by commas.
        known: String,
    },
    /// Not one of ours.
    #[error("customer {0} is not registered")]
    UnknownCustomer(Slug),
    /// The same is on its way at this moment.
    #[error("the same is being taken at this moment")]
    UnderWay,
    /// It was not accepted.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The tree could not be made.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The tree can have no path.
    #[error(transparent)]
    Path(#[from] BadSubPath),
    /// The task that made the tree died.
    #[error("making the tree broke off: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// Takes what comes; cheap to clone.
#[derive(Clone)]
pub struct Door {
    /// The store.
    pub db: Db,
    /// Where trees are.
    pub inbox: Arc<Volume>,
    /// Where deliveries are accepted.
    pub acceptor: Acceptor,
    /// Ids of the modules there are.
    pub modules: Arc<BTreeSet<String>>,
}

impl Door {
    /// Keeps what came and commits its record: returns after both.
    ///
    /// # Errors
    /// See [`PostError`]; nothing was promised then.
    pub async fn take(&self, post: Post, terms: &Terms) -> Result<Accepted, PostError> {
        self.check(&post.coordinates).await?;
        let (key, fingerprint) = (key(&post), fingerprint(&post));
        // Only the commit decides, but a repeat of 100 MiB need not be written first.
        let found = find_accepted(&mut self.db.reader(View::State).await?.tx(), &key, &fingerprint).await?;
        if let Some(first) = found {
            return Ok(first);
        }
        let id = DeliveryId::fresh();
        let place = Place::Delivered(post.coordinates.clone());
        let path = tree_path::fresh(&place, post.received_at, &terms.zone, id)?;
        let delivery = delivery(&post, id, &path);
        let receipt = receipt(&post, (key, fingerprint), delivery, terms);
        self.keep(about(&post, id, &receipt), path.clone(), post).await?;
        let answer = self.acceptor.accept(receipt).await;
        match &answer {
            Ok(accepted) if accepted.delivery_id == Some(id) => {}
            Err(AcceptError::Store(error)) if may_have_happened(error) => {}
            _ => self.remove(path).await?,
        }
        Ok(answer?)
    }

    async fn check(&self, coordinates: &Coordinates) -> Result<(), PostError> {
        let wanted = format!("{}/{}", coordinates.category, coordinates.type_);
        if !self.modules.contains(&wanted) {
            let known = self.modules.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(PostError::UnknownModule { wanted, known });
        }
        let customer = coordinates.customer.clone();
        let registered = store::is_customer(&mut self.db.reader(View::State).await?.tx(), &customer).await?;
        if registered { Ok(()) } else { Err(PostError::UnknownCustomer(coordinates.customer.clone())) }
    }

    /// Makes the tree and seals it.
    async fn keep(&self, about: About, path: SubPath, post: Post) -> Result<(), PostError> {
        let inbox = Arc::clone(&self.inbox);
        let written = tokio::task::spawn_blocking(move || {
            let made = make(&inbox, &path, about, &post);
            if made.is_err()
                && let Err(error) = inbox.remove_tree(&path)
            {
                tracing::warn!(%error, "what was made of a tree cannot be removed");
            }
            made
        });
        match written.await?? {
            Written::Made(_) | Written::Adopted(_) => Ok(()),
            Written::Taken(_) => Err(PostError::UnderWay),
        }
    }

    async fn remove(&self, path: SubPath) -> Result<(), PostError> {
        let inbox = Arc::clone(&self.inbox);
        let removed = tokio::task::spawn_blocking(move || inbox.remove_tree(&path)).await?;
        if let Err(error) = removed {
            tracing::warn!(%error, "a tree without a record cannot be removed");
        }
        Ok(())
    }
}

/// Whether the commit may have taken place although its answer was an error.
fn may_have_happened(error: &DbError) -> bool {
    error.kind() == DbErrorKind::Unavailable
}

/// The same sender's same name for it; without a name, the thing itself: its bytes, what it is called, where it belongs.
fn key(post: &Post) -> [u8; 32] {
    let principal = post.principal.as_bytes();
    match &post.idempotency_key {
        Some(named) => headworks_spool::key("rest", &[principal, b"key", named.as_bytes()]),
        None => {
            let Coordinates { customer, category, type_, group } = &post.coordinates;
            let name = post.name.as_deref().unwrap_or_default();
            let place = [customer, category, type_, group].map(|slug| slug.as_str().as_bytes());
            let [customer, category, type_, group] = place;
            let (name, media_type, bytes) =
                (name.as_bytes(), post.media_type.as_bytes(), &post.stored.digest.0[..]);
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

/// What was sent under the key: these bytes, for this place.
fn fingerprint(post: &Post) -> Digest {
    let Coordinates { customer, category, type_, group } = &post.coordinates;
    let [customer, category, type_, group] =
        [customer, category, type_, group].map(|slug| slug.as_str().as_bytes());
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

fn delivery(post: &Post, id: DeliveryId, path: &SubPath) -> NewDelivery {
    NewDelivery {
        id,
        digest: post.stored.digest,
        bytes: post.stored.len_bytes,
        envelope: envelope(post),
        home: None,
        coordinates: Some(post.coordinates.clone()),
        path: Some(path.to_string()),
        settings: serde_json::json!({}),
    }
}

fn receipt(
    post: &Post,
    (key, fingerprint): ([u8; 32], Digest),
    delivery: NewDelivery,
    terms: &Terms,
) -> NewReceipt {
    let module = format!("{}/{}", post.coordinates.category, post.coordinates.type_);
    NewReceipt {
        key,
        fingerprint,
        reuse: Reuse::Refuse,
        ttl: terms.key_ttl,
        source: terms.source.clone(),
        customer: Some(post.coordinates.customer.clone()),
        received_at: post.received_at,
        delivery: Some(delivery),
        jobs: vec![FirstJob {
            queue: QueueName::parse(&module),
            priority: Priority::Normal,
            max_attempts: terms.max_attempts,
            delay: Duration::ZERO,
            args: serde_json::json!({}),
        }],
        rows: Vec::new(),
    }
}

fn make(volume: &Volume, path: &SubPath, about: About, post: &Post) -> Result<Written, VolumeError> {
    let bytes = FileRange { file: &post.file, offset: 0, stored: post.stored };
    let contents = if post.media_type == MAIL {
        // Taken apart by the job, in the sandbox.
        Contents { about, message: Some(bytes), parts: Vec::new() }
    } else {
        Contents { about, message: None, parts: vec![NewPart { facts: facts(post), bytes }] }
    };
    let written = tree::write(volume, path, &contents)?;
    if !matches!(written, Written::Taken(_)) {
        volume.seal(std::slice::from_ref(path))?;
    }
    Ok(written)
}

fn facts(post: &Post) -> PartFacts {
    PartFacts {
        path: "1".into(),
        parent: None,
        kind: PartKind::Attachment,
        media_type: post.media_type.clone(),
        // Content is looked at in the sandbox only.
        sniffed_type: post.media_type.clone(),
        charset: None,
        disposition: None,
        name: post.name.as_deref().map(|name| RawText::of(name.as_bytes())),
        transfer_encoding: None,
        in_message: None,
        verbatim: false,
        problems: Vec::new(),
    }
}
