//! A form with one file.
//!
//! The reader of forms takes whatever is ready, and looks at it only then; so it is given one piece at a time, and no more than
//! [`AROUND_BYTES`] while it has not found the file.

use super::staging::{Staged, Staging, Written};
use crate::web::text::MAX_CHARS;
use crate::web::{BodyError, Cap, Decoded, Kind, Problem};
use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use futures_util::{Stream, stream};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What may surround the file: boundaries and the fields' own headers.
const AROUND_BYTES: u64 = 64 << 10;

/// Why a form is not read on.
#[derive(Debug, thiserror::Error)]
enum FormError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("what surrounds it in the form, its own header included, is longer than {AROUND_BYTES} bytes")]
    Around,
}

/// Bytes that may still come before the reader must have found something.
#[derive(Debug, Clone)]
struct Allowance(Arc<AtomicU64>);

impl Allowance {
    fn around() -> Self {
        Self(Arc::new(AtomicU64::new(AROUND_BYTES)))
    }

    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn spend(&self, bytes: usize) {
        self.set(self.0.load(Ordering::Relaxed).saturating_sub(bytes as u64));
    }
}

/// Reads exactly one field: a file, or one that is named `file`.
pub async fn stage(mut staging: Staging, cap: Cap, request: Request) -> Result<Staged, Problem> {
    let broken = |error| broken(&error, cap.bytes);
    let allowance = Allowance::around();
    let with_around = Cap { bytes: cap.bytes.saturating_add(AROUND_BYTES), ..cap };
    let (parts, body) = request.into_parts();
    let body = Decoded::new(&parts.headers, body, with_around)?;
    let mut request = Request::from_parts(parts, Body::from_stream(pieces(body, allowance.clone())));
    DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::new(Kind::Malformed, error.body_text()))?;
    let field = form.next_field().await.map_err(broken)?;
    // Any name will do for something that is a file.
    let is_file = |field: &Field<'_>| field.name() == Some("file") || field.file_name().is_some();
    let Some(mut field) = field.filter(is_file) else {
        return Err(Problem::new(Kind::Invalid, "the form's first field is no file and not named \"file\""));
    };
    let name = field.file_name().map(name).transpose()?;
    let media_type = field.content_type().map(str::to_owned);
    allowance.set(u64::MAX);
    while let Some(bytes) = field.chunk().await.map_err(broken)? {
        staging.add(&bytes).await?;
    }
    drop(field);
    allowance.set(AROUND_BYTES);
    if form.next_field().await.map_err(broken)?.is_some() {
        return Err(Problem::new(Kind::Invalid, "the form has more than one field"));
    }
    let Written { file, stored, front } = staging.end().await?;
    Ok(Staged { file, stored, front, name, media_type })
}

/// The file's name, as long as one in the query.
fn name(given: &str) -> Result<String, Problem> {
    if given.chars().count() > MAX_CHARS {
        return Err(Problem::invalid(
            "/file",
            format!("its file name is longer than {MAX_CHARS} characters"),
        ));
    }
    Ok(given.replace('\0', "\u{FFFD}"))
}

fn pieces(body: Decoded, allowance: Allowance) -> impl Stream<Item = Result<Bytes, FormError>> {
    stream::try_unfold((body, allowance), |(mut body, allowance)| async move {
        // The reader looks at what it has before it asks again.
        tokio::task::yield_now().await;
        if allowance.is_spent() {
            return Err(FormError::Around);
        }
        let Some(bytes) = body.next().await? else { return Ok(None) };
        allowance.spend(bytes.len());
        Ok(Some((bytes, (body, allowance))))
    })
}

/// What the client did: what [`pieces`] ended with, or what the reader says of the form.
fn broken(error: &MultipartError, most: u64) -> Problem {
    let mut causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source());
    match causes.find_map(|error| error.downcast_ref::<FormError>()) {
        Some(FormError::Body(BodyError::TooLarge(_))) => BodyError::TooLarge(most).into(),
        Some(FormError::Body(error)) => Problem::new(error.kind(), error.to_string()),
        Some(error @ FormError::Around) => Problem::invalid("/file", error.to_string()),
        None if error.status() == StatusCode::PAYLOAD_TOO_LARGE => BodyError::TooLarge(most).into(),
        None => Problem::new(Kind::Malformed, error.body_text()),
    }
}
