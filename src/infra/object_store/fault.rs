//! Why a store could not do what was asked: the one place that knows how stores say it.

use super::{Login, ObjectRef, Settings};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::fmt::{self, Display};

/// Longest text of others in an error.
const MAX_DETAIL_CHARS: usize = 300;

/// What went wrong, as far as a caller may want to tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It does not answer.
    Away,
    /// It asks for fewer requests, or has trouble of its own.
    SlowDown,
    /// The key may not do it.
    Denied,
    /// The store does not know the key, or there is none to show.
    Login,
    /// No such object or version.
    NotFound,
    /// No such bucket.
    NoBucket,
    /// The object is not, or is, what the request demanded.
    Precondition,
    /// Another request works on the same key.
    Conflict,
    /// Bytes that are not there: the range begins behind the end.
    Range,
    /// The object is archived and must be restored first.
    Archived,
    /// Its certificate is not accepted, or ours cannot be read.
    Tls,
    /// The bucket is in another region.
    Region,
    /// It does not know a header that was sent.
    Unsupported,
    /// The bytes are not those of their checksum.
    Damaged,
    /// Bytes of ours could not be read or written.
    Local,
    /// Anything else.
    Other,
}

impl StoreErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Away => "it does not answer",
            Self::SlowDown => "it is overloaded or has trouble",
            Self::Denied => "access denied",
            Self::Login => "the login is not accepted",
            Self::NotFound => "not found",
            Self::NoBucket => "there is no such bucket",
            Self::Precondition => "it was changed, or is there already",
            Self::Conflict => "another request works on it",
            Self::Range => "it has fewer bytes",
            Self::Archived => "it is archived",
            Self::Tls => "no trusted connection",
            Self::Region => "the bucket is in another region",
            Self::Unsupported => "the store does not know what was asked",
            Self::Damaged => "its bytes do not have its checksum",
            Self::Local => "a local file failed",
            Self::Other => "it failed",
        }
    }

    /// The kind of an error code of S3 and of stores like it.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "SlowDown"
            | "ServiceUnavailable"
            | "Throttling"
            | "ThrottlingException"
            | "InternalError"
            | "RequestTimeout"
            | "ServerBusy"
            | "SlowDownRead"
            | "SlowDownWrite"
            | "XMinioServerNotInitialized" => Self::SlowDown,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Self::Denied,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "RequestTimeTooSkewed"
            | "InvalidClientTokenId"
            | "AuthorizationQueryParametersError" => Self::Login,
            "NoSuchKey" | "NoSuchVersion" | "NotFound" | "NoSuchUpload" => Self::NotFound,
            "NoSuchBucket" | "InvalidBucketName" => Self::NoBucket,
            "PreconditionFailed" => Self::Precondition,
            "ConditionalRequestConflict" | "OperationAborted" => Self::Conflict,
            "InvalidRange" => Self::Range,
            "InvalidObjectState" => Self::Archived,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => Self::Region,
            "NotImplemented" => Self::Unsupported,
            "BadDigest" | "XAmzContentSHA256Mismatch" | "InvalidDigest" | "XAmzContentChecksumMismatch" => {
                Self::Damaged
            }
            _ => return None,
        })
    }

    /// The kind of a status, for answers that have no code, as those to HEAD.
    fn of_status(status: u16) -> Self {
        match status {
            301 | 307 => Self::Region,
            401 => Self::Login,
            403 => Self::Denied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            304 | 412 => Self::Precondition,
            416 => Self::Range,
            429 | 500 | 502 | 503 | 504 => Self::SlowDown,
            501 => Self::Unsupported,
            _ => Self::Other,
        }
    }
}

/// A kind, the place, the setting at fault, and what the store or the system said. One line; never a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("s3.{store}: {action}: {}{}{}", .kind.text(), Setting(.setting.as_deref()), Detail(.detail))]
pub struct StoreError {
    /// What went wrong.
    pub kind: StoreErrorKind,
    /// Name of the store.
    pub store: String,
    /// The operation that failed, and on what.
    pub action: String,
    /// The setting to look at, where one is likely.
    pub setting: Option<String>,
    /// What was said.
    pub detail: String,
}

struct Setting<'a>(Option<&'a str>);

impl Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |setting| write!(f, "; see {setting}"))
    }
}

