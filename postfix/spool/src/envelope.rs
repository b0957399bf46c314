//! The envelope of a mail: who sent what to whom, when, and how it reached us.
//!
//! In an entry it is a block of lines `name value\n`, values escaped ([`crate::escape`]), empty ones written as
//! nothing. A line with an unknown name is skipped, so a newer writer may add lines; `problem` may repeat.

use uuid::Uuid;

use crate::error::{Damage, SpoolError};
use crate::escape::{escape, unescape};

/// Problem codes set by the doors; readers must accept unknown ones.
pub mod problem {
    /// The message is shorter than Postfix announced, twice with the same bytes.
    pub const SIZE_MISMATCH: &str = "size_mismatch";
    /// Sender or recipient is not UTF-8.
    pub const ADDRESS_NOT_UTF8: &str = "address_not_utf8";
    /// The recipient has no `@`, or nothing after the last one.
    pub const RECIPIENT_WITHOUT_DOMAIN: &str = "recipient_without_domain";
}

/// More lines than any writer writes.
const MAX_LINES: usize = 256;

/// The door through which a mail came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Postfix's pipe(8) and `mailhandler`: lines end in LF, `Return-Path:` and `X-Original-To:` stand in front.
    Pipe,
    /// LMTP: lines end as they came, CRLF.
    Lmtp,
}

/// What is known of a mail besides its bytes. Values chosen by strangers are bytes, not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub spool_id: Uuid,
    /// [`crate::receipt_id`] of the mail's key and digest; also the entry's file name.
    pub receipt_id: Uuid,
    pub door: Door,
    /// When we had read the whole message: microseconds since 1970, UTC.
    pub received_at: i64,
    /// Postfix's queue id; empty if the door does not know it.
    pub queue_id: Vec<u8>,
    /// Empty for the null sender.
    pub sender: Vec<u8>,
    /// After Postfix's rewriting; decides where the mail goes.
    pub recipient: Vec<u8>,
    /// Before Postfix's rewriting.
    pub original_recipient: Vec<u8>,
    /// The SMTP client of our own Postfix; all four are empty for mail submitted on its host.
    pub client_address: Vec<u8>,
    pub client_name: Vec<u8>,
    pub client_helo: Vec<u8>,
    pub client_protocol: Vec<u8>,
    /// Empty without authentication.
    pub sasl_user: Vec<u8>,
    pub nexthop: Vec<u8>,
    /// Postfix's `${size}` (contracts of pipe(8): the size of the content records), or SIZE of LMTP.
    pub declared_bytes: Option<u64>,
    /// Problem codes ([`problem`]).
    pub problems: Vec<String>,
    /// The program that wrote the entry and its version.
    pub program: String,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Lmtp => "lmtp",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Pipe, Self::Lmtp].into_iter().find(|door| door.name().as_bytes() == name)
    }
}

impl Envelope {
    /// The block of lines.
    pub(crate) fn write(&self) -> String {
        let mut block = String::new();
        let mut line = |name: &str, value: &[u8]| {
            block.push_str(name);
            block.push(' ');
            escape(value, &mut block);
            block.push('\n');
        };
        line("spool_id", self.spool_id.to_string().as_bytes());
        line("receipt_id", self.receipt_id.to_string().as_bytes());
        line("door", self.door.name().as_bytes());
        line("received_at", self.received_at.to_string().as_bytes());
        line("queue_id", &self.queue_id);
        line("sender", &self.sender);
        line("recipient", &self.recipient);
        line("original_recipient", &self.original_recipient);
        line("client_address", &self.client_address);
        line("client_name", &self.client_name);
        line("client_helo", &self.client_helo);
        line("client_protocol", &self.client_protocol);
        line("sasl_user", &self.sasl_user);
        line("nexthop", &self.nexthop);
        for problem in &self.problems {
            line("problem", problem.as_bytes());
        }
        line("program", self.program.as_bytes());
        if let Some(bytes) = self.declared_bytes {
            line("declared_bytes", bytes.to_string().as_bytes());
        }
        block
    }

    /// Reads a block of lines; the error names the first line that is missing, repeated or unreadable.
    pub(crate) fn read(block: &[u8]) -> Result<Self, SpoolError> {
        let lines = Lines::split(block)?;
        Ok(Self {
            spool_id: lines.parsed("spool_id", Uuid::try_parse)?,
            receipt_id: lines.parsed("receipt_id", Uuid::try_parse)?,
            door: Door::from_name(&lines.one("door")?).ok_or_else(|| bad("door"))?,
            received_at: lines.parsed("received_at", str::parse)?,
            queue_id: lines.one("queue_id")?,
            sender: lines.one("sender")?,
            recipient: lines.one("recipient")?,
            original_recipient: lines.one("original_recipient")?,
            client_address: lines.one("client_address")?,
            client_name: lines.one("client_name")?,
            client_helo: lines.one("client_helo")?,
            client_protocol: lines.one("client_protocol")?,
            sasl_user: lines.one("sasl_user")?,
            nexthop: lines.one("nexthop")?,
            problems: lines.all("problem").map(|value| text(value, "problem")).collect::<Result<_, _>>()?,
            program: text(&lines.one("program")?, "program")?,
            declared_bytes: match lines.all("declared_bytes").next() {
                Some(_) => Some(lines.parsed("declared_bytes", str::parse)?),
                None => None,
            },
        })
    }
}

/// The lines of a block, split at the blank and unescaped.
struct Lines<'b>(Vec<(&'b [u8], Vec<u8>)>);

impl<'b> Lines<'b> {
    fn split(block: &'b [u8]) -> Result<Self, SpoolError> {
        let body = block.strip_suffix(b"\n").ok_or_else(|| bad("last line"))?;
        if body.iter().filter(|&&byte| byte == b'\n').count() >= MAX_LINES {
            return Err(bad("too many lines"));
        }
        let split_line = |line: &'b [u8]| {
            let blank = line.iter().position(|&byte| byte == b' ')?;
            Some((&line[..blank], unescape(&line[blank + 1..])?))
        };
        let lines = body.split(|&byte| byte == b'\n').map(split_line);
        lines
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| bad("a line without name or with unescaped bytes"))
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(line, _)| *line == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The value of a name that must be there once.
    fn one(&self, name: &'static str) -> Result<Vec<u8>, SpoolError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value.to_vec()),
            _ => Err(bad(name)),
        }
    }

    fn parsed<T, E>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, SpoolError> {
        parse(&text(&self.one(name)?, name)?).map_err(|_| bad(name))
    }
}

fn text(value: &[u8], name: &'static str) -> Result<String, SpoolError> {
    String::from_utf8(value.to_vec()).map_err(|_| bad(name))
}

fn bad(name: &'static str) -> SpoolError {
    SpoolError::damaged(Damage::Envelope, name)
}
