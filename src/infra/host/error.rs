//! Errors of a run.

use module_api::frame::Stage;

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// For callers to branch on.
    pub kind: RunErrorKind,
    /// What happened and where, a lower-case fragment for operators.
    pub message: String,
    /// What the child was doing, if it had started.
    pub stage: Option<Stage>,
}

/// Kind of a [`RunError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunErrorKind {
    /// The child ended by itself: a signal, a panic, an exit.
    Died,
    /// The child asked for more memory than it may have.
    OutOfMemory,
    /// The child used more CPU time than it may.
    CpuLimit,
    /// The run took longer than it may.
    Deadline,
    /// The child sent an invalid reply.
    BadFrame,
    /// The module exceeded its budget, or wrote more than the spill may hold.
    Budget,
    /// The server cancelled the run.
    Cancelled,
    /// No child was available: nothing is known about the input.
    Unavailable,
    /// The program has no such module.
    NoModule,
    /// Input, spill or collector could not be read or written.
    Io,
}

impl RunErrorKind {
    /// Whether this counts as a crash: the second one holds the job as poisoned.
    #[must_use]
    pub const fn is_crash(self) -> bool {
        matches!(self, Self::Died | Self::OutOfMemory | Self::CpuLimit | Self::Deadline | Self::BadFrame)
    }
}

impl RunError {
    pub(super) fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), stage: None }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(RunErrorKind::Unavailable, message)
    }

    pub(super) fn bad_frame(message: impl Into<String>) -> Self {
        Self::new(RunErrorKind::BadFrame, message)
    }

    pub(super) fn io(what: &str, e: &std::io::Error) -> Self {
        Self::new(RunErrorKind::Io, format!("{what}: {e}"))
    }

    pub(super) fn at(mut self, stage: Option<Stage>) -> Self {
        self.stage = self.stage.or(stage);
        self
    }
}
