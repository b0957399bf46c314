//! The line that is printed, and the exit code.
//!
//! The line goes to Postfix's log and, if the mail bounces, to its sender: no paths, at most 200 characters.

use std::error::Error as _;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use headworks_spool::{Kind, SpoolError};
use uuid::Uuid;

/// EX_TEMPFAIL of sysexits: Postfix keeps the mail and tries again.
const TEMPORARY: u8 = 75;
const MAX_CHARACTERS: usize = 200;

/// How a delivery ended.
#[derive(Debug)]
pub enum Reply {
    Queued(Uuid),
    Duplicate(Uuid),
    Refused(Refusal),
}

/// Why the mail is deferred.
#[derive(Debug)]
pub struct Refusal {
    /// Status code of RFC 3463; Postfix defers on any `4.x.y`, whatever the exit code.
    status: &'static str,
    reason: String,
}

impl Reply {
    /// Prints the line. The exit code does not depend on whether that succeeds.
    pub fn say(&self) -> ExitCode {
        let line: String = self.to_string().chars().take(MAX_CHARACTERS).collect();
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
        match self {
            Self::Queued(_) | Self::Duplicate(_) => ExitCode::SUCCESS,
            Self::Refused(_) => ExitCode::from(TEMPORARY),
        }
    }
}

impl Refusal {
    pub fn settings(reason: &str) -> Self {
        Self { status: "4.3.5", reason: format!("configuration: {reason}") }
    }

    pub fn deadline() -> Self {
        Self { status: "4.3.0", reason: "the mail did not end before the deadline".to_owned() }
    }

    pub fn short_read() -> Self {
        Self { status: "4.3.0", reason: "short read: less than the announced size arrived".to_owned() }
    }

    pub fn read_failed(error: std::io::Error) -> Self {
        Self { status: "4.3.0", reason: format!("cannot read the mail: {error}") }
    }
}

impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        let status = match error.kind() {
            Kind::Foreign | Kind::WrongOwner => "4.3.5",
            _ => "4.3.1",
        };
        let reason = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self { status, reason }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued(receipt) => write!(f, "2.0.0 queued {receipt}"),
            Self::Duplicate(receipt) => write!(f, "2.0.0 duplicate of {receipt}"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)
    }
}
