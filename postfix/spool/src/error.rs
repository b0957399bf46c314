//! Errors of a spool: a kind for programs, a message without paths for people.

use std::{error, fmt, io};

/// An error of the spool. Its text may be shown to a sender: it names the step, never a path.
#[derive(Debug)]
pub struct SpoolError {
    kind: Kind,
    step: &'static str,
    source: Option<io::Error>,
}

/// Kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An error of the operating system, which is the source.
    Io,
    /// The directory is not a spool: missing, not mounted, or never created.
    NoSpool,
    /// The directory is a spool, but not the expected one.
    Foreign,
    /// We are not the user who owns the spool.
    WrongOwner,
    /// Fewer bytes or inodes are free than required.
    Full,
    /// Another process holds the lock.
    InUse,
    /// There is no entry of that name, or no longer.
    NotFound,
    /// The entry was changed since it was written.
    Damaged(Damage),
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Not a regular file: a link, pipe, socket, device or directory.
    NotAFile,
    /// Shorter than a footer.
    TooShort,
    /// Does not end in a footer.
    NotAnEntry,
    /// Written by a newer program.
    Version,
    /// A number or digest of the footer cannot be read.
    Footer,
    /// The lengths in the footer do not match the length of the file, or exceed the limit.
    Lengths,
    /// The envelope's lines do not match their digest.
    EnvelopeDigest,
    /// The envelope lacks a line, repeats one, or has one that cannot be read; the step names it.
    Envelope,
    /// The message does not match its digest.
    MessageDigest,
    /// The file name is that of another receipt.
    Name,
}

impl SpoolError {
    pub(crate) fn new(kind: Kind, step: &'static str) -> Self {
        Self { kind, step, source: None }
    }

    pub(crate) fn damaged(damage: Damage, step: &'static str) -> Self {
        Self::new(Kind::Damaged(damage), step)
    }

    /// For `map_err`: an error of the operating system while doing `step`.
    pub(crate) fn io<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self { kind: Kind::Io, step, source: Some(source.into()) }
    }

    pub(crate) fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step;
        match self.kind {
            Kind::Io => write!(f, "cannot {step}"),
            Kind::NoSpool => write!(f, "not a spool: {step}"),
            Kind::Foreign => write!(f, "another spool: {step}"),
            Kind::WrongOwner => write!(f, "wrong user: {step}"),
            Kind::Full => write!(f, "spool full: {step}"),
            Kind::InUse => write!(f, "spool in use: {step}"),
            Kind::NotFound => write!(f, "no such entry: {step}"),
            Kind::Damaged(damage) => write!(f, "entry damaged ({damage:?}): {step}"),
        }
    }
}

impl error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
