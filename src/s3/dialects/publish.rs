//! A call of SNS's own API, `Action=Publish`, as StorageGRID makes it to the address it takes for SNS (contract 5.5). It
//! is no delivery of SNS: it has no envelope, no signature and no handshake.

use super::super::event::Encoding;
use super::{Found, Poison, Reading, Reason, Seen};

/// What StorageGRID sends when an endpoint is made or tested.
const TEST_MESSAGE: &[u8] = b"StorageGRID Test Message";

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    let is_publish =
        |(name, value): (Vec<u8>, Vec<u8>)| name == b"Message" || (name == b"Action" && value == b"Publish");
    seen.message.is_form() && fields(seen.message.body).any(is_publish)
}

pub(super) fn read(seen: &Seen<'_>, reading: &mut Reading) -> Result<Found, Poison> {
    let mut messages =
        fields(seen.message.body).filter(|(name, _)| name == b"Message").map(|(_, value)| value);
    let message = messages.next().ok_or_else(|| Poison::new(Reason::Missing, "/Message"))?;
    if messages.next().is_some() {
        return Err(Poison::new(Reason::Repeated, "/Message"));
    }
    if message.trim_ascii() == TEST_MESSAGE {
        return Ok(Found::Test(None));
    }
    seen.read_wrapped(&message, "/Message", reading)
}

/// Fields of a form, decoded to bytes.
fn fields(body: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    body.trim_ascii_end().split(|&b| b == b'&').map(|field| {
        let equals = field.iter().position(|&b| b == b'=').unwrap_or(field.len());
        let value = field.get(equals + 1..).unwrap_or_default();
        (Encoding::Form.decode(&field[..equals]), Encoding::Form.decode(value))
    })
}
