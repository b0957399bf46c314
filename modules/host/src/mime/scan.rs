//! Finds the entities of a message in one pass over its lines.
//!
//! A stack holds the open containers, at most `limits.depth`. A line that is `--boundary` of one of them, innermost
//! first, ends everything above it; so an inner multipart whose boundary never comes costs nothing when the outer
//! one goes on, and the work is at most lines times depth.

use super::params::Content;
use crate::problem::{add, problem};
use module_api::Problem;
use module_api::frame::MimeLimits;
use std::ops::Range;

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

/// Finds the entities of `message`.
pub(super) fn scan(message: &[u8], limits: &MimeLimits) -> Result<Scan, Excess> {
    if message.len() as u64 > limits.message_bytes {
        return Err(Excess::Size);
    }
    let mut walk = Walk::new(message, limits);
    walk.begin(None, walk.at)?;
    while let Some(line) = walk.next_line() {
        walk.take(line)?;
    }
    walk.finish()?;
    Ok(Scan { entities: walk.entities, problems: walk.problems, comparisons: walk.comparisons })
}

/// The header block at the start of `message`, as far as the limits allow to look at it.
pub(super) fn header_range(message: &[u8], limits: &MimeLimits) -> Range<usize> {
    let mut walk = Walk::new(message, limits);
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
    line_end: u8,
    entities: Vec<Entity>,
    stack: Vec<Open>,
    mode: Mode,
    problems: Vec<Problem>,
    comparisons: u64,
}

impl<'m> Walk<'m> {
    fn new(message: &'m [u8], limits: &'m MimeLimits) -> Self {
        let mut problems = Vec::new();
        let cr_only = !message.contains(&b'\n') && message.contains(&b'\r');
        if cr_only {
            problems.push(problem("cr_only", ""));
        }
        let at = junk_before(message);
        if at > 0 {
            problems.push(problem("leading_junk", ""));
        }
        Self {
            message,
            limits,
            at,
            line_end: if cr_only { b'\r' } else { b'\n' },
            entities: Vec::new(),
            stack: Vec::new(),
            mode: Mode::Body,
            problems,
            comparisons: 0,
        }
    }

    fn next_line(&mut self) -> Option<Line<'m>> {
        let rest = &self.message[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (text, len) = match rest.iter().position(|&b| b == self.line_end) {
            Some(n) => (&rest[..n], n + 1),
            None => (rest, rest.len()),
        };
        let text = if self.line_end == b'\n' { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
        let line = Line { start: self.at, end: self.at + len, text };
        self.at += len;
        Some(line)
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
        self.entities.push(Entity {
            path,
            parent,
            class: Class::Leaf,
            header: at..at,
            body: at..at,
            content: Content::default(),
            problems: Vec::new(),
            children: 0,
        });
        Ok(())
    }

    fn in_header(&mut self, line: Line<'m>, entity: usize, lines: usize) -> Result<(), Excess> {
        if line.text.is_empty() {
            self.entities[entity].header.end = line.start;
            return self.header_done(entity, line.end);
        }
        let folded = lines > 0 && matches!(line.text[0], b' ' | b'\t');
        let mbox = lines == 0 && (line.text.starts_with(b"From ") || line.text.starts_with(b">From "));
        if !folded && !mbox && field_name(line.text).is_none() {
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
        if e.content.media_type.starts_with("multipart/") {
            if !matches!(e.content.transfer_encoding.as_str(), "" | "7bit" | "8bit" | "binary") {
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
        if self.message.is_empty() {
            self.problems.push(problem("empty", ""));
        }
        Ok(())
    }

    /// `at` without the line break in front of it, which belongs to the boundary.
    fn before_break(&self, at: usize) -> usize {
        let before = &self.message[..at];
        match before.strip_suffix(&[self.line_end]) {
            Some(rest) if self.line_end == b'\n' => rest.strip_suffix(b"\r").unwrap_or(rest).len(),
            Some(rest) => rest.len(),
            None => at,
        }
    }
}

/// Length of a byte-order mark or one blank line in front of the header.
fn junk_before(message: &[u8]) -> usize {
    let mark = if message.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let rest = &message[mark..];
    let blank = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
    // A message of nothing but a line break is a body, not junk.
    if mark + blank == message.len() { 0 } else { mark + blank }
}

/// The field name a header line starts with; blanks before the colon are tolerated.
pub(super) fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line[..colon].trim_ascii_end();
    let good = !name.is_empty() && name.iter().all(|b| (33..=126).contains(b));
    good.then_some(name)
}