struct Detail<'a>(&'a str);

impl Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

impl StoreError {
    /// Whether it passes by itself: the store is away, overloaded, or works on the same key.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Away | StoreErrorKind::SlowDown | StoreErrorKind::Conflict)
    }
}

/// Makes the errors of one store.
#[derive(Debug)]
pub(super) struct Faults {
    store: String,
    /// The settings that a refused login may come from.
    login: &'static str,
    endpoint: Option<String>,
}

impl Faults {
    pub fn new(settings: &Settings) -> Self {
        let login = match settings.login {
            Login::Key { .. } => "access_key and secret_key",
            Login::Profile { .. } => "profile",
            Login::Environment | Login::WebIdentity | Login::InstanceRole => "login",
        };
        Self { store: settings.name.clone(), login, endpoint: settings.endpoint.clone() }
    }

    pub fn store(&self) -> &str {
        &self.store
    }

    /// An error of a setting that was found before anything was sent.
    pub fn setting(&self, kind: StoreErrorKind, setting: &str, detail: &dyn Display) -> StoreError {
        let setting = Some(format!("s3.{}.{setting}", self.store));
        StoreError {
            kind,
            store: self.store.clone(),
            action: "connect".into(),
            setting,
            detail: one_line(detail),
        }
    }

    /// An error of our own, with what was under way.
    pub fn own(
        &self,
        kind: StoreErrorKind,
        action: &str,
        at: ObjectRef<'_>,
        detail: &dyn Display,
    ) -> StoreError {
        StoreError {
            kind,
            store: self.store.clone(),
            action: format!("{action} {}/{}", at.bucket, at.key),
            setting: None,
            detail: one_line(detail),
        }
    }

    /// What a failed request means.
    pub fn of<E>(&self, action: &str, at: ObjectRef<'_>, error: SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let (code, message) = (error.code().map(str::to_owned), error.message().map(str::to_owned));
        let chain = chain(&error);
        let kind = match (code.as_deref().and_then(StoreErrorKind::of_code), status) {
            (Some(kind), _) => kind,
            (None, Some(status)) => StoreErrorKind::of_status(status),
            (None, None) => without_answer(&chain),
        };
        let detail = match (code, message, status) {
            (Some(code), Some(message), _) => format!("{code}, {}", message.trim_end_matches('.')),
            (Some(code), None, _) => code,
            (None, _, Some(status)) => format!("status {status}"),
            (None, _, None) => self.endpoint.iter().chain(&chain).cloned().collect::<Vec<_>>().join(": "),
        };
        let mut fault = self.own(kind, action, at, &detail);
        fault.setting = self.blamed(kind, &chain).map(|setting| format!("s3.{}.{setting}", self.store));
        fault
    }

    fn blamed(&self, kind: StoreErrorKind, chain: &[String]) -> Option<&'static str> {
        // A certificate that is known to be the store's, and is of another name or time.
        let is_of_endpoint = |text: &String| text.contains("not valid") || text.contains("expired");
        Some(match kind {
            StoreErrorKind::Away => "endpoint",
            StoreErrorKind::Login => self.login,
            StoreErrorKind::Tls if chain.iter().any(is_of_endpoint) => "endpoint",
            StoreErrorKind::Tls => "ca",
            StoreErrorKind::Region => "region",
            StoreErrorKind::Unsupported => "checksums",
            _ => return None,
        })
    }
}

/// The texts of an error and its causes, without repetitions.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    let mut texts: Vec<String> = Vec::new();
    for text in causes.map(ToString::to_string) {
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
    }
    texts
}

/// Why there is no answer: no keys to sign with, no trusted connection, or nobody there.
fn without_answer(chain: &[String]) -> StoreErrorKind {
    let says = |words: &[&str]| chain.iter().any(|text| words.iter().any(|word| text.contains(word)));
    if says(&["credentials", "identity", "profile"]) {
        StoreErrorKind::Login
    } else if says(&["certificate", "UnknownIssuer", "tls", "received corrupt message"]) {
        StoreErrorKind::Tls
    } else {
        StoreErrorKind::Away
    }
}

/// A text of others as part of a line.
fn one_line(text: &dyn Display) -> String {
    let text = text.to_string();
    let mut line: String =
        text.chars().take(MAX_DETAIL_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}
