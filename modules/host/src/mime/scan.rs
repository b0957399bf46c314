//! Finds the entities of a message in one pass over its lines.
//!
//! A stack holds the open containers, at most `limits.depth`. A line that is `--boundary` of one of them, innermost
//! first, ends everything above it; so an inner multipart whose boundary never comes costs nothing when the outer
//! one goes on, and the work is at most lines times depth.

mod junk;

use super::closest::Encoding;
use super::field::field_name;
use super::params::Content;
use crate::problem::{add, problem};
use junk::{is_mbox, junk_before, without_mark};
use module_api::Problem;
use module_api::frame::MimeLimits;
use std::ops::Range;

pub(super) use junk::with_line_feeds;

/// Preamble or epilogue longer than this may hide something.
const HIDDEN_BYTES: usize = 64 << 10;

/// What an entity is to the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Has a body of its own.
    Leaf,
    /// Holds entities between boundaries.
    Multipart,
    /// Holds one message.
    Message,
}

/// One header with what belongs to it.
#[derive(Debug)]
pub(super) struct Entity {
    /// `1.2`; empty for a multipart at the root.
    pub path: String,
    /// The entity this one stands in.
    pub parent: Option<usize>,
    pub class: Class,
    /// Header block without the blank line.
    pub header: Range<usize>,
    /// Body without the line break that belongs to the boundary.
    pub body: Range<usize>,
    /// What the header says about the body.
    pub content: Content,
    pub problems: Vec<Problem>,
    children: u32,
}

impl Entity {
    fn at(at: usize, parent: Option<usize>) -> Self {
        Self {
            path: String::new(),
            parent,
            class: Class::Leaf,
            header: at..at,
            body: at..at,
            content: Content::default(),
            problems: Vec::new(),
            children: 0,
        }
    }
}

/// What [`scan`] found.
#[derive(Debug)]
pub(super) struct Scan {
    /// In document order; the first is the mail itself.
    pub entities: Vec<Entity>,
    /// Problems of the mail as a whole.
    pub problems: Vec<Problem>,
    /// Lines compared with a boundary: the measure of work.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests that bound the work"))]
    pub comparisons: u64,
}

impl Scan {
    /// Whether an entity stands inside another one.
    pub(super) fn is_inside(&self, mut entity: usize, container: usize) -> bool {
        while let Some(parent) = self.entities[entity].parent {
            if parent == container {
                return true;
            }
            entity = parent;
        }
        false
    }
}

/// The limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Depth,
    Parts,
    Header,
    Size,
}

impl Excess {
    /// The problem code.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Depth => "mime_depth",
            Self::Parts => "mime_parts",
            Self::Header => "header_limit",
            Self::Size => "message_size",
        }
    }
}

/// What a walk begins in.
#[derive(Debug)]
pub(super) enum Start {
    /// A mail.
    Mail,
    /// A message that stands in the entity of this path.
    Message(String),
    /// The body of a multipart of this path with this boundary.
    Multipart(String, Vec<u8>),
}

/// Finds the entities of `message`. Unless it begins in a mail, the first entity stands for what it begins in.
pub(super) fn scan(message: &[u8], limits: &MimeLimits, start: Start) -> Result<Scan, Excess> {
    if message.len() as u64 > limits.message_bytes {
        return Err(Excess::Size);
    }
    let mut walk = Walk::new(message, limits);
    match start {
        Start::Mail => {
            walk.skip_junk();
            walk.begin(None, walk.at)?;
        }
        Start::Message(path) => {
            walk.skip_junk();
            walk.stand_in(Class::Message, path, None)?;
            walk.begin(Some(0), walk.at)?;
        }
        Start::Multipart(path, boundary) => walk.stand_in(Class::Multipart, path, Some(boundary))?,
    }
    while let Some(line) = walk.next_line() {
        walk.take(line)?;
    }
    walk.finish()?;
    Ok(Scan { entities: walk.entities, problems: walk.problems, comparisons: walk.comparisons })
}

/// The header block at the start of `message`, as far as the limits allow to look at it.
pub(super) fn header_range(message: &[u8], limits: &MimeLimits) -> Range<usize> {
    let mut walk = Walk::new(message, limits);
    walk.skip_junk();
    let start = walk.at;
    let mut end = start;
    for _ in 0..limits.header_lines {
        match walk.next_line() {
            Some(line) if !line.text.is_empty() && line.end - start <= limits.header_bytes => end = line.end,
            _ => break,
        }
    }
    start..end
}

/// One line of the message.
#[derive(Debug, Clone, Copy)]
struct Line<'m> {
    start: usize,
    /// Behind its line break.
    end: usize,
    /// Without its line break.
    text: &'m [u8],
}

/// An open container.
#[derive(Debug)]
struct Open {
    entity: usize,
    /// `None` for a message.
    boundary: Option<Vec<u8>>,
}

