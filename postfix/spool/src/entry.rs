//! Reads an entry from its end: footer, envelope, message. The crate documentation shows the layout.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use sha2::{Digest as _, Sha256};

use crate::envelope::Envelope;
use crate::error::{Damage, SpoolError};
use crate::key::Digest;

/// The fixed length of a footer.
pub const FOOTER_BYTES: u64 = 183;
/// The longest envelope we read: at most 16 arguments of at most 128 KiB (Linux), tripled by escaping.
pub const MAX_ENVELOPE_BYTES: u64 = 8 << 20;

const MAGIC: &str = "headworks-entry ";
const VERSION: &str = "0001";

/// One mail of the spool, with its envelope checked and its message not read yet.
#[derive(Debug)]
pub struct Entry<R = File> {
    file: R,
    envelope: Envelope,
    footer: Footer,
}

/// The last line of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub message_bytes: u64,
    pub envelope_bytes: u64,
    pub message_digest: Digest,
    pub envelope_digest: Digest,
}

impl<R: Read + Seek> Entry<R> {
    /// Reads and checks footer and envelope. Input may be hostile.
    ///
    /// Never panics; holds at most twice [`MAX_ENVELOPE_BYTES`].
    pub fn read(mut file: R) -> Result<Self, SpoolError> {
        let length = file.seek(SeekFrom::End(0)).map_err(SpoolError::io("measure the entry"))?;
        let body = length
            .checked_sub(FOOTER_BYTES)
            .ok_or_else(|| SpoolError::damaged(Damage::TooShort, "no room for a footer"))?;
        let footer = Footer::parse(&read_at(&mut file, body, FOOTER_BYTES)?)?;
        if footer.message_bytes.checked_add(footer.envelope_bytes) != Some(body)
            || footer.envelope_bytes > MAX_ENVELOPE_BYTES
        {
            return Err(SpoolError::damaged(Damage::Lengths, "lengths in the footer"));
        }
        let block = read_at(&mut file, footer.message_bytes, footer.envelope_bytes)?;
        if Digest::from(Sha256::digest(&block)) != footer.envelope_digest {
            return Err(SpoolError::damaged(Damage::EnvelopeDigest, "digest of the envelope"));
        }
        Ok(Self { envelope: Envelope::read(&block)?, file, footer })
    }

    /// Reads the message and compares it with its digest.
    pub fn verify(&mut self) -> Result<(), SpoolError> {
        let expected = self.footer.message_digest;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 128 << 10];
        let mut message = self.message()?;
        loop {
            match message.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => hash.update(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SpoolError::io("read the message")(error)),
            }
        }
        if Digest::from(hash.finalize()) != expected {
            return Err(SpoolError::damaged(Damage::MessageDigest, "digest of the message"));
        }
        Ok(())
    }

    /// The message from its first byte; ends where the message ends.
    pub fn message(&mut self) -> Result<impl Read + '_, SpoolError> {
        self.file.seek(SeekFrom::Start(0)).map_err(SpoolError::io("go to the message"))?;
        Ok(self.file.by_ref().take(self.footer.message_bytes))
    }
}

impl<R> Entry<R> {
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub fn message_bytes(&self) -> u64 {
        self.footer.message_bytes
    }

    /// SHA-256 of the message as computed by the writer; [`Entry::verify`] compares it.
    pub fn digest(&self) -> Digest {
        self.footer.message_digest
    }

    /// The file, whose first [`Entry::message_bytes`] bytes are the message, and the envelope.
    pub fn into_parts(self) -> (R, Envelope) {
        (self.file, self.envelope)
    }
}

impl Footer {
    pub(crate) fn write(&self) -> String {
        format!(
            "{MAGIC}{VERSION} {:020} {:010} {} {}\n",
            self.message_bytes,
            self.envelope_bytes,
            hex(&self.message_digest),
            hex(&self.envelope_digest)
        )
    }

    fn parse(bytes: &[u8]) -> Result<Self, SpoolError> {
        let bad = |damage| move || SpoolError::damaged(damage, "footer");
        let line = std::str::from_utf8(bytes).ok().and_then(|line| line.strip_suffix('\n'));
        let line = line.and_then(|line| line.strip_prefix(MAGIC)).ok_or_else(bad(Damage::NotAnEntry))?;
        let line = line.strip_prefix(VERSION).and_then(|line| line.strip_prefix(' '));
        let mut fields = line.ok_or_else(bad(Damage::Version))?.split(' ');
        let mut field = || fields.next().ok_or_else(bad(Damage::Footer));
        let footer = Self {
            message_bytes: field()?.parse().map_err(|_| bad(Damage::Footer)())?,
            envelope_bytes: field()?.parse().map_err(|_| bad(Damage::Footer)())?,
            message_digest: unhex(field()?).ok_or_else(bad(Damage::Footer))?,
            envelope_digest: unhex(field()?).ok_or_else(bad(Damage::Footer))?,
        };
        if footer.write().as_bytes() != bytes {
            return Err(bad(Damage::Footer)());
        }
        Ok(footer)
    }
}

fn read_at<R: Read + Seek>(file: &mut R, at: u64, bytes: u64) -> Result<Vec<u8>, SpoolError> {
    file.seek(SeekFrom::Start(at)).map_err(SpoolError::io("go to the end of the entry"))?;
    let mut read = Vec::new();
    file.take(bytes).read_to_end(&mut read).map_err(SpoolError::io("read the end of the entry"))?;
    if read.len() as u64 != bytes {
        return Err(SpoolError::damaged(Damage::TooShort, "truncated while it was read"));
    }
    Ok(read)
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_has_its_fixed_length_whatever_it_says() {
        for number in [0, u64::MAX] {
            let footer = Footer {
                message_bytes: number,
                envelope_bytes: number.min(MAX_ENVELOPE_BYTES),
                message_digest: [0xff; 32],
                envelope_digest: [0; 32],
            };
            assert_eq!(footer.write().len() as u64, FOOTER_BYTES);
            assert_eq!(Footer::parse(footer.write().as_bytes()).unwrap(), footer);
        }
    }
}
