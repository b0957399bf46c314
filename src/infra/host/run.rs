//! One run: a request and its replies.

use super::check::{self, Checker};
use super::{Child, RunError, RunErrorKind, Settings, Spill};
use module_api::frame::{FailKind, Head, Input, MimeLimits, Parse, PartRecord, Reply, Request, Stage};
use module_api::{Declaration, Finding, Outcome, Row};
use rustix::fs::OFlags;
use std::fs::File;
use std::io;

/// Takes the rows and findings of a run, in order, already checked. Called on a blocking thread.
pub trait Collect: Send + 'static {
    /// Takes one row.
    ///
    /// # Errors
    /// When it cannot be stored; the run then ends with [`RunErrorKind::Io`].
    fn row(&mut self, row: Row) -> io::Result<()>;

    /// Takes one finding.
    ///
    /// # Errors
    /// As [`Collect::row`].
    fn finding(&mut self, finding: Finding) -> io::Result<()>;

    /// Notes the stage that the child enters.
    fn stage(&mut self, _stage: Stage) {}
}

/// Collects in memory.
#[derive(Debug, Default, PartialEq)]
pub struct Gathered {
    /// Rows in the order the module made them.
    pub rows: Vec<Row>,
    /// Findings likewise.
    pub findings: Vec<Finding>,
}

impl Collect for Gathered {
    fn row(&mut self, row: Row) -> io::Result<()> {
        self.rows.push(row);
        Ok(())
    }

    fn finding(&mut self, finding: Finding) -> io::Result<()> {
        self.findings.push(finding);
        Ok(())
    }
}

/// Writes the stored parts of a mail into the spill of a run, from its first byte on. An error of kind `NotFound` or
/// `InvalidData` is about those parts and fails the run; any other means that the storage cannot be read just now.
pub type Fill = Box<dyn FnOnce(&File) -> io::Result<()> + Send>;

/// What a run reads.
pub struct RunInput {
    /// The mail or file; open read-only.
    pub file: File,
    /// Brings the parts that [`Input::Parts`] says are in the spill.
    pub fill: Option<Fill>,
}

impl From<File> for RunInput {
    fn from(file: File) -> Self {
        Self { file, fill: None }
    }
}

/// A split mail.
#[derive(Debug)]
pub struct SplitOutput {
    /// Version of the program that split it.
    pub version: String,
    /// Limits under which it did.
    pub limits: MimeLimits,
    /// The mail's own header.
    pub head: Head,
    /// Its parts; ranges are inside the message or the spill.
    pub parts: Vec<PartRecord>,
    /// Decoded bytes.
    pub spill: Spill,
}

/// Output of a module for one delivery.
#[derive(Debug)]
pub struct Ran<C> {
    /// As the module returned it.
    pub outcome: Outcome,
    /// The parts it saw, archive members included; places of rows are indexes into it.
    pub parts: Vec<PartRecord>,
    /// Name of the profile that shaped the rows.
    pub profile: Option<String>,
    /// Number of rows.
    pub rows: u64,
    /// Number of findings.
    pub findings: u64,
    /// The collector with rows and findings.
    pub collected: C,
    /// Decoded bytes and archive members.
    pub spill: Spill,
}

/// A request, and the checker of its replies.
#[derive(Debug)]
pub(super) struct Exchange {
    request: Request,
    checker: Checker,
}

impl Exchange {
    pub(super) fn split(request: Request, message_bytes: u64, limits: MimeLimits) -> Self {
        Self { request, checker: Checker::split(message_bytes, most_parts(&limits, 0)) }
    }

    pub(super) fn module(parse: Parse, declaration: Declaration, draft: bool) -> Self {
        let input_bytes = match parse.input {
            Input::Mail { message_bytes } | Input::Parts { message_bytes, .. } => message_bytes,
            Input::File { file_bytes, .. } => file_bytes,
        };
        let most = most_parts(&parse.mime, parse.archive.members);
        let checker = Checker::module(declaration, parse.budget, input_bytes, most);
        let parse = Box::new(parse);
        Self { request: if draft { Request::Draft(parse) } else { Request::Parse(parse) }, checker }
    }
}

fn most_parts(limits: &MimeLimits, members: u32) -> usize {
    (limits.parts.max(1) as usize).saturating_add(members as usize)
}

/// All replies of a run.
#[derive(Debug)]
pub(super) struct Conversation<C> {
    version: String,
    collected: C,
    spill: Spill,
    checker: Checker,
    stage: Option<Stage>,
    head: Option<Head>,
    parts: Vec<PartRecord>,
    profile: Option<String>,
    draft: Option<Option<String>>,
    outcome: Option<Outcome>,
}

