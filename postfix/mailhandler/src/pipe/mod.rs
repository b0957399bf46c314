//! One delivery, from the command line to the reply.
//!
//! ```text
//! arguments ─▶ open spool, check room ─▶ copy stdin into a draft ─▶ seal ─▶ link ─▶ fsync new ─▶ 0  2.0.0 queued
//!     │               │                        │                     │       │          │
//!   4.3.5           4.3.5 / 4.3.1            4.3.0 deadline        4.3.1   4.3.1      4.3.1           all 75
//! ```
//!
//! **Short mail.** A pipe has no end mark: if Postfix's pipe daemon is killed, we read a part of the mail and a normal
//! end. So the mail is measured as Postfix measures it ([`size`]). If it is shorter than `${size}`, it is stored as
//! `<receipt>.short` and deferred. If exactly the same bytes come again, the measurement is wrong and not the mail: it is
//! accepted, with problem `size_mismatch`.

mod arguments;
mod copy;
mod reply;
mod size;

use std::ffi::OsString;
use std::time::{Instant, SystemTime};

use headworks_spool::{
    Deposited, EntryName, Envelope, Sealed, Spool, SpoolError, mail_key, problem, receipt_id,
};

use arguments::Arguments;
use reply::{Refusal, Reply};
use size::PostfixSize;

/// Delivers the mail on stdin as the arguments say.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Reply {
    let deadline_from = Instant::now();
    let delivered = Arguments::parse(arguments).and_then(|arguments| deliver(arguments, deadline_from));
    delivered.unwrap_or_else(Reply::Refused)
}

fn deliver(arguments: Arguments, started_at: Instant) -> Result<Reply, Refusal> {
    let spool = Spool::open(&arguments.spool, Some(arguments.spool_id))?;
    spool.require_free(arguments.min_free_bytes, arguments.min_free_inodes)?;

    let mut draft = spool.draft()?;
    let mut size = PostfixSize::default();
    copy::stdin_to_end(started_at + arguments.deadline, |bytes| {
        size.add(bytes);
        draft.write(bytes)
    })?;

    let is_short = size.is_short_of(arguments.declared_bytes, arguments.strict_size);
    let mut envelope = arguments.envelope;
    let key = mail_key(envelope.spool_id, &envelope.queue_id, &envelope.recipient);
    envelope.receipt_id = receipt_id(&key, &draft.digest());
    envelope.received_at = now_micros();
    envelope.problems = problems(&envelope, is_short);
    let sealed = draft.seal(&envelope)?;
    if is_short && sealed.deposit_short()? == Deposited::New {
        spool.sync()?;
        return Err(Refusal::short_read());
    }
    let reply = deposit(&spool, &sealed)?;
    if is_short {
        // No longer needed; the server removes a remaining one.
        spool.remove(EntryName::short(sealed.receipt_id())).ok();
    }
    Ok(reply)
}

/// Links the entry and makes its name durable.
fn deposit(spool: &Spool, sealed: &Sealed) -> Result<Reply, SpoolError> {
    let deposited = sealed.deposit()?;
    spool.sync()?;
    Ok(match deposited {
        Deposited::New => Reply::Queued(sealed.receipt_id()),
        Deposited::Duplicate => Reply::Duplicate(sealed.receipt_id()),
    })
}

fn problems(mail: &Envelope, is_short: bool) -> Vec<String> {
    let is_utf8 = |address: &[u8]| std::str::from_utf8(address).is_ok();
    // Without flag `q` a quoted local part arrives unquoted: the domain starts after the last `@`.
    let domain =
        mail.recipient.rsplitn(2, |&byte| byte == b'@').next().filter(|_| mail.recipient.contains(&b'@'));
    let found = [
        (is_short, problem::SIZE_MISMATCH),
        (!is_utf8(&mail.sender) || !is_utf8(&mail.recipient), problem::ADDRESS_NOT_UTF8),
        (domain.is_none_or(<[u8]>::is_empty), problem::RECIPIENT_WITHOUT_DOMAIN),
    ];
    found.into_iter().filter(|(is_found, _)| *is_found).map(|(_, code)| code.to_owned()).collect()
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
