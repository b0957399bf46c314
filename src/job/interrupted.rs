//! A run that was interrupted because something it depends on failed.
//!
//! Here is decided whether the job waits, loses an attempt, or is suspected of crashing its module.

use super::outcome::Outcome;
use crate::infra::db::DbError;
use crate::infra::host::{RunError, RunErrorKind};
use crate::infra::volume::VolumeError;
use std::time::Duration;

/// How long a job waits for something that is unavailable.
const SNOOZE: Duration = Duration::from_secs(5);

/// What stopped a run. Becomes an [`Outcome`].
#[derive(Debug)]
pub enum Interrupted {
    /// Another attempt may succeed; costs an attempt.
    Failed(String),
    /// Something is unavailable; costs no attempt.
    Away(String),
    /// The module process died on the input.
    Crashed(String),
    /// It was cancelled, or it lost its lease.
    GivenUp,
}

impl<W> From<Interrupted> for Outcome<W> {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Failed(error) => Self::Retry { error },
            Interrupted::Away(reason) => Self::Snooze { after: SNOOZE, reason },
            Interrupted::Crashed(how) => Self::Crashed { how },
            Interrupted::GivenUp => Self::Released,
        }
    }
}

impl From<DbError> for Interrupted {
    fn from(error: DbError) -> Self {
        if error.is_temporary() { Self::Away(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

impl From<VolumeError> for Interrupted {
    fn from(error: VolumeError) -> Self {
        let text = format!("{error}: {}", error.source);
        // A delivery cannot help its volume: its jobs wait until that is repaired.
        if error.kind.is_of_volume() { Self::Away(text) } else { Self::Failed(text) }
    }
}

impl From<RunError> for Interrupted {
    fn from(error: RunError) -> Self {
        match error.kind {
            kind if kind.is_crash() => Self::Crashed(error.to_string()),
            RunErrorKind::Cancelled => Self::GivenUp,
            RunErrorKind::Unavailable => Self::Away(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<tokio::task::JoinError> for Interrupted {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Interrupted {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