/// Sends the child a request and reads replies until the last one. On any error the caller must kill the child.
pub(super) fn converse<C: Collect>(
    child: &mut Child,
    settings: &Settings,
    input: RunInput,
    exchange: Exchange,
    collected: C,
) -> Result<Conversation<C>, RunError> {
    read_only(&input.file)?;
    let spill = child.spills.take(&settings.tmp).map_err(|e| RunError::io("spill", &e))?;
    if let Some(fill) = input.fill {
        check::filled_bytes(&exchange.request, settings.spill_bytes)?;
        fill(&spill).map_err(|e| unfilled(&e))?;
    }
    child.allow(settings)?;
    child.send(&exchange.request, &input.file, &spill)?;
    let mut replies = Conversation {
        version: child.hello.as_ref().map(|hello| hello.version.clone()).unwrap_or_default(),
        collected,
        spill,
        checker: exchange.checker,
        stage: None,
        head: None,
        parts: Vec::new(),
        profile: None,
        draft: None,
        outcome: None,
    };
    while replies.outcome.is_none() {
        let taken = child
            .receive()
            .and_then(|reply| replies.take_reply(&exchange.request, reply, child.reply_bytes()));
        taken.map_err(|e| e.at(replies.stage))?;
    }
    let spill_bytes = replies.spill.metadata().map_err(|e| RunError::io("spill", &e))?.len();
    check::spill_ranges(&replies.parts, spill_bytes)?;
    Ok(replies)
}

fn unfilled(error: &io::Error) -> RunError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData => RunErrorKind::Io,
        _ => RunErrorKind::Unavailable,
    };
    RunError::new(kind, error.to_string())
}

/// A child must not be able to change what it reads.
fn read_only(input: &File) -> Result<(), RunError> {
    match rustix::fs::fcntl_getfl(input) {
        Ok(flags) if flags & OFlags::RWMODE == OFlags::RDONLY => Ok(()),
        Ok(_) => Err(RunError::new(RunErrorKind::Io, "input is not open read-only")),
        Err(e) => Err(RunError::io("input", &e.into())),
    }
}

impl<C: Collect> Conversation<C> {
    /// Takes one reply, if it is allowed at this point.
    fn take_reply(&mut self, request: &Request, reply: Reply, bytes: usize) -> Result<(), RunError> {
        let splits = matches!(request, Request::Split { .. });
        let parses = matches!(request, Request::Parse(_)) && self.stage == Some(Stage::Module);
        let drafts = matches!(request, Request::Draft(_)) && self.stage == Some(Stage::Module);
        match reply {
            Reply::Progress(stage) if self.stage < Some(stage) => {
                self.stage = Some(stage);
                self.collected.stage(stage);
            }
            Reply::Head(head) if splits && self.head.is_none() => {
                check::head(&head)?;
                self.head = Some(*head);
            }
            Reply::Part(part) if self.stage < Some(Stage::Module) => {
                self.checker.part(&part)?;
                self.parts.push(*part);
            }
            Reply::Row(row) if parses => {
                self.checker.row(&row, bytes)?;
                self.collected.row(row).map_err(|e| RunError::io("rows", &e))?;
            }
            Reply::Finding(mut finding) if parses => {
                self.checker.finding(&mut finding, bytes)?;
                self.collected.finding(finding).map_err(|e| RunError::io("findings", &e))?;
            }
            Reply::Profile(name) if parses && self.profile.is_none() => {
                self.profile = Some(check::brief(name))
            }
            Reply::Draft(draft) if drafts && self.draft.is_none() => self.draft = Some(draft),
            Reply::Done(outcome) if self.may_end(splits, parses, drafts) => {
                self.outcome = Some(brief_outcome(outcome));
            }
            Reply::Failed { kind, message } => return Err(failed(kind, message)),
            _ => return Err(RunError::bad_frame("frame out of order")),
        }
        Ok(())
    }

    fn may_end(&self, splits: bool, parses: bool, drafts: bool) -> bool {
        (splits && self.head.is_some() && !self.parts.is_empty())
            || parses
            || (drafts && self.draft.is_some())
    }

    pub(super) fn into_split(self, limits: MimeLimits) -> Result<SplitOutput, RunError> {
        let head = self.head.ok_or_else(|| RunError::bad_frame("no head"))?;
        Ok(SplitOutput { version: self.version, limits, head, parts: self.parts, spill: self.spill })
    }

    pub(super) fn into_ran(self) -> Result<Ran<C>, RunError> {
        let outcome = self.outcome.ok_or_else(|| RunError::bad_frame("no outcome"))?;
        Ok(Ran {
            outcome,
            parts: self.parts,
            profile: self.profile,
            rows: self.checker.rows,
            findings: self.checker.findings,
            collected: self.collected,
            spill: self.spill,
        })
    }

    pub(super) fn into_draft(self) -> Option<String> {
        self.draft.flatten()
    }
}

fn brief_outcome(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Rejected { reason } => Outcome::Rejected { reason: check::brief(reason) },
        Outcome::Retry { reason } => Outcome::Retry { reason: check::brief(reason) },
        outcome => outcome,
    }
}

fn failed(kind: FailKind, message: String) -> RunError {
    let message = check::brief(message);
    match kind {
        FailKind::Unknown => RunError::new(RunErrorKind::NoModule, message),
        FailKind::Io => RunError::new(RunErrorKind::Io, message),
        FailKind::Panic => RunError::new(RunErrorKind::Died, format!("panicked at {message}")),
        FailKind::Budget => RunError::new(RunErrorKind::Budget, message),
    }
}
