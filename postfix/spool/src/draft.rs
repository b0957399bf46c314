//! A mail on its way into the spool: a draft that is being written, then sealed, then linked.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::fd::AsRawFd as _;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, linkat, openat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::entry::{Entry, Footer};
use crate::envelope::Envelope;
use crate::error::{Damage, Kind, SpoolError};
use crate::key::Digest;
use crate::name::EntryName;
use crate::spool::Spool;

/// A mail being written; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    place: Place,
    hash: Sha256,
    message_bytes: u64,
}

/// A complete entry on disk that has no name in `new/` yet. Dropped without one, it is gone.
#[derive(Debug)]
pub struct Sealed {
    file: File,
    place: Place,
    receipt_id: Uuid,
    digest: Digest,
}

/// Result of a deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deposited {
    /// The name was free.
    New,
    /// An entry with this name and the same message exists.
    Duplicate,
}

/// The spool of a draft, and its temporary name, which is removed on drop.
#[derive(Debug)]
struct Place {
    spool: Spool,
    /// Below the spool; `None` for an anonymous file.
    temporary: Option<String>,
}

/// How often linking is tried again when the existing entry was removed or set aside in the meantime.
const ATTEMPTS: usize = 8;
/// Large enough to write a small mail with envelope and footer in one call.
const BUFFER_BYTES: usize = 128 << 10;

impl Draft {
    pub(crate) fn create(spool: &Spool) -> Result<Self, SpoolError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut place = Place { spool: spool.clone(), temporary: None };
        let file = match openat(spool.new_dir(), ".", flags | OFlags::TMPFILE, mode) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                let path = place.temporary.insert(format!("tmp/{}", Uuid::new_v4()));
                openat(spool.root(), path.as_str(), flags | OFlags::CREATE | OFlags::EXCL, mode)
            }
            opened => opened,
        }
        .map_err(SpoolError::io("create a draft"))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, File::from(file));
        Ok(Self { file, place, hash: Sha256::new(), message_bytes: 0 })
    }

    /// Appends to the message.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.hash.update(bytes);
        self.message_bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(SpoolError::io("write the message"))
    }

    /// SHA-256 of the message so far.
    pub fn digest(&self) -> Digest {
        self.hash.clone().finalize().into()
    }

    pub fn message_bytes(&self) -> u64 {
        self.message_bytes
    }

    /// Ends the message, appends envelope and footer, and makes all of it durable.
    ///
    /// After an error, of fsync too, the bytes count as lost; it must not be tried again on the same file. After a successful
    /// fsync, closing has nothing left to report.
    pub fn seal(mut self, envelope: &Envelope) -> Result<Sealed, SpoolError> {
        let digest = self.digest();
        let block = envelope.write();
        let footer = Footer {
            message_bytes: self.message_bytes,
            envelope_bytes: block.len() as u64,
            message_digest: digest,
            envelope_digest: Sha256::digest(&block).into(),
        };
        for text in [block, footer.write()] {
            self.file.write_all(text.as_bytes()).map_err(SpoolError::io("write the envelope"))?;
        }
        let file =
            self.file.into_inner().map_err(|error| SpoolError::io("write the entry")(error.into_error()))?;
        fsync(&file).map_err(SpoolError::io("fsync the entry"))?;
        Ok(Sealed { file, place: self.place, receipt_id: envelope.receipt_id, digest })
    }
}

impl Sealed {
    pub fn receipt_id(&self) -> Uuid {
        self.receipt_id
    }

    /// Gives the entry its name in `new/`, which is durable only after [`Spool::sync`].
    ///
    /// If the name is taken, the entry there must hold the same message; a damaged one is set aside for ours.
    pub fn deposit(&self) -> Result<Deposited, SpoolError> {
        self.deposit_as(EntryName::whole(self.receipt_id))
    }

    /// The same under the name for a mail that is shorter than announced and was not accepted. `Duplicate` means that the
    /// same bytes came before.
    pub fn deposit_short(&self) -> Result<Deposited, SpoolError> {
        self.deposit_as(EntryName::short(self.receipt_id))
    }

    fn deposit_as(&self, name: EntryName) -> Result<Deposited, SpoolError> {
        let spool = &self.place.spool;
        for _ in 0..ATTEMPTS {
            match self.link(name) {
                Ok(()) => return Ok(Deposited::New),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(SpoolError::io("link the entry")(error)),
            }
            match self.compare(spool.read(name)) {
                Ok(()) => return Ok(Deposited::Duplicate),
                Err(error) => match error.kind() {
                    Kind::NotFound => {}
                    Kind::Damaged(_) => spool.set_aside(name)?,
                    _ => return Err(error),
                },
            }
        }
        Err(SpoolError::new(Kind::InUse, "the entry keeps being replaced"))
    }

    fn link(&self, name: EntryName) -> Result<(), Errno> {
        let Place { spool, temporary } = &self.place;
        let to = name.to_string();
        match temporary {
            None => {
                let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, from, spool.new_dir(), to, AtFlags::SYMLINK_FOLLOW)
            }
            Some(from) => linkat(spool.root(), from, spool.new_dir(), to, AtFlags::empty()),
        }
    }

    fn compare(&self, existing: Result<Entry, SpoolError>) -> Result<(), SpoolError> {
        let mut existing = existing?;
        existing.verify()?;
        if existing.digest() != self.digest {
            return Err(SpoolError::damaged(Damage::Name, "another message under this receipt"));
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary {
            // A remaining one is removed by the server (`Spool::sweep`).
            unlinkat(self.spool.root(), path.as_str(), AtFlags::empty()).ok();
        }
    }
}