/// What the next line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Header {
        entity: usize,
        lines: usize,
    },
    Body,
    /// Outside of any entity since this offset: before the first or after the last boundary of one.
    Between {
        entity: usize,
        since: usize,
    },
}

struct Walk<'m> {
    message: &'m [u8],
    limits: &'m MimeLimits,
    at: usize,
    entities: Vec<Entity>,
    stack: Vec<Open>,
    mode: Mode,
    /// Lines of the header being read that were skipped.
    junk: u32,
    problems: Vec<Problem>,
    comparisons: u64,
}

impl<'m> Walk<'m> {
    fn new(message: &'m [u8], limits: &'m MimeLimits) -> Self {
        Self {
            message,
            limits,
            at: 0,
            entities: Vec::new(),
            stack: Vec::new(),
            mode: Mode::Body,
            junk: 0,
            problems: Vec::new(),
            comparisons: 0,
        }
    }

    /// Skips a byte-order mark or one blank line in front of the header.
    fn skip_junk(&mut self) {
        self.at = junk_before(self.message);
        if self.at > 0 {
            self.problems.push(problem("leading_junk", ""));
        }
    }

    /// Makes an entity for what the walk begins in, and opens it.
    fn stand_in(&mut self, class: Class, path: String, boundary: Option<Vec<u8>>) -> Result<(), Excess> {
        self.entities.push(Entity { path, class, ..Entity::at(0, None) });
        if class == Class::Multipart {
            self.mode = Mode::Between { entity: 0, since: 0 };
        }
        self.open(0, boundary)
    }

