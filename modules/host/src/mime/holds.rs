//! What a part holds beside its bytes: a message, or what was signed.

use super::params::Content;
use super::transfer;
use crate::cms::{self, Cms};
use crate::problem::add;
use module_api::Problem;
use std::borrow::Cow;

/// What a part holds beside its bytes.
pub(super) enum Holds {
    Nothing,
    /// A message: its bytes.
    Message,
    /// An entity that was signed: what was signed.
    Signed(Vec<u8>),
}

impl Holds {
    /// Of a part with this content and name, whose bytes are of the type `sniffed`.
    pub(super) fn of(
        content: &Content,
        name: Option<&str>,
        sniffed: &str,
        bytes: &[u8],
        problems: &mut Vec<Problem>,
    ) -> Self {
        if content.is_message() || is_attached_message(content, name, sniffed) {
            return Self::Message;
        }
        if !content.is_smime(name) {
            if bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP MESSAGE-----") {
                add(problems, "encrypted", "PGP");
            }
            return Self::Nothing;
        }
        let detail = match cms::open(&binary(bytes)) {
            Some(Cms::Signed(signed)) => {
                add(problems, "signature_unverified", "S/MIME");
                return Self::Signed(signed);
            }
            Some(Cms::Encrypted) => return Self::encrypted(problems),
            None if content.says_encrypted() => return Self::encrypted(problems),
            Some(Cms::WithoutContent) => "signed, without content".to_owned(),
            Some(Cms::Other(kind)) => format!("of kind {kind}"),
            None => "not valid".to_owned(),
        };
        add(problems, "cms_unopened", &detail);
        Self::Nothing
    }

    fn encrypted(problems: &mut Vec<Problem>) -> Self {
        add(problems, "encrypted", "S/MIME");
        Self::Nothing
    }
}

/// Whether a part of no or another type is a message by name or content. Text that is not named so is left alone: it
/// may quote a header.
fn is_attached_message(content: &Content, name: Option<&str>, sniffed: &str) -> bool {
    let named = name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".eml"));
    sniffed == "message/rfc822"
        && match content.media_type.as_str() {
            "application/octet-stream" => true,
            "text/plain" | "application/x-message" | "application/eml" | "application/rfc822" => named,
            _ => false,
        }
}

/// A CMS message as bytes, where it is base64 that nobody declared.
fn binary(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.first() == Some(&0x30) {
        return Cow::Borrowed(bytes);
    }
    let lines = bytes.split(|&b| b == b'\n').filter(|line| !line.starts_with(b"-----"));
    let text: Vec<u8> = lines.flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
    transfer::base64(&text, &mut Vec::new()).map_or(Cow::Borrowed(bytes), Cow::Owned)
}
