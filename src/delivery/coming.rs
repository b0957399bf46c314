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

use super::accept::receipt_id;
use super::manifest::{About, Envelope, PartFacts, PartRecord, RawText, Transport};
use super::store::{self, DeliveryRow};
use super::tree::{self, Contents, Written};
use super::tree_path::{self, Place};
use super::{AcceptError, Accepted, Acceptor, NewDelivery, Reuse};
use crate::ids::{Coordinates, DeliveryId, Slug, Timestamp};
use crate::infra::db::{Db, DbError, DbErrorKind, View};
use crate::infra::volume::{BadSubPath, FileRange, Stored, SubPath, Volume, VolumeError};
use crate::job::{Kind, Priority, QueueName};
use jiff::tz::TimeZone;
use module_api::PartKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// Name of the source, and of the door in envelopes.
pub const SOURCE: &str = "rest";
/// What a mail is declared as.
const MAIL: &str = "message/rfc822";

/// Something that came, staged.
#[derive(Debug)]
pub struct Coming {
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
    /// How long a key is remembered.
    pub key_ttl: Duration,
    /// Failed runs the first job may have.
    pub max_attempts: u16,
    /// Zone of the date in paths.
    pub zone: TimeZone,
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ComingError {
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
    /// The key was used for something else.
    #[error("the idempotency key was used for something else")]
    KeyReused,
    /// The same is on its way at this moment.
    #[error("the same is being taken at this moment")]
    UnderWay,
    /// Too many are waiting.
    #[error("too many acceptances are waiting")]
    Busy,
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
pub struct Arrivals {
    /// The store.
    pub db: Db,
    /// Where trees are.
    pub inbox: Arc<Volume>,
    /// Where deliveries are accepted.
    pub acceptor: Acceptor,
    /// Ids of the modules there are.
    pub modules: Arc<BTreeSet<String>>,
}

impl Arrivals {
    /// Keeps what came and commits its record: returns after both.
    ///
    /// # Errors
    /// See [`ComingError`]; nothing was promised then.
    pub async fn take(&self, coming: Coming, terms: &Terms) -> Result<Accepted, ComingError> {
        self.check(&coming.coordinates).await?;
        let key = key(&coming);
        if let Some(first) = self.first(key, &coming).await? {
            return same_again(&coming, &first);
        }
        let mut delivery = delivery(&coming, key, terms);
        let place = Place::Delivered(coming.coordinates.clone());
        let path = tree_path::fresh(&place, coming.received_at, &terms.zone, delivery.id)?;
        delivery.path = Some(path.to_string());
        let (id, coordinates, idempotent) =
            (delivery.id, coming.coordinates.clone(), coming.idempotency_key.is_some());
        self.keep(&delivery, path.clone(), coming).await?;
        let answer = self.acceptor.accept(delivery).await;
        match answer {
            Ok(accepted) if accepted.delivery_id == id => return Ok(accepted),
            Err(AcceptError::Store(error)) if may_have_happened(&error) => return Err(error.into()),
            _ => self.remove(path).await?,
        }
        match answer {
            Ok(accepted) if idempotent => self.same_coordinates(accepted, &coordinates).await,
            Ok(accepted) => Ok(accepted),
            Err(AcceptError::Busy) => Err(ComingError::Busy),
            Err(AcceptError::KeyReused) => Err(ComingError::KeyReused),
            Err(AcceptError::Store(error)) => Err(error.into()),
        }
    }

    async fn check(&self, coordinates: &Coordinates) -> Result<(), ComingError> {
        let wanted = format!("{}/{}", coordinates.category, coordinates.kind);
        if !self.modules.contains(&wanted) {
            let known = self.modules.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(ComingError::UnknownModule { wanted, known });
        }
        let customer = coordinates.customer.clone();
        let registered = self.db.read(View::State, move |mut tx| {
            Box::pin(async move { store::is_customer(&mut tx, &customer).await })
        });
        if registered.await? {
            Ok(())
        } else {
            Err(ComingError::UnknownCustomer(coordinates.customer.clone()))
        }
    }

    /// The delivery that came under the same key with the same bytes.
    async fn first(&self, key: [u8; 32], coming: &Coming) -> Result<Option<DeliveryRow>, DbError> {
        let digest = coming.stored.digest;
        self.db
            .read(View::State, move |mut tx| {
                Box::pin(async move { store::by_key(&mut tx, &key, &digest).await })
            })
            .await
    }

    /// Another one was faster with the same key and bytes; whether it meant the same is known only now.
    async fn same_coordinates(
        &self,
        accepted: Accepted,
        coordinates: &Coordinates,
    ) -> Result<Accepted, ComingError> {
        let receipt = accepted.receipt_id;
        let first = self.db.read(View::State, move |mut tx| {
            Box::pin(async move { store::by_receipt(&mut tx, receipt).await })
        });
        match first.await? {
            Some(first) if !is_at(&first, coordinates) => Err(ComingError::KeyReused),
            _ => Ok(accepted),
        }
    }

    /// Makes the tree and seals it.
    async fn keep(&self, delivery: &NewDelivery, path: SubPath, coming: Coming) -> Result<(), ComingError> {
        let about = About {
            delivery: delivery.id,
            receipt: receipt_id(&delivery.key, &delivery.digest),
            place: Place::Delivered(coming.coordinates.clone()),
            rule: None,
            envelope: envelope(&coming),
            headers: Vec::new(),
            problems: Vec::new(),
            software: BTreeMap::from([("headworks".into(), env!("CARGO_PKG_VERSION").into())]),
        };
        let inbox = Arc::clone(&self.inbox);
        let written = tokio::task::spawn_blocking(move || {
            let made = make(&inbox, &path, about, &coming);
            if made.is_err()
                && let Err(error) = inbox.remove_tree(&path)
            {
                tracing::warn!(%error, "what was made of a tree cannot be removed");
            }
            made
        });
        match written.await?? {
            Written::Made(_) | Written::Adopted(_) => Ok(()),
            Written::Taken(_) => Err(ComingError::UnderWay),
        }
    }

    async fn remove(&self, path: SubPath) -> Result<(), ComingError> {
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
fn key(coming: &Coming) -> [u8; 32] {
    let principal = coming.principal.as_bytes();
    match &coming.idempotency_key {
        Some(named) => mailhandler::key("rest", &[principal, b"key", named.as_bytes()]),
        None => {
            let Coordinates { customer, category, kind, group } = &coming.coordinates;
            let name = coming.name.as_deref().unwrap_or_default();
            let place = [customer, category, kind, group].map(|slug| slug.as_str().as_bytes());
            let [customer, category, kind, group] = place;
            let (name, media_type, bytes) =
                (name.as_bytes(), coming.media_type.as_bytes(), &coming.stored.digest.0[..]);
            mailhandler::key(
                "rest",
                &[principal, b"content", customer, category, kind, group, name, media_type, bytes],
            )
        }
    }
}

fn envelope(coming: &Coming) -> Envelope {
    Envelope {
        door: SOURCE.into(),
        sender: RawText::of(coming.principal.as_bytes()),
        recipient: RawText::of(coming.coordinates.customer.as_str().as_bytes()),
        original_recipient: None,
        transport: Transport::default(),
        received_at: coming.received_at,
    }
}

fn delivery(coming: &Coming, key: [u8; 32], terms: &Terms) -> NewDelivery {
    let module = format!("{}/{}", coming.coordinates.category, coming.coordinates.kind);
    NewDelivery {
        key,
        digest: coming.stored.digest,
        bytes: coming.stored.len_bytes,
        reuse: Reuse::Refuse,
        key_ttl: terms.key_ttl,
        source: SOURCE.into(),
        received_at: coming.received_at,
        envelope: serde_json::json!(envelope(coming)),
        home: None,
        coordinates: Some(coming.coordinates.clone()),
        path: None,
        settings: serde_json::json!({}),
        queue: QueueName::parse(&module),
        kind: Kind::Parse,
        priority: Priority::Normal,
        max_attempts: terms.max_attempts,
        id: DeliveryId::fresh(),
    }
}

fn make(volume: &Volume, path: &SubPath, about: About, coming: &Coming) -> Result<Written, VolumeError> {
    let bytes = FileRange { file: &coming.file, offset: 0, stored: coming.stored };
    let contents = if coming.media_type == MAIL {
        // Taken apart by the job, in the sandbox.
        Contents { about, message: Some(bytes), parts: Vec::new() }
    } else {
        Contents { about, message: None, parts: vec![PartRecord { facts: facts(coming), bytes }] }
    };
    let written = tree::write(volume, path, &contents)?;
    if !matches!(written, Written::Taken(_)) {
        volume.seal(std::slice::from_ref(path))?;
    }
    Ok(written)
}

fn facts(coming: &Coming) -> PartFacts {
    PartFacts {
        path: "1".into(),
        parent: None,
        kind: PartKind::Attachment,
        media_type: coming.media_type.clone(),
        // Content is looked at in the sandbox only.
        sniffed_type: coming.media_type.clone(),
        charset: None,
        disposition: None,
        name: coming.name.as_deref().map(|name| RawText::of(name.as_bytes())),
        transfer_encoding: None,
        in_message: None,
        problems: Vec::new(),
    }
}

fn is_at(first: &DeliveryRow, coordinates: &Coordinates) -> bool {
    let place = [&first.customer, &first.category, &first.type_, &first.group];
    let Coordinates { customer, category, kind, group } = coordinates;
    place
        .into_iter()
        .zip([customer, category, kind, group])
        .all(|(is, wanted)| is.as_deref() == Some(wanted.as_str()))
}

fn same_again(coming: &Coming, first: &DeliveryRow) -> Result<Accepted, ComingError> {
    if !is_at(first, &coming.coordinates) {
        return Err(ComingError::KeyReused);
    }
    Ok(Accepted {
        receipt_id: first.receipt_id,
        delivery_id: first.id,
        duplicate: true,
        sealed: first.sealed_at.is_some(),
    })
}