    fn next_line(&mut self) -> Option<Line<'m>> {
        let line = self.line_at(self.at)?;
        self.at = line.end;
        Some(line)
    }

    fn line_at(&self, start: usize) -> Option<Line<'m>> {
        let rest = self.message.get(start..).filter(|rest| !rest.is_empty())?;
        let (text, len) = match rest.iter().position(|&b| b == b'\n') {
            Some(n) => (&rest[..n], n + 1),
            None => (rest, rest.len()),
        };
        Some(Line { start, end: start + len, text: text.strip_suffix(b"\r").unwrap_or(text) })
    }

    fn take(&mut self, line: Line<'m>) -> Result<(), Excess> {
        if let Some((depth, closes)) = self.boundary(line.text) {
            return self.at_boundary(line, depth, closes);
        }
        match self.mode {
            Mode::Header { entity, lines } => self.in_header(line, entity, lines),
            Mode::Body | Mode::Between { .. } => Ok(()),
        }
    }

    /// Begins an entity whose header starts at `at`.
    fn begin(&mut self, parent: Option<usize>, at: usize) -> Result<(), Excess> {
        if self.entities.len() >= self.limits.parts as usize {
            return Err(Excess::Parts);
        }
        let path = match parent {
            None => String::new(),
            Some(p) => {
                let parent = &mut self.entities[p];
                parent.children += 1;
                match parent.class {
                    // The only entity in a message has the message's number until it turns out to be a leaf.
                    Class::Message => parent.path.clone(),
                    _ if parent.path.is_empty() => parent.children.to_string(),
                    _ => format!("{}.{}", parent.path, parent.children),
                }
            }
        };
        self.mode = Mode::Header { entity: self.entities.len(), lines: 0 };
        self.junk = 0;
        self.entities.push(Entity { path, ..Entity::at(at, parent) });
        Ok(())
    }

    fn in_header(&mut self, line: Line<'m>, entity: usize, lines: usize) -> Result<(), Excess> {
        let folded = lines > 0 && matches!(line.text.first(), Some(b' ' | b'\t'));
        let mbox = lines == 0 && is_mbox(line.text);
        let marked = lines == 0 && without_mark(line.text).len() < line.text.len();
        let is_field = folded || mbox || field_name(line.text).is_some();
        if (!is_field || marked) && self.goes_on_behind_junk(line, entity, lines) {
            return Ok(());
        }
        if line.text.is_empty() {
            self.entities[entity].header.end = line.start;
            return self.header_done(entity, line.end);
        }
        if !is_field {
            let code = if lines == 0 { "no_headers" } else { "header_end" };
            add(&mut self.entities[entity].problems, code, "");
            self.entities[entity].header.end = line.start;
            return self.header_done(entity, line.start);
        }
        let begun = self.entities[entity].header.start;
        if lines >= self.limits.header_lines || line.end - begun > self.limits.header_bytes {
            return Err(Excess::Header);
        }
        self.mode = Mode::Header { entity, lines: lines + 1 };
        Ok(())
    }

    /// Decides by its header what an entity is.
    fn header_done(&mut self, entity: usize, body_at: usize) -> Result<(), Excess> {
        let e = &mut self.entities[entity];
        e.content = Content::of(&self.message[e.header.clone()], &mut e.problems);
        e.body = body_at..body_at;
        self.mode = Mode::Body;
        if e.content.is_multipart() {
            if e.content.encoding != Encoding::Identity {
                add(&mut e.problems, "cte_on_multipart", "");
            }
            match e.content.boundary() {
                Some(boundary) => {
                    e.class = Class::Multipart;
                    self.mode = Mode::Between { entity, since: body_at };
                    return self.open(entity, Some(boundary));
                }
                None => add(&mut e.problems, "no_boundary", ""),
            }
        } else if e.content.is_plain_message() {
            e.class = Class::Message;
            self.number(entity);
            self.open(entity, None)?;
            return self.begin(Some(entity), body_at);
        }
        self.number(entity);
        Ok(())
    }

    /// A part alone in a message is its first one; a multipart there has no number of its own.
    fn number(&mut self, entity: usize) {
        match self.entities[entity].parent {
            None => self.entities[entity].path = "1".into(),
            Some(p) if self.entities[p].class == Class::Message => self.entities[entity].path.push_str(".1"),
            Some(_) => {}
        }
    }

    fn open(&mut self, entity: usize, boundary: Option<Vec<u8>>) -> Result<(), Excess> {
        if self.stack.len() >= self.limits.depth as usize {
            return Err(Excess::Depth);
        }
        if boundary.is_some() && self.stack.iter().any(|o| o.boundary == boundary) {
            add(&mut self.entities[entity].problems, "boundary_reused", "");
        }
        self.stack.push(Open { entity, boundary });
        Ok(())
    }

    /// The innermost open container whose boundary this line is, and whether it closes it. The whole line counts
    /// (RFC 2046 section 5.1.1): a boundary that is only the start of a line is none.
    fn boundary(&mut self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        for (depth, open) in self.stack.iter().enumerate().rev() {
            let Some(boundary) = &open.boundary else { continue };
            self.comparisons += 1;
            if let Some(tail) = rest.strip_prefix(boundary.as_slice()) {
                let (tail, closes) = tail.strip_prefix(b"--").map_or((tail, false), |tail| (tail, true));
                if tail.iter().all(|b| matches!(b, b' ' | b'\t')) {
                    return Some((depth, closes));
                }
            }
        }
        None
    }

    fn at_boundary(&mut self, line: Line<'m>, depth: usize, closes: bool) -> Result<(), Excess> {
        self.end_current(self.before_break(line.start))?;
        while self.stack.len() > depth + 1 {
            self.close(self.before_break(line.start), false);
        }
        let entity = self.stack[depth].entity;
        if closes {
            self.stack.truncate(depth + 1);
            self.close(line.start, true);
            self.mode = Mode::Between { entity, since: line.end };
            return Ok(());
        }
        self.begin(Some(entity), line.end)
    }

    /// Ends what was being read: a header without a body, a leaf's body, a preamble or epilogue.
    fn end_current(&mut self, at: usize) -> Result<(), Excess> {
        while let Mode::Header { entity, .. } = self.mode {
            let e = &mut self.entities[entity];
            let at = at.max(e.header.start);
            e.header.end = at;
            add(&mut e.problems, "no_body", "");
            self.header_done(entity, at)?;
        }
        match self.mode {
            Mode::Between { entity, since } if at.saturating_sub(since) > HIDDEN_BYTES => {
                let detail = format!("{} bytes", at - since);
                add(&mut self.entities[entity].problems, "hidden_bytes", &detail);
            }
            Mode::Body => {
                if let Some(last) = self.entities.last_mut().filter(|e| e.class == Class::Leaf) {
                    last.body.end = at.max(last.body.start);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Closes the innermost container; `properly` when its own closing line said so.
    fn close(&mut self, at: usize, properly: bool) {
        let Some(open) = self.stack.pop() else { return };
        let e = &mut self.entities[open.entity];
        e.body.end = at.max(e.body.start);
        if e.class != Class::Multipart {
            return;
        }
        if e.children == 0 {
            e.class = Class::Leaf;
            add(&mut e.problems, "no_boundary", "never found");
            self.number(open.entity);
        } else if !properly {
            add(&mut e.problems, "unclosed", "");
        }
    }

    fn finish(&mut self) -> Result<(), Excess> {
        let end = self.message.len();
        self.end_current(end)?;
        let cut = self.stack.iter().any(|o| o.boundary.is_some() && self.entities[o.entity].children > 0);
        if cut
            && self.mode == Mode::Body
            && let Some(last) = self.entities.last_mut()
        {
            add(&mut last.problems, "truncated", "");
        }
        while !self.stack.is_empty() {
            self.close(end, false);
        }
        if cut {
            self.problems.push(problem("truncated", "a boundary is missing at the end"));
        }
        Ok(())
    }

    /// `at` without the line break in front of it, which belongs to the boundary.
    fn before_break(&self, at: usize) -> usize {
        let before = &self.message[..at];
        match before.strip_suffix(b"\n") {
            Some(rest) => rest.strip_suffix(b"\r").unwrap_or(rest).len(),
            None => at,
        }
    }
}
